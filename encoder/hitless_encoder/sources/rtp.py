"""RTP that carries MPEG-TS (RFC 3550, RFC 2250): payloads in order, without repeats.

Pure: datagrams in, payloads out. The time stamps of RTP are not used: those of the stream inside
are what all its receivers share. Called by receiver.py.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MP2T = 33  # payload type of MPEG-TS (RFC 3551)
REORDER_PACKETS_MAX = 64  # that wait for an earlier one; then it is taken as lost
LATE_PACKETS_MAX = 1000  # a packet further back than that is the sender's new numbering
_SEQUENCES = 1 << 16
_FIXED_BYTES = 12
_TS_SYNC = 0x47


@dataclass(frozen=True, slots=True, kw_only=True)
class RtpPacket:
    """sequence: modulo 2**16. ssrc: whose numbering it is."""

    sequence: int
    ssrc: int
    payload: bytes


def parse(datagram: bytes) -> RtpPacket | None:
    """An RTP packet with MPEG-TS in it; None for anything else, RTCP included."""
    if len(datagram) < _FIXED_BYTES or datagram[0] >> 6 != 2 or datagram[1] & 0x7F != MP2T:
        return None
    start = _FIXED_BYTES + 4 * (datagram[0] & 0x0F)
    if datagram[0] & 0x10 and len(datagram) >= start + 4:  # header extension
        start += 4 + 4 * struct.unpack_from("!H", datagram, start + 2)[0]
    stop = len(datagram) - (datagram[-1] if datagram[0] & 0x20 else 0)  # padding
    payload = datagram[start:stop]
    if not payload or payload[0] != _TS_SYNC:
        return None
    sequence, ssrc = struct.unpack_from("!2xH4xI", datagram)
    return RtpPacket(sequence=sequence, ssrc=ssrc, payload=payload)


class RtpOrder:
    """Puts the packets of one sender in order. lost: packets that never came."""

    def __init__(self) -> None:
        self._ssrc: int | None = None
        self._next = 0
        self._held: dict[int, bytes] = {}  # payloads by sequence number
        self.lost = 0

    def feed(self, datagram: bytes) -> list[bytes]:
        """The payloads that can go on with this datagram, in order."""
        packet = parse(datagram)
        if packet is None:
            return []
        if packet.ssrc != self._ssrc:
            rest = self._flush()  # the sender began anew: what waited can't be completed
            self._ssrc, self._next = packet.ssrc, packet.sequence
            return [*rest, *self._take(packet)]
        return self._take(packet)

    def _take(self, packet: RtpPacket) -> list[bytes]:
        ahead = (packet.sequence - self._next) % _SEQUENCES
        if ahead >= _SEQUENCES // 2:
            if _SEQUENCES - ahead <= LATE_PACKETS_MAX:
                return []  # a repeat, or too late
            rest = self._flush()  # the same sender with new numbers
            self._next = (packet.sequence + 1) % _SEQUENCES
            return [*rest, packet.payload]
        self._held[packet.sequence] = packet.payload
        ready = self._in_order()
        if len(self._held) > REORDER_PACKETS_MAX or ahead > _SEQUENCES // 4:
            ready += self._skip()
        return ready

    def _in_order(self) -> list[bytes]:
        ready: list[bytes] = []
        while self._next in self._held:
            ready.append(self._held.pop(self._next))
            self._next = (self._next + 1) % _SEQUENCES
        return ready

    def _skip(self) -> list[bytes]:
        """Give up on the packet that is waited for."""
        first = min(self._held, key=lambda sequence: (sequence - self._next) % _SEQUENCES)
        self.lost += (first - self._next) % _SEQUENCES
        self._next = first
        return self._in_order()

    def _flush(self) -> list[bytes]:
        ready: list[bytes] = []
        while self._held:
            ready += self._skip()
        return ready
