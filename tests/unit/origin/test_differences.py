"""What is said of a push that is not interchangeable: the path of its box, and the field."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.component.origin.cmaf_maker import FIRST, PAL, describe, full, init_segment, recipe

from hitless_origin.cmaf import judge_init, judge_segment
from hitless_origin.errors import PushRefused
from hitless_origin.names import ChannelKey
from hitless_origin.refusals import init_differs
from hitless_wire.ingest import TrackDescription

DESCRIPTION = describe(PAL)
VIDEO, _, AUDIO = DESCRIPTION.tracks
RIGHT = recipe(DESCRIPTION, VIDEO, FIRST)
CHUNKS = replace(RIGHT, chunks=5)
START = RIGHT.decode_ticks
STEP = RIGHT.step_ticks
KEY = ChannelKey(namespace="demo", channel="news")


def _refused(call: Callable[[], object]) -> PushRefused:
    with pytest.raises(PushRefused) as caught:
        call()
    return caught.value


def _segment(data: bytes, track: TrackDescription = VIDEO) -> PushRefused:
    facts = judge_init(init_segment(track), track)
    return _refused(lambda: judge_segment(data, track, PAL, FIRST, facts))


def _patched(data: bytes, kind: bytes, number: int, offset: int, value: int) -> bytes:
    """Four bytes of the content of a box: its number-th of that kind."""
    at = -1
    for _ in range(number + 1):
        at = data.index(kind, at + 1)
    at += len(kind) + offset
    return data[:at] + struct.pack(">I", value) + data[at + 4 :]


def _sample(number: int, field: int) -> int:
    """Where a sample's duration (0), size, flags or offset (3) is in the maker's trun."""
    return 12 + 16 * number + 4 * field


@pytest.mark.parametrize(
    ("data", "path", "expected", "got"),
    [
        (
            _patched(RIGHT.make(), b"trun", 0, _sample(3, 0), STEP + 3),
            "moof/traf/trun sample 3 duration",
            STEP,
            STEP + 3,
        ),
        (
            _patched(CHUNKS.make(), b"trun", 2, _sample(1, 0), 7),
            "moof[2]/traf/trun sample 1 duration",
            STEP,
            7,
        ),
        (
            replace(RIGHT, sequence=FIRST + 1).make(),
            "moof/mfhd sequence_number",
            FIRST,
            FIRST + 1,
        ),
        (
            _patched(CHUNKS.make(), b"mfhd", 4, 4, 9),
            "moof[4]/mfhd sequence_number",
            FIRST,
            9,
        ),
        (_patched(RIGHT.make(), b"tfhd", 0, 4, 2), "moof/traf/tfhd track_ID", 1, 2),
        (
            replace(RIGHT, decode_ticks=START + 1).make(),
            "moof/traf/tfdt",
            START,
            START + 1,
        ),
        (replace(RIGHT, count=49).make(), "moof/traf/trun sample_count, of all", 50, 49),
        (
            replace(RIGHT, sync_first=False).make(),
            "moof/traf/trun sample 0 flags",
            "a sync sample",
            "a non-sync sample",
        ),
        (
            _patched(RIGHT.make(), b"trun", 0, _sample(5, 3), STEP),
            "moof/traf/trun sample 6 presentation time",
            f"each once of {START} to {START + 49 * STEP}, every {STEP} ticks",
            START + 6 * STEP,
        ),
        (
            _patched(RIGHT.make(), b"trun", 0, _sample(0, 1), 1),
            "mdat bytes, as its samples have",
            None,
            None,
        ),
    ],
)
def test_a_segment_is_refused_with_box_and_field(
    data: bytes, path: str, expected: object, got: object
) -> None:
    refusal = _segment(data)
    assert (refusal.status, refusal.mismatch) == (409, True)
    assert refusal.error == f"segment {FIRST} of v0: {path} differs from the timeline"
    if expected is not None:
        assert (refusal.expected, refusal.got) == (str(expected), str(got))
        assert refusal.text() == f"{refusal.error}: {got}, {expected} expected"


def test_where_chunks_begin_is_free() -> None:
    facts = judge_init(init_segment(VIDEO), VIDEO)
    for made in (CHUNKS, replace(CHUNKS, ends=(10, 20, 31, 40))):
        assert len(judge_segment(made.make(), VIDEO, PAL, FIRST, facts)) == 5


def test_a_header_that_does_not_fit_its_track() -> None:
    refusal = _refused(lambda: judge_init(init_segment(AUDIO), VIDEO))
    assert "init of v0: moov/trak/mdia/hdlr handler_type" in refusal.error
    slow = VIDEO.model_copy(update={"timescale": 7})
    refusal = _refused(lambda: judge_init(init_segment(slow), VIDEO))
    assert "init of v0: moov/trak/mdia/mdhd timescale" in refusal.error


@pytest.mark.parametrize(
    ("kind", "offset", "value", "path"),
    [
        (b"mdhd", 12, 90_000, "moov/trak/mdia/mdhd.timescale"),
        (b"trex", 12, 77, "moov/mvex/trex.default_sample_duration"),
        (b"trex", 4, 2, "moov/mvex/trex: byte 7"),
        (b"ftyp", 0, 0, "ftyp: byte 0"),
    ],
)
def test_another_init_segment_is_refused_with_box_and_field(
    kind: bytes, offset: int, value: int, path: str
) -> None:
    kept = init_segment(VIDEO)
    refusal = init_differs(KEY, "v0", kept, _patched(kept, kind, 0, offset, value))
    what = f"init segment of v0: {path} differs from what channel demo/news holds"
    assert (refusal.error, refusal.mismatch) == (what, True)
    assert refusal.expected != refusal.got


def test_boxes_that_cannot_be_read_are_told_apart_by_digest() -> None:
    kept = init_segment(VIDEO) + full(b"free", 0, 0)
    other = kept[:-12] + b"\0\0\0\3free\0\0\0\0"
    assert init_differs(KEY, "v0", kept, other).expected == hashlib.sha256(kept).hexdigest()
    assert init_differs(KEY, "v0", kept, other).got == hashlib.sha256(other).hexdigest()
