"""A channel's state as the journal left it, and of parts where an edition goes on air. Pure."""

from __future__ import annotations

from hitless_handover import selection_model
from hitless_handover.part_selection import PartRules, Parts
from hitless_origin.edition import Edition
from hitless_origin.journal import Snapshot
from hitless_origin.recovery import Opened
from hitless_origin.roster import EncoderRecord, Roster
from hitless_origin.window import Window


def resume(
    opened: Opened, window: Window | None, deadline_percent: int, now_us: int
) -> selection_model.Selection:
    """The state to go on with. deadline_percent: of a segment, and of a part."""
    snapshot, edition = opened.snapshot, opened.on_air
    timeline = edition.timeline
    runs = list(window.runs()) if window else []
    published = [k for run in runs for k in range(run.first, run.last + 1)]
    recent = published[-selection_model.HISTORY_MAX :]
    return selection_model.Selection(
        rules=selection_model.Rules(
            tracks=edition.names,
            segment_frames=timeline.segment_frames,
            deadline_us=selection_model.publish_deadline_us(timeline, deadline_percent),
            gap_us=selection_model.gap_patience_us(timeline),
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
        parts=parts_of(edition, deadline_percent, None, window.last if window else None),
        edition=edition.number,
    )


def roster_of(snapshot: Snapshot) -> Roster:
    """The encoders that had introduced themselves; each is as young as the newest segment."""
    roster = Roster()
    for name, line in snapshot.encoders.items():
        if line.edition not in snapshot.editions:
            continue  # a line that it was forgotten did not reach the disk
        record = EncoderRecord(
            edition=line.edition, may_differ=line.may_differ, inits=set(line.inits)
        )
        roster[name] = record
        record.last_push_us = snapshot.published_us
    roster.last_push_us = snapshot.published_us
    return roster


def parts_of(
    edition: Edition, deadline_percent: int, before: Parts | None, last: int | None
) -> Parts | None:
    """What is known of parts when an edition goes on air, or a restarted origin goes on: nothing.

    before: whose counters go on. last: newest decided segment; parts begin after it.
    """
    grid = edition.grid
    if grid is None:
        return None
    return Parts(
        rules=PartRules.of(grid, edition.names, deadline_percent),
        segment=None if last is None else last + 1,
        fallbacks=0 if before is None else before.fallbacks,
        skipped=0 if before is None else before.skipped,
    )
