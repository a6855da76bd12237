"""The `status` of an EncoderUpdate: pydantic models at the edge.

Owns names and meanings of the status fields; the CRD is made from them. It holds no rule.
`status.py` translates to and from the planner's record.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hitless_handover.fleet_model import (
    CONCURRENCY_MAX,
    REFUSALS_MAX,
    Outcome,
    UpdatePhase,
)
from hitless_operator.status_model import Conditions, Moment, StatusModel

OUTCOMES_MAX = 100


class OutcomeStatus(StatusModel):
    """What became of one channel."""

    name: Annotated[str, Field(description="The channel.")]
    outcome: Annotated[Outcome, Field(description="What became of it.")]
    reason: Annotated[str | None, Field(description="Why, in one word.")] = None
    message: Annotated[str | None, Field(description="The same for people.")] = None


class RefusalStatus(StatusModel):
    """A failure that does not show on the channel."""

    name: str
    reason: str
    message: str


class EncoderUpdateStatus(StatusModel):
    """Written by the operator only. What each channel had before is kept with the channel."""

    observed_generation: Annotated[
        int, Field(description="metadata.generation that the operator has acted on; -1: none yet.")
    ] = -1
    phase: Annotated[UpdatePhase, Field(description="Where the update stands.")] = (
        UpdatePhase.PENDING
    )
    reason: Annotated[str | None, Field(description="Why it stands there, in one word.")] = None
    message: Annotated[str | None, Field(description="The same for people.")] = None
    change: Annotated[
        str | None, Field(description="Digest of what is changed, ConfigMap included.")
    ] = None
    total: Annotated[int, Field(ge=0, description="Channels selected, or changed before.")] = 0
    updated: Annotated[int, Field(ge=0, description="On air with the change.")] = 0
    in_progress: Annotated[int, Field(ge=0, description="Under way, forward or back.")] = 0
    failed: Annotated[int, Field(ge=0, description="Failed, conflicts included.")] = 0
    skipped: Annotated[int, Field(ge=0, description="Nothing to do, or not hitlessly.")] = 0
    rolled_back: Annotated[int, Field(ge=0, description="Back on what they had.")] = 0
    pending: Annotated[int, Field(ge=0, description="Their turn has not come.")] = 0
    current_step: Annotated[
        int, Field(ge=0, description="Canary steps passed; all of them: the rest is under way.")
    ] = 0
    bake_since: Annotated[
        Moment | None, Field(description="Since when the canary step is watched.")
    ] = None
    eta: Annotated[
        Moment | None, Field(description="When it will be over, from how long handovers took.")
    ] = None
    started_at: Annotated[Moment | None, Field(description="First channel admitted.")] = None
    finished_at: Annotated[Moment | None, Field(description="When it was over.")] = None
    admitted: Annotated[
        tuple[str, ...],
        Field(max_length=CONCURRENCY_MAX, description="Channels about to be written."),
    ] = ()
    refusals: Annotated[
        tuple[RefusalStatus, ...],
        Field(max_length=REFUSALS_MAX, description="Failures that do not show on the channel."),
    ] = ()
    outcomes: Annotated[
        tuple[OutcomeStatus, ...],
        Field(
            max_length=OUTCOMES_MAX,
            description="Channels one by one: failures first, then those under way, then others. "
            "The counts are exact also where this list is cut.",
        ),
    ] = ()
    conditions: Conditions = ()
