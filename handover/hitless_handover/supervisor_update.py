"""The leaves that every phase of an update uses: its transition table, what is read off views."""

from __future__ import annotations

from dataclasses import replace

from hitless_handover.messages import (
    EncoderReport,
    HandoverMode,
    HandoverReport,
    OriginSwitch,
)
from hitless_handover.supervisor_model import (
    HANDOVER_FINAL,
    HISTORY_MAX,
    Action,
    ChannelRecord,
    ChannelView,
    Decision,
    Desired,
    EncoderRecord,
    EncoderState,
    EncoderView,
    GrantTerm,
    HandoverPhase,
    HandoverRecord,
    Notice,
    Problem,
    ReleaseHandover,
)

# From which phase an update may go where. docs/protocol.md tells it in words.
TRANSITIONS: dict[HandoverPhase, frozenset[HandoverPhase]] = {
    HandoverPhase.STARTING: frozenset(
        {HandoverPhase.NEGOTIATING, HandoverPhase.ABORTING, HandoverPhase.ABORTED}
    ),
    HandoverPhase.NEGOTIATING: frozenset(
        {HandoverPhase.ARMED, HandoverPhase.ABORTING, HandoverPhase.ABORTED}
    ),
    HandoverPhase.ARMED: frozenset(
        {HandoverPhase.HOLDING, HandoverPhase.ABORTING, HandoverPhase.ABORTED}
    ),
    HandoverPhase.HOLDING: frozenset({HandoverPhase.COMPLETED, HandoverPhase.ABORTING}),
    HandoverPhase.ABORTING: frozenset({HandoverPhase.ABORTED, HandoverPhase.ROLLED_BACK}),
    HandoverPhase.COMPLETED: frozenset(),
    HandoverPhase.ABORTED: frozenset(),
    HandoverPhase.ROLLED_BACK: frozenset(),
}


class IllegalTransition(Exception):
    """The machine was asked for a transition that its table does not hold: a defect in it."""


def is_gone(encoder: EncoderRecord, seen: EncoderView) -> bool:
    """It existed, or failed to, and will not come back by itself."""
    if not encoder.uid:
        return seen.state is EncoderState.FAILED
    gone = (EncoderState.MISSING, EncoderState.FAILED, EncoderState.TERMINATING)
    return seen.state in gone or (bool(seen.uid) and seen.uid != encoder.uid)


def has_spare(record: ChannelRecord, view: ChannelView) -> bool:
    """Whether there is a spare that can lead at once."""
    if record.spare is None:
        return False
    seen = view.encoder(record.spare.name)
    return seen.state is EncoderState.RUNNING and not is_gone(record.spare, seen)


def complaint_of(seen: EncoderView) -> Problem | None:
    """What an encoder that is not on air complains of: its source, or an origin that refuses.

    A source that is just being opened is no problem: it has no message.
    """
    report = seen.report
    if report is None or not report.source_message:
        return None
    reason = "OutputRefused" if report.source_state == "Running" else "SourceUnavailable"
    return Problem(reason=reason, message=f"{seen.name}: {report.source_message}")


def report_of(
    view: ChannelView, encoder: EncoderRecord, update: HandoverRecord
) -> HandoverReport | None:
    """What an encoder says of this update; None when it says nothing of it."""
    report: EncoderReport | None = view.encoder(encoder.name).report
    if report is None or report.handover is None:
        return None
    return report.handover if report.handover.handover_id == update.handover_id else None


def selected_since(update: HandoverRecord, view: ChannelView) -> OriginSwitch | None:
    """The origin's switch to the successor under the term of this update, if it made one."""
    switches = view.origin.switches if view.origin is not None else ()
    return next(
        (
            switch
            for switch in switches
            if switch.to_encoder == update.successor.name and switch.to_priority == update.term
        ),
        None,
    )


def is_on_air(desired: Desired, encoder: EncoderRecord, view: ChannelView) -> bool:
    """Whether viewers get this encoder's output: the origin's word, where there is one.

    Without an origin to ask: whether its downstream has taken a segment of its term. An encoder of
    protocol 1 does not say so; there any segment has to do.
    """
    if desired.has_origin:
        origin = view.origin
        return (
            origin is not None
            and origin.selected_encoder == encoder.name
            and origin.selected_priority >= encoder.term
        )
    report = view.encoder(encoder.name).report
    if report is None or report.delivered_term is None:
        return report is not None and report.head_segment is not None
    return report.delivered_term >= encoder.term


def grant(desired: Desired, encoder: EncoderRecord, view: ChannelView) -> GrantTerm:
    """The order to lead. A silent encoder is told what its downstream lacks.

    Of a downstream that can't be asked it is taken that it lacks all that this encoder withheld: to
    send a segment again under its name costs nothing, not to send it costs a viewer. Where both
    send all the time, the downstream has everything already.
    """
    if desired.policy.criteria.mode is HandoverMode.PRIORITY:
        return GrantTerm(name=encoder.name, term=encoder.term)
    last = None if view.origin is None else view.origin.last_segment
    lacks = 0 if last is None else last + 1
    return GrantTerm(name=encoder.name, term=encoder.term, from_segment=lacks)


def to(
    update: HandoverRecord,
    phase: HandoverPhase,
    now_us: int,
    *,
    reason: str = "",
    message: str = "",
) -> HandoverRecord:
    """The update in its next phase. Raises IllegalTransition."""
    if phase not in TRANSITIONS[update.phase]:
        raise IllegalTransition(f"{update.handover_id}: {update.phase} to {phase}")
    return replace(
        update,
        phase=phase,
        phase_since_us=now_us,
        reason=reason or update.reason,
        message=message or update.message,
        finished_us=now_us if phase in HANDOVER_FINAL else None,
    )


def finished(record: ChannelRecord, done: HandoverRecord) -> ChannelRecord:
    """The record with the update closed and remembered."""
    history = (*record.history, done)[-HISTORY_MAX:]
    return replace(record, handover=done, history=history)


def decided(record: ChannelRecord, notice: Notice, *actions: Action) -> Decision:
    """A transition with the notice that tells of it."""
    return Decision(record=record, actions=actions, notices=(notice,))


def releases(done: HandoverRecord) -> tuple[ReleaseHandover, ...]:
    """What both encoders of a completed update are told before the incumbent goes."""
    return tuple(
        ReleaseHandover(name=name, handover_id=done.handover_id)
        for name in (done.successor.name, done.incumbent.name)
    )
