"""Calling an update off, hitlessly: before the frame by undoing, after it by a newer term.

Owns the order, which is deliberate: the successor is told first, so that once it has agreed (or is
dead) it can never begin to lead; only then does the incumbent's answer say whether its old term
still holds or a newer one has to win the output back. `supervisor_handover.py` calls it.
"""

from __future__ import annotations

from dataclasses import replace

from hitless_handover.messages import (
    PeerPhase,
)
from hitless_handover.supervisor_model import (
    AbortHandover,
    Action,
    ChannelPhase,
    ChannelRecord,
    ChannelView,
    Decision,
    Desired,
    HandoverPhase,
    HandoverRecord,
    Notice,
    Problem,
)
from hitless_handover.supervisor_update import decided, finished, is_gone, report_of, to
from hitless_handover.timeline import MICROSECONDS


def abort(
    record: ChannelRecord, update: HandoverRecord, reason: str, message: str, now_us: int
) -> Decision:
    """Begin to call the update off."""
    aborting = to(update, HandoverPhase.ABORTING, now_us, reason=reason, message=message)
    problem = Problem(reason=reason, message=message)
    notice = Notice(reason="HandoverAborting", message=f"{reason}: {message}", warning=True)
    return decided(replace(record, handover=aborting, problem=problem), notice)


def aborting(
    desired: Desired,
    record: ChannelRecord,
    update: HandoverRecord,
    view: ChannelView,
    now_us: int,
) -> Decision:
    """Tell both; then leave the incumbent's term as it is, or give it a newer one."""
    late = now_us >= update.phase_since_us + desired.policy.confirm_s * MICROSECONDS
    if _led(update, view):
        return _roll_back(record, update, now_us)
    pending = _to_be_told(update, view)
    if pending and not late:
        return Decision(record=record, actions=pending[:1])
    if is_gone(update.incumbent, view.encoder(update.incumbent.name)):
        return _ended(record, update, now_us)  # the channel's loss is dealt with next
    report = view.encoder(update.incumbent.name).report
    if report is not None and report.leading_term == update.incumbent.term:
        return _ended(record, update, now_us)
    if report is None and not late:
        return Decision(record=record)
    return _roll_back(record, update, now_us)


def _led(update: HandoverRecord, view: ChannelView) -> bool:
    """Whether the successor's output has gone on air, or may have."""
    theirs = report_of(view, update.successor, update)
    switched = theirs is not None and theirs.phase is PeerPhase.SWITCHED
    selected = view.origin is not None and view.origin.selected_priority >= update.term
    return switched or selected or update.successor_confirmation is not None


def _to_be_told(update: HandoverRecord, view: ChannelView) -> tuple[Action, ...]:
    actions: list[Action] = []
    for encoder in (update.successor, update.incumbent):
        report = report_of(view, encoder, update)
        if report is not None and report.phase not in (PeerPhase.ABORTED, PeerPhase.RELEASED):
            actions.append(
                AbortHandover(
                    name=encoder.name, handover_id=update.handover_id, reason=update.reason
                )
            )
    return tuple(actions)


def _ended(record: ChannelRecord, update: HandoverRecord, now_us: int) -> Decision:
    done = to(update, HandoverPhase.ABORTED, now_us)
    ended = replace(
        finished(record, done),
        phase=ChannelPhase.LIVE,
        problem=Problem(reason=update.reason, message=update.message),
    )
    message = f"{update.incumbent.name} stays on air. {update.reason}: {update.message}"
    return decided(ended, Notice(reason="HandoverAborted", message=message, warning=True))


def _roll_back(record: ChannelRecord, update: HandoverRecord, now_us: int) -> Decision:
    """The incumbent leads again, under a term above the successor's."""
    term = record.term + 1
    done = to(update, HandoverPhase.ROLLED_BACK, now_us)
    back = replace(
        finished(record, done),
        term=term,
        active=replace(update.incumbent, term=term),
        phase=ChannelPhase.STARTING,
        problem=Problem(reason=update.reason, message=update.message),
    )
    message = f"{update.incumbent.name} takes over again with term {term}. {update.reason}"
    return decided(back, Notice(reason="HandoverRolledBack", message=message, warning=True))
