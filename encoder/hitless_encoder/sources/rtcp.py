"""The sender's time of RTSP packets, by the RTCP sender reports that came before them.

FFmpeg counts the packets of an RTSP session from when it joined. What all sessions share is the
sender's clock: FFmpeg adds it to each packet (a producer reference time) once a sender report has
come. A packet's time follows from that report and its RTP time stamp alone, so sessions that get
the same reports agree to the microsecond. Called by the thread that demultiplexes.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.packet import Packet

from hitless_encoder.errors import SourceError

_MICRO = Fraction(1, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """The newest packet of a stream with the sender's time. pts: FFmpeg's."""

    pts: int
    wall_us: int


class SenderTime:
    """Time stamps of one connection. read_seconds: after these without data FFmpeg ends it."""

    def __init__(self, url: str, read_seconds: float) -> None:
        self._url = url
        self._read_seconds = read_seconds
        self._came_s = time.monotonic()
        self._newest: dict[int, _Said] = {}
        self._begun = set[int]()

    def stamp(self, packet: Packet[Any]) -> bool:
        """Write the sender's time, microseconds since the epoch, into a packet.

        False while it is not known. Of several sound packets in one of RTP the first has the
        sender's time, and the others count on from it. Raises SourceError for what FFmpeg's parser
        held back until the connection timed out: that it came only now would look like a jump.
        """
        before_s, self._came_s = self._came_s, time.monotonic()
        if self._came_s - before_s >= self._read_seconds:
            raise SourceError(f"no data from {self._url} for {self._read_seconds:g} s")
        stream = packet.stream_index
        if packet.pts is None:
            return stream in self._newest
        if packet.has_sidedata("prft"):
            wall_us = struct.unpack_from("=q", bytes(packet.get_sidedata("prft")))[0]
            if stream not in self._begun:  # FFmpeg's parser gives the first that of the next
                self._begun.add(stream)
                return False
            self._newest[stream] = _Said(pts=packet.pts, wall_us=wall_us)
        said = self._newest.get(stream)
        if said is None:
            return False
        since_us = round((packet.pts - said.pts) * packet.time_base / _MICRO)
        packet.pts, packet.dts, packet.time_base = said.wall_us + since_us, None, _MICRO
        return True
