"""Parts: their grid, and the origin's rule for what of a segment goes on air before it is whole."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from hitless_handover import selection
from hitless_handover.part_selection import (
    AHEAD_SEGMENTS,
    PartArrived,
    PartRules,
    Parts,
    PublishPart,
    SkipParts,
)
from hitless_handover.parts import PART_US_MIN, PartGrid
from hitless_handover.selection_model import (
    Arrived,
    Event,
    Publish,
    RecordGap,
    Rules,
    Selection,
    Tick,
)
from hitless_handover.timeline import Timeline, TimelineError

LINE = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=30)
GRID = PartGrid(timeline=LINE, part_frames=15)  # four parts of half a second, two in a GOP
TRACKS = frozenset({"audio", "video"})
DEADLINE_US, PATIENCE_US = 750_000, 3_000_000


class Air:
    """A channel with parts whose segment 99 is on air, and what viewers got since.

    parts: as "encoder" + "segment.part", a fallback with "!"; skipped ones as "-segment.part".
    """

    def __init__(self, grid: PartGrid = GRID, *, on_air: bool = True) -> None:
        self.state = Selection(
            rules=Rules(
                tracks=TRACKS, segment_frames=60, deadline_us=PATIENCE_US, gap_us=8_000_000
            ),
            parts=Parts(rules=PartRules.of(grid, TRACKS, 150)),
        )
        self.now_us = 0
        self.wake_at_us: int | None = None
        self.parts: list[str] = []
        self.wholes: list[str] = []
        self.gaps: list[tuple[int, int]] = []
        if on_air:
            self.whole(99, "a", 5)

    def part(
        self, segment: int, part: int, encoder: str, priority: int = 5, data: str = "same"
    ) -> None:
        for track in sorted(TRACKS):
            digest = f"{data}-{track}"
            self._step(
                PartArrived(
                    segment=segment,
                    part=part,
                    track=track,
                    encoder=encoder,
                    priority=priority,
                    digest=digest,
                )
            )

    def whole(self, segment: int, encoder: str, priority: int = 5) -> None:
        for track in sorted(TRACKS):
            self._step(Arrived(segment=segment, track=track, encoder=encoder, priority=priority))

    def wait(self, us: int) -> None:
        end_us = self.now_us + us
        while self.wake_at_us is not None and self.wake_at_us <= end_us:
            self.now_us = max(self.now_us, self.wake_at_us)
            self._step(Tick())
        self.now_us = end_us

    def _step(self, event: Event) -> None:
        result = selection.step(self.state, event, self.now_us)
        self.state, self.wake_at_us = result.state, result.wake_at_us
        for effect in result.effects:
            match effect:
                case PublishPart():
                    mark = "!" if effect.fallback else ""
                    self.parts.append(f"{effect.encoder}{effect.segment}.{effect.part}{mark}")
                case SkipParts():
                    skipped = range(effect.first, effect.last + 1)
                    self.parts += [f"-{effect.segment}.{part}" for part in skipped]
                case Publish():
                    mark = "!" if effect.fallback else ""
                    self.wholes.append(f"{effect.encoder}{effect.segment}{mark}")
                case RecordGap():
                    self.gaps.append((effect.first, effect.last))
                case _:
                    pass


@pytest.fixture
def air() -> Air:
    return Air()


# --- the grid -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        LINE,
        Timeline(rate_num=30_000, rate_den=1001, segment_frames=60, gop_frames=30),
        Timeline(rate_num=25, rate_den=1, segment_frames=100, gop_frames=50),
    ],
)
def test_parts_tile_pictures_and_sound(line: Timeline) -> None:
    grid = PartGrid(timeline=line, part_frames=line.gop_frames // 2)
    for segment in (0, 1, 7, 900_000_001):
        ends = [grid.first_frame(segment, p) for p in range(grid.per_segment + 1)]
        assert (ends[0], ends[-1]) == (line.first_frame(segment), line.first_frame(segment + 1))
        sounds = [grid.first_audio_frame(segment, p) for p in range(grid.per_segment + 1)]
        assert sounds[0] == line.first_audio_frame(segment)
        assert sounds[-1] == line.first_audio_frame(segment + 1)
        lengths = [b - a for a, b in pairwise(sounds)]
        assert max(lengths) - min(lengths) <= 1


def test_every_allowed_part_of_sound_is_long_enough_for_hls() -> None:
    frames = -(-PART_US_MIN * 30 // 1_000_000)
    line = Timeline(rate_num=30, rate_den=1, segment_frames=12 * frames, gop_frames=frames)
    grid = PartGrid(timeline=line, part_frames=frames)
    starts = [grid.first_audio_frame(0, part) for part in range(1000)]
    lengths = [b - a for a, b in pairwise(starts)]
    assert 100 * min(lengths) >= 85 * max(lengths)


@pytest.mark.parametrize(
    ("frames", "says"), [(20, "divides gopFrames"), (3, "at least 160 ms"), (0, "divides")]
)
def test_parts_that_do_not_fit_are_refused(frames: int, says: str) -> None:
    with pytest.raises(TimelineError, match=says):
        PartGrid(timeline=LINE, part_frames=frames)


# --- the rule -----------------------------------------------------------------------------------


def test_the_leader_is_on_air_part_by_part_and_then_whole(air: Air) -> None:
    for part in range(4):
        air.part(100, part, "a")
        assert air.parts[-1] == f"a100.{part}"
    assert not air.wholes[1:]
    air.whole(100, "a")
    assert air.wholes == ["a99", "a100"]
    assert len(air.parts) == 4


def test_parts_that_come_out_of_order_go_on_air_in_order(air: Air) -> None:
    for part in (1, 0, 3, 2):
        air.part(100, part, "a")
    assert air.parts == ["a100.0", "a100.1", "a100.2", "a100.3"]


def test_a_part_needs_every_track(air: Air) -> None:
    air._step(PartArrived(segment=100, part=0, track="video", encoder="a", priority=5, digest="x"))
    assert not air.parts


def test_the_next_segment_waits_until_this_one_is_decided(air: Air) -> None:
    air.part(101, 0, "a")
    assert not air.parts
    air.whole(100, "a")
    assert air.parts == ["a101.0"]


def test_a_new_leader_begins_with_its_segment(air: Air) -> None:
    air.part(100, 0, "b", 6, "other")
    air.part(100, 0, "a", 0)
    assert air.parts == ["b100.0"]


def test_another_of_the_same_bytes_goes_on_inside_a_gop(air: Air) -> None:
    air.part(100, 0, "b", 0)
    air.part(100, 0, "a")
    assert air.parts == ["a100.0"]
    air.part(100, 1, "b", 0)
    air.wait(DEADLINE_US - 1)
    assert air.parts == ["a100.0"]
    air.wait(1)
    assert air.parts == ["a100.0", "b100.1!"]


def test_another_with_other_bytes_waits_for_the_next_gop(air: Air) -> None:
    air.part(100, 0, "a")
    for part in range(3):
        air.part(100, part, "b", 0, "other")
    air.wait(DEADLINE_US)
    assert air.parts == ["a100.0", "-100.1", "b100.2!"]
    air.part(100, 3, "b", 0, "other")
    assert air.parts[-1] == "b100.3!", "inside the GOP it goes on at once"


def test_same_bytes_that_began_differently_may_not_follow(air: Air) -> None:
    air.part(100, 0, "a")
    air.part(100, 0, "b", 0, "other")
    air.part(100, 1, "b", 0)
    air.wait(PATIENCE_US)
    assert air.parts == ["a100.0"]


def test_who_missed_the_start_of_the_gop_may_not_follow(air: Air) -> None:
    air.part(100, 0, "a")
    air.part(100, 1, "b", 0)
    air.wait(PATIENCE_US)
    assert air.parts == ["a100.0"]


def test_a_leader_that_comes_back_with_the_same_bytes_takes_over_inside_the_gop(air: Air) -> None:
    air.part(100, 0, "b", 0)
    air.wait(DEADLINE_US)
    air.part(100, 0, "a")
    air.part(100, 1, "a")
    assert air.parts == ["b100.0!", "a100.1"]


def test_a_segment_is_never_begun_in_its_middle(air: Air) -> None:
    for part in (1, 2, 3):
        air.part(100, part, "a")
    air.wait(PATIENCE_US)
    assert not air.parts
    air.whole(100, "a")
    assert not air.parts
    assert air.wholes[-1] == "a100"


def test_the_rest_comes_with_the_whole(air: Air) -> None:
    air.part(100, 0, "a")
    for part in range(4):
        air.part(100, part, "b", 0, "other")
    air.whole(100, "b", 0)
    air.wait(PATIENCE_US)
    assert air.parts == ["a100.0", "-100.1", "b100.2!", "b100.3!"]
    assert air.wholes[-1] == "b100!"


def test_a_segment_of_which_no_further_part_can_come_is_whole_soon() -> None:
    air = Air(PartGrid(timeline=replace(LINE, gop_frames=60), part_frames=15))
    air.part(100, 0, "a")
    for part in range(4):
        air.part(100, part, "b", 0, "other")
        air.wait(500_000)
    air.whole(100, "b", 0)
    assert air.parts == ["a100.0", "-100.1", "-100.2", "-100.3"]
    assert air.wholes[-1] == "b100!", "without the segment's deadline"
    air.part(101, 0, "b", 0, "other")
    air.wait(DEADLINE_US)
    assert air.parts[-1] == "b101.0!"


def test_a_segment_that_viewers_have_in_parts_is_whole_at_once(air: Air) -> None:
    air.part(100, 0, "b", 0)
    air.wait(DEADLINE_US)
    for part in (1, 2, 3):
        air.part(100, part, "b", 0)
        air.wait(DEADLINE_US)
    assert air.parts[-1] == "b100.3!"
    air.whole(100, "b", 0)
    assert air.wholes[-1] == "b100!", "without the segment's deadline"


def test_a_slower_leader_is_waited_for(air: Air) -> None:
    """One second later than the other: more than the deadline, and still on air in the end."""
    for segment in range(100, 104):
        for part in range(4):
            air.part(segment, part, "b", 0, "other")
            air.wait(1_000_000)
            air.part(segment, part, "a")
        air.whole(segment, "b", 0)
        air.whole(segment, "a")
    assert air.wholes[-1] == "a103"
    assert air.parts[-4:] == ["a103.0", "a103.1", "a103.2", "a103.3"]


def test_a_leader_that_is_hopelessly_late_is_not(air: Air) -> None:
    air.part(100, 0, "b", 0)
    air.wait(10_000_000)
    air.part(100, 0, "a")
    began = len(air.parts)
    air.whole(100, "b", 0)
    air.wait(PATIENCE_US)
    air.part(101, 0, "b", 0)
    air.wait(DEADLINE_US)
    assert air.parts[began:][-1] == "b101.0!"


def test_a_gap_ends_what_was_begun(air: Air) -> None:
    air.part(100, 0, "a")
    air.whole(102, "a")
    air.wait(PATIENCE_US)
    assert air.gaps == [(100, 101)]
    assert air.parts == ["a100.0", "-100.1", "-100.2", "-100.3"]
    assert air.wholes[-1] == "a102"


def test_parts_that_came_before_a_gap_are_there_after_it(air: Air) -> None:
    air.part(120, 0, "a")
    air.whole(119, "a")
    air.wait(PATIENCE_US)
    assert air.gaps == [(100, 118)]
    assert air.parts == ["a120.0"]


def test_parts_that_came_before_the_first_segment_are_there_after_it() -> None:
    air = Air(on_air=False)
    air.part(100, 0, "a")
    air.whole(99, "a")
    assert air.parts == ["a100.0"]


def test_an_encoder_far_ahead_pushes_out_nothing_that_is_just_being_made(air: Air) -> None:
    for number in range(20):
        air.part(9000 + number, 0, "garbage", 0)
        air.part(101, number % 4, "a")
    air.whole(100, "a")
    assert air.parts == ["a101.0", "a101.1", "a101.2", "a101.3"]


def test_what_is_kept_is_bounded(air: Air) -> None:
    for segment in range(100, 140):
        for part in range(4):
            for encoder in range(40):
                air.part(segment, part, f"e{encoder}", 0, "other")
    parts = air.state.parts
    assert parts is not None
    assert len(parts.deliveries) <= (AHEAD_SEGMENTS + 1) * 4 * 8
    assert len(parts.heard) <= 16
