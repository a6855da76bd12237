"""A socket as a bounded byte stream for a demuxer: UDP and RTP, unicast or multicast, and TCP.

A thread moves what comes in from the socket into memory, so that nothing is lost while the
demuxer's thread works; when RECEIVE_BYTES_MAX wait, the oldest are dropped and counted. Several
processes of one machine can receive the same multicast (SO_REUSEADDR).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from hitless_encoder.errors import ConfigurationError, SourceError

RECEIVE_BYTES_MAX = 16 << 20
SOCKET_BUFFER_BYTES = 4 << 20  # asked for; the kernel may give less
READ_BYTES_MAX = 65_536
CONNECT_SECONDS = 1  # so that nobody waits longer for a close
POLL_SECONDS = 0.25  # how long the thread waits before it looks whether to stop


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAddress:
    """host: group, local address of a unicast stream, or the host to connect to.

    localaddr: interface of the multicast.
    """

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


def parse_socket_url(url: str) -> SocketAddress:
    """scheme://[@]host:port[?localaddr=ADDRESS]; unknown options are an error. IPv4."""
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    localaddr = None if parts.scheme == "tcp" else options.pop("localaddr", None)
    for known in ("reuse", "pkt_size", "fifo_size", "overrun_nonfatal", "buffer_size"):
        options.pop(known, None)  # options of FFmpeg's URLs that have no meaning here
    try:
        port = parts.port
    except ValueError:
        port = None
    if options:
        raise ConfigurationError(f"source.url {url!r}: unknown option {', '.join(sorted(options))}")
    if not parts.hostname or not port:
        raise ConfigurationError(f"source.url {url!r}: write {parts.scheme}://host:port")
    return SocketAddress(url=url, host=parts.hostname, port=port, localaddr=localaddr)


def open_socket(address: SocketAddress, poll_seconds: float) -> socket.socket:
    """A bound UDP socket, member of the group when it is one. Raises SourceError."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if address.multicast:  # else a second encoder would take the datagrams from the first
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


def connect_socket(address: SocketAddress, poll_seconds: float) -> socket.socket:
    """A TCP socket that is connected. Raises SourceError."""
    try:
        connection = socket.create_connection((address.host, address.port), timeout=CONNECT_SECONDS)
    except OSError as error:
        raise SourceError(f"{address.url}: can't connect: {error}") from error
    connection.settimeout(poll_seconds)
    return connection


def _as_it_is(data: bytes) -> Iterable[bytes]:
    return (data,)


class SocketReceiver:
    """What came in, by read(); a file object for av.open.

    unwrap: what of the stream a datagram holds. A connection that ends makes read() end once it
    is empty.
    """

    def __init__(
        self,
        receiver: socket.socket,
        *,
        unwrap: Callable[[bytes], Iterable[bytes]] = _as_it_is,
    ) -> None:
        self._socket = receiver
        self._is_stream = receiver.type == socket.SOCK_STREAM
        self._unwrap = unwrap
        self._waiting: deque[bytes] = deque()
        self.waiting_bytes = 0
        self._changed = threading.Condition()
        self._ended = False
        self.received_bytes = 0
        self.lost_bytes = 0
        self._thread = threading.Thread(target=self._receive, name="receive", daemon=True)
        self._thread.start()

    def readable(self) -> bool:
        """For av.open."""
        return True

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, whole datagrams where they fit; b"" only after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or bool(self._waiting))
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
        """Make read() end at once; from any thread."""
        with self._changed:
            self._ended = True
            self._waiting.clear()
            self.waiting_bytes = 0
            self._changed.notify_all()

    def join(self) -> None:
        """Stop, and give back thread and socket."""
        self.stop()
        self._thread.join()
        self._socket.close()

    def _receive(self) -> None:
        while not self._ended:
            try:
                data = self._socket.recv(READ_BYTES_MAX)
            except TimeoutError:
                continue
            except OSError:
                if self._is_stream:
                    break
                continue  # e.g. an ICMP error; the socket lives on
            if data:
                self._add(data)
            elif self._is_stream:
                break
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _add(self, data: bytes) -> None:
        with self._changed:
            self.received_bytes += len(data)
            for part in self._unwrap(data):
                self._waiting.append(part)
                self.waiting_bytes += len(part)
            while self.waiting_bytes > RECEIVE_BYTES_MAX:
                oldest = self._waiting.popleft()
                self.waiting_bytes -= len(oldest)
                self.lost_bytes += len(oldest)
            self._changed.notify_all()
