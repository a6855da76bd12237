"""The conditions of a channel, after metav1.Condition and kstatus.

Owns which condition says what. `Ready`: a picture is on air, also during an update. `Reconciling`:
a start or a handover is under way; `HandoverInProgress`: the latter. `UpdateBlocked`: what keeps an
update from going on. `Stalled`: it was given up; people must act. `Degraded`: the encoder on air
does not deliver, or its platform says so. All but Ready are absent when they are not true, so that
Argo CD, Flux and `kubectl wait` read them as they are. `reconcile.py` calls it.
"""

from __future__ import annotations

from dataclasses import dataclass

from hitless_handover.supervisor_model import (
    ChannelPhase,
    ChannelRecord,
    HandoverPhase,
    HandoverRecord,
    Problem,
)
from hitless_operator.moments import second_time
from hitless_operator.status_model import Condition

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"
UPDATE_BLOCKED = "UpdateBlocked"
HANDOVER_IN_PROGRESS = "HandoverInProgress"
DEGRADED = "Degraded"
OWN_TYPES = (READY, RECONCILING, STALLED, UPDATE_BLOCKED, HANDOVER_IN_PROGRESS, DEGRADED)
MESSAGE_MAX = 1024

INVALID_SPEC = "InvalidSpec"
PAUSED = "Paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user asks for, as far as conditions go.

    digest: None when the spec can't be read; invalid then says why.
    """

    digest: str | None
    image: str = ""
    paused: bool = False
    invalid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A condition without its history."""

    type: str
    holds: bool
    reason: str
    message: str


def conditions_of(
    record: ChannelRecord, wanted: Wanted, previous: tuple[Condition, ...], now_us: int
) -> tuple[Condition, ...]:
    """The conditions to write; those of other writers are kept as they are."""
    found = findings(record, wanted)
    return written(found, OWN_TYPES, previous, record.observed_generation, now_us)


def written(
    found: tuple[Finding, ...],
    own_types: tuple[str, ...],
    previous: tuple[Condition, ...],
    generation: int,
    now_us: int,
) -> tuple[Condition, ...]:
    """Findings as conditions, with their history; own types that were not found are gone."""
    before = {c.type: c for c in previous}
    ours = tuple(_written(f, before.get(f.type), generation, now_us) for f in found)
    return (*ours, *(c for c in previous if c.type not in own_types))


def findings(record: ChannelRecord, wanted: Wanted) -> tuple[Finding, ...]:
    """What is true of the channel now."""
    found = [_ready(record)]
    if (under_way := _under_way(record)) is not None:
        found.append(_true(RECONCILING, under_way))
    if (given_up := _given_up(record, wanted)) is not None:
        found.append(_true(STALLED, given_up))
    if (blocked := given_up or _blocked(record, wanted)) is not None:
        found.append(_true(UPDATE_BLOCKED, blocked))
    if record.handover is not None and record.handover.live:
        found.append(_true(HANDOVER_IN_PROGRESS, _handover(record.handover)))
    if record.phase is ChannelPhase.DEGRADED:
        why = record.problem or Problem(reason=str(record.phase), message=_start_text(record))
        found.append(_true(DEGRADED, why))
    return tuple(found)


def _true(kind: str, why: Problem) -> Finding:
    return Finding(type=kind, holds=True, reason=why.reason, message=why.message)


def _written(finding: Finding, before: Condition | None, generation: int, now_us: int) -> Condition:
    """lastTransitionTime moves only when the condition's status does."""
    status = "True" if finding.holds else "False"
    kept = before is not None and before.status == status
    since = before.last_transition_time if before is not None and kept else second_time(now_us)
    return Condition(
        type=finding.type,
        status="True" if finding.holds else "False",
        observed_generation=max(generation, 0),
        last_transition_time=since,
        reason=finding.reason,
        message=finding.message[:MESSAGE_MAX],
    )


def _ready(record: ChannelRecord) -> Finding:
    active = record.active
    if active is not None and record.phase in (ChannelPhase.LIVE, ChannelPhase.UPDATING):
        message = f"{active.name} is on air with term {active.term}"
        return Finding(type=READY, holds=True, reason="OnAir", message=message)
    if active is not None and _takes_back(record):
        message = f"{active.name} takes the output back with term {active.term}"
        return Finding(type=READY, holds=True, reason="RollingBack", message=message)
    why = record.problem or Problem(reason=str(record.phase), message=_start_text(record))
    return Finding(type=READY, holds=False, reason=why.reason, message=why.message)


def _takes_back(record: ChannelRecord) -> bool:
    """After an update was called off, the incumbent, which never stopped, gets a newer term."""
    last, active = record.handover, record.active
    return (
        record.phase is ChannelPhase.STARTING
        and last is not None
        and active is not None
        and last.phase in (HandoverPhase.ABORTED, HandoverPhase.ROLLED_BACK)
        and last.incumbent.name == active.name
    )


def _start_text(record: ChannelRecord) -> str:
    return "no encoder yet" if record.active is None else f"{record.active.name} is starting"


def _under_way(record: ChannelRecord) -> Problem | None:
    if record.handover is not None and record.handover.live:
        return _handover(record.handover)
    if record.phase in (ChannelPhase.PENDING, ChannelPhase.STARTING):
        return Problem(reason="Starting", message=_start_text(record))
    return None


def _handover(update: HandoverRecord) -> Problem:
    return Problem(reason=f"Handover{update.phase}", message=_update_text(update))


def _update_text(update: HandoverRecord) -> str:
    at = "" if update.frame is None else f" at frame {update.frame}"
    return (
        f"{update.handover_id}: {update.incumbent.name} ({update.incumbent.image}) hands over "
        f"to {update.successor.name} ({update.successor.image}){at}"
    )


def _given_up(record: ChannelRecord, wanted: Wanted) -> Problem | None:
    """The spec can't be read, or the update it asks for ended without success."""
    if wanted.digest is None:
        return Problem(reason=INVALID_SPEC, message=wanted.invalid)
    last = record.handover
    if last is None or last.live or wanted.digest != record.refused_digest:
        return None
    if record.phase is not ChannelPhase.LIVE:
        return None
    return Problem(reason=last.reason or str(last.phase), message=last.message)


def _blocked(record: ChannelRecord, wanted: Wanted) -> Problem | None:
    if record.handover is not None and record.handover.live:
        return record.problem
    waits = record.active is not None and wanted.digest != record.active.digest
    if wanted.paused and waits:
        message = f"the update to {wanted.image} waits: set spec.paused to false"
        return Problem(reason=PAUSED, message=message)
    return None
