"""The `EncoderDeployment` spec as users write it: pydantic models at the edge.

Owns names, defaults, units and limits of the custom resource, with the modules of its parts:
`source_resources`, `media_resources`, `handover_resources`, `pod_template`. The operator makes the
CRD from these models; `hitless local` reads the same file with them.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, model_validator

from hitless_handover.messages import HandoverMode
from hitless_wire.handover_resources import Handover
from hitless_wire.media_resources import AudioTrack, Profile, TimelineSpec, check_profiles
from hitless_wire.model import Model
from hitless_wire.pod_template import PodTemplate
from hitless_wire.source_resources import Source

GROUP = "hitless.video"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "EncoderDeployment"
PLURAL = "encoderdeployments"


class Output(Model):
    """Where the encoders push to, and how long the origin keeps it."""

    ingest_url: Annotated[
        str | None,
        Field(
            max_length=2048,
            pattern=r"^https?://",
            description="Base URL of the receiving origin; default: the installed Hitless origin.",
        ),
    ] = None
    window_seconds: Annotated[
        int, Field(ge=10, le=86_400, description="DVR window that the origin publishes, seconds.")
    ] = 120
    producer_reference_time: Annotated[
        bool,
        Field(
            description="Write a prft box before each CMAF chunk: the timeline's own UTC time.",
            exclude_if=lambda value: not value,
        ),
    ] = False
    bit_rate_box: Annotated[
        bool,
        Field(
            description="Write a btrt box into the init segments. Then they, and so the edition, "
            "change with the bit rates.",
            exclude_if=lambda value: not value,
        ),
    ] = False


SPARE_CEASES = (
    "a hot spare sends all the time, and the downstream of mode Cease knows no priorities: set "
    "handover.mode to Priority or SilentStandby, or redundancy to None"
)


DISCONTINUITY_IN_PARTS = (
    "tracks can't change in a channel with parts, which are on air before it is known whose "
    "segment it becomes: drop handover.allowDiscontinuity or timeline.partFrames"
)


class Redundancy(StrEnum):
    """What stands by when no update is under way."""

    NONE = "None"
    HOT_SPARE = "HotSpare"


class EvictionStrategy(StrEnum):
    """What happens when the encoder on air is to be evicted, or its node emptied."""

    HANDOVER = "Handover"
    NONE = "None"


class EncoderDeploymentSpec(Model):
    """One live channel and the encoder that makes it."""

    image: Annotated[
        str,
        Field(min_length=1, max_length=512, description="Encoder image. Changing it hands over."),
    ]
    type: Annotated[
        str, Field(pattern=r"^[a-z0-9-]{1,63}$", description="A label for selecting channels.")
    ] = "live"
    source: Source
    timeline: TimelineSpec = TimelineSpec()
    profiles: Annotated[
        tuple[Profile, ...],
        Field(
            min_length=1,
            max_length=12,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ]
    audio: Annotated[
        tuple[AudioTrack, ...],
        Field(
            max_length=4,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = (AudioTrack(),)
    output: Output = Output()
    handover: Handover = Handover()
    redundancy: Annotated[
        Redundancy,
        Field(
            description="HotSpare: a second encoder runs all the time and takes over at once when "
            "the one on air is lost."
        ),
    ] = Redundancy.NONE
    eviction_strategy: Annotated[
        EvictionStrategy,
        Field(
            description="Handover: when its node is drained, or (with the chart's evictionWebhook) "
            "its eviction is asked for, the encoder on air hands over to another one, on another "
            "node where there is one, and is kept from eviction until then. None: it is evicted."
        ),
    ] = EvictionStrategy.HANDOVER
    template: PodTemplate = PodTemplate()
    paused: Annotated[
        bool, Field(description="While true no handover starts; the channel plays on.")
    ] = False

    @model_validator(mode="after")
    def _fits_together(self) -> EncoderDeploymentSpec:
        names = [p.name for p in self.profiles] + [a.name for a in self.audio]
        if len(set(names)) != len(names):
            raise ValueError(f"names of profiles and audio must differ, got {', '.join(names)}")
        if self.redundancy is Redundancy.HOT_SPARE and self.handover.mode is HandoverMode.CEASE:
            raise ValueError(SPARE_CEASES)
        if self.handover.allow_discontinuity and self.timeline.part_frames is not None:
            raise ValueError(DISCONTINUITY_IN_PARTS)
        timeline, timecode = self.timeline.resolve(), self.handover.event.at_timecode
        self.timeline.parts()
        check_profiles(self.profiles, self.timeline)
        if timecode is not None:
            timeline.frame_of_timecode(timecode, 0)
        return self


def spec_digest(spec: EncoderDeploymentSpec) -> str:
    """16 hex digits over everything an encoder process is made from: image and settings.

    Two specs with the same digest need no handover between them. Handover settings and `paused` are
    left out: they say how to update, not what runs.
    """
    body: dict[str, Any] = spec.model_dump(
        mode="json", include={"image", "source", "timeline", "profiles", "audio", "output"}
    )
    if spec.template != PodTemplate():
        body["template"] = spec.template.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
