"""HLS on its way to FFmpeg: what can't be had, and producer reference times of segments."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from av.packet import Packet

from hitless_encoder.boxes import box, full_box
from hitless_encoder.errors import BoxError
from hitless_encoder.sources.hls import HlsReader, produced_us

TRACK = 2
NTP_SECONDS = 2_208_988_800 + 1_790_000_000
HALF = 1 << 31


def first_picture(pts: int = 90_000) -> Packet[Any]:
    packet: Packet[Any] = Packet(b"picture")
    packet.pts, packet.time_base = pts, Fraction(1, 90_000)
    return packet


def produced(track: int, media: int, *, version: int) -> bytes:
    words = (track, 4), (NTP_SECONDS, 4), (HALF, 4), (media, 8 if version else 4)
    return full_box(b"prft", version, 24, *(value.to_bytes(size) for value, size in words))


@pytest.mark.parametrize("version", [0, 1])
def test_the_first_picture_is_counted_from_the_box(version: int) -> None:
    segment = box(b"styp") + produced(TRACK, 87_000, version=version) + box(b"moof")
    assert produced_us(segment, first_picture(), TRACK) == 1_790_000_000_533_333


def test_a_box_of_another_track_or_a_later_fragment_says_nothing() -> None:
    other = produced(TRACK + 1, 90_000, version=1) + box(b"moof")
    assert produced_us(other, first_picture(), TRACK) is None
    later = box(b"moof") + produced(TRACK, 90_000, version=1)
    assert produced_us(later, first_picture(), TRACK) is None
    assert produced_us(b"", first_picture(), TRACK) is None


def test_what_is_no_box_is_refused() -> None:
    with pytest.raises(BoxError):
        produced_us(b"\0\0\0\xffprft", first_picture(), TRACK)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x.m3u8", "file:///etc/hosts", "http://["])
def test_what_can_t_be_had_is_empty_and_said(url: str) -> None:
    reader = HlsReader(dates=True)
    assert reader.open(url, 0, {}).read() == b""
    assert reader.failure.startswith(url)


def test_after_the_end_nothing_is_fetched() -> None:
    reader = HlsReader(dates=True)
    reader.stopped = True
    assert reader.open("http://127.0.0.1:1/x.m3u8", 0, {}).read() == b""
    assert not reader.failure
