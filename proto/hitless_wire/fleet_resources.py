"""The `EncoderUpdate` spec as users write it: one object that updates many channels.

Owns names, defaults, units and limits of this custom resource. The operator makes its CRD from
these models. What is checked here a second time is what the CRD's rules check, for whom the CRD was
bypassed.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator, model_validator

from hitless_wire.model import Instant, Model, Name

FLEET_KIND = "EncoderUpdate"
FLEET_PLURAL = "encoderupdates"
NAMES_MAX = 1000
WINDOWS_MAX = 16
STEPS_MAX = 10
DURATION_MINUTES_MAX = 7 * 24 * 60
CRON_PATTERN = r"^[0-9A-Za-z*/,#-]+( [0-9A-Za-z*/,#-]+){4}$"
SHARE_PATTERN = r"^(100|[1-9]?[0-9])%$"

SELECT_SOMETHING = "an empty selector would update nothing: give names, types or labels"
CHANGE_SOMETHING = "nothing would change: give image, configuration or configurationRef"
PROFILE_CHANGES = "nothing would change of this profile: give maxKbps or crf"
ONE_CONFIGURATION = "give configuration here or in a ConfigMap (configurationRef), not both"
VALUES_MATTER = (
    "operators In and NotIn need values, Exists and DoesNotExist take none: change values"
)
EMPTY_SPAN = "schedule.notAfter is before notBefore: nothing lies between"


def _share(value: int | str) -> int | str:
    if isinstance(value, str) and not re.fullmatch(SHARE_PATTERN, value):
        raise ValueError(f"give a count or a percentage such as 10%, got {value}")
    if isinstance(value, int) and value < 0:
        raise ValueError(f"give a count of at least 0, got {value}")
    return value


def _share_schema(description: str) -> WithJsonSchema:
    """A count or a percentage (IntOrString): minimum judges the one, pattern the other."""
    return WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "minimum": 0,
            "pattern": SHARE_PATTERN,
            "maxLength": 4,
            "description": description,
        }
    )


CountOrPercent = Annotated[int | str, AfterValidator(_share)]


class Requirement(Model):
    """One requirement on a label, as in metav1.LabelSelector."""

    key: Annotated[str, Field(min_length=1, max_length=317, description="The label.")]
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _values_matter(self) -> Requirement:
        if bool(self.values) != (self.operator in ("In", "NotIn")):
            raise ValueError(VALUES_MATTER)
        return self


class Selector(Model):
    """Which channels of the namespace. All that is given must hold."""

    names: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=63)], ...],
        Field(max_length=NAMES_MAX, description="Channels by name."),
    ] = ()
    types: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")], ...],
        Field(max_length=100, description="Channels whose spec.type is one of these."),
    ] = ()
    match_labels: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]],
        Field(
            default_factory=dict,
            max_length=64,
            description="Channels that carry all of these labels.",
        ),
    ]
    match_expressions: Annotated[
        tuple[Requirement, ...],
        Field(max_length=32, description="Channels whose labels meet all of these."),
    ] = ()

    @model_validator(mode="after")
    def _selects(self) -> Selector:
        if not (self.names or self.types or self.match_labels or self.match_expressions):
            raise ValueError(SELECT_SOMETHING)
        return self


class ProfileChange(Model):
    """What may change of a rendition while it is on air."""

    name: Annotated[Name, Field(description="A profile that the channel has.")]
    max_kbps: Annotated[
        int | None, Field(ge=50, le=100_000, description="Cap of the bit rate, kbit/s.")
    ] = None
    crf: Annotated[
        int | None, Field(ge=10, le=45, description="Constant rate factor below the cap.")
    ] = None

    @model_validator(mode="after")
    def _changes(self) -> ProfileChange:
        if self.max_kbps is None and self.crf is None:
            raise ValueError(PROFILE_CHANGES)
        return self


class AudioChange(Model):
    """What may change of an audio rendition while it is on air."""

    name: Annotated[Name, Field(description="An audio track that the channel has.")]
    kbps: Annotated[int, Field(ge=32, le=512, description="Bit rate, kbit/s.")]


class Configuration(Model):
    """Encoder settings that leave ladder, boundaries and source as they are."""

    profiles: Annotated[
        tuple[ProfileChange, ...],
        Field(
            max_length=12,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = ()
    audio: Annotated[
        tuple[AudioChange, ...],
        Field(
            max_length=1,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = ()

    @model_validator(mode="after")
    def _says_something(self) -> Configuration:
        names = [p.name for p in self.profiles] + [a.name for a in self.audio]
        if not names:
            raise ValueError(CHANGE_SOMETHING)
        if len(set(names)) != len(names):
            raise ValueError(f"names of profiles and audio must differ, got {', '.join(names)}")
        return self


class ConfigurationRef(Model):
    """A key of a ConfigMap of this namespace; it holds `configuration` as YAML."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    key: Annotated[str, Field(min_length=1, max_length=253)] = "configuration.yaml"


class Change(Model):
    """What every selected channel is to become."""

    image: Annotated[
        str | None, Field(min_length=1, max_length=512, description="Encoder image.")
    ] = None
    configuration: Configuration | None = None
    configuration_ref: ConfigurationRef | None = None

    @model_validator(mode="after")
    def _changes(self) -> Change:
        given = (self.image, self.configuration, self.configuration_ref)
        if all(value is None for value in given):
            raise ValueError(CHANGE_SOMETHING)
        if self.configuration is not None and self.configuration_ref is not None:
            raise ValueError(ONE_CONFIGURATION)
        return self


class Window(Model):
    """A span of time that comes again and again."""

    cron: Annotated[
        str,
        Field(
            pattern=CRON_PATTERN,
            max_length=100,
            description="When it begins: minute, hour, day of month, month, day of week.",
        ),
    ]
    duration_minutes: Annotated[
        int, Field(ge=1, le=DURATION_MINUTES_MAX, description="How long it lasts, minutes.")
    ]
    time_zone: Annotated[
        str,
        Field(min_length=1, max_length=64, description="IANA time zone that cron is read in."),
    ] = "UTC"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError) as error:  # unknown, a folder, no plain name
            raise ValueError(f"{name} is no IANA time zone, such as Europe/Oslo") from error
        return name


class Schedule(Model):
    """When channels may be changed. Empty: at any time."""

    not_before: Annotated[Instant | None, Field(description="Not earlier than this time.")] = None
    not_after: Annotated[
        Instant | None,
        Field(description="From this time on no further channel is changed; the update fails."),
    ] = None
    windows: Annotated[
        tuple[Window, ...],
        Field(max_length=WINDOWS_MAX, description="Only within one of these, if any is given."),
    ] = ()

    @model_validator(mode="after")
    def _has_room(self) -> Schedule:
        if self.not_before and self.not_after and self.not_after <= self.not_before:
            raise ValueError(EMPTY_SPAN)
        return self


class CanaryStep(Model):
    """A stop on the way."""

    channels: Annotated[
        CountOrPercent,
        _share_schema("Channels changed when this step is over, those of former steps included."),
    ]
    bake_seconds: Annotated[
        int, Field(ge=0, le=604_800, description="How long they are watched then, seconds.")
    ] = 60


class Canary(Model):
    """Changing a few channels first. No failure is allowed until the last step has passed."""

    steps: Annotated[tuple[CanaryStep, ...], Field(max_length=STEPS_MAX)] = ()
    max_fallbacks: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="Times that a channel's origin may fall back to another encoder after its "
            "handover, until its step has passed.",
        ),
    ] = 0
    max_frames_lost: Annotated[
        int,
        Field(ge=0, le=1_000_000, description="Frames that any handover of the update may lose."),
    ] = 0


class OnFailure(StrEnum):
    """What follows when more channels fail than are allowed to."""

    PAUSE = "Pause"
    ROLLBACK = "Rollback"


class Approval(Model):
    """Whether a person must agree before the first channel is changed."""

    required: bool = False


# Who writes when a person types, and does not write again by itself.
BY_HAND = (
    "kubectl",
    "kubectl-client-side-apply",
    "kubectl-create",
    "kubectl-edit",
    "kubectl-patch",
    "kubectl-replace",
)


class EncoderUpdateSpec(Model):
    """One change, brought to many channels a few at a time."""

    selector: Selector
    change: Change
    schedule: Schedule = Schedule()
    concurrency: Annotated[
        CountOrPercent,
        _share_schema("Channels under way at once, at least 1 and at most 100."),
    ] = "10%"
    canary: Canary = Canary()
    failure_budget: Annotated[
        CountOrPercent,
        _share_schema("Channels that may fail without the update being stopped."),
    ] = 0
    on_failure: Annotated[
        OnFailure,
        Field(
            description="Pause: change no further channel. Rollback: hand all that were changed "
            "back to what they had."
        ),
    ] = OnFailure.PAUSE
    progress_deadline_seconds: Annotated[
        int,
        Field(ge=30, le=86_400, description="A channel not updated by then has failed, seconds."),
    ] = 900
    approval: Approval = Approval()
    approved: Annotated[bool, Field(description="The approval, where one is required.")] = False
    paused: Annotated[bool, Field(description="While true no further channel is changed.")] = False
    rollback: Annotated[
        bool, Field(description="True: take back what was changed, also after completion.")
    ] = False
    take_over_from: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...],
        Field(
            max_length=20,
            description="Field managers that what is changed may be taken from. A field that "
            "another one owns is left alone, and its channel counts as failed.",
        ),
    ] = BY_HAND
