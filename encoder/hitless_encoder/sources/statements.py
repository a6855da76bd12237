"""Where a connection's packets and pictures state absolute time (absolute.py).

note() is called by the thread that demultiplexes, of() by the one that places pictures; between
them a statement goes with the packet, and through the decoder with its picture.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Protocol

import av
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.video.stream import VideoStream

from hitless_encoder.sources.absolute import Stated, dated, timecode_of


class Statements(Protocol):
    """The statements of one connection."""

    def note(self, packet: Packet[Any]) -> None:
        """Attach to a packet of the pictures what the source says of it."""
        ...

    def of(self, picture: av.VideoFrame, wall_us: int) -> Stated | None:
        """What the source says of a picture. wall_us: when it came in."""
        ...


class NoStatements:
    """Of a source that goes by its anchor alone."""

    def note(self, packet: Packet[Any]) -> None:
        """See Statements."""

    def of(self, picture: av.VideoFrame, wall_us: int) -> Stated | None:  # noqa: ARG002
        """See Statements."""
        return None


class PictureTiming:
    """Time codes in the SEI of H.264 and HEVC, which FFmpeg attaches to the pictures."""

    def __init__(self, video: VideoStream) -> None:
        self._video = video
        self._number = 0

    def note(self, packet: Packet[Any]) -> None:
        """See Statements."""

    def of(self, picture: av.VideoFrame, wall_us: int) -> Stated | None:
        """See Statements."""
        found = picture.side_data.get("S12M_TIMECODE")
        if not isinstance(found, SideData):
            return None
        self._number += 1
        timecode = timecode_of(bytes(found), self._rate())
        of_day_us = None if timecode is None else timecode.of_day_us()
        us = None if of_day_us is None else dated(of_day_us, wall_us)
        return Stated(us=us, number=self._number)

    def _rate(self) -> Fraction | None:
        return self._video.codec_context.framerate or self._video.average_rate


class PacketStatements:
    """Statements that come with packets. state: what is said of a packet, if anything."""

    def __init__(self, video: VideoStream, state: Callable[[Packet[Any]], Stated | None]) -> None:
        self._state = state
        video.codec_context.copy_opaque = True

    def note(self, packet: Packet[Any]) -> None:
        """See Statements."""
        if isinstance(packet.stream, VideoStream) and packet.pts is not None:
            packet.opaque = self._state(packet)

    def of(self, picture: av.VideoFrame, wall_us: int) -> Stated | None:  # noqa: ARG002
        """See Statements."""
        stated = picture.opaque
        return stated if isinstance(stated, Stated) else None


def sender_reports(packet: Packet[Any]) -> Stated | None:
    """Of RTSP: its packets' time stamps are the sender's wall clock already (rtcp.py)."""
    assert packet.pts is not None
    return Stated(us=packet.pts, number=packet.pts)
