"""Calling an update off, hitlessly: before the frame by undoing, after it by a newer term.

Owns the order, which is deliberate. Both are told first, so that neither goes on negotiating. An
incumbent whose successor has certainly not led, and never will, keeps its term. In every other case
(the successor led, or can't be asked, or the incumbent gave up its term) the incumbent is given a
newer term, which wins whatever the successor does from then on. Only when the incumbent leads is
the update over. `supervisor_handover.py` calls it.
"""

from __future__ import annotations

from dataclasses import replace

from hitless_handover.messages import PeerPhase
from hitless_handover.supervisor_model import (
    AbortHandover,
    Action,
    ChannelPhase,
    ChannelRecord,
    ChannelView,
    Decision,
    Desired,
    EncoderState,
    EncoderView,
    GrantTerm,
    HandoverPhase,
    HandoverRecord,
    Notice,
    Problem,
)
from hitless_handover.supervisor_update import (
    decided,
    finished,
    grant,
    is_gone,
    is_on_air,
    report_of,
    selected_since,
    to,
)
from hitless_handover.timeline import MICROSECONDS

_FENCING_PROTOCOL = 2  # from here on an encoder remembers an Abort of what it never began


def abort(
    record: ChannelRecord, update: HandoverRecord, reason: str, message: str, now_us: int
) -> Decision:
    """Begin to call the update off. Its version is refused then, unless it is the one on air."""
    aborting = to(update, HandoverPhase.ABORTING, now_us, reason=reason, message=message)
    problem = Problem(reason=reason, message=message)
    notice = Notice(reason="HandoverAborting", message=f"{reason}: {message}", warning=True)
    called_off = replace(record, handover=aborting, problem=problem)
    if update.successor.digest != update.incumbent.digest:
        called_off = replace(called_off, refused_digest=update.successor.digest)
    return decided(called_off, notice)


def forgotten(record: ChannelRecord, update: HandoverRecord, now_us: int) -> Decision:
    """The incumbent is bound to the frame of a successor that will not lead."""
    message = f"{update.successor.name} restarted and forgot the handover"
    return abort(record, update, "SuccessorRestarted", message, now_us)


def superseded(
    desired: Desired, record: ChannelRecord, update: HandoverRecord, now_us: int
) -> Decision | None:
    """Call it off when the user has asked for something else meanwhile."""
    if desired.digest == update.successor.digest:
        return None
    message = f"the spec changed again while {update.successor.name} was {update.phase}"
    return abort(record, update, "Superseded", message, now_us)


def overdue(
    record: ChannelRecord,
    update: HandoverRecord,
    patience_s: int,
    now_us: int,
    *,
    reason: str,
    message: str,
) -> Decision | None:
    """Call it off when the phase has lasted longer than this."""
    if now_us < update.phase_since_us + patience_s * MICROSECONDS:
        return None
    return abort(record, update, reason, f"{message} (after {patience_s} s)", now_us)


def aborting(
    desired: Desired,
    record: ChannelRecord,
    update: HandoverRecord,
    view: ChannelView,
    now_us: int,
) -> Decision:
    """Tell both; then leave the incumbent's term as it is, or give it a newer one."""
    assert record.active is not None
    patience_us = desired.policy.confirm_s * MICROSECONDS
    late = now_us >= update.phase_since_us + patience_us
    if is_gone(update.incumbent, view.encoder(update.incumbent.name)):
        return _ended(
            desired, record, update, view, now_us
        )  # the channel's loss is dealt with next
    if record.active.term > update.term:
        given_up = now_us >= update.phase_since_us + 2 * patience_us
        return _take_back(desired, record, update, view, now_us, given_up=given_up)
    pending = _to_be_told(update, view)
    if pending and not late:
        return Decision(record=record, actions=pending[:1])
    report = view.encoder(update.incumbent.name).report
    if report is None and not late:
        return Decision(record=record)
    if _keeps_its_term(update, view) and not led(update, view):
        if _is_harmless(update, view):
            return _ended(desired, record, update, view, now_us)
        if not late and not is_gone(update.successor, view.encoder(update.successor.name)):
            return Decision(record=record)  # it may still answer
    term = record.term + 1
    back = replace(record, term=term, active=replace(update.incumbent, term=term))
    message = f"{update.incumbent.name} gets term {term}. {update.reason}: {update.message}"
    return decided(back, Notice(reason="HandoverTakenBack", message=message, warning=True))


def led(update: HandoverRecord, view: ChannelView) -> bool:
    """Whether the successor's output has certainly gone on air."""
    theirs = report_of(view, update.successor, update)
    if theirs is not None and theirs.phase is PeerPhase.SWITCHED:
        return True
    return update.successor_confirmation is not None or selected_since(update, view) is not None


def _keeps_its_term(update: HandoverRecord, view: ChannelView) -> bool:
    """Whether the incumbent leads as before and is bound to no frame of this update."""
    report = view.encoder(update.incumbent.name).report
    if report is None or report.leading_term != update.incumbent.term:
        return False
    ours = report_of(view, update.incumbent, update)
    return ours is None or ours.phase is PeerPhase.ABORTED


def _is_harmless(update: HandoverRecord, view: ChannelView) -> bool:
    """Whether the successor has not begun to lead and never will."""
    if update.begun_us is None:
        return True
    theirs = report_of(view, update.successor, update)
    if theirs is not None:
        return theirs.phase is PeerPhase.ABORTED
    return view.encoder(update.successor.name).state is EncoderState.FAILED


def _to_be_told(update: HandoverRecord, view: ChannelView) -> tuple[Action, ...]:
    if update.begun_us is None:
        return ()
    return tuple(
        AbortHandover(
            name=encoder.name,
            handover_id=update.handover_id,
            term=update.term,
            reason=update.reason,
        )
        for encoder in (update.successor, update.incumbent)
        if _does_not_know(view.encoder(encoder.name), update)
    )


def _does_not_know(seen: EncoderView, update: HandoverRecord) -> bool:
    """Whether this encoder can be told, and has not yet heard, that the handover is off."""
    if seen.report is None or seen.report.leading_term == update.term:
        return False  # not to be asked, or past the frame: a newer term will win
    known = seen.report.handover
    if known is not None and known.handover_id == update.handover_id:
        return known.phase not in (PeerPhase.ABORTED, PeerPhase.SWITCHED, PeerPhase.RELEASED)
    if seen.report.identity.protocol < _FENCING_PROTOCOL:
        return False
    return known is None or known.term < update.term


def _take_back(
    desired: Desired,
    record: ChannelRecord,
    update: HandoverRecord,
    view: ChannelView,
    now_us: int,
    *,
    given_up: bool,
) -> Decision:
    """See to it that the incumbent leads under its newer term."""
    assert record.active is not None
    report = view.encoder(record.active.name).report
    leads = report is not None and report.leading_term == record.active.term
    if leads and is_on_air(desired, record.active, view):
        return _ended(desired, record, update, view, now_us)
    if given_up:
        return _ended(desired, record, update, view, now_us)
    if leads:
        return Decision(record=record)
    take: tuple[GrantTerm, ...] = () if report is None else (grant(desired, record.active, view),)
    return Decision(record=record, actions=take)


def _ended(
    desired: Desired,
    record: ChannelRecord,
    update: HandoverRecord,
    view: ChannelView,
    now_us: int,
) -> Decision:
    """Close the update: rolled back if the successor was on air, or may be; else aborted.

    The channel is live again only with the incumbent on air: the successor may be its fallback, and
    what the origin took last may be from before the incumbent restarted and forgot its term.
    """
    assert record.active is not None
    stopped = view.origin is not None and view.origin.selected_priority > update.term
    unknown = not stopped and not _is_harmless(update, view)
    rolled_back = led(update, view) or unknown
    report = view.encoder(record.active.name).report
    forgot = report is not None and report.leading_term != record.active.term
    on_air = is_on_air(desired, record.active, view) and not forgot
    outcome = HandoverPhase.ROLLED_BACK if rolled_back else HandoverPhase.ABORTED
    done = to(update, outcome, now_us)
    ended = replace(
        finished(record, done),
        phase=ChannelPhase.LIVE if on_air else ChannelPhase.STARTING,
        active=replace(record.active, process=view.encoder(record.active.name).process),
        problem=Problem(reason=update.reason, message=update.message),
    )
    verb = "stays on air" if on_air and not rolled_back else "takes over again"
    message = f"{update.incumbent.name} {verb}. {update.reason}: {update.message}"
    return decided(ended, Notice(reason=f"Handover{outcome}", message=message, warning=True))
