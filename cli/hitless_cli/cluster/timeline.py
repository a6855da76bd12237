"""The phases of one handover and when they were entered, from its status and the Events about it.

Pure. The status holds the beginning, the present phase and the end; the Events fill in what lies
between, as long as the cluster keeps them (an hour by default).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hitless_cli.cluster.reading import Document, Handover, micros
from hitless_handover.supervisor_model import HandoverPhase as Phase

FORWARD = (Phase.STARTING, Phase.NEGOTIATING, Phase.ARMED, Phase.HOLDING, Phase.COMPLETED)
_PHASE_OF_EVENT = {
    "HandoverStarted": Phase.STARTING,
    "Negotiating": Phase.NEGOTIATING,
    "HandoverArmed": Phase.ARMED,
    "HandoverConfirmed": Phase.HOLDING,
    "HandoverAborting": Phase.ABORTING,
}
CONFIRMATIONS = 3


class StepState(StrEnum):
    """Where a step stands."""

    DONE = "Done"
    NOW = "Now"
    AHEAD = "Ahead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One phase. entered_us: None when nobody has kept it."""

    phase: str
    state: StepState
    entered_us: int | None


def steps(handover: Handover, events: Sequence[Document] = ()) -> tuple[Step, ...]:
    """The phases that it went through, the one it is in, and those ahead."""
    entered = _entered(handover, events)
    if handover.phase in FORWARD:
        path: list[str] = list(FORWARD)
    else:
        ends = (
            [Phase.ABORTING]
            if handover.phase == Phase.ABORTING
            else [Phase.ABORTING, handover.phase]
        )
        path = [*_reached(handover, entered), *ends]
    here = path.index(handover.phase)
    return tuple(
        Step(phase=str(phase), state=_state(index, here, handover), entered_us=entered.get(phase))
        for index, phase in enumerate(path)
    )


def _state(index: int, here: int, handover: Handover) -> StepState:
    if index < here or (index == here and not handover.live):
        return StepState.DONE
    return StepState.NOW if index == here else StepState.AHEAD


def _entered(handover: Handover, events: Sequence[Document]) -> dict[str, int]:
    """Phase to the moment of its entry; the status wins over an Event."""
    found: dict[str, int] = {}
    for event in events:
        phase, at_us = _PHASE_OF_EVENT.get(event.get("reason", "")), _moment(event)
        if phase is not None and at_us is not None and _belongs(handover, at_us):
            found[phase] = at_us
    known: dict[str, Any] = {
        Phase.STARTING: handover.started_us,
        handover.phase: handover.phase_since_us if handover.live else handover.finished_us,
    }
    if Phase.NEGOTIATING not in found:
        known[Phase.NEGOTIATING] = handover.begun_us
    return {**found, **{phase: at for phase, at in known.items() if at is not None}}


def _belongs(handover: Handover, at_us: int) -> bool:
    if handover.started_us is None or at_us < handover.started_us:
        return False
    return handover.finished_us is None or at_us <= handover.finished_us


def _moment(event: Document) -> int | None:
    return micros(event.get("eventTime"))


def _reached(handover: Handover, entered: dict[str, int]) -> list[str]:
    """How far a handover came that was called off."""
    reached: list[str] = [Phase.STARTING]
    if handover.begun_us is not None:
        reached.append(Phase.NEGOTIATING)
    if handover.frame is not None:
        reached.append(Phase.ARMED)
    if Phase.HOLDING in entered or len(handover.confirmations) == CONFIRMATIONS:
        reached.append(Phase.HOLDING)
    return reached
