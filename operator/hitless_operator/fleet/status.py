"""Between the planner's record and the status of an EncoderUpdate, both ways, and its conditions.

Owns this translation, which outcomes are listed, and which condition says what. `Ready`: the update
is complete. `Reconciling`: it will go on by itself, or when its time or an approval comes.
`Stalled`: people must act. `Progressing`: channels are being changed or watched. `reconcile.py`
calls it.
"""

from __future__ import annotations

from typing import Any

from hitless_handover.fleet import FAILURE_BUDGET
from hitless_handover.fleet_model import (
    UPDATE_FINAL,
    ChannelResult,
    Counts,
    FleetDecision,
    FleetRecord,
    Outcome,
    Refusal,
    UpdatePhase,
)
from hitless_operator.conditions import (
    INVALID_SPEC,
    READY,
    RECONCILING,
    STALLED,
    Finding,
    written,
)
from hitless_operator.fleet.status_model import (
    OUTCOMES_MAX,
    EncoderUpdateStatus,
    OutcomeStatus,
    RefusalStatus,
)
from hitless_operator.moments import maybe_time, maybe_us, second_time

PROGRESSING = "Progressing"
OWN_TYPES = (READY, RECONCILING, STALLED, PROGRESSING)
MESSAGE_MAX = 512
_ORDER = {
    outcome: rank
    for rank, outcome in enumerate(
        (
            Outcome.FAILED,
            Outcome.CONFLICT,
            Outcome.IN_PROGRESS,
            Outcome.ROLLED_BACK,
            Outcome.UPDATED,
            Outcome.SKIPPED,
            Outcome.PENDING,
        )
    )
}
_AT_WORK = (UpdatePhase.PROGRESSING, UpdatePhase.BAKING, UpdatePhase.ROLLING_BACK)
_GIVEN_UP = (UpdatePhase.FAILED, UpdatePhase.ROLLED_BACK)


def record_of(status: EncoderUpdateStatus) -> FleetRecord:
    """The record that a status holds."""
    return FleetRecord(
        phase=status.phase,
        observed_generation=status.observed_generation,
        change=status.change or "",
        stops_passed=status.current_step,
        bake_since_us=maybe_us(status.bake_since),
        admitted=status.admitted,
        refusals=tuple(
            Refusal(name=r.name, reason=r.reason, message=r.message) for r in status.refusals
        ),
        started_us=maybe_us(status.started_at),
        finished_us=maybe_us(status.finished_at),
        reason=status.reason or "",
        message=status.message or "",
    )


def status_of(
    decision: FleetDecision, previous: EncoderUpdateStatus, now_us: int
) -> EncoderUpdateStatus:
    """The status that holds a decision. The eta stays until a count changes: time alone is none."""
    record, counts = decision.record, decision.counts
    same = counts == _counts(previous) and previous.phase == record.phase
    return EncoderUpdateStatus(
        observed_generation=record.observed_generation,
        phase=record.phase,
        reason=record.reason or None,
        message=record.message[:MESSAGE_MAX] or None,
        change=record.change or None,
        total=counts.total,
        updated=counts.updated,
        in_progress=counts.in_progress,
        failed=counts.failed,
        skipped=counts.skipped,
        rolled_back=counts.rolled_back,
        pending=counts.pending,
        current_step=record.stops_passed,
        bake_since=maybe_time(record.bake_since_us),
        eta=previous.eta if same else _eta(decision.eta_us),
        started_at=maybe_time(record.started_us),
        finished_at=maybe_time(record.finished_us),
        admitted=record.admitted,
        refusals=_refusals(record),
        outcomes=_outcomes(decision.results),
        conditions=written(
            findings(record), OWN_TYPES, previous.conditions, record.observed_generation, now_us
        ),
    )


def with_record(status: EncoderUpdateStatus, record: FleetRecord) -> EncoderUpdateStatus:
    """The same status with what was learnt from writing."""
    learnt = {"admitted": record.admitted, "refusals": _refusals(record)}
    return status.model_copy(update=learnt)


def invalid_status(
    previous: EncoderUpdateStatus, why: str, generation: int, now_us: int
) -> EncoderUpdateStatus:
    """The update can't be read: it stays where it is, and says so.

    One that was over is not counted as seen: it would be left alone then, also when mended.
    """
    over = previous.phase in UPDATE_FINAL
    found = (
        Finding(type=READY, holds=False, reason=INVALID_SPEC, message=why),
        Finding(type=STALLED, holds=True, reason=INVALID_SPEC, message=why),
        Finding(type=PROGRESSING, holds=False, reason=INVALID_SPEC, message=why),
    )
    return previous.model_copy(
        update={
            "observed_generation": previous.observed_generation if over else generation,
            "conditions": written(found, OWN_TYPES, previous.conditions, generation, now_us),
        }
    )


def as_document(status: EncoderUpdateStatus) -> dict[str, Any]:
    """The status as it is sent: camelCase, nothing that is None."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def findings(record: FleetRecord) -> tuple[Finding, ...]:
    """What is true of the update now."""
    phase, reason = record.phase, str(record.phase)
    stalled = phase in _GIVEN_UP or (record.reason == FAILURE_BUDGET and phase not in _AT_WORK)
    why = record.reason if stalled and record.reason else reason
    found = [
        _finding(READY, phase is UpdatePhase.COMPLETED, why, record),
        _finding(PROGRESSING, phase in _AT_WORK, reason, record),
    ]
    if stalled:
        found.append(_finding(STALLED, True, why, record))
    elif phase is not UpdatePhase.COMPLETED:
        found.append(_finding(RECONCILING, True, reason, record))
    return tuple(found)


def _finding(kind: str, holds: bool, reason: str, record: FleetRecord) -> Finding:
    return Finding(type=kind, holds=holds, reason=reason, message=record.message[:MESSAGE_MAX])


def _outcomes(results: tuple[ChannelResult, ...]) -> tuple[OutcomeStatus, ...]:
    ranked = sorted(results, key=lambda r: (_ORDER[r.outcome], r.name))
    return tuple(
        OutcomeStatus(
            name=r.name,
            outcome=r.outcome,
            reason=r.reason or None,
            message=r.message[:MESSAGE_MAX] or None,
        )
        for r in ranked[:OUTCOMES_MAX]
    )


def _refusals(record: FleetRecord) -> tuple[RefusalStatus, ...]:
    return tuple(
        RefusalStatus(name=r.name, reason=r.reason, message=r.message[:MESSAGE_MAX])
        for r in record.refusals
    )


def _counts(status: EncoderUpdateStatus) -> Counts:
    return Counts(
        total=status.total,
        updated=status.updated,
        in_progress=status.in_progress,
        failed=status.failed,
        skipped=status.skipped,
        rolled_back=status.rolled_back,
        pending=status.pending,
    )


def _eta(at_us: int | None) -> str | None:
    return None if at_us is None else second_time(at_us)
