"""The sender's time of RTSP packets: what two sessions of one sender make of the same packets."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import av
import pytest
from av.packet import Packet, PacketSideData, packet_sidedata_type_from_literal

from hitless_encoder.errors import SourceError
from hitless_encoder.sources.rtcp import SenderTime

BASE = Fraction(1, 48_000)
SENT_US = 1_795_454_800_694_000
AU = 1024  # samples
URL = "rtsp://sender/film"


def packet(index: int, *, session: int, reported: bool) -> Packet[Any]:
    """One of a stream, as FFmpeg gives it to a session that counts from another start."""
    made: Packet[Any] = av.Packet(b"x")
    made.pts = made.dts = index * AU - session
    made.time_base = BASE
    if reported:
        wall_us = SENT_US + round(index * AU * BASE * 1_000_000)
        time = struct.pack("=qi4x", wall_us, 24)
        side = PacketSideData(packet_sidedata_type_from_literal("prft"), len(time))  # type: ignore[call-arg]
        side.update(time)
        made.set_sidedata(side)
    return made


def stamped(session: int, first: int, reported_from: int) -> dict[int, int]:
    """Index to time stamp; two sound packets share one of RTP, whose first has the time."""
    sender, found = SenderTime(URL, 60), dict[int, int]()
    for index in range(first, 400):
        one = packet(index, session=session, reported=index >= reported_from and not index % 2)
        if sender.stamp(one):
            assert one.time_base == Fraction(1, 1_000_000)
            assert one.pts is not None
            found[index] = one.pts
    return found


def test_sessions_that_joined_at_different_times_agree_to_the_microsecond() -> None:
    early, late = stamped(0, 0, 40), stamped(100_123, 100, 240)
    assert late == {index: early[index] for index in range(242, 400)}


def test_nothing_is_used_before_the_first_report_nor_the_packet_with_it() -> None:
    assert min(stamped(0, 0, 40)) == 42


def test_a_packet_without_a_time_stamp_waits_for_the_report_too() -> None:
    sender = SenderTime(URL, 60)
    bare: Packet[Any] = av.Packet(b"x")
    bare.time_base = BASE
    assert not sender.stamp(bare)
    for index in (0, 2):
        sender.stamp(packet(index, session=0, reported=True))
    assert sender.stamp(bare)


def test_what_comes_when_the_connection_has_timed_out_is_not_used() -> None:
    sender = SenderTime(URL, 0)
    with pytest.raises(SourceError, match="no data from rtsp://sender/film for 0 s"):
        sender.stamp(packet(0, session=0, reported=True))
