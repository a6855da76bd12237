"""What a source says of absolute time, as microseconds since the epoch, and when it is believed.

A statement is believed when it is within APART_SECONDS_MAX of the wall clock. A time code has no
date and may be in local time: zones are whole quarters of an hour, so it is taken modulo QUARTER_US
and the nearest to the wall clock counts; midnight is nothing special. Its frames are counted, drop
frames left out (SMPTE ST 12-1), so what it says is exact to the frame. Pure integer arithmetic; the
grid (grid.py) decides with it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from hitless_handover.timeline import MICROSECONDS, ceil_div

APART_SECONDS_MAX = 120  # from the wall clock; what says more is not believed
QUARTER_US = 900 * MICROSECONDS
STEP_SECONDS = 3  # that statements have to contradict the grid in the same way before it steps
STEP_STATEMENTS = 3
_NOMINAL_MAX = 60
_PAIRED_ABOVE = 30  # SMPTE ST 12-1, section 12.1: faster rates count pairs of frames
_DROP_RATES = (Fraction(30_000, 1001), Fraction(60_000, 1001))
_WORDS = struct.Struct("=4I")  # AV_FRAME_DATA_S12M_TIMECODE: how many, and up to three


class Agreement(StrEnum):
    """What a picture's statement of absolute time was worth."""

    FOLLOWED = "Followed"  # it agrees with the grid
    ABSENT = "Absent"  # there is none
    UNBELIEVABLE = "Unbelievable"  # too far from the wall clock, or no time at all
    APART = "Apart"  # believable, and contradicts the grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a source says of a picture. us: since the epoch; None: what it said makes no sense.

    number: of the statement; pictures that follow from the same one share it.
    """

    us: int | None
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timecode:
    """A time code label. rate: frames per second; frames: of it within the second."""

    hours: int
    minutes: int
    seconds: int
    frames: int
    drop: bool
    rate: Fraction

    def of_day_us(self) -> int | None:
        """Since its day began, by counting frames; None for a label that does not exist."""
        nominal = ceil_div(self.rate.numerator, self.rate.denominator)
        parts = ((self.hours, 24), (self.minutes, 60), (self.seconds, 60), (self.frames, nominal))
        if any(not 0 <= value < limit for value, limit in parts):
            return None
        minutes = self.hours * 60 + self.minutes
        count = (minutes * 60 + self.seconds) * nominal + self.frames
        if self.drop:
            left_out = nominal // 15  # labels a minute, but for each tenth
            missing = minutes % 10 and not self.seconds and self.frames < left_out
            if self.rate not in _DROP_RATES or missing:
                return None
            count -= left_out * (minutes - minutes // 10)
        return ceil_div(count * self.rate.denominator * MICROSECONDS, self.rate.numerator)


def timecode_of(side_data: bytes, rate: Fraction | None) -> Timecode | None:
    """The first time code that FFmpeg attached to a picture (S12M). rate: the stream's."""
    if rate is None or not 0 < rate <= _NOMINAL_MAX or len(side_data) < _WORDS.size:
        return None
    count, word, *_ = _WORDS.unpack_from(side_data)
    if not count:
        return None

    def digits(shift: int, tens_bits: int) -> int:
        tens = word >> (shift + 4) & ((1 << tens_bits) - 1)
        return int(tens * 10 + (word >> shift & 15))

    frames = digits(24, 2)
    if rate > _PAIRED_ABOVE:
        frames = 2 * frames + (word >> (7 if rate == 50 else 23) & 1)
    return Timecode(
        hours=digits(0, 2),
        minutes=digits(8, 3),
        seconds=digits(16, 3),
        frames=frames,
        drop=bool(word >> 30 & 1),
        rate=rate,
    )


def dated(of_day_us: int, wall_us: int) -> int:
    """A time of the day as time since the epoch: the nearest to the wall clock."""
    quarters = (2 * (wall_us - of_day_us) + QUARTER_US) // (2 * QUARTER_US)
    return of_day_us + quarters * QUARTER_US


def is_believable(us: int, wall_us: int) -> bool:
    """Whether a statement is near enough to the wall clock."""
    return abs(us - wall_us) <= APART_SECONDS_MAX * MICROSECONDS


class StepWatch:
    """Whether statements have contradicted the grid long enough, and all in the same way."""

    def __init__(self, tolerance_frames: int) -> None:
        self.tolerance_frames = tolerance_frames
        self._first: tuple[int, int, int] | None = None

    def feed(self, apart_frames: int, us: int, number: int) -> bool:
        """Take a statement: how many frames it is ahead of the grid. Whether to step."""
        if abs(apart_frames) <= self.tolerance_frames:
            self._first = None
            return False
        if self._first is None or abs(apart_frames - self._first[0]) > self.tolerance_frames:
            self._first = (apart_frames, us, number)
            return False
        _, first_us, first_number = self._first
        long = us - first_us >= STEP_SECONDS * MICROSECONDS
        return long and number - first_number >= STEP_STATEMENTS - 1

    def clear(self) -> None:
        """The grid has moved."""
        self._first = None
