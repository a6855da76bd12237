"""Stated absolute time: time codes as time, and a grid that follows what its source states."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction

import pytest

from hitless_encoder.sources.absolute import (
    APART_SECONDS_MAX,
    QUARTER_US,
    STEP_SECONDS,
    Agreement,
    Stated,
    StepWatch,
    Timecode,
    dated,
    timecode_of,
)
from hitless_encoder.sources.grid import STATEMENT_SECONDS_MAX, Grid, Placed, Placing
from hitless_handover.timeline import MICROSECONDS, Anchor, Timeline

PAL = Timeline(rate_num=25, rate_den=1, segment_frames=50, gop_frames=50)
NTSC = Timeline(rate_num=30000, rate_den=1001, segment_frames=60, gop_frames=60)
FILM = Fraction(24_000, 1001)
TV = Fraction(30_000, 1001)
START_US = 1_790_000_000_000_000
DELAY_US = 700_000  # from the picture to the encoder
TICKS = 3600  # of a frame at 25 fps


def label(text: str, rate: Fraction) -> Timecode:
    hours, minutes, seconds, frames = (int(part) for part in text.replace(";", ":").split(":"))
    return Timecode(
        hours=hours,
        minutes=minutes,
        seconds=seconds,
        frames=frames,
        drop=";" in text,
        rate=rate,
    )


@pytest.mark.parametrize(
    ("text", "rate", "frames"),
    [
        ("00:00:00:00", Fraction(25), 0),
        ("23:59:59:24", Fraction(25), 86_400 * 25 - 1),
        ("01:00:00:00", FILM, 86_400),
        ("00:00:59;29", TV, 1799),
        ("00:01:00;02", TV, 1800),
        ("00:10:00;00", TV, 17_982),
        ("23:59:59;29", TV, 2_589_407),
        ("00:01:00;04", 2 * TV, 3600),
    ],
)
def test_a_time_code_counts_frames(text: str, rate: Fraction, frames: int) -> None:
    us = label(text, rate).of_day_us()
    assert us is not None
    assert us - 1 < frames * MICROSECONDS / rate <= us


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("24:00:00:00", Fraction(25)),
        ("00:60:00:00", Fraction(25)),
        ("00:00:60:00", Fraction(25)),
        ("00:00:00:25", Fraction(25)),
        ("00:01:00;00", TV),  # left out
        ("00:01:00;03", 2 * TV),
        ("00:02:00;02", Fraction(25)),  # nothing is left out at this rate
        ("00:00:00;02", Fraction(30)),
    ],
)
def test_a_label_that_does_not_exist_is_no_time(text: str, rate: Fraction) -> None:
    assert label(text, rate).of_day_us() is None


def side_data(text: str, *, pairs: bool = False, odd_bit: int = 23) -> bytes:
    """As FFmpeg's av_timecode_get_smpte writes it."""
    at = label(text, Fraction(60))
    frames = at.frames // 2 if pairs else at.frames
    word = (at.frames % 2) << odd_bit if pairs else 0
    for value, shift in ((frames, 24), (at.seconds, 16), (at.minutes, 8), (at.hours, 0)):
        word |= (value // 10) << (shift + 4) | (value % 10) << shift
    return struct.pack("=4I", 1, word | at.drop << 30, 0, 0)


@pytest.mark.parametrize(
    ("text", "rate", "pairs", "odd_bit"),
    [
        ("23:59:58:24", Fraction(25), False, 0),
        ("19:48:37;28", TV, False, 0),
        ("12:34:56:49", Fraction(50), True, 7),
        ("12:34:56;59", 2 * TV, True, 23),
    ],
)
def test_side_data_is_read(text: str, rate: Fraction, pairs: bool, odd_bit: int) -> None:
    found = timecode_of(side_data(text, pairs=pairs, odd_bit=odd_bit), rate)
    assert found == label(text, rate)


@pytest.mark.parametrize("rate", [None, Fraction(0), Fraction(90_000)])
def test_without_a_rate_there_is_no_time_code(rate: Fraction | None) -> None:
    assert timecode_of(side_data("12:34:56:10"), rate) is None


def test_side_data_without_a_time_code_is_none() -> None:
    assert timecode_of(bytes(16), Fraction(25)) is None
    assert timecode_of(b"", Fraction(25)) is None


@pytest.mark.parametrize("zone_quarters", [0, 4, -32, 23])
@pytest.mark.parametrize("apart_s", [-119, 0, 119])
def test_a_time_of_the_day_is_the_nearest_to_the_wall_clock(
    zone_quarters: int, apart_s: int
) -> None:
    day_us = 86_400 * MICROSECONDS
    midnight_us = START_US - START_US % day_us
    for us in (midnight_us - 1, midnight_us, START_US):
        of_day_us = (us + zone_quarters * QUARTER_US) % day_us
        assert dated(of_day_us, us + apart_s * MICROSECONDS) == us


def follower(line: Timeline = PAL, anchor: Anchor | None = None) -> Grid:
    return Grid(line, anchor, tolerance_us=0)


def pictures(
    grid: Grid,
    numbers: range,
    *,
    stated_frames: int | None = 0,
    moved_ticks: int = 0,
    frozen: bool = False,
) -> Iterator[Placed]:
    """A source of 25 fps, whose picture n is n frames after START_US; it comes DELAY_US later.

    stated_frames: what its statements are off by; None: it makes none.
    """
    for n in numbers:
        us = START_US + n * MICROSECONDS // 25
        off = 0 if stated_frames is None else stated_frames
        said = START_US if frozen else us + off * MICROSECONDS // 25
        stated = None if stated_frames is None else Stated(us=said, number=n)
        yield grid.place(n * TICKS + moved_ticks, us + DELAY_US, stated)


def worth(grid: Grid) -> Agreement:
    return grid.agreement


def frames_of(placed: Iterator[Placed]) -> list[int | None]:
    return [None if one.placing is Placing.DROP else one.frame for one in placed]


FIRST = PAL.frame_at(START_US)


def test_encoders_that_never_met_agree() -> None:
    one, other = follower(), follower()
    assert frames_of(pictures(one, range(100))) == [FIRST + n for n in range(100)]
    late = range(5_000_000, 5_000_100)  # PTS has wrapped meanwhile
    assert frames_of(pictures(other, late)) == [FIRST + n for n in late]
    assert worth(other) is Agreement.FOLLOWED


@pytest.mark.parametrize("line", [PAL, NTSC])
def test_every_label_of_a_day_is_its_own_frame(line: Timeline) -> None:
    rate = Fraction(line.rate_num, line.rate_den)
    count = 86_400 * line.rate_num // line.rate_den
    for n in range(0, count, 997):
        us = -(-n * rate.denominator * MICROSECONDS // rate.numerator)
        grid = follower(line)
        assert grid.place(0, us, Stated(us=us, number=0)).frame == n


def test_an_anchor_of_another_time_is_given_up() -> None:
    stale = Anchor(
        source_ticks=0,
        source_timescale=90_000,
        wrap_ticks=1 << 33,
        frame=FIRST + 90,
        wall_us=START_US,
    )
    grid = follower(anchor=stale)
    assert frames_of(pictures(grid, range(5))) == [None, None, FIRST + 2, FIRST + 3, FIRST + 4]
    near = Anchor(
        source_ticks=0,
        source_timescale=90_000,
        wrap_ticks=1 << 33,
        frame=FIRST + 1,
        wall_us=START_US,
    )
    grid = follower(anchor=near)
    assert frames_of(pictures(grid, range(3))) == [FIRST + 1, FIRST + 2, FIRST + 3]
    assert grid.anchor == near


def test_time_stamps_that_jump_go_on_where_the_time_code_says() -> None:
    grid = follower()
    list(pictures(grid, range(50)))
    after = frames_of(pictures(grid, range(50, 60), moved_ticks=77_000_000))
    assert after == [None, None, *(FIRST + n for n in range(52, 60))]


def test_without_statements_time_stamps_go_on() -> None:
    grid = follower()
    list(pictures(grid, range(50)))
    after = frames_of(pictures(grid, range(50, 500), stated_frames=None))
    assert after == [FIRST + n for n in range(50, 500)]
    assert worth(grid) is Agreement.ABSENT
    assert frames_of(pictures(grid, range(500, 510))) == [FIRST + n for n in range(500, 510)]
    assert worth(grid) is Agreement.FOLLOWED


@pytest.mark.parametrize("nonsense_frames", [25 * (APART_SECONDS_MAX + 2), -(10**9)])
def test_nonsense_is_not_followed(nonsense_frames: int) -> None:
    grid = follower()
    list(pictures(grid, range(50)))
    after = frames_of(pictures(grid, range(50, 500), stated_frames=nonsense_frames))
    assert after == [FIRST + n for n in range(50, 500)]
    assert worth(grid) is Agreement.UNBELIEVABLE


def test_what_is_no_time_is_not_followed() -> None:
    grid = follower()
    list(pictures(grid, range(50)))
    assert grid.place(50 * TICKS, START_US, Stated(us=None, number=50)).frame == FIRST + 50
    assert worth(grid) is Agreement.UNBELIEVABLE


def test_a_source_that_states_nothing_is_waited_for_and_then_taken_by_the_wall_clock() -> None:
    grid = follower()
    waited = STATEMENT_SECONDS_MAX * 25
    placed = frames_of(pictures(grid, range(waited + 5), stated_frames=None))
    assert placed[:waited] == [None] * waited
    on_air = PAL.frame_at(START_US + DELAY_US + STATEMENT_SECONDS_MAX * MICROSECONDS)
    assert placed[waited:] == [on_air + n for n in range(5)]


def test_a_glitch_of_the_time_code_is_not_followed() -> None:
    grid = follower()
    list(pictures(grid, range(50)))
    glitch = range(50, 50 + 25 * STEP_SECONDS)
    assert frames_of(pictures(grid, glitch, stated_frames=40)) == [FIRST + n for n in glitch]
    assert worth(grid) is Agreement.APART
    after = range(glitch.stop, glitch.stop + 100)
    assert frames_of(pictures(grid, after)) == [FIRST + n for n in after]


def test_a_time_code_that_was_set_ahead_is_followed_once_it_has_lasted() -> None:
    grid = follower()
    list(pictures(grid, range(50)))
    step = 50 + 25 * STEP_SECONDS
    placed = list(pictures(grid, range(50, step + 5), stated_frames=40))
    assert placed[-6].placing is Placing.SHOW
    assert placed[-5] == Placed(placing=Placing.JUMP, frame=FIRST + step + 40)
    assert placed[-1].frame == FIRST + step + 44
    assert worth(grid) is Agreement.FOLLOWED


def test_a_time_code_that_was_set_back_a_little_is_followed_without_repeating_a_number() -> None:
    grid = follower()
    list(pictures(grid, range(50)))
    step = 50 + 25 * STEP_SECONDS
    placed = frames_of(pictures(grid, range(50, step + 30), stated_frames=-20))
    assert placed[step - 51] == FIRST + step - 1
    shown = [frame for frame in placed if frame is not None]
    assert shown == list(range(FIRST + 50, FIRST + step + 10))


def test_a_time_code_that_was_set_far_back_is_not_followed() -> None:
    grid = follower()
    list(pictures(grid, range(50)))
    later = range(50, 500)
    assert frames_of(pictures(grid, later, stated_frames=-100)) == [FIRST + n for n in later]
    assert worth(grid) is Agreement.APART


def test_a_time_code_that_stands_still_is_not_followed() -> None:
    grid = follower()
    list(pictures(grid, range(50)))
    later = range(50, 2000)
    assert frames_of(pictures(grid, later, frozen=True)) == [FIRST + n for n in later]


def test_one_statement_alone_moves_nothing() -> None:
    watch = StepWatch(1)
    for us in range(0, 60 * MICROSECONDS, MICROSECONDS):
        assert not watch.feed(10, us, number=1)
    assert not watch.feed(10, 60 * MICROSECONDS, number=2)
    assert watch.feed(10, 61 * MICROSECONDS, number=3)


def test_two_grids_step_at_the_same_picture() -> None:
    one, other = follower(), follower()
    list(pictures(one, range(50)))
    list(pictures(other, range(40, 50)))
    later = range(50, 300)
    assert list(pictures(one, later, stated_frames=33)) == list(
        pictures(other, later, stated_frames=33)
    )
    assert one.anchor == other.anchor


def test_drop_frame_midnight_goes_on_without_a_jump_of_more_than_three_frames() -> None:
    """A day of drop-frame time code is 86.4 ms short: the new day is two or three frames on."""
    rate = Fraction(NTSC.rate_num, NTSC.rate_den)
    midnight_us = 20_000 * 86_400 * MICROSECONDS
    grid = follower(NTSC)
    day = 2_589_408
    placed: list[Placed] = []
    for n in range(day - 100, day + 200):
        of_day = -(-(n % day) * rate.denominator * MICROSECONDS // rate.numerator)
        wall_us = midnight_us + round(n * MICROSECONDS / rate)
        stated = Stated(us=dated(of_day, wall_us), number=n)
        placed.append(grid.place(n * 3003, wall_us, stated))
    frames = [one.frame for one in placed]
    assert frames == sorted(set(frames))
    assert [one.placing for one in placed].count(Placing.JUMP) == 1
    assert 2 <= frames[-1] - frames[0] - 299 <= 3
