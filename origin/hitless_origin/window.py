"""Which segments viewers see: a run of numbers with holes.

Pure values. `channel` moves it on with every publication; `hls` and `dash` render it; `store` keeps
at least its files. Its first number never goes back, so neither does EXT-X-MEDIA-SEQUENCE.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hitless_handover.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Segments first to last, all published, or all of one hole."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Segments first to last, both included; empty when first > last.

    gaps: ascending, disjoint (first, last) ranges of segments that were never published.
    """

    first: int
    last: int
    gaps: tuple[tuple[int, int], ...] = ()

    def __contains__(self, segment: object) -> bool:
        return (
            isinstance(segment, int)
            and self.first <= segment <= self.last
            and not self.is_gap(segment)
        )

    def is_gap(self, segment: int) -> bool:
        """Whether the segment is one of the holes."""
        return any(first <= segment <= last for first, last in self.gaps)

    def spans(self, first: int, last: int) -> Iterator[tuple[Run, bool]]:
        """The ranges from first to last, each with whether it is a hole."""
        for low, high in self.gaps:
            if low > last:
                break
            if high < first:
                continue
            if first < low:
                yield Run(first=first, last=low - 1), False
            yield Run(first=max(first, low), last=min(high, last)), True
            first = high + 1
        if first <= last:
            yield Run(first=first, last=last), False

    def runs(self) -> Iterator[Run]:
        """The ranges between the gaps."""
        return (run for run, gap in self.spans(self.first, self.last) if not gap)

    def published(self, segment: int) -> Window:
        """With one more segment at the end."""
        return replace(self, last=segment)

    def gap(self, first: int, last: int) -> Window:
        """With a hole: at the end, or over one published segment that came to nothing."""
        ranges = sorted([*self.gaps, (first, last)])
        merged: list[tuple[int, int]] = []
        for low, high in ranges:
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return replace(self, last=max(self.last, last), gaps=tuple(merged))

    def since(self, segment: int) -> Window:
        """Without what lies before the segment."""
        return self.trim(self.last - segment + 1)

    def trim(self, segments: int) -> Window:
        """At most so many numbers, and no hole at the start: it would be of no use to anybody."""
        first = max(self.first, self.last - segments + 1)
        for low, high in self.gaps:
            if low <= first:
                first = max(first, high + 1)
        gaps = tuple(gap for gap in self.gaps if gap[0] > first)
        return replace(self, first=first, gaps=gaps)


def window_segments(timeline: Timeline, seconds: int) -> int:
    """How many whole segments cover so many seconds; at least three, or players can't start."""
    ticks = seconds * timeline.timescale
    return max(3, -(-ticks // timeline.segment_ticks))
