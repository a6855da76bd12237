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
from hitless_encoder.sources.hls import HOLD_TARGETS, HlsReader
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
from hitless_encoder.sources.statements import (
    NoStatements,
    PacketStatements,
    PictureTiming,
    Statements,
    sender_reports,
)
from hitless_wire.source_resources import SourceTimecode

PROBE_BYTES = 4 << 20
PROBE_US = 10_000_000
OPEN_SECONDS = 10  # after these, FFmpeg's own connections give up
READ_SECONDS = 5
HLS_READ_SECONDS = 20  # a segment's duration may pass without anything new
FLV_SCALE = TickScale(timescale=1000, wrap_ticks=1 << 31)
NTP_SCALE = TickScale(timescale=1_000_000, wrap_ticks=0)

Stamp = Callable[["Packet[Any]"], bool]


class Transport(Protocol):
    """A way to a live source.

    bursts: it gives more at a time than has passed since. hold_us: how long after its time on the
    wall clock a frame of such a transport is due.
    """

    url: str
    bursts: bool
    silence_seconds: int

    @property
    def hold_us(self) -> int:
        """Microseconds."""
        ...

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

    def statements(self, video: VideoStream) -> Statements:
        """What of a connection states absolute time."""
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
    hold_us = 0

    def __init__(
        self,
        address: SocketAddress,
        *,
        timecode: SourceTimecode | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._timecode = timecode
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

    def statements(self, video: VideoStream) -> Statements:
        """See Transport."""
        return NoStatements() if self._timecode is None else PictureTiming(video)

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

    def __init__(self, url: str, *, timecode: SourceTimecode | None = None) -> None:
        self.url = url
        self._timecode = timecode
        self._scheme = urlsplit(url).scheme
        self.bursts = self._scheme in {"http", "https"}
        self.silence_seconds = HLS_READ_SECONDS if self.bursts else READ_SECONDS
        self._reader: HlsReader | None = None

    @contextmanager
    def opened(self) -> Iterator[InputContainer]:
        """See Transport."""
        options = {"probesize": str(PROBE_BYTES), "analyzeduration": "3000000"}
        if self._scheme == "rtsp":  # over UDP from a server that refuses TCP
            options |= {"rtsp_flags": "prefer_tcp", "buffer_size": str(SOCKET_BUFFER_BYTES)}
        elif self._scheme in {"rtmp", "rtmps"}:
            options["rtmp_live"] = "live"
        timeout = (OPEN_SECONDS, self.silence_seconds)
        reader = self._new_reader()
        if reader is not None:  # FFmpeg keeps its own connections only
            options |= {"http_persistent": "0", "http_multiple": "0"}
        io_open = None if reader is None else reader.open
        try:
            with av.open(
                self.url, "r", options=options, timeout=timeout, io_open=io_open
            ) as container:
                self._check(container.format.name)
                yield container
        except av.FFmpegError as error:
            if reader is None or not reader.failure:
                raise
            raise SourceError(reader.failure) from error

    def _new_reader(self) -> HlsReader | None:
        """What looks at HLS on its way; its frames' numbers are those of when they were made."""
        if not self.bursts or self._timecode is None:
            return None
        self._reader = HlsReader(dates=self._timecode is SourceTimecode.PROGRAM_DATE_TIME)
        return self._reader

    @property
    def hold_us(self) -> int:
        """See Transport: so long that all of a playlist's newest segments have come."""
        return 0 if self._reader is None else HOLD_TARGETS * self._reader.target_us

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

    def statements(self, video: VideoStream) -> Statements:
        """See Transport."""
        if self._timecode is None:
            return NoStatements()
        if self._timecode is SourceTimecode.PICTURE_TIMING:
            return PictureTiming(video)
        return PacketStatements(
            video, sender_reports if self._reader is None else self._reader.state
        )

    def traffic(self) -> tuple[int, int]:
        """See Transport; FFmpeg does not say."""
        return (0 if self._reader is None else self._reader.received_bytes), 0

    def interrupt(self) -> None:
        """See Transport."""
        if self._reader is not None:
            self._reader.stopped = True


def transport_of(
    url: str, *, timecode: SourceTimecode | None = None, poll_seconds: float = POLL_SECONDS
) -> Transport:
    """The transport of a URL. timecode: what of it says absolute time.

    Raises ConfigurationError.
    """
    scheme = urlsplit(url).scheme
    if scheme in {"udp", "rtp", "tcp"}:
        return SocketTransport(parse_socket_url(url), timecode=timecode, poll_seconds=poll_seconds)
    if not urlsplit(url).hostname:
        raise ConfigurationError(f"source.url {url!r}: write {scheme}://host/path")
    return UrlTransport(url, timecode=timecode)
