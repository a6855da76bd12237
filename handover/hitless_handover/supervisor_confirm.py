"""One update from its frame on: confirmations, the hold, the end.

Owns what has to be known before an update is complete. `supervisor_handover.py` calls `armed` and
`holding`; nobody else does.
"""

from __future__ import annotations

from dataclasses import replace

from hitless_handover.messages import Confirmation, OriginReport, PeerPhase
from hitless_handover.supervisor_abort import abort, forgotten, overdue, superseded
from hitless_handover.supervisor_model import (
    Action,
    BindIncumbent,
    ChannelPhase,
    ChannelRecord,
    ChannelView,
    Decision,
    DeleteEncoder,
    Desired,
    EncoderState,
    HandoverPhase,
    HandoverRecord,
    Notice,
)
from hitless_handover.supervisor_update import (
    decided,
    finished,
    releases,
    report_of,
    selected_since,
    to,
)
from hitless_handover.timeline import MICROSECONDS, ceil_div

_FAR_SEGMENTS = 3  # a second's poll, the calls to both encoders, and what they encode ahead


def armed(
    desired: Desired,
    record: ChannelRecord,
    update: HandoverRecord,
    view: ChannelView,
    now_us: int,
) -> Decision:
    """Collect what incumbent, successor and origin did; all three open the hold."""
    theirs = report_of(view, update.successor, update)
    if theirs is not None and theirs.phase is PeerPhase.ABORTED:
        return abort(record, update, str(theirs.reason), theirs.message, now_us)
    if theirs is None and view.encoder(update.successor.name).report is not None:
        return forgotten(record, update, now_us)
    update = _confirmed(update, view)
    record = replace(record, handover=update)
    if _is_far_ahead(desired, update, view):
        changed = superseded(desired, record, update, now_us)
        if changed is not None:
            return changed
    if _all_confirmed(desired, update):
        holding = to(update, HandoverPhase.HOLDING, now_us)
        return decided(
            replace(record, handover=holding),
            Notice(reason="HandoverConfirmed", message=_confirmation_text(update)),
        )
    missing = "not confirmed by " + ", ".join(_unconfirmed(desired, update))
    return overdue(
        record,
        update,
        _event_s(desired, update) + desired.policy.confirm_s,
        now_us,
        reason="ConfirmDeadline",
        message=missing,
    ) or Decision(record=record, actions=_bind_incumbent(update, view))


def _bind_incumbent(update: HandoverRecord, view: ChannelView) -> tuple[BindIncumbent, ...]:
    """The successor is bound; an incumbent that has not heard of it would lead beside it."""
    ours = report_of(view, update.incumbent, update)
    if ours is None or ours.phase is not PeerPhase.AGREED or ours.frame is None:
        return ()
    return (
        BindIncumbent(name=update.incumbent.name, handover_id=update.handover_id, frame=ours.frame),
    )


def _event_s(desired: Desired, update: HandoverRecord) -> int:
    """From agreement to the end of the successor's first segment, and one segment for lag."""
    assert update.segment is not None
    line = desired.timeline
    ahead_us = line.wall_us(line.first_frame(update.segment)) - update.phase_since_us
    return ceil_div(max(0, ahead_us) + 2 * line.segment_us, MICROSECONDS)


def _is_far_ahead(desired: Desired, update: HandoverRecord, view: ChannelView) -> bool:
    """Whether the frame can still be called off for sure; nearer than that it is gone through."""
    report = view.encoder(update.successor.name).report
    if report is None or update.frame is None:
        return False
    margin = _FAR_SEGMENTS * desired.timeline.segment_frames
    return update.frame - report.current_frame > margin


def _confirmed(update: HandoverRecord, view: ChannelView) -> HandoverRecord:
    incumbent = report_of(view, update.incumbent, update)
    successor = report_of(view, update.successor, update)
    return replace(
        update,
        incumbent_confirmation=update.incumbent_confirmation
        or (incumbent.confirmation if incumbent is not None else None),
        successor_confirmation=update.successor_confirmation
        or (successor.confirmation if successor is not None else None),
        origin_confirmation=update.origin_confirmation or _origin_confirmation(update, view),
    )


def _origin_confirmation(update: HandoverRecord, view: ChannelView) -> Confirmation | None:
    switch = selected_since(update, view)
    if switch is None:
        return None
    return Confirmation(
        segment=switch.segment,
        gap_frames=switch.gap_frames,
        overlap_frames=switch.overlap_frames,
    )


def _unconfirmed(desired: Desired, update: HandoverRecord) -> list[str]:
    rows = [
        ("the incumbent", update.incumbent_confirmation),
        ("the successor", update.successor_confirmation),
    ]
    if desired.has_origin:
        rows.append(("the origin", update.origin_confirmation))
    return [who for who, confirmation in rows if confirmation is None]


def _all_confirmed(desired: Desired, update: HandoverRecord) -> bool:
    return not _unconfirmed(desired, update)


def _confirmation_text(update: HandoverRecord) -> str:
    said = update.origin_confirmation or update.successor_confirmation
    assert said is not None
    return (
        f"{update.successor.name} is on air from segment {said.segment}, "
        f"{said.gap_frames} frames lost"
    )


def holding(
    desired: Desired,
    record: ChannelRecord,
    update: HandoverRecord,
    view: ChannelView,
    now_us: int,
) -> Decision:
    """Keep the incumbent warm for a while; then record that the update is complete."""
    if desired.digest == update.incumbent.digest != update.successor.digest:
        message = f"the spec asks for {update.incumbent.image} again"
        return abort(record, update, "Reverted", message, now_us)
    seen = view.encoder(update.successor.name)
    if seen.report is not None and report_of(view, update.successor, update) is None:
        return forgotten(record, update, now_us)
    origin = view.origin
    if origin is not None and origin.selected_priority < update.term and _passed(origin, update):
        message = f"the origin fell back to {origin.selected_encoder} during the hold"
        return abort(record, update, "SuccessorFailed", message, now_us)
    newest = _newest_segment(update, view)
    assert update.segment is not None
    until = update.segment + desired.policy.hold_segments
    if newest is None or newest < until:
        hold_us = (desired.policy.hold_segments + 2) * desired.timeline.segment_us
        wait_s = desired.policy.confirm_s + ceil_div(hold_us, MICROSECONDS)
        message = f"segment {until} has not been published"
        return overdue(
            record, update, wait_s, now_us, reason="HoldDeadline", message=message
        ) or Decision(record=record)
    return _complete(desired, record, update, view, now_us)


def _passed(origin: OriginReport, update: HandoverRecord) -> bool:
    """Whether the event's segment has been published."""
    assert update.segment is not None
    return origin.last_segment is not None and origin.last_segment >= update.segment


def _newest_segment(update: HandoverRecord, view: ChannelView) -> int | None:
    if view.origin is not None:
        return view.origin.last_segment
    report = view.encoder(update.successor.name).report
    return None if report is None else report.head_segment


def _complete(
    desired: Desired,
    record: ChannelRecord,
    update: HandoverRecord,
    view: ChannelView,
    now_us: int,
) -> Decision:
    """The incumbent goes as soon as this is stored, unless a new spare has to come first."""
    seen, old = view.encoder(update.successor.name), view.encoder(update.incumbent.name)
    done = to(update, HandoverPhase.COMPLETED, now_us)
    active = replace(update.successor, since_us=now_us, process=seen.process)
    completed = replace(
        finished(record, done), active=active, phase=ChannelPhase.LIVE, problem=None
    )
    message = f"Handed over to {active.name} at frame {update.frame}; {update.incumbent.name} goes"
    goes = old.state in (EncoderState.PENDING, EncoderState.RUNNING) and not desired.hot_spare
    actions: tuple[Action, ...] = ()
    if goes:
        actions = (*releases(done), DeleteEncoder(name=old.name, uid=old.uid))
    return decided(completed, Notice(reason="HandoverCompleted", message=message), *actions)
