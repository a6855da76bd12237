"""Live time stamps onto frames: wraps, gaps, duplicates, strays and jumps."""

from __future__ import annotations

import pytest

from hitless_encoder.sources.grid import TS_WRAP_TICKS, Grid, Placed, Placing
from hitless_handover.timeline import Anchor, Timeline

THIRTY = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60)
NTSC = Timeline(rate_num=30000, rate_den=1001, segment_frames=60, gop_frames=60)
START_US = 1_790_000_000_000_000
TICKS = 3000  # of a frame at 30 fps


def wall(line: Timeline, frames: int) -> int:
    return START_US + frames * line.rate_den * 1_000_000 // line.rate_num


def grid(line: Timeline = THIRTY, first_ticks: int = 0) -> tuple[Grid, int]:
    """A grid that has placed its first picture, and that picture's frame."""
    made = Grid(line, None)
    placed = made.place(first_ticks, START_US)
    assert placed.placing is Placing.SHOW
    assert placed.frame == line.frame_at(START_US)
    return made, placed.frame


def test_the_first_picture_is_the_frame_on_air() -> None:
    made, frame = grid(first_ticks=12_345)
    assert made.anchor == Anchor(
        source_ticks=12_345,
        source_timescale=90_000,
        wrap_ticks=TS_WRAP_TICKS,
        frame=frame,
        wall_us=START_US,
    )


@pytest.mark.parametrize("line", [THIRTY, NTSC])
def test_pictures_follow_each_other_over_the_wrap_with_jitter(line: Timeline) -> None:
    first = TS_WRAP_TICKS - 100 * TICKS
    made, frame = grid(line, first)
    for n in range(1, 300):
        exact = first + n * 90_000 * line.rate_den // line.rate_num
        ticks = (exact + (-1) ** n * 40) % TS_WRAP_TICKS
        assert made.place(ticks, wall(line, n)) == Placed(placing=Placing.SHOW, frame=frame + n)


@pytest.mark.parametrize("hours", [0, 13, 26, 27, 53])
def test_a_late_joiner_finds_the_same_frame_whatever_the_lap(hours: int) -> None:
    first = TS_WRAP_TICKS - 5 * 90_000
    made, frame = grid(first_ticks=first)
    n = hours * 3600 * 30 + 77
    ticks = (first + n * TICKS) % TS_WRAP_TICKS
    for clock_error_us in (-9_000_000, 0, 9_000_000):
        late = Grid(THIRTY, made.anchor)
        assert late.place(ticks, wall(THIRTY, n) + clock_error_us).frame == frame + n


def test_a_missing_picture_is_filled_and_a_duplicate_dropped() -> None:
    made, frame = grid()
    assert made.place(4 * TICKS, wall(THIRTY, 4)) == Placed(
        placing=Placing.SHOW, frame=frame + 4, missing=3
    )
    assert made.place(4 * TICKS + 100, wall(THIRTY, 4)).placing is Placing.DROP
    assert made.place(5 * TICKS, wall(THIRTY, 5)) == Placed(placing=Placing.SHOW, frame=frame + 5)


def test_an_outage_keeps_the_anchor() -> None:
    made, frame = grid()
    short = made.place(8 * 90_000, wall(THIRTY, 240))
    assert short == Placed(placing=Placing.SHOW, frame=frame + 240, missing=239)
    long = made.place(60 * 90_000, wall(THIRTY, 1800))
    assert long == Placed(placing=Placing.GAP, frame=frame + 1800)


def test_one_stray_time_stamp_changes_nothing() -> None:
    made, frame = grid()
    before = made.anchor
    assert made.place(1 << 32, wall(THIRTY, 1)).placing is Placing.DROP
    assert made.place(2 * TICKS, wall(THIRTY, 2)) == Placed(
        placing=Placing.SHOW, frame=frame + 2, missing=1
    )
    assert made.anchor == before


@pytest.mark.parametrize("jump", [1 << 32, -500 * TICKS])
def test_two_encoders_agree_on_a_jump_without_a_stop(jump: int) -> None:
    first, frame = grid()
    second = Grid(THIRTY, first.anchor)
    results = []
    for made, late_us in ((first, 0), (second, 400_000)):
        for n in range(1, 100):
            made.place(n * TICKS, wall(THIRTY, n) + late_us)
        placed = [
            made.place((n * TICKS + jump) % TS_WRAP_TICKS, wall(THIRTY, n) + late_us)
            for n in range(100, 110)
        ]
        results.append(placed)
    assert results[0] == results[1]
    assert [p.placing for p in results[0][:3]] == [Placing.DROP, Placing.DROP, Placing.JUMP]
    assert [p.frame for p in results[0][2:]] == [frame + 100 + i for i in range(8)]


def test_two_encoders_agree_on_a_jump_after_a_stop() -> None:
    first, _ = grid()
    second = Grid(THIRTY, first.anchor)
    second.place(0, START_US)
    frames = []
    for made, late_us in ((first, 0), (second, 300_000)):
        for n in range(3):
            placed = made.place(777_777 + n * TICKS, START_US + 20_500_000 + late_us)
        assert placed.placing is Placing.JUMP
        frames.append(placed.frame)
    assert frames[0] == frames[1]
    assert frames[0] % THIRTY.segment_frames == 0


@pytest.mark.parametrize("line", [THIRTY, NTSC])
def test_sound_positions_are_a_pure_function_of_time_stamps(line: Timeline) -> None:
    made, frame = grid(line)
    step = 1920  # ticks of 1024 samples at 48 kHz
    positions = [made.sample_of(n * step, 48_000) for n in range(50)]
    assert positions[0] is not None
    assert positions == [positions[0] + 1024 * n for n in range(50)]
    exact = frame * line.rate_den * 48_000 / line.rate_num
    assert abs(positions[0] - exact) <= 1
    assert made.sample_of(60 * 90_000, 48_000) is None, "too far from the pictures"


def test_sound_before_the_first_picture_has_no_place() -> None:
    assert Grid(THIRTY, None).sample_of(0, 48_000) is None
