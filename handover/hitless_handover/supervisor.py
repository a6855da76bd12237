"""The operator's side: what to do with a channel, given its record and what is observed.

Owns every decision about encoders, terms and handovers of one channel. It must not act: `supervise`
returns a Decision. The caller stores its record (guarded against concurrent writes) and only then
carries out the actions; it calls again on every change and at `wake_at_us`. kopf's operator and
`hitless local` are the callers.

Theory of operation. The supervisor is level-triggered: it derives every action from the record and
the view, never from what it did before, so a supervisor that is killed between any two effects goes
on from the same place. Each call makes at most one transition of the record; actions belong to the
record as it is after that transition. Terms are allotted here and nowhere else, by writing them
into the record before any encoder hears of them (I7). The incumbent of an update is deleted only
when the record says Completed and holds the confirmations (I5); an encoder is deleted only while
another one of the channel is on air (I6).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from hitless_handover import supervisor_handover as handover
from hitless_handover.messages import Refusal
from hitless_handover.supervisor_model import (
    Action,
    ChannelPhase,
    ChannelRecord,
    ChannelView,
    CreateEncoder,
    Decision,
    DeleteEncoder,
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
    grant,
    has_spare,
    is_gone,
    is_on_air,
    releases,
)
from hitless_handover.timeline import MICROSECONDS

_NOT_TO_DELETE = (EncoderState.MISSING, EncoderState.TERMINATING)
SETTLE_POLL_US = 2_000_000  # while the platform is at work
MOVE_AGAIN_S_MAX = 3600


def asks(desired: Desired, record: ChannelRecord) -> frozenset[str]:
    """Names of the encoders whose report the next `supervise` needs.

    Empty at rest, but for a channel with a spare: its source may have jumped, and what the encoder
    on air decided then is all that a later encoder can go by.
    """
    names = set()
    if record.active is not None and desired.hot_spare:
        names.add(record.active.name)
    if record.active is not None and _wants_update(desired, record):
        names.add(record.active.name)
    if record.handover is not None and record.handover.live:
        names |= {record.handover.incumbent.name, record.handover.successor.name}
    if record.active is not None and record.phase is not ChannelPhase.LIVE:
        names.add(record.active.name)
    return frozenset(names)


def supervise(desired: Desired, record: ChannelRecord, view: ChannelView, now_us: int) -> Decision:
    """Decide. now_us: microseconds since the epoch."""
    if record.refused_digest and (
        desired.digest != record.refused_digest or _is_excused(desired, record)
    ):
        record = replace(record, refused_digest="")  # asked for something else: all may be tried
    decision = _decide(desired, record, view, now_us)
    settled = replace(decision.record, observed_generation=desired.generation)
    return replace(decision, record=settled)


def _is_excused(desired: Desired, record: ChannelRecord) -> bool:
    """It was refused as a mismatch, and the user has edited the spec: a discontinuity is allowed.

    Once for each edit, for what allows nothing new is refused again.
    """
    last = record.handover
    return (
        desired.policy.criteria.allow_discontinuity
        and last is not None
        and not last.live
        and last.reason == Refusal.MISMATCH
        and last.generation != desired.generation
    )


def _decide(desired: Desired, record: ChannelRecord, view: ChannelView, now_us: int) -> Decision:
    if record.active is None:
        return _first_encoder(desired, record, view, now_us)
    if record.handover is not None and record.handover.live:
        return handover.advance(desired, record, view, now_us)
    active = view.encoder(record.active.name)
    if _is_lost(record.active, active):
        heir = record.spare if has_spare(record, view) else _warm_successor(desired, record, view)
        if heir is not None:
            return _take_over(record, view, heir, now_us, "is gone")
        return _replace_lost(desired, record, view, now_us)
    if record.spare is not None and has_spare(record, view):
        if _has_restarted(record.active, active):
            return _take_over(record, view, record.spare, now_us, "was restarted")
        if record.phase is ChannelPhase.DEGRADED and _carries(record.spare, view):
            return _take_over(record, view, record.spare, now_us, "does not deliver")
    if _is_hopeless(desired, record, now_us):
        return _first_encoder(desired, record, view, now_us)
    if record.phase is ChannelPhase.LIVE:
        move_us = _move_due_us(desired, record, active)
        if _wants_update(desired, record) or (move_us is not None and now_us >= move_us):
            started = handover.start(desired, record, view, now_us)
            return replace(started, actions=(*_clear_away(record, view), *started.actions))
    return _tend(desired, record, view, active, now_us)


# --- the active encoder ---


def _first_encoder(
    desired: Desired, record: ChannelRecord, view: ChannelView, now_us: int
) -> Decision:
    """Allot a term and record who will lead; it is created once that is stored.

    A record that was lost (a backup without status, a channel made again) knows less than the
    origin: a term that is no higher than what has been on air would lose against it for ever.
    """
    seen_term = 0 if view.origin is None else view.origin.selected_priority
    term = max(record.term, seen_term) + 1
    active = handover.encoder_for(desired, view.channel, term)
    chosen = replace(record, term=term, active=active, phase=ChannelPhase.STARTING)
    return Decision(
        record=chosen,
        actions=(CreateEncoder(encoder=active, anchor=record.anchor),),
        notices=(Notice(reason="Starting", message=f"Starting encoder {active.name}"),),
        wake_at_us=now_us + SETTLE_POLL_US,
    )


def _is_lost(active: EncoderRecord, seen: EncoderView) -> bool:
    """It existed (its uid is known) and is gone for good."""
    if not active.uid:
        return False
    if seen.state in (EncoderState.MISSING, EncoderState.FAILED, EncoderState.TERMINATING):
        return True
    return bool(seen.uid) and seen.uid != active.uid


def _is_hopeless(desired: Desired, record: ChannelRecord, now_us: int) -> bool:
    """It is not on air and the user has asked for another: nobody to hand over from.

    Not for one that was refused: the proven one may come back.

    It is deleted when the other one is on air, so that a wrong guess costs nothing.
    """
    assert record.active is not None
    if desired.digest in (record.active.digest, record.refused_digest):
        return False
    since_us = record.active.since_us
    if since_us is None:
        return True
    if desired.paused:
        return False
    if record.phase is ChannelPhase.DEGRADED:
        return True
    last = record.handover
    if last is not None and last.finished_us is not None:
        since_us = max(since_us, last.finished_us)  # since then it is to lead again
    start_us = desired.policy.start_s * MICROSECONDS
    return record.phase is ChannelPhase.STARTING and now_us >= since_us + start_us


def _replace_lost(
    desired: Desired, record: ChannelRecord, view: ChannelView, now_us: int
) -> Decision:
    """A new encoder under a new term: the lost one may still be sending somewhere."""
    assert record.active is not None
    lost = record.active.name
    decision = _first_encoder(desired, record, view, now_us)
    assert decision.record.active is not None
    message = f"Encoder {lost} is gone; {decision.record.active.name} replaces it"
    notice = Notice(reason="EncoderLost", message=message, warning=True)
    return replace(
        decision,
        record=replace(decision.record, problem=Problem(reason="EncoderLost", message=message)),
        notices=(notice,),
    )


def _carries(spare: EncoderRecord, view: ChannelView) -> bool:
    """The spare is on air already by the origin's fallback, or nobody can say."""
    return view.origin is None or view.origin.selected_encoder == spare.name


def _warm_successor(
    desired: Desired, record: ChannelRecord, view: ChannelView
) -> EncoderRecord | None:
    """The successor of an update that was called off, where it is what would be started now."""
    last = record.handover
    if last is None or last.successor.digest != desired.digest:
        return None
    seen = view.encoder(last.successor.name)
    runs = seen.state is EncoderState.RUNNING and not is_gone(last.successor, seen)
    return last.successor if runs else None


def _take_over(
    record: ChannelRecord, view: ChannelView, heir: EncoderRecord, now_us: int, why: str
) -> Decision:
    """One that stands by leads under a newer term: the lost one may still be sending somewhere."""
    assert record.active is not None
    term = record.term + 1
    message = f"Encoder {record.active.name} {why}; {heir.name} takes over"
    uid = view.encoder(heir.name).uid
    promoted = replace(
        record,
        term=term,
        active=replace(heir, term=term, uid=uid, since_us=now_us),
        spare=None if heir == record.spare else record.spare,
        phase=ChannelPhase.STARTING,
        problem=Problem(reason="EncoderLost", message=message),
    )
    return decided(promoted, Notice(reason="StandbyTookOver", message=message, warning=True))


def _wants_update(desired: Desired, record: ChannelRecord) -> bool:
    """The user wants another encoder than the active one, and this was not just refused."""
    assert record.active is not None
    if desired.paused or desired.digest == record.active.digest:
        return False
    return desired.digest != record.refused_digest


def _move_due_us(desired: Desired, record: ChannelRecord, active: EncoderView) -> int | None:
    """When the active encoder is to be moved, because it can't stay where it is; None: it can.

    What has not worked is tried again after a while, each time after twice as long: there may be
    room by then.
    """
    if desired.paused or not active.leaving or not _is_current(desired, record):
        return None
    failed = _failed_moves(record)
    if not failed:
        return 0
    wait_s = min(desired.policy.start_s << len(failed) - 1, MOVE_AGAIN_S_MAX)
    return (failed[0].finished_us or 0) + wait_s * MICROSECONDS


def _failed_moves(record: ChannelRecord) -> list[HandoverRecord]:
    """The last updates that were to move the active encoder and did not, the newest first."""
    assert record.active is not None
    name, digest = record.active.name, record.active.digest

    def is_move(update: HandoverRecord) -> bool:
        return update.incumbent.name == name and update.successor.digest == digest

    return list(takewhile(is_move, reversed(record.history)))


def _is_current(desired: Desired, record: ChannelRecord) -> bool:
    return record.active is not None and desired.digest == record.active.digest


def _tend(
    desired: Desired,
    record: ChannelRecord,
    view: ChannelView,
    seen: EncoderView,
    now_us: int,
) -> Decision:
    """No update under way: bring the active encoder up, keep it leading, clear away the rest."""
    assert record.active is not None
    if seen.uid and not record.active.uid:
        record = replace(record, active=replace(record.active, uid=seen.uid))
    record = _with_anchor(record, seen)
    updated, notices = _judge_active(desired, record, view, seen, now_us)
    if updated.phase is ChannelPhase.LIVE and _is_current(desired, updated):
        updated = replace(updated, problem=None)
    actions = _active_actions(desired, record, view)
    if updated.phase is ChannelPhase.LIVE:
        updated, kept = _keep_spare(desired, updated, view)
        actions = (*actions, *kept, *_clear_away(updated, view))
    resting = updated.phase is ChannelPhase.LIVE and not actions and updated == record
    return Decision(
        record=updated,
        actions=actions,
        notices=notices,
        wake_at_us=_move_due_us(desired, record, seen) if resting else now_us + SETTLE_POLL_US,
    )


def _with_anchor(record: ChannelRecord, seen: EncoderView) -> ChannelRecord:
    """The newest anchor is that of the encoder on air; before any is, the first that is told."""
    assert record.active is not None
    report = seen.report
    if report is None or report.anchor is None:
        return record
    leads = report.leading_term == record.active.term
    if record.anchor is not None and (not leads or report.anchor.line == record.anchor.line):
        return record
    return replace(record, anchor=report.anchor)


def _keep_spare(
    desired: Desired, record: ChannelRecord, view: ChannelView
) -> tuple[ChannelRecord, tuple[Action, ...]]:
    """See to it that there is one spare of the version on air, where one is wanted.

    Only of that version: while an update is refused or paused, a new spare would be of the version
    that is not to go on air.
    """
    if not desired.hot_spare:
        return replace(record, spare=None), ()
    spare = record.spare
    if spare is not None:
        seen = view.encoder(spare.name)
        if seen.uid and not spare.uid:
            spare = replace(spare, uid=seen.uid)
            record = replace(record, spare=spare)
        lost = is_gone(spare, seen) or (seen.leaving and _is_current(desired, record))
        if not lost and (spare.digest == desired.digest or not _is_current(desired, record)):
            if seen.state is not EncoderState.MISSING:
                return record, ()
            if not _is_current(desired, record):
                return replace(record, spare=None), ()  # it never came to be, and can't now
            return record, (CreateEncoder(encoder=spare, anchor=record.anchor),)
        record = replace(record, spare=None) if lost else record
    if not _is_current(desired, record):
        return record, ()
    term = record.term + 1
    spare = handover.encoder_for(desired, view.channel, term)
    return replace(record, term=term, spare=spare), (
        CreateEncoder(encoder=spare, anchor=record.anchor),
    )


def _judge_active(
    desired: Desired,
    record: ChannelRecord,
    view: ChannelView,
    seen: EncoderView,
    now_us: int,
) -> tuple[ChannelRecord, tuple[Notice, ...]]:
    """The channel's phase: live once the active encoder leads and is on air."""
    assert record.active is not None
    report = seen.report
    if record.phase is ChannelPhase.LIVE:
        restarted = _has_restarted(record.active, seen)
        # That it answers counts before an update only: else one that delivers nothing would do.
        answers = report is not None and _wants_update(desired, record)
        if not restarted and (seen.ready or answers):
            return record, ()
        problem = _restart_of(seen) if restarted else _problem_of(seen)
        notice = Notice(reason=problem.reason, message=problem.message, warning=True)
        return replace(record, phase=ChannelPhase.DEGRADED, problem=problem), (notice,)
    if report is None or report.leading_term != record.active.term:
        return replace(record, problem=_problem_of(seen)), ()
    if not is_on_air(desired, record.active, view):
        return replace(record, problem=_unheard(desired, seen, view)), ()
    if record.phase is ChannelPhase.DEGRADED and not seen.ready:
        # As the platform said, and still does.
        return replace(record, problem=_problem_of(seen)), ()
    since = record.active.since_us or now_us
    # A refused version that is on air after all: there was nothing else left.
    refused = "" if record.refused_digest == record.active.digest else record.refused_digest
    live = replace(
        record,
        refused_digest=refused,
        phase=ChannelPhase.LIVE,
        problem=_refusal_of(record),
        active=replace(record.active, since_us=since, process=seen.process),
    )
    message = f"{record.active.name} is on air with term {record.active.term}"
    return live, (Notice(reason="OnAir", message=message),)


def _has_restarted(active: EncoderRecord, seen: EncoderView) -> bool:
    return bool(active.process) and bool(seen.process) and seen.process != active.process


def _restart_of(seen: EncoderView) -> Problem:
    message = f"{seen.name} was restarted and has forgotten its term; it is granted again"
    return Problem(reason="EncoderRestarted", message=message)


def _refusal_of(record: ChannelRecord) -> Problem | None:
    """Why the update that the user still asks for was called off."""
    last = record.handover
    if not record.refused_digest or last is None:
        return None
    return Problem(reason=last.reason, message=last.message)


def _unheard(desired: Desired, seen: EncoderView, view: ChannelView) -> Problem:
    """Why an encoder that leads does not count as on air."""
    delivers = seen.report is not None and seen.report.head_segment is not None
    if desired.has_origin and view.origin is None and delivers and complaint_of(seen) is None:
        message = f"{seen.name} delivers, but the origin does not say what is on air"
        return Problem(reason="OriginUnreachable", message=message)
    return _problem_of(seen)


def _problem_of(seen: EncoderView) -> Problem:
    """Why the active encoder is not on air, as far as can be seen."""
    if (complaint := complaint_of(seen)) is not None:
        return complaint
    if seen.reason:
        return Problem(reason=seen.reason, message=f"{seen.name}: {seen.message}")
    return Problem(reason="EncoderStarting", message=f"{seen.name} is {seen.state}")


def _active_actions(
    desired: Desired, record: ChannelRecord, view: ChannelView
) -> tuple[Action, ...]:
    assert record.active is not None
    seen = view.encoder(record.active.name)
    if seen.state is EncoderState.MISSING:
        return (CreateEncoder(encoder=record.active, anchor=record.anchor),)
    if seen.report is not None and seen.report.leading_term != record.active.term:
        return (grant(desired, record.active, view),)
    return ()


def _clear_away(record: ChannelRecord, view: ChannelView) -> tuple[Action, ...]:
    """Delete encoders that nothing needs: a completed update's incumbent, an aborted successor.

    Only while the active encoder is on air (I6): the caller has seen to that. Until a new spare is
    ready one old encoder stands by, unless it keeps the spare from starting: one, so that updates
    that follow each other closely don't pile them up.
    """
    assert record.active is not None
    kept = {record.active.name}
    if record.spare is not None:
        kept.add(record.spare.name)
        spare = view.encoder(record.spare.name)
        if not spare.ready and not spare.reason:
            kept |= _standing_in(record, view, kept)
    actions: list[Action] = []
    for name, seen in sorted(view.encoders.items()):
        if name in kept or seen.state in _NOT_TO_DELETE:
            continue
        actions.extend(_release_before(record.handover, name))
        actions.append(DeleteEncoder(name=name, uid=seen.uid))
    return tuple(actions)


def _standing_in(record: ChannelRecord, view: ChannelView, kept: set[str]) -> set[str]:
    """The old encoder that stands by: the last incumbent, or another that is ready."""
    ready = sorted(name for name, seen in view.encoders.items() if seen.ready and name not in kept)
    last = record.handover.incumbent.name if record.handover else ""
    return {last if last in ready else ready[-1]} if ready else set()


def _release_before(last: HandoverRecord | None, name: str) -> tuple[Action, ...]:
    if last is None or last.phase is not HandoverPhase.COMPLETED or name != last.incumbent.name:
        return ()
    return releases(last)
