"""One long body, cut into the channel's segments."""

from __future__ import annotations

import pytest
from tests.component.origin.cmaf_maker import FIRST, PAL, describe, init_segment, recipe

from hitless_origin.boxes import read_init
from hitless_origin.cmaf import judge_segment
from hitless_origin.errors import PushRefused
from hitless_origin.stream_split import BoxStream, Cut, SegmentCutter, segment_of
from hitless_wire.ingest import TrackDescription

DESCRIPTION = describe(PAL)
LIMIT = 1 << 20


def counted(body: bytes, number: int) -> bytes:
    """With another mfhd number, as an encoder that counts fragments has it."""
    at = body.index(b"mfhd") + 8
    return body[:at] + number.to_bytes(4, "big") + body[at + 4 :]


@pytest.mark.parametrize("track", DESCRIPTION.tracks, ids=lambda track: track.name)
@pytest.mark.parametrize("step", [1, 997, LIMIT])
def test_segments_come_out_as_they_were(track: TrackDescription, step: int) -> None:
    init = read_init(init_segment(track))
    recipes = [recipe(DESCRIPTION, track, k) for k in (FIRST, FIRST + 1, FIRST + 2)]
    data = b"".join(counted(each.make(), n) for n, each in enumerate(recipes))
    boxes, cutter = BoxStream(LIMIT), SegmentCutter(track, PAL, init, LIMIT)
    found: list[Cut] = []
    for at in range(0, len(data) - 1, step):  # the last byte never comes
        for kind, box in boxes.feed(data[at : min(at + step, len(data) - 1)]):
            cut = cutter.box(kind, box)
            found += [cut] if cut is not None else []
    assert [cut.segment for cut in found] == [FIRST, FIRST + 1]
    assert [cut.body for cut in found] == [each.make() for each in recipes[:2]]
    for cut in found:
        judge_segment(cut.body, track, PAL, cut.segment, init)


@pytest.mark.parametrize(("data", "status"), [(b"\0\0\0\x04moov", 400), (b"\x7f\0\0\0moov", 413)])
def test_sizes_that_can_not_be_are_refused(data: bytes, status: int) -> None:
    with pytest.raises(PushRefused) as refused:
        list(BoxStream(LIMIT).feed(data))
    assert refused.value.status == status


def test_each_first_sample_is_of_its_segment() -> None:
    for track in DESCRIPTION.tracks:
        for segment in range(FIRST, FIRST + 50):
            start = recipe(DESCRIPTION, track, segment).decode_ticks
            assert segment_of(track, PAL, start) == segment
            assert segment_of(track, PAL, start - 1) == segment - 1
