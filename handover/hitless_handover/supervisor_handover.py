"""One update as the supervisor sees it: a function for each phase, up to the agreed frame.

Owns the order of an update; from the frame on see `supervisor_confirm.py`. `supervisor.py` calls
`start` and `advance`; nobody else does.
"""

from __future__ import annotations

from dataclasses import replace

from hitless_handover import supervisor_confirm as confirm
from hitless_handover.messages import (
    Criteria,
    HandoverMode,
    HandoverReport,
    PeerPhase,
)
from hitless_handover.supervisor_abort import (
    abort,
    aborting,
    forgotten,
    overdue,
    superseded,
)
from hitless_handover.supervisor_model import (
    CONFIG_INVALID,
    BeginHandover,
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
    to,
)
from hitless_handover.timeline import MICROSECONDS

POLL_US = 500_000
GLANCE_US = 2_000_000  # while nothing is expected
MODES_PROTOCOL = 2  # from here on an encoder knows modes other than Priority, and "not after"


def encoder_for(desired: Desired, channel: str, term: int) -> EncoderRecord:
    """The name holds the term, which is never given out twice: creating it is idempotent."""
    return EncoderRecord(
        name=f"{channel}-{term}", image=desired.image, digest=desired.digest, term=term
    )


def start(desired: Desired, record: ChannelRecord, view: ChannelView, now_us: int) -> Decision:
    """Allot a term, record the update and create the successor.

    Not before the incumbent has said where source and timeline meet: without its word the next look
    creates it. It may be of the version on air: then the encoder is moved.
    """
    active = record.active
    assert active is not None
    incumbent = view.encoder(active.name)
    record = _with_anchor(record, incumbent)
    term = record.term + 1
    successor = encoder_for(desired, view.channel, term)
    begun = HandoverRecord(
        handover_id=f"{view.channel_uid[:8]}-{term}",
        phase=HandoverPhase.STARTING,
        generation=desired.generation,
        term=term,
        incumbent=active,
        successor=successor,
        started_us=now_us,
        phase_since_us=now_us,
    )
    if successor.digest == active.digest:
        message = f"{active.name} can't stay where it is: starting {successor.name}"
    else:
        message = f"Update {active.image} to {desired.image}: starting {successor.name}"
    return Decision(
        record=replace(
            record, term=term, handover=begun, phase=ChannelPhase.UPDATING, problem=None
        ),
        actions=()
        if incumbent.report is None
        else (CreateEncoder(encoder=successor, anchor=record.anchor),),
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
    after = decision.record.handover
    live = after is not None and after.live
    due_us = _news_us(desired, after, view, now_us) if after is not None else now_us
    return replace(decision, wake_at_us=max(now_us + POLL_US, due_us) if live else now_us)


def _news_us(desired: Desired, update: HandoverRecord, view: ChannelView, now_us: int) -> int:
    """When there can be news at the earliest; before that a glance now and then is enough.

    What comes unforeseen is either told by the platform, or has been answered by encoders and
    origin among themselves.
    """
    line, glance_us = desired.timeline, now_us + GLANCE_US
    match update.phase:
        case HandoverPhase.STARTING:
            running = view.encoder(update.successor.name).state is EncoderState.RUNNING
            return now_us if running else glance_us
        case HandoverPhase.NEGOTIATING:
            verified_us = desired.policy.criteria.verify_segments * line.segment_us
            return min(glance_us, update.phase_since_us + verified_us)
        case HandoverPhase.ARMED if update.segment is not None:
            return min(glance_us, line.wall_us(line.first_frame(update.segment + 1)))
        case HandoverPhase.HOLDING if update.segment is not None:
            held = update.segment + desired.policy.hold_segments
            return min(glance_us, line.wall_us(line.first_frame(held + 1)))
        case _:
            return now_us


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
            return confirm.armed(desired, record, update, view, now_us)
        case HandoverPhase.HOLDING:
            return confirm.holding(desired, record, update, view, now_us)
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
    given_up = superseded(desired, record, update, now_us) or overdue(
        record,
        update,
        desired.policy.start_s,
        now_us,
        reason="StartDeadline",
        message=_why_not_ready(seen),
    )
    if given_up is not None:
        return given_up
    if seen.reason == CONFIG_INVALID:  # the configuration of an encoder never changes
        return abort(record, update, CONFIG_INVALID, f"{seen.name}: {seen.message}", now_us)
    if seen.state is EncoderState.MISSING:
        create = CreateEncoder(encoder=update.successor, anchor=record.anchor)
        return replace(_blocked(record, seen), actions=(create,))
    report = seen.report
    if report is None or report.head_segment is None:
        return _blocked(record, seen)
    if (unable := _unable(desired, update, view)) is not None:
        return abort(record, update, "ProtocolVersion", unable, now_us)
    moved = replace(to(update, HandoverPhase.NEGOTIATING, now_us), begun_us=now_us)
    return Decision(
        record=replace(record, handover=moved, problem=None), actions=(_begin(desired, moved),)
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
    """What is demanded of the event; a timecode becomes the first segment from it on.

    The user's bounds are those of his updates: a node that is being emptied does not wait for them.
    """
    policy, line = desired.policy, desired.timeline
    if update.incumbent.digest == update.successor.digest:
        return replace(policy.criteria, not_before_frame=0, not_after_frame=0)
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
    given_up = superseded(desired, record, update, now_us) or overdue(
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
            return forgotten(record, update, now_us)
        return Decision(record=record, actions=(_begin(desired, update),))
    return Decision(record=record)


def _is_bound(ours: HandoverReport | None) -> bool:
    return ours is not None and ours.phase in (PeerPhase.ARMED, PeerPhase.SWITCHED)


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
