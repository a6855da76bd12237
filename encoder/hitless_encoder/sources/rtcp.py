"""The sender's time of RTSP packets, by the RTCP sender reports that came before them.

FFmpeg counts the packets of an RTSP session from when it joined. What all sessions share is the
sender's clock: FFmpeg adds it to each packet (a producer reference time) once a sender report has
come. Called by the thread that demultiplexes.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

from av.packet import Packet

STEADY_US = 5_000  # sender reports that disagree by less count as the same
_MICRO = Fraction(1, 1_000_000)


class SenderTime:
    """Time stamps of one connection; per stream, the offset of the sender's clock."""

    def __init__(self) -> None:
        self._offsets_us: dict[int, int] = {}

    def stamp(self, packet: Packet[Any]) -> bool:
        """Write the sender's time, microseconds since the epoch, into a packet."""
        if packet.pts is None:
            return True
        pts_us = round(packet.pts * packet.time_base / _MICRO)
        if packet.has_sidedata("prft"):
            wall_us = struct.unpack_from("=q", bytes(packet.get_sidedata("prft")))[0]
            known = self._offsets_us.get(packet.stream_index)
            if known is None or abs(wall_us - pts_us - known) > STEADY_US:
                self._offsets_us[packet.stream_index] = wall_us - pts_us
        offset = self._offsets_us.get(packet.stream_index)
        if offset is None:
            return False
        packet.pts, packet.dts, packet.time_base = pts_us + offset, None, _MICRO
        return True
