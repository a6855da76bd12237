"""Which edition each published segment is of, and where one followed on another.

Pure values. `channel` moves it on with every publication, the journal keeps it, `view` makes of it
what the renderers need. A declared discontinuity lies wherever a segment is of another edition than
the one published before it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

from hitless_handover.selection_model import SWITCHES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Aired:
    """runs: (first segment, edition), ascending; the last one is on air, the oldest are forgotten.

    discontinuities: declared ones, ever. newest: the segments of at most SWITCHES_MAX of them.
    """

    runs: tuple[tuple[int, int], ...] = ()
    discontinuities: int = 0
    newest: tuple[int, ...] = ()

    def published(self, segment: int, edition: int) -> Aired:
        """With one more segment."""
        if not self.runs:
            return replace(self, runs=((segment, edition),))
        if self.runs[-1][1] == edition:
            return self
        return Aired(
            runs=(*self.runs, (segment, edition)),
            discontinuities=self.discontinuities + 1,
            newest=(*self.newest, segment)[-SWITCHES_MAX:],
        )

    def edition(self, segment: int) -> int | None:
        """The edition of a published segment; None before the first."""
        if not self.runs:
            return None
        starts = [first for first, _ in self.runs]
        return self.runs[max(0, bisect_right(starts, segment) - 1)][1]

    def editions(self) -> frozenset[int]:
        """Those that have a segment."""
        return frozenset(edition for _, edition in self.runs)

    def trimmed(self, oldest: int) -> Aired:
        """Without the runs that ended before the segment `oldest`."""
        later = [first for first, _ in self.runs if first > oldest]
        return replace(self, runs=self.runs[-len(later) - 1 :])

    def forgotten(self, edition: int) -> Aired:
        """Without an edition that has no segment any more, and whatever is older."""
        ours = [i for i, run in enumerate(self.runs) if run[1] == edition]
        return replace(self, runs=self.runs[ours[-1] + 1 :]) if ours else self

    def begins(self) -> tuple[bool, ...]:
        """Of each run, whether it begins with a discontinuity: all but the first one ever."""
        first_ever = len(self.runs) == self.discontinuities + 1
        return tuple(i > 0 or not first_ever for i in range(len(self.runs)))

    def left(self, window_first: int) -> int:
        """How many discontinuities lie before the window (RFC 8216 6.2.2)."""
        within = sum(
            begins and run[0] >= window_first
            for begins, run in zip(self.begins(), self.runs, strict=True)
        )
        return self.discontinuities - within
