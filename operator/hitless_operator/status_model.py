"""The `status` of an EncoderDeployment: pydantic models at the edge.

Owns names and meanings of the status fields; the CRD is made from them. It holds no rule:
`status.py` translates to and from the supervisor's record, `conditions.py` judges.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from hitless_handover.supervisor_model import HISTORY_MAX, ChannelPhase, HandoverPhase
from hitless_operator.moments import from_time
from hitless_wire.encoder_config import AnchorModel
from hitless_wire.model import Model


def _readable(text: str) -> str:
    from_time(text)
    return text


Moment = Annotated[str, AfterValidator(_readable), Field(json_schema_extra={"format": "date-time"})]


class StatusModel(Model):
    """Base: fields of a newer operator are read over, not refused."""

    model_config = ConfigDict(extra="ignore")


class EncoderStatus(StatusModel):
    """One encoder that the channel relies on, or relied on."""

    pod: Annotated[str, Field(description="Name of the pod.")]
    image: Annotated[str, Field(description="Encoder image.")]
    image_id: Annotated[
        str | None,
        Field(
            description="The very image that runs, whatever a tag means by now, as the pod's "
            "status has it: repository@sha256:… of an image that was pulled (it can be given as "
            "spec.image), sha256:… of one that was loaded onto the node. Absent until it is known."
        ),
    ] = None
    digest: Annotated[str, Field(description="Digest of image and settings it was made from.")]
    term: Annotated[int, Field(description="Term it leads with; the higher term wins.")]
    uid: Annotated[str | None, Field(description="UID of the pod, once seen.")] = None
    container_id: Annotated[
        str | None, Field(description="Container that was seen leading; a later one has forgotten.")
    ] = None
    since: Annotated[Moment | None, Field(description="On air since.")] = None


class EventStatus(StatusModel):
    """The handover event: the agreed first frame of the successor, in four notations."""

    frame: Annotated[int | None, Field(description="Frame number since 1970.")] = None
    segment: Annotated[int | None, Field(description="Segment number since 1970.")] = None
    timestamp: Annotated[Moment | None, Field(description="Wall time of the frame.")] = None
    timecode: Annotated[str | None, Field(description="HH:MM:SS:FF, non-drop.")] = None


class ConfirmationStatus(StatusModel):
    """What one party says it did at the event."""

    segment: Annotated[int, Field(description="Incumbent's last or successor's first segment.")]
    gap_frames: Annotated[int, Field(description="Frames not covered.")]
    overlap_frames: Annotated[int, Field(description="Frames delivered by both encoders.")]


class ConfirmationsStatus(StatusModel):
    """Who has confirmed the event."""

    incumbent: ConfirmationStatus | None = None
    successor: ConfirmationStatus | None = None
    origin: ConfirmationStatus | None = None


class HandoverStatus(StatusModel):
    """One update."""

    id: Annotated[str, Field(description="Identifies the handover in logs, calls and Events.")]
    phase: Annotated[HandoverPhase, Field(description="Where the update stands.")]
    generation: Annotated[int, Field(description="metadata.generation that asked for it.")]
    term: Annotated[int, Field(description="Term allotted to the successor.")]
    from_: Annotated[EncoderStatus, Field(alias="from", description="The encoder replaced.")]
    to: Annotated[EncoderStatus, Field(description="Its replacement.")]
    event: EventStatus | None = None
    confirmations: ConfirmationsStatus | None = None
    frames_lost: Annotated[
        int | None, Field(description="Frames that the origin did not publish at the event.")
    ] = None
    frames_repeated: Annotated[
        int | None,
        Field(description="Frames that the origin published twice: it decides each segment once."),
    ] = None
    started_at: Annotated[Moment, Field(description="When the update began.")]
    phase_since: Annotated[Moment, Field(description="When the present phase was entered.")]
    begun_at: Annotated[
        Moment | None, Field(description="When the successor was first told to take over.")
    ] = None
    finished_at: Annotated[Moment | None, Field(description="When it ended.")] = None
    reason: Annotated[str | None, Field(description="Why it was called off, in one word.")] = None
    message: Annotated[str | None, Field(description="The same for people.")] = None


class ProblemStatus(StatusModel):
    """What keeps the channel or its update from going on."""

    reason: str
    message: str


class EndpointsStatus(StatusModel):
    """Where viewers find the channel."""

    hls: str
    dash: str


class Condition(StatusModel):
    """metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    observed_generation: Annotated[int | None, Field(ge=0)] = None
    last_transition_time: Moment
    reason: Annotated[
        str,
        Field(min_length=1, max_length=1024, pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
    ]
    message: Annotated[str, Field(max_length=32768)]


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        }
    ),
]


class EncoderDeploymentStatus(StatusModel):
    """Written by the operator only; all that it must remember is in here."""

    observed_generation: Annotated[
        int, Field(description="metadata.generation that the operator has acted on; -1: none yet.")
    ] = -1
    phase: Annotated[ChannelPhase, Field(description="Where the channel stands.")] = (
        ChannelPhase.PENDING
    )
    term: Annotated[int, Field(ge=0, description="The highest term ever allotted.")] = 0
    anchor: Annotated[
        AnchorModel | None, Field(description="Where the source's clock meets the timeline.")
    ] = None
    active: Annotated[EncoderStatus | None, Field(description="The encoder on air.")] = None
    standby: Annotated[
        EncoderStatus | None, Field(description="The hot spare, ready to take over.")
    ] = None
    endpoints: EndpointsStatus | None = None
    handover: Annotated[
        HandoverStatus | None, Field(description="The update under way, else the last one.")
    ] = None
    history: Annotated[
        tuple[HandoverStatus, ...],
        Field(max_length=HISTORY_MAX, description="Ended updates, the newest last."),
    ] = ()
    problem: ProblemStatus | None = None
    refused_digest: Annotated[
        str | None,
        Field(
            description="Digest of an update that was called off. It is not tried again until the "
            "spec has asked for something else."
        ),
    ] = None
    conditions: Conditions = ()
