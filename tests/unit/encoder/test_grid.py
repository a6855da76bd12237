"""Live time stamps onto frames: wraps, gaps, duplicates, strays and jumps."""

from __future__ import annotations

import pytest

from hitless_encoder.sources.absolute import APART_SECONDS_MAX
from hitless_encoder.sources.grid import (
    TS_WRAP_TICKS,
    Grid,
    Placed,
    Placing,
    TickScale,
)
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


FLV = TickScale(timescale=1000, wrap_ticks=1 << 31)
RATES = [(25, 1), (24000, 1001), (50, 1), (60000, 1001), (60, 1)]


@pytest.mark.parametrize(("num", "den"), RATES)
@pytest.mark.parametrize("line", [THIRTY, NTSC])
def test_a_source_of_any_rate_fills_the_grid_with_the_nearest(
    num: int, den: int, line: Timeline
) -> None:
    def shown(begin: int) -> dict[int, int]:
        """Frame -> picture number, for a grid that joins at a picture."""
        made = Grid(line, anchor)
        found: dict[int, int] = {}
        for n in range(begin, 400):
            placed = made.place(n * 90_000 * den // num, START_US + n * den * 1_000_000 // num)
            if placed.placing is Placing.DROP:
                continue
            for frame in range(placed.frame - placed.missing, placed.frame):
                found[frame] = found[frame - 1]
            found[placed.frame] = n
        return found

    anchor = None
    first = Grid(line, None)
    first.place(0, START_US)
    anchor = first.anchor
    early, late = shown(0), shown(137)
    assert sorted(early) == list(range(min(early), max(early) + 1))
    common = sorted(set(early) & set(late))[2:]
    assert len(common) > 80
    assert [early[f] for f in common] == [late[f] for f in common]
    spacing = line.rate_num * den / (line.rate_den * num)
    for frame in common:
        off = abs(early[frame] * spacing - (frame - min(early)))
        assert off <= max(spacing, 0.51)


def test_twice_the_rate_shows_every_second_picture_despite_jitter() -> None:
    made, frame = grid(NTSC)
    kept: dict[int, int] = {0: frame}
    for n in range(1, 200):
        placed = made.place(n * 3003 // 2 + (-1) ** (n // 2), wall(NTSC, 0) + n * 16_683)
        if placed.placing is not Placing.DROP:
            kept = {k: f for k, f in kept.items() if f != placed.frame} | {n: placed.frame}
    assert [n for n in kept if n < 190] == list(range(0, 190, 2))


@pytest.mark.parametrize("laps", [0, 1, 2, 3])
def test_a_clock_in_milliseconds_wraps_at_31_or_32_bits(laps: int) -> None:
    first = (1 << 31) - 5_000
    made = Grid(THIRTY, None, FLV)
    frame = made.place(first, START_US).frame
    n = laps * ((1 << 31) * 30 // 1000) + 300
    late = Grid(THIRTY, made.anchor, FLV)
    ticks = first + n * 1000 // 30
    for wrapped in (ticks % (1 << 31), ticks % (1 << 32)):
        assert Grid(THIRTY, made.anchor, FLV).place(wrapped, wall(THIRTY, n)).frame == frame + n
    assert late.anchor == made.anchor


def test_an_anchor_of_a_source_that_counts_otherwise_is_forgotten() -> None:
    made, _ = grid(first_ticks=90_000)
    later = Grid(THIRTY, made.anchor)
    later.count_in(FLV)
    placed = later.place(55, wall(THIRTY, 900))
    assert placed.frame == THIRTY.frame_at(wall(THIRTY, 900))
    assert later.anchor is not None
    assert later.anchor.source_timescale == 1000


def test_an_anchor_that_leads_far_from_the_wall_clock_is_not_believed() -> None:
    made, _ = grid()
    later = Grid(THIRTY, made.anchor)
    now_us = START_US + 3_600_000_000
    placings = [later.place(n * TICKS, now_us).placing for n in range(3)]
    assert placings == [Placing.DROP, Placing.DROP, Placing.JUMP]
    placed = later.place(3 * TICKS, now_us)
    assert 0 < placed.frame - THIRTY.frame_at(now_us) <= THIRTY.segment_frames + 1


@pytest.mark.parametrize("off", [-6, 6])
def test_a_drifting_clock_keeps_the_grid_until_it_is_far_behind(off: int) -> None:
    made, _ = grid()
    jumps = []
    for minute in range(0, 60 * 24 * 40, 30):
        wall_us = START_US + minute * 60_000_000
        ticks = minute * 60 * (90_000 + off)
        for extra in range(3):
            placed = made.place((ticks + extra * TICKS) % TS_WRAP_TICKS, wall_us)
            if placed.placing is Placing.JUMP:
                jumps.append(minute)
    if off > 0:
        assert jumps == []
    else:
        assert len(jumps) == 1
        assert abs(jumps[0] * 60 * 6 / 90_000 - APART_SECONDS_MAX) < 1


def test_sound_may_count_in_its_own_time_scale() -> None:
    fmp4 = TickScale(timescale=15_360, wrap_ticks=0)
    made = Grid(THIRTY, None, fmp4)
    made.place(1_000_000 * 512, START_US)
    start = made.sample_of(1_000_000 * 1600, 48_000, 48_000)
    assert start == THIRTY.first_sample(THIRTY.frame_at(START_US))
    assert made.sample_of(1_000_000 * 1600 + 1024, 48_000, 48_000) == start + 1024
