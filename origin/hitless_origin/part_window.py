"""The parts that viewers see: published ones with their bytes, skipped ones by name.

Owns them for the segment in the making and the newest decided ones. What was published or skipped
stays as it is until its segment leaves: no viewer sees two versions of a part. Those of an edition
that has left the air are served, but listed no more: their init segment is not the playlist's.
`live_parts` carries out the core's effects on it; `viewer` reads.
"""

from __future__ import annotations

from collections.abc import Mapping

from hitless_handover.parts import PartGrid
from hitless_handover.timeline import ceil_div
from hitless_origin.view import PartsView
from hitless_origin.window import Window

LISTED_TARGETS = 3  # RFC 8216bis 6.2.2: parts leave when further than this from the end
KEPT_TARGETS = 12  # parts can be had as long: Shaka goes on by parts however far it is behind

Bodies = Mapping[str, bytes]  # by track


class PartWindow:
    """target_s: the playlists' target duration. published: parts, counted."""

    def __init__(self, grid: PartGrid, target_s: int) -> None:
        timeline = grid.timeline
        self.published = 0
        self._grid = grid
        self._target_s = target_s
        self._first = 0  # segment from which on parts are listed
        self._listed, self._kept = (
            ceil_div(targets * target_s * timeline.timescale, timeline.segment_ticks)
            for targets in (LISTED_TARGETS, KEPT_TARGETS)
        )
        self._segments: dict[int, dict[int, Bodies | None]] = {}

    def succeeded(self, grid: PartGrid, first: int) -> PartWindow:
        """That of another edition, whose parts are listed from the segment `first` on."""
        made = PartWindow(grid, self._target_s)
        made.published, made._segments, made._first = self.published, self._segments, first
        return made

    def publish(self, segment: int, part: int, bodies: Bodies) -> None:
        """Every track of a part goes on air."""
        if self._segments.setdefault(segment, {}).setdefault(part, bodies) is bodies:
            self.published += 1

    def skip(self, segment: int, first: int, last: int) -> None:
        """Parts first to last, both included, never go on air."""
        parts = self._segments.setdefault(segment, {})
        for part in range(first, last + 1):
            parts.setdefault(part, None)

    def void(self) -> None:
        """Nothing that was published fits the channel any more: it is skipped, in hindsight."""
        for parts in self._segments.values():
            parts.update(dict.fromkeys(parts))

    def settle(self, last: int) -> None:
        """Segments up to last are decided: forget what has left."""
        for segment in [s for s in self._segments if s <= last - self._kept]:
            del self._segments[segment]

    def body(self, track: str, segment: int, part: int) -> bytes | None:
        """A published part's bytes; None: not published, skipped or forgotten."""
        bodies = self._segments.get(segment, {}).get(part)
        return None if bodies is None else bodies.get(track)

    def shown(self, window: Window) -> PartsView:
        """As the renderers take it."""
        first = max(window.first, window.last - self._listed + 1, self._first)
        closed = [(k, self._there(k)) for k in range(first, window.last + 1)]
        return PartsView(
            grid=self._grid,
            closed=tuple(each for each in closed if each[1]),
            open=self._there(window.last + 1),
        )

    def _there(self, segment: int) -> tuple[bool, ...]:
        """The decided parts from the first on: whether each was published."""
        parts = self._segments.get(segment, {})
        there: list[bool] = []
        while len(there) in parts:
            there.append(parts[len(there)] is not None)
        return tuple(there)
