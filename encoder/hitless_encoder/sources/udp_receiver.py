"""A UDP socket, unicast or multicast, as a bounded byte stream for a demuxer.

A thread moves datagrams from the socket into memory, so that nothing is lost while the demuxer's
thread decodes; when RECEIVE_BYTES_MAX wait, the oldest are dropped and counted. Several processes
of one machine can receive the same multicast (SO_REUSEADDR).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from hitless_encoder.errors import ConfigurationError, SourceError

RECEIVE_BYTES_MAX = 16 << 20
SOCKET_BUFFER_BYTES = 4 << 20  # asked for; the kernel may give less
DATAGRAM_BYTES_MAX = 65_536
SILENCE_SECONDS = 5
POLL_SECONDS = 0.25  # how long the thread waits before it looks whether to stop
SILENT_POLLS = int(SILENCE_SECONDS / POLL_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpAddress:
    """host: group, or local address of a unicast stream. localaddr: interface of the multicast."""

    url: str
    host: str
    port: int
    localaddr: str | None

    @property
    def multicast(self) -> bool:
        """Whether the host is a multicast group."""
        try:
            return ipaddress.ip_address(self.host).is_multicast
        except ValueError:
            return False


def parse_udp_url(url: str) -> UdpAddress:
    """udp://[@]host:port[?localaddr=ADDRESS]; unknown options are an error. IPv4."""
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    localaddr = options.pop("localaddr", None)
    for known in ("reuse", "pkt_size", "fifo_size", "overrun_nonfatal", "buffer_size"):
        options.pop(known, None)  # options of FFmpeg's URLs that have no meaning here
    try:
        port = parts.port
    except ValueError:
        port = None
    if options:
        raise ConfigurationError(f"source.url {url!r}: unknown option {', '.join(sorted(options))}")
    if not parts.hostname or not port:
        raise ConfigurationError(f"source.url {url!r}: write udp://host:port")
    return UdpAddress(url=url, host=parts.hostname, port=port, localaddr=localaddr)


def open_socket(address: UdpAddress, poll_seconds: float) -> socket.socket:
    """A bound socket, member of the group when it is one. Raises SourceError."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        receiver.bind((address.host, address.port))
        if address.multicast:
            member = struct.pack(
                "4s4s",
                socket.inet_aton(address.host),
                socket.inet_aton(address.localaddr or "0.0.0.0"),
            )
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        receiver.settimeout(poll_seconds)
    except OSError as error:
        receiver.close()
        raise SourceError(f"{address.url}: can't listen: {error}") from error
    return receiver


class UdpReceiver:
    """What came in, by read(); a file object for av.open.

    on_silence is called when nothing has come in for SILENT_POLLS timeouts of the socket.
    """

    def __init__(self, receiver: socket.socket, *, on_silence: Callable[[], None]) -> None:
        self._socket = receiver
        self._on_silence = on_silence
        self._waiting: deque[bytes] = deque()
        self.waiting_bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self.received_bytes = 0
        self.lost_bytes = 0
        self._thread = threading.Thread(target=self._receive, name="udp-receive", daemon=True)
        self._thread.start()

    def readable(self) -> bool:
        """For av.open."""
        return True

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, whole datagrams where they fit; b"" only after close()."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._waiting))
            if not self._waiting:
                return b""
            taken = [self._waiting.popleft()]
            total = len(taken[0])
            while self._waiting and total + len(self._waiting[0]) <= size:
                taken.append(self._waiting.popleft())
                total += len(taken[-1])
            self.waiting_bytes -= total
        data = b"".join(taken)
        if len(data) > size:
            data, rest = data[:size], data[size:]
            with self._changed:
                self._waiting.appendleft(rest)
                self.waiting_bytes += len(rest)
        return data

    def stop(self) -> None:
        """Make read() end once it is empty; from any thread."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def join(self) -> None:
        """Stop, and give back thread and socket."""
        self.stop()
        self._thread.join()
        self._socket.close()

    def _receive(self) -> None:
        silent_polls = 0
        while not self._closed:
            try:
                datagram = self._socket.recv(DATAGRAM_BYTES_MAX)
            except TimeoutError:
                silent_polls += 1
                if silent_polls == SILENT_POLLS:
                    self._on_silence()
                continue
            except OSError:
                continue  # e.g. an ICMP error; the socket lives on
            silent_polls = 0
            self._add(datagram)

    def _add(self, datagram: bytes) -> None:
        if not datagram:
            return
        with self._changed:
            self._waiting.append(datagram)
            self.waiting_bytes += len(datagram)
            self.received_bytes += len(datagram)
            while self.waiting_bytes > RECEIVE_BYTES_MAX:
                oldest = self._waiting.popleft()
                self.waiting_bytes -= len(oldest)
                self.lost_bytes += len(oldest)
            self._changed.notify_all()
