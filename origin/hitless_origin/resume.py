"""The core's state as the journal left it. Pure; `channel` calls it once."""

from __future__ import annotations

from hitless_handover import selection_model
from hitless_handover.part_selection import PartRules, Parts
from hitless_origin.recovery import Opened
from hitless_origin.window import Window


def resume(
    opened: Opened, window: Window | None, deadline_percent: int, now_us: int
) -> selection_model.Selection:
    """The state to go on with. deadline_percent: of a segment, and of a part."""
    snapshot, timeline = opened.snapshot, opened.description.timeline()
    runs = list(window.runs()) if window else []
    published = [k for run in runs for k in range(run.first, run.last + 1)]
    recent = published[-selection_model.HISTORY_MAX :]
    return selection_model.Selection(
        rules=selection_model.Rules(
            tracks=_tracks(opened),
            segment_frames=timeline.segment_frames,
            deadline_us=selection_model.publish_deadline_us(timeline, deadline_percent),
        ),
        last=window.last if window else None,
        term=snapshot.term,
        published=recent[-1] if recent else None,
        encoder=snapshot.encoder,
        priority=snapshot.priority,
        fallbacks=snapshot.fallbacks,
        gaps=snapshot.gaps,
        switch_count=snapshot.switch_count,
        switches=tuple(line.value() for line in snapshot.switches),
        slots=tuple(selection_model.Slot(segment=k, touched_us=now_us) for k in recent),
        advanced_us=now_us,
        parts=_parts(opened, window, deadline_percent),
    )


def _parts(opened: Opened, window: Window | None, deadline_percent: int) -> Parts | None:
    """Of the segment after the last; the parts themselves were in memory only."""
    grid = opened.description.parts()
    if grid is None:
        return None
    return Parts(
        rules=PartRules.of(grid, _tracks(opened), deadline_percent),
        segment=window.last + 1 if window else None,
    )


def _tracks(opened: Opened) -> frozenset[str]:
    return frozenset(track.name for track in opened.description.tracks)
