"""RTP packets put in order: swaps, repeats, losses, wraps and restarts of the sender."""

from __future__ import annotations

import struct

import pytest

from hitless_encoder.sources.rtp import REORDER_PACKETS_MAX, RtpOrder, parse


def packet(sequence: int, *, ssrc: int = 7, head: int = 0x80, extra: bytes = b"") -> bytes:
    header = struct.pack("!BBHII", head, 33, sequence % (1 << 16), sequence * 90, ssrc)
    return header + extra + payload(sequence)


def payload(sequence: int) -> bytes:
    return b"\x47" + sequence.to_bytes(4, "big")


def through(*sequences: int) -> list[bytes]:
    order = RtpOrder()
    return [out for sequence in sequences for out in order.feed(packet(sequence))]


@pytest.mark.parametrize("first", [0, 65_530, 65_535])
def test_packets_come_out_in_order_once(first: int) -> None:
    arrival = [0, 2, 1, 1, 3, 6, 5, 4, 0, 7, 8]
    assert through(*(first + n for n in arrival)) == [payload(first + n) for n in range(9)]


def test_a_lost_packet_is_waited_for_in_bounds() -> None:
    order = RtpOrder()
    order.feed(packet(0))
    for n in range(2, 2 + REORDER_PACKETS_MAX):
        assert order.feed(packet(n)) == []
    ready = order.feed(packet(2 + REORDER_PACKETS_MAX))
    assert ready == [payload(n) for n in range(2, 3 + REORDER_PACKETS_MAX)]
    assert order.lost == 1
    assert order.feed(packet(1)) == [], "too late"


def test_a_sender_that_begins_anew_is_followed() -> None:
    order = RtpOrder()
    order.feed(packet(40_000))
    assert order.feed(packet(40_002)) == []
    assert order.feed(packet(5, ssrc=8)) == [payload(40_002), payload(5)]
    assert order.feed(packet(40_000, ssrc=8))[-1] == payload(40_000)


def test_headers_of_any_length_are_taken_off() -> None:
    csrc = packet(1, head=0x82, extra=bytes(8))
    extension = packet(2, head=0x90, extra=struct.pack("!HHI", 0xBEDE, 1, 0))
    padded = packet(3, head=0xA0) + b"\0\0\3"
    for number, data in enumerate((csrc, extension, padded), 1):
        found = parse(data)
        assert found is not None
        assert found.payload == payload(number)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80\x21", payload(1) * 40, b"\x80\xc8" + bytes(26), packet(1)[:12]],
    ids=["empty", "short", "bare TS", "RTCP", "no payload"],
)
def test_what_is_no_rtp_with_ts_is_left_out(data: bytes) -> None:
    assert parse(data) is None
