"""One EncoderUpdate as it was read: identity, spec if it can be read, status.

Owns the reading of the CR. `reconcile.py` makes one at each look and throws it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hitless_handover.fleet_model import (
    UPDATE_FINAL,
    CanaryStop,
    FleetDesired,
    Share,
)
from hitless_handover.timeline import MICROSECONDS
from hitless_operator.channel import Key, StatusUnreadable, readable
from hitless_operator.fleet.status_model import EncoderUpdateStatus
from hitless_operator.fleet.windows import Opening
from hitless_wire.fleet_resources import FLEET_KIND, EncoderUpdateSpec, OnFailure

Document = dict[str, Any]
APPROVE_ANNOTATION = "hitless.video/approve"  # its value: true, or the status.change approved


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetUpdate:
    """A CR. body: as the API server gave it. spec: None when unreadable; spec_error says why."""

    key: Key
    uid: str
    generation: int
    body: Document
    spec: EncoderUpdateSpec | None
    spec_error: str
    status: EncoderUpdateStatus

    @property
    def kind(self) -> str:
        """Of the object that Events are about."""
        return FLEET_KIND

    @property
    def approval(self) -> str:
        """What a person annotated; empty for nothing."""
        return approval_of(self.body)


def approval_of(body: Document) -> str:
    """The value of the approving annotation."""
    return str((body["metadata"].get("annotations") or {}).get(APPROVE_ANNOTATION, ""))


def is_settled(body: Document) -> bool:
    """Whether an update is over and has not been edited since."""
    status = body.get("status") or {}
    seen = status.get("observedGeneration", -1) == body["metadata"].get("generation", 0)
    return seen and status.get("phase") in UPDATE_FINAL


def update_of(body: Document) -> FleetUpdate:
    """Read a CR. Raises StatusUnreadable."""
    metadata = body["metadata"]
    spec, why = None, ""
    try:
        spec = EncoderUpdateSpec.model_validate(body.get("spec") or {})
    except ValidationError as error:
        why = readable(error)
    try:
        status = EncoderUpdateStatus.model_validate(body.get("status") or {})
    except ValidationError as error:
        raise StatusUnreadable(readable(error)) from error
    return FleetUpdate(
        key=Key(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        body=body,
        spec=spec,
        spec_error=why,
        status=status,
    )


def desired_of(
    update: FleetUpdate, spec: EncoderUpdateSpec, change: str, opening: Opening
) -> FleetDesired:
    """What the user asks for, as the planner reads it. change: digest of what is written."""
    stops = tuple(
        CanaryStop(channels=share_of(step.channels), bake_us=step.bake_seconds * MICROSECONDS)
        for step in spec.canary.steps
    )
    approved = spec.approved or update.approval in ("true", change)
    return FleetDesired(
        generation=update.generation,
        change=change,
        concurrency=share_of(spec.concurrency),
        stops=stops,
        fallbacks_max=spec.canary.max_fallbacks,
        frames_lost_max=spec.canary.max_frames_lost,
        failure_budget=share_of(spec.failure_budget),
        rolls_back=spec.on_failure is OnFailure.ROLLBACK,
        approved=approved or not spec.approval.required,
        paused=spec.paused,
        rollback=spec.rollback,
        open=opening.open,
        next_change_us=opening.next_change_us,
        over=opening.over,
        deadline_us=spec.progress_deadline_seconds * MICROSECONDS,
    )


def share_of(value: int | str) -> Share:
    """3 or 10%."""
    if isinstance(value, int):
        return Share(amount=value)
    return Share(amount=int(value.removesuffix("%")), percent=True)
