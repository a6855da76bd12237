"""Are numbers consecutive? Counts what is lost, repeated and out of order in a run of numbers.

Pure and bounded. Used for frame numbers from timestamps and for numbers read from pictures. A gap
is held open for a while, so that a number that comes late counts as out of order, not as lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

GAPS_OPEN_MAX = 64


class Verdict(Enum):
    """What a break in the sequence is."""

    LOST = auto()
    REPEATED = auto()
    OUT_OF_ORDER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """`count` numbers from `number` on. segment: where the break was noticed."""

    verdict: Verdict
    number: int
    count: int
    segment: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    start: int
    end: int
    segment: int


@dataclass(slots=True, kw_only=True)
class Continuity:
    """A sequence so far. horizon: how far behind the highest number a gap can still be filled."""

    horizon: int
    first: int | None = None
    following: int = 0  # the number that should come next
    seen: int = 0
    gaps: list[_Gap] = field(default_factory=list)

    @property
    def open_count(self) -> int:
        """Numbers missing so far that may yet come."""
        return sum(gap.end - gap.start for gap in self.gaps)

    def step(self, number: int, segment: int) -> list[Break]:
        """The next number arrived; what that makes known."""
        self.seen += 1
        if self.first is None:
            self.first, self.following = number, number + 1
            return []
        if number == self.following and not self.gaps:
            self.following += 1
            return []
        if number < self.following:
            return [self._behind(number, segment)]
        if number > self.following:
            self.gaps.append(_Gap(start=self.following, end=number, segment=segment))
        self.following = number + 1
        return self._settle(self.following - self.horizon, GAPS_OPEN_MAX)

    def skip(self, count: int, segment: int) -> None:
        """`count` numbers are known not to come at the end of the run."""
        if self.first is not None and count > 0:
            end = self.following + count
            self.gaps.append(_Gap(start=self.following, end=end, segment=segment))
            self.following = end

    def finish(self) -> list[Break]:
        """The run is over: every gap still open is a loss."""
        return self._settle(self.following, 0)

    def _settle(self, before: int, keep: int) -> list[Break]:
        """Declare lost the gaps that end before a number, and the oldest beyond `keep`."""
        surplus = len(self.gaps) - keep
        lost = [gap for i, gap in enumerate(self.gaps) if gap.end <= before or i < surplus]
        self.gaps = [gap for gap in self.gaps if gap not in lost]
        return [
            Break(verdict=Verdict.LOST, number=g.start, count=g.end - g.start, segment=g.segment)
            for g in lost
        ]

    def _behind(self, number: int, segment: int) -> Break:
        for index, gap in enumerate(self.gaps):
            if gap.start <= number < gap.end:
                self.gaps[index : index + 1] = [
                    _Gap(start=start, end=end, segment=gap.segment)
                    for start, end in ((gap.start, number), (number + 1, gap.end))
                    if start < end
                ]
                return self._break(Verdict.OUT_OF_ORDER, number, segment)
        before_all = self.first is not None and number < self.first
        verdict = Verdict.OUT_OF_ORDER if before_all else Verdict.REPEATED
        return self._break(verdict, number, segment)

    @staticmethod
    def _break(verdict: Verdict, number: int, segment: int) -> Break:
        return Break(verdict=verdict, number=number, count=1, segment=segment)
