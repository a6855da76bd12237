"""Parts against the grid, and a whole segment cut into them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.component.origin.cmaf_maker import (
    FIRST,
    NTSC,
    SHORT_GOPS,
    box,
    describe,
    init_segment,
    recipe,
)

from hitless_handover.timeline import Timeline
from hitless_origin.boxes import InitFacts
from hitless_origin.cmaf import cut_segment, judge_init, judge_part, judge_segment, part_grid
from hitless_origin.errors import PushRefused
from hitless_wire.ingest import ChannelDescription, TrackDescription

GRIDS = [(SHORT_GOPS, 5), (NTSC, 5), (NTSC, 15), (NTSC, 30)]
DESCRIPTION = describe(SHORT_GOPS, part_frames=5)
VIDEO, _, AUDIO = DESCRIPTION.tracks


def _facts(track: TrackDescription) -> InitFacts:
    return judge_init(init_segment(track), track)


def _cut(
    description: ChannelDescription, track: TrackDescription, data: bytes, segment: int = FIRST
) -> tuple[bytes, ...]:
    grid = description.parts()
    assert grid is not None
    fragments = judge_segment(data, track, grid.timeline, segment, _facts(track))
    return cut_segment(data, fragments, track, grid, segment)


def _judge(data: bytes, track: TrackDescription, part: int, segment: int = FIRST) -> None:
    grid = DESCRIPTION.parts()
    assert grid is not None
    judge_part(data, track, grid, segment, part, init=_facts(track))


@pytest.mark.parametrize(("timeline", "frames"), GRIDS)
@pytest.mark.parametrize("name", ["v0", "audio"])
def test_parts_have_no_seams_and_are_the_segment(
    timeline: Timeline, frames: int, name: str
) -> None:
    description = describe(timeline, part_frames=frames)
    grid = description.parts()
    assert grid is not None
    [track] = [t for t in description.tracks if t.name == name]
    facts = _facts(track)
    for k in range(FIRST, FIRST + 12):
        made = recipe(description, track, k)
        parts = _cut(description, track, made.make(), k)
        assert parts == tuple(made.parts())
        assert b"".join(parts) == made.make()
        assert len(parts) == grid.per_segment
        at = part_grid(track, grid, k, 0)[0]
        for p, data in enumerate(parts):
            start, step, count = part_grid(track, grid, k, p)
            assert start == at
            at += step * count
            judge_part(data, track, grid, k, p, init=facts)
        assert at == part_grid(track, grid, k + 1, 0)[0]


def test_finer_chunks_and_other_boxes_are_cut_byte_for_byte() -> None:
    right = recipe(DESCRIPTION, VIDEO, FIRST)
    finer = replace(right, ends=tuple(range(1, 50)))
    chunks = finer.parts()
    data = b"".join(box(b"prft", bytes(16)) + c if i else c for i, c in enumerate(chunks))
    data += box(b"free", b"the end")
    parts = _cut(DESCRIPTION, VIDEO, data)
    assert len(parts) == 10
    assert b"".join(parts) == data
    assert parts[1].startswith(box(b"prft", bytes(16)))
    for p, part in enumerate(parts):
        _judge(part, VIDEO, p)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"ends": ()}, "part 0 of segment 882000000 of v0: end of its last chunk"),
        ({"ends": (5, 10, 16, 20, 25, 30, 35, 40, 45)}, "part 2 of segment"),
        ({"ends": (5, 10, 15, 20, 24, 26, 30, 35, 40, 45)}, "part 4 of segment"),
        ({"sync_every": 0}, "part 5 of segment 882000000 of v0: moof/traf/trun sample 0 flags"),
        (
            {"ends": (5, 10, 15, 20, 25, 30, 35, 40, 45), "reorder": True},
            "sample 4 presentation time",
        ),
    ],
)
def test_a_segment_that_cannot_be_cut(changed: dict[str, object], says: str) -> None:
    made = replace(recipe(DESCRIPTION, VIDEO, FIRST), **changed)  # type: ignore[arg-type]
    with pytest.raises(PushRefused, match=says) as caught:
        _cut(DESCRIPTION, VIDEO, made.make())
    assert (caught.value.status, caught.value.mismatch) == (409, True)


def test_a_segment_begins_with_styp() -> None:
    data = recipe(DESCRIPTION, VIDEO, FIRST).make()
    with pytest.raises(PushRefused, match="is broken") as caught:
        _cut(DESCRIPTION, VIDEO, data[24 - 4 :])
    assert (caught.value.status, caught.value.mismatch) == (400, False)


VIDEO_PARTS = recipe(DESCRIPTION, VIDEO, FIRST).parts()
AUDIO_PARTS = recipe(DESCRIPTION, AUDIO, FIRST).parts()
WRONG_SEQUENCE = replace(recipe(DESCRIPTION, VIDEO, FIRST), sequence=FIRST + 1).parts()
NO_SYNC = replace(recipe(DESCRIPTION, VIDEO, FIRST), sync_every=0).parts()


@pytest.mark.parametrize(
    ("data", "track", "part", "status", "says"),
    [
        (VIDEO_PARTS[1], VIDEO, 2, 409, "part 2 of segment 882000000 of v0: moof/traf/tfdt"),
        (VIDEO_PARTS[1] + VIDEO_PARTS[2], VIDEO, 1, 409, "part 1 of .* sample_count"),
        (AUDIO_PARTS[3], AUDIO, 4, 409, "part 4 of .* of audio: moof/traf/tfdt"),
        (WRONG_SEQUENCE[3], VIDEO, 3, 409, "moof/mfhd sequence_number"),
        (NO_SYNC[5], VIDEO, 5, 409, "moof/traf/trun sample 0 flags"),
        (VIDEO_PARTS[0], VIDEO, 10, 409, "number"),
        (VIDEO_PARTS[0][20:], VIDEO, 0, 400, "is broken"),
        (VIDEO_PARTS[3] + box(b"free", b""), VIDEO, 3, 400, "is broken"),
        (VIDEO_PARTS[3][:-1], VIDEO, 3, 400, "is broken"),
        (b"", VIDEO, 3, 400, "is broken"),
    ],
)
def test_a_part_off_the_grid(
    data: bytes, track: TrackDescription, part: int, status: int, says: str
) -> None:
    with pytest.raises(PushRefused, match=says) as caught:
        _judge(data, track, part)
    assert caught.value.status == status


def test_the_last_part_may_end_with_other_boxes() -> None:
    _judge(VIDEO_PARTS[9] + box(b"mfra", b""), VIDEO, 9)
    _judge(NO_SYNC[6], VIDEO, 6)
