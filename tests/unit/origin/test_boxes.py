"""The box reader: what it reads, and that no broken body makes it do harm."""

from __future__ import annotations

import contextlib
import random
import struct

import pytest
from tests.component.origin.cmaf_maker import (
    FIRST,
    NTSC,
    PAL,
    box,
    describe,
    full,
    init_segment,
    recipe,
)

from hitless_origin.boxes import BoxError, read_boxes, read_fragments, read_init
from hitless_origin.cmaf import grid, judge_init, judge_segment
from hitless_origin.errors import PushRefused

DESCRIPTION = describe(NTSC)
VIDEO, _, AUDIO = DESCRIPTION.tracks


def test_an_init_segment() -> None:
    facts = read_init(init_segment(VIDEO))
    assert (facts.timescale, facts.handler) == (30_000, "vide")
    assert read_init(init_segment(AUDIO)).handler == "soun"


def test_a_segment_of_chunks() -> None:
    facts = read_init(init_segment(VIDEO))
    [first, *_, last] = read_fragments(recipe(DESCRIPTION, VIDEO, FIRST).make(), facts) * 2
    assert first == last
    assert first.decode_ticks == FIRST * 60 * 1001
    assert first.durations == (1001,) * 60
    assert first.sync_first
    assert sum(first.sizes) == first.media_bytes


def test_defaults_come_from_tfhd_and_trex() -> None:
    facts = read_init(init_segment(AUDIO))
    tfhd = full(b"tfhd", 0, 0x02003B, struct.pack(">IQIIII", 1, 0, 1, 1024, 3, 0))
    trun = full(b"trun", 0, 0x004, struct.pack(">II", 2, 0x0001_0000))
    tfdt = full(b"tfdt", 0, 0, struct.pack(">I", 77))
    mfhd = full(b"mfhd", 0, 0, struct.pack(">I", 5))
    data = box(b"moof", mfhd, box(b"traf", tfhd, tfdt, trun)) + box(b"mdat", b"abcdef")
    [fragment] = read_fragments(data, facts)
    assert (fragment.sequence, fragment.decode_ticks) == (5, 77)
    assert (fragment.durations, fragment.sizes) == ((1024, 1024), (3, 3))
    assert not fragment.sync_first


def test_long_sizes_are_read() -> None:
    long = struct.pack(">I4sQ", 1, b"free", 20) + b"abcd"
    [found] = read_boxes(long)
    assert long[found.start : found.end] == b"abcd"


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0",
        struct.pack(">I4s", 4, b"moof"),
        struct.pack(">I4s", 100, b"moof"),
        struct.pack(">I4sQ", 1, b"moof", 3),
        box(b"mdat", b"x"),
        box(b"moof"),
        box(b"moof") + box(b"moof"),
        b"",
    ],
)
def test_broken_boxes_are_said(data: bytes) -> None:
    with pytest.raises(BoxError):
        read_fragments(data, read_init(init_segment(VIDEO)))


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_gets_past_as_another_error(seed: int) -> None:
    rng = random.Random(seed)
    good = recipe(DESCRIPTION, VIDEO, FIRST).make()
    facts = read_init(init_segment(VIDEO))
    for _ in range(40):
        data = bytearray(good[: rng.randrange(len(good))] if rng.random() < 0.3 else good)
        for _ in range(rng.randrange(1, 4)):
            if data:
                data[rng.randrange(min(len(data), 1200))] = rng.randrange(256)
        with contextlib.suppress(PushRefused):
            judge_segment(bytes(data), VIDEO, NTSC, FIRST, facts)


@pytest.mark.parametrize("timeline", [PAL, NTSC], ids=["25", "29.97"])
@pytest.mark.parametrize("name", ["v0", "audio"])
def test_the_grid_has_no_seams(timeline: object, name: str) -> None:
    assert isinstance(timeline, type(PAL))
    description = describe(timeline)
    [track] = [t for t in description.tracks if t.name == name]
    facts = judge_init(init_segment(track), track)
    for k in range(FIRST, FIRST + 20):
        start, step, count = grid(track, timeline, k)
        assert start + step * count == grid(track, timeline, k + 1)[0]
        judge_segment(recipe(description, track, k).make(), track, timeline, k, facts)
        with pytest.raises(PushRefused):
            judge_segment(recipe(description, track, k).make(), track, timeline, k + 1, facts)


def test_an_init_segment_of_another_timescale_is_a_mismatch() -> None:
    other = VIDEO.model_copy(update={"timescale": 90_000})
    with pytest.raises(PushRefused) as caught:
        judge_init(init_segment(other), VIDEO)
    assert (caught.value.status, caught.value.mismatch) == (409, True)
