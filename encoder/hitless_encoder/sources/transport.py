"""How a live source is reached: what opens a container for the demuxer, and can be interrupted.

A transport knows how the source counts time. It is opened again and again by the one thread of a
PacketPump; interrupt() and traffic() may be called from any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit

import av
from av.container.input import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from hitless_encoder.errors import ConfigurationError, SourceError
from hitless_encoder.sources.grid import TS_SCALE, TS_TIMESCALE, TickScale
from hitless_encoder.sources.receiver import (
    POLL_SECONDS,
    SOCKET_BUFFER_BYTES,
    SocketAddress,
    SocketReceiver,
    connect_socket,
    open_socket,
    parse_socket_url,
)
from hitless_encoder.sources.rtcp import SenderTime
from hitless_encoder.sources.rtp import RtpOrder

PROBE_BYTES = 4 << 20
PROBE_US = 10_000_000
OPEN_SECONDS = 10  # after these, FFmpeg's own connections give up
READ_SECONDS = 5
HLS_READ_SECONDS = 20  # a segment's duration may pass without anything new
FLV_SCALE = TickScale(timescale=1000, wrap_ticks=1 << 31)
NTP_SCALE = TickScale(timescale=1_000_000, wrap_ticks=0)

Stamp = Callable[["Packet[Any]"], bool]


class Transport(Protocol):
    """A way to a live source. bursts: it gives more at a time than has passed since."""

    url: str
    bursts: bool
    silence_seconds: int

    def opened(self) -> Any:
        """A context with an InputContainer. Raises SourceError, av.FFmpegError, OSError."""
        ...

    def scale(self, video: VideoStream) -> TickScale:
        """How the time stamps count."""
        ...

    def stamp(self) -> Stamp:
        """What makes a packet's time stamps those of the source, for one connection.

        False for a packet whose time can't be told yet. Raises SourceError.
        """
        ...

    def traffic(self) -> tuple[int, int]:
        """Bytes received so far, and those of them that wait for the demuxer."""
        ...

    def interrupt(self) -> None:
        """Make the container end soon."""
        ...


def _as_it_is(_packet: Packet[Any]) -> bool:
    return True


class SocketTransport:
    """MPEG-TS over a socket of our own: udp://, rtp:// and tcp://."""

    bursts = False
    silence_seconds = 5

    def __init__(self, address: SocketAddress, *, poll_seconds: float = POLL_SECONDS) -> None:
        self.url = address.url
        self._scheme = urlsplit(address.url).scheme
        self._address = address
        self._poll_seconds = poll_seconds
        self._receiver: SocketReceiver | None = None
        self._stopped = False

    @contextmanager
    def opened(self) -> Iterator[InputContainer]:
        """See Transport."""
        receiver = self._receiver = self._connected()
        try:
            if self._stopped:
                receiver.stop()
            options = {"probesize": str(PROBE_BYTES), "analyzeduration": str(PROBE_US)}
            with av.open(receiver, "r", format="mpegts", options=options) as container:
                yield container
        finally:
            receiver.join()

    def _connected(self) -> SocketReceiver:
        if self._scheme == "tcp":
            return SocketReceiver(connect_socket(self._address, self._poll_seconds))
        bound = open_socket(self._address, self._poll_seconds)
        if self._scheme == "rtp":
            return SocketReceiver(bound, unwrap=RtpOrder().feed)
        return SocketReceiver(bound)

    def scale(self, video: VideoStream) -> TickScale:  # noqa: ARG002
        """See Transport."""
        return TS_SCALE

    def stamp(self) -> Stamp:
        """See Transport."""
        return _as_it_is

    def traffic(self) -> tuple[int, int]:
        """See Transport."""
        receiver = self._receiver
        return (0, 0) if receiver is None else (receiver.received_bytes, receiver.waiting_bytes)

    def interrupt(self) -> None:
        """See Transport."""
        self._stopped = True
        receiver = self._receiver
        if receiver is not None:
            receiver.stop()


class UrlTransport:
    """What FFmpeg opens by itself: RTMP, RTSP, HLS.

    Nothing interrupts FFmpeg but its own time-outs; so after interrupt() a container lives on for
    up to OPEN_SECONDS or its read time-out, unused.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._scheme = urlsplit(url).scheme
        self.bursts = self._scheme in {"http", "https"}
        self.silence_seconds = HLS_READ_SECONDS if self.bursts else READ_SECONDS

    @contextmanager
    def opened(self) -> Iterator[InputContainer]:
        """See Transport."""
        options = {"probesize": str(PROBE_BYTES), "analyzeduration": "3000000"}
        if self._scheme == "rtsp":  # over UDP from a server that refuses TCP
            options |= {"rtsp_flags": "prefer_tcp", "buffer_size": str(SOCKET_BUFFER_BYTES)}
        elif self._scheme in {"rtmp", "rtmps"}:
            options["rtmp_live"] = "live"
        timeout = (OPEN_SECONDS, self.silence_seconds)
        with av.open(self.url, "r", options=options, timeout=timeout) as container:
            self._check(container.format.name)
            yield container

    def _check(self, form: str) -> None:
        if self.bursts and not {"hls", "mpegts"} & set(form.split(",")):
            raise SourceError(f"{self.url}: a live source over HTTP must be HLS; this is {form}")

    def scale(self, video: VideoStream) -> TickScale:
        """See Transport."""
        if self._scheme == "rtsp":
            return NTP_SCALE
        if self._scheme in {"rtmp", "rtmps"}:
            return FLV_SCALE
        base = video.time_base
        if base is None or base.numerator != 1:
            raise SourceError(f"{self.url}: time stamps of {base} s can't be counted")
        # a clock of 90 kHz may be that of MPEG-TS; counting modulo does no harm to one that is not
        return (
            TS_SCALE
            if base.denominator == TS_TIMESCALE
            else TickScale(timescale=base.denominator, wrap_ticks=0)
        )

    def stamp(self) -> Stamp:
        """See Transport."""
        if self._scheme == "rtsp":
            return SenderTime(self.url, self.silence_seconds).stamp
        return _as_it_is

    def traffic(self) -> tuple[int, int]:
        """See Transport; FFmpeg does not say."""
        return 0, 0

    def interrupt(self) -> None:
        """See Transport."""


def transport_of(url: str, *, poll_seconds: float = POLL_SECONDS) -> Transport:
    """The transport of a URL. Raises ConfigurationError."""
    scheme = urlsplit(url).scheme
    if scheme in {"udp", "rtp", "tcp"}:
        return SocketTransport(parse_socket_url(url), poll_seconds=poll_seconds)
    if not urlsplit(url).hostname:
        raise ConfigurationError(f"source.url {url!r}: write {scheme}://host/path")
    return UrlTransport(url)
