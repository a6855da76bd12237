"""One update as the supervisor sees it: a function for each phase.

Owns the order of an update. `supervisor.py` calls `start` and `advance`; nobody else does.
"""

from __future__ import annotations

from dataclasses import replace

from hitless_handover.messages import (
    Confirmation,
    Criteria,
    HandoverMode,
    HandoverReport,
    OriginReport,
    PeerPhase,
)
from hitless_handover.supervisor_abort import abort, aborting
from hitless_handover.supervisor_model import (
    BeginHandover,
    BindIncumbent,
    ChannelPhase,
    ChannelRecord,
    ChannelView,
    CreateEncoder,
    Decision,
    Desired,
    EncoderRecord,
    EncoderState,
    EncoderView,
    HandoverPhase,
    HandoverRecord,
    Notice,
    Problem,
)
from hitless_handover.supervisor_update import (
    complaint_of,
    decided,
    finished,
    has_spare,
    is_gone,
    report_of,
    selected_since,
    to,
)
from hitless_handover.timeline import MICROSECONDS, ceil_div

POLL_US = 500_000
_FAR_SEGMENTS = 3  # a second's poll, the calls to both encoders, and what they encode ahead
MODES_PROTOCOL = 2  # from here on an encoder knows modes other than Priority, and "not after"


def encoder_for(desired: Desired, channel: str, term: int) -> EncoderRecord:
    """The name holds the term, which is never given out twice: creating it is idempotent."""
    return EncoderRecord(
        name=f"{channel}-{term}", image=desired.image, digest=desired.digest, term=term
    )


def start(desired: Desired, record: ChannelRecord, view: ChannelView, now_us: int) -> Decision:
    """Allot a term and record the update; the successor is created at the next look."""
    assert record.active is not None
    term = record.term + 1
    successor = encoder_for(desired, view.channel, term)
    begun = HandoverRecord(
        handover_id=f"{view.channel_uid[:8]}-{term}",
        phase=HandoverPhase.STARTING,
        generation=desired.generation,
        term=term,
        incumbent=record.active,
        successor=successor,
        started_us=now_us,
        phase_since_us=now_us,
    )
    message = f"Update {record.active.image} to {desired.image}: starting {successor.name}"
    return Decision(
        record=replace(
            record, term=term, handover=begun, phase=ChannelPhase.UPDATING, problem=None
        ),
        notices=(Notice(reason="HandoverStarted", message=message),),
        wake_at_us=now_us + POLL_US,
    )


def advance(desired: Desired, record: ChannelRecord, view: ChannelView, now_us: int) -> Decision:
    """Go on with the update under way: one transition at most."""
    update = record.handover
    assert update is not None
    seen = view.encoder(update.successor.name)
    if seen.uid and not update.successor.uid:
        known = replace(update.successor, uid=seen.uid)
        update = replace(update, successor=known)
        record = replace(record, handover=update)
    record = _with_anchor(record, view.encoder(update.incumbent.name))
    decision = (
        _lost_encoders(record, update, view, now_us)
        or _called_off_by_user(desired, record, update, now_us)
        or _in_phase(desired, record, update, view, now_us)
    )
    live = decision.record.handover is not None and decision.record.handover.live
    return replace(decision, wake_at_us=now_us + POLL_US if live else now_us)


def _called_off_by_user(
    desired: Desired, record: ChannelRecord, update: HandoverRecord, now_us: int
) -> Decision | None:
    if desired.abort_id != update.handover_id or update.phase is HandoverPhase.ABORTING:
        return None
    return abort(record, update, "AbortRequested", "called off by the user", now_us)


def _with_anchor(record: ChannelRecord, incumbent: EncoderView) -> ChannelRecord:
    """The encoder on air says where source and timeline meet: a jump may have moved it."""
    report = incumbent.report
    if report is None or report.anchor is None:
        return record
    return replace(record, anchor=report.anchor)


def _in_phase(
    desired: Desired,
    record: ChannelRecord,
    update: HandoverRecord,
    view: ChannelView,
    now_us: int,
) -> Decision:
    match update.phase:
        case HandoverPhase.STARTING:
            return _starting(desired, record, update, view, now_us)
        case HandoverPhase.NEGOTIATING:
            return _negotiating(desired, record, update, view, now_us)
        case HandoverPhase.ARMED:
            return _armed(desired, record, update, view, now_us)
        case HandoverPhase.HOLDING:
            return _holding(desired, record, update, view, now_us)
        case _:
            return aborting(desired, record, update, view, now_us)


# --- losses ---


def _lost_encoders(
    record: ChannelRecord, update: HandoverRecord, view: ChannelView, now_us: int
) -> Decision | None:
    """What to do when one of the two is gone; None when both are there or it does not matter."""
    incumbent_gone = is_gone(update.incumbent, view.encoder(update.incumbent.name))
    seen = view.encoder(update.successor.name)
    if update.phase in (HandoverPhase.HOLDING, HandoverPhase.ABORTING):
        incumbent_gone = False  # holding: completes without it; aborting: see _aborting
    if incumbent_gone:
        return _promote(record, update, view, now_us)
    if update.phase is not HandoverPhase.ABORTING and is_gone(update.successor, seen):
        why = seen.message or seen.reason or str(seen.state)
        return abort(record, update, "SuccessorLost", f"{seen.name}: {why}", now_us)
    return None


def _promote(
    record: ChannelRecord, update: HandoverRecord, view: ChannelView, now_us: int
) -> Decision:
    """The incumbent died before the hold: another leads at once, under a newer term.

    The spare, which is of the proven version, unless the successor is about to lead already. The
    update is then begun anew from the spare.
    """
    armed = update.phase is HandoverPhase.ARMED
    spare = record.spare if not armed and has_spare(record, view) else None
    heir = spare or update.successor
    term = record.term + 1
    message = f"{update.incumbent.name} was lost; {heir.name} leads with term {term}"
    ended = to(update, HandoverPhase.ABORTED, now_us, reason="IncumbentLost", message=message)
    promoted = replace(
        finished(record, ended),
        term=term,
        active=replace(heir, term=term, since_us=now_us if spare is not None else None),
        spare=None if spare is not None else record.spare,
        phase=ChannelPhase.STARTING,
    )
    return decided(promoted, Notice(reason="IncumbentLost", message=message, warning=True))


# --- before the frame ---


def _starting(
    desired: Desired,
    record: ChannelRecord,
    update: HandoverRecord,
    view: ChannelView,
    now_us: int,
) -> Decision:
    seen = view.encoder(update.successor.name)
    given_up = _superseded(desired, record, update, now_us) or _overdue(
        record,
        update,
        desired.policy.start_s,
        now_us,
        reason="StartDeadline",
        message=_why_not_ready(seen),
    )
    if given_up is not None:
        return given_up
    if seen.state is EncoderState.MISSING:
        create = CreateEncoder(encoder=update.successor, anchor=record.anchor)
        return replace(_blocked(record, seen), actions=(create,))
    report = seen.report
    if report is None or report.head_segment is None:
        return _blocked(record, seen)
    if (unable := _unable(desired, update, view)) is not None:
        return abort(record, update, "ProtocolVersion", unable, now_us)
    moved = replace(to(update, HandoverPhase.NEGOTIATING, now_us), begun_us=now_us)
    message = f"{seen.name} delivers; it announces itself to {update.incumbent.name}"
    return decided(
        replace(record, handover=moved, problem=None),
        Notice(reason="Negotiating", message=message),
        _begin(desired, moved),
    )


def _blocked(record: ChannelRecord, seen: EncoderView) -> Decision:
    """Waiting; say for what, once, if it is something that people can mend."""
    problem = _mendable(seen)
    if problem is None or problem == record.problem:
        return Decision(record=replace(record, problem=problem))
    warned = record.problem is not None and record.problem.reason == problem.reason
    notice = Notice(reason=problem.reason, message=problem.message, warning=True)
    return Decision(record=replace(record, problem=problem), notices=() if warned else (notice,))


def _mendable(seen: EncoderView) -> Problem | None:
    if (complaint := complaint_of(seen)) is not None:
        return complaint
    if seen.reason:
        return Problem(reason=seen.reason, message=f"{seen.name}: {seen.message}")
    return None


def _unable(desired: Desired, update: HandoverRecord, view: ChannelView) -> str | None:
    """Why one of the two can't do what the policy asks; None when both can."""
    criteria = _criteria(desired, update)
    if criteria.mode is HandoverMode.PRIORITY and not criteria.not_after_frame:
        return None
    for encoder in (update.incumbent, update.successor):
        report = view.encoder(encoder.name).report
        if report is not None and report.identity.protocol < MODES_PROTOCOL:
            return (
                f"{encoder.name} speaks protocol {report.identity.protocol}, which knows neither "
                f"mode {criteria.mode} nor notAfter: use mode Priority without it for this update"
            )
    return None


def _why_not_ready(seen: EncoderView) -> str:
    problem = _mendable(seen)
    return problem.message if problem is not None else f"{seen.name} is {seen.state}"


def _begin(desired: Desired, update: HandoverRecord) -> BeginHandover:
    return BeginHandover(
        name=update.successor.name,
        incumbent=update.incumbent.name,
        handover_id=update.handover_id,
        term=update.term,
        criteria=_criteria(desired, update),
        deadline_us=update.phase_since_us + desired.policy.negotiate_s * MICROSECONDS,
    )


def _criteria(desired: Desired, update: HandoverRecord) -> Criteria:
    """What is demanded of the event; a timecode becomes the first segment from it on."""
    policy, line = desired.policy, desired.timeline
    if not policy.at_timecode:
        return policy.criteria
    wanted = line.frame_of_timecode(policy.at_timecode, line.frame_at(update.started_us))
    frame = line.first_segment_frame(wanted)
    return replace(policy.criteria, not_before_frame=frame, not_after_frame=frame)


def _negotiating(
    desired: Desired,
    record: ChannelRecord,
    update: HandoverRecord,
    view: ChannelView,
    now_us: int,
) -> Decision:
    theirs = report_of(view, update.successor, update)
    if theirs is not None and theirs.phase is PeerPhase.ABORTED:
        return abort(record, update, str(theirs.reason), theirs.message, now_us)
    if theirs is not None and theirs.phase in (PeerPhase.ARMED, PeerPhase.SWITCHED):
        return _record_event(desired, record, update, theirs, now_us)
    patience = desired.policy.negotiate_s + desired.policy.confirm_s
    given_up = _superseded(desired, record, update, now_us) or _overdue(
        record,
        update,
        patience,
        now_us,
        reason="NegotiateDeadline",
        message="no frame was agreed in time",
    )
    if given_up is not None:
        return given_up
    if theirs is None and view.encoder(update.successor.name).report is not None:
        if _is_bound(report_of(view, update.incumbent, update)):
            return _forgotten(record, update, now_us)
        return Decision(record=record, actions=(_begin(desired, update),))
    return Decision(record=record)


def _is_bound(ours: HandoverReport | None) -> bool:
    return ours is not None and ours.phase in (PeerPhase.ARMED, PeerPhase.SWITCHED)


def _forgotten(record: ChannelRecord, update: HandoverRecord, now_us: int) -> Decision:
    """The incumbent is bound to the frame of a successor that will not lead."""
    message = f"{update.successor.name} restarted and forgot the handover"
    return abort(record, update, "SuccessorRestarted", message, now_us)


def _record_event(
    desired: Desired,
    record: ChannelRecord,
    update: HandoverRecord,
    theirs: HandoverReport,
    now_us: int,
) -> Decision:
    assert theirs.frame is not None
    segment = desired.timeline.segment_of(theirs.frame)
    armed = replace(to(update, HandoverPhase.ARMED, now_us), frame=theirs.frame, segment=segment)
    message = f"Handover at frame {theirs.frame} (segment {segment}) is agreed"
    return decided(replace(record, handover=armed), Notice(reason="HandoverArmed", message=message))


def _superseded(
    desired: Desired, record: ChannelRecord, update: HandoverRecord, now_us: int
) -> Decision | None:
    if desired.digest == update.successor.digest:
        return None
    message = f"the spec changed again while {update.successor.name} was {update.phase}"
    return abort(record, update, "Superseded", message, now_us)


def _overdue(
    record: ChannelRecord,
    update: HandoverRecord,
    patience_s: int,
    now_us: int,
    *,
    reason: str,
    message: str,
) -> Decision | None:
    if now_us < update.phase_since_us + patience_s * MICROSECONDS:
        return None
    return abort(record, update, reason, f"{message} (after {patience_s} s)", now_us)


# --- at the frame and after it ---


def _armed(
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
        return _forgotten(record, update, now_us)
    update = _confirmed(update, view)
    record = replace(record, handover=update)
    if _is_far_ahead(desired, update, view):
        changed = _superseded(desired, record, update, now_us)
        if changed is not None:
            return changed
    if _all_confirmed(desired, update):
        holding = to(update, HandoverPhase.HOLDING, now_us)
        return decided(
            replace(record, handover=holding),
            Notice(reason="HandoverConfirmed", message=_confirmation_text(update)),
        )
    missing = "not confirmed by " + ", ".join(_unconfirmed(desired, update))
    return _overdue(
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


def _holding(
    desired: Desired,
    record: ChannelRecord,
    update: HandoverRecord,
    view: ChannelView,
    now_us: int,
) -> Decision:
    """Keep the incumbent warm for a while; then record that the update is complete."""
    if desired.digest == update.incumbent.digest:
        message = f"the spec asks for {update.incumbent.image} again"
        return abort(record, update, "Reverted", message, now_us)
    seen = view.encoder(update.successor.name)
    if seen.report is not None and report_of(view, update.successor, update) is None:
        return _forgotten(record, update, now_us)
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
        return _overdue(
            record, update, wait_s, now_us, reason="HoldDeadline", message=message
        ) or Decision(record=record)
    return _complete(record, update, seen, now_us)


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
    record: ChannelRecord, update: HandoverRecord, seen: EncoderView, now_us: int
) -> Decision:
    done = to(update, HandoverPhase.COMPLETED, now_us)
    active = replace(update.successor, since_us=now_us, process=seen.process)
    completed = replace(
        finished(record, done), active=active, phase=ChannelPhase.LIVE, problem=None
    )
    message = f"Handed over to {active.name} at frame {update.frame}; {update.incumbent.name} goes"
    return decided(completed, Notice(reason="HandoverCompleted", message=message))
