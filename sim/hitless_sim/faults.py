"""What can go wrong in a simulated world, and what the user does to it: values only.

A fault carries all that it needs, its own seed included, so that a plan without one of its faults
runs with all the others as they were. `strikes.py` makes them happen; `plan.py` draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """delay_us after the moment `after` has come for the nth time; empty: after the start.

    A moment is `<whose>:<phase>`: `Handover:Armed` (the record's handover entered the phase),
    `Channel:Degraded` (the record's channel), `Successor:Agreed`, `Incumbent:Armed` (a peer's own).
    """

    delay_us: int = 0
    after: str = ""
    nth: int = 1


class Target(StrEnum):
    """Which encoders are meant, as the record has it when the fault strikes."""

    INCUMBENT = "Incumbent"  # of the handover under way, else the active encoder
    SUCCESSOR = "Successor"  # of the handover under way, else the spare, else the newest
    EVERY = "Every"


class Place(StrEnum):
    """One end of a network path."""

    OPERATORS = "Operators"
    API = "Api"
    ORIGIN = "Origin"
    INCUMBENT = "Incumbent"
    SUCCESSOR = "Successor"
    ENCODERS = "Encoders"  # all, those that are yet to come included


class NetKind(StrEnum):
    """What becomes of a message."""

    LOSS = "Loss"  # `percent` of them are lost
    DUPLICATE = "Duplicate"  # `percent` of them arrive twice
    REORDER = "Reorder"  # `percent` of them are late by up to `extra_us`
    DELAY = "Delay"  # all are late by `extra_us`
    CLOG = "Clog"  # all wait for the end of the fault and then arrive at once
    PARTITION = "Partition"  # all are lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Base."""

    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class NetFault(Fault):
    """The network between two places is bad for a while, one way or both."""

    duration_us: int
    kind: NetKind
    source: Place
    target: Place
    both_ways: bool
    percent: int = 100
    extra_us: int = 0
    seed: int = 0


# --- the API server ---


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDown(Fault):
    """It refuses everything for a while."""

    duration_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersLost(Fault):
    """The next `count` writes are applied, but nobody is told."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignWrites(Fault):
    """Somebody else touches the CR `count` times, so that writes over what was read conflict."""

    count: int
    every_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StalePods(Fault):
    """Pods are listed as they were `lag_us` ago. Against the real operator's way of reading."""

    duration_us: int
    lag_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRefused(Fault):
    """Pods can't be created for a while: a quota."""

    duration_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchLost(Fault):
    """Operators hear of no change for a while; at the end they list everything again."""

    duration_us: int


# --- the platform ---


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowStart(Fault):
    """The next encoder that is created comes up later by `extra_us`."""

    extra_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PullFails(Fault):
    """No image can be pulled for a while; pods that wait for theirs start after that."""

    duration_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evict(Fault):
    """The platform deletes the pod."""

    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash(Fault):
    """The process ends before the effect numbered `effect` from now on; 0: at once.

    restart_us: until it is started again in place; None: the pod has failed for good.
    """

    target: Target
    effect: int = 0
    restart_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLost(Fault):
    """The pod is gone for the API server while its process goes on.

    It hears nothing of operators; sees_peers, sees_origin: whom it still reaches.
    """

    target: Target
    sees_peers: bool
    sees_origin: bool


# --- encoders ---


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderPaused(Fault):
    """The process stands still; then all that waited happens at once."""

    target: Target
    duration_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSkewed(Fault):
    """Its clock is wrong. (Its segments are not: the source says which frame it is.)"""

    target: Target
    duration_us: int
    skew_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEmptied(Fault):
    """Its node takes no more pods and is to be emptied; who is on it has to go some time."""

    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSlow(Fault):
    """It encodes slower than real time and lags behind more and more."""

    target: Target
    duration_us: int
    speed_percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderDeaf(Fault):
    """It takes calls and never answers them, while its output goes on."""

    target: Target
    duration_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncated(Fault):
    """One track of its output never gets through to the origin."""

    target: Target
    duration_us: int
    track: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputLost(Fault):
    """It gets no input."""

    target: Target
    duration_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InputJumped(Fault):
    """The clock of the input jumps; with EVERY for all encoders alike, else for these alone."""

    target: Target


# --- the origin ---


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRestarts(Fault):
    """It ends, and comes back from its journal after `down_us`."""

    down_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginPaused(Fault):
    """It stands still."""

    duration_us: int


# --- operators ---


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCrash(Fault):
    """The process ends before the effect numbered `effect` from now on (0: at once)."""

    which: int
    effect: int = 0
    down_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorPaused(Fault):
    """The process stands still; what it had decided is then done late."""

    which: int
    duration_us: int
    effect: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSkewed(Fault):
    """Its clock is wrong."""

    which: int
    duration_us: int
    skew_us: int


# --- the user ---


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEvent:
    """Base. Something that the user wants, not a fault."""

    when: When


@dataclass(frozen=True, slots=True, kw_only=True)
class SetImage(UserEvent):
    """Another encoder image."""

    image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPaused(UserEvent):
    """No updates are started while paused."""

    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHotSpare(UserEvent):
    """Keep a second encoder, or no longer."""

    hot_spare: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBounds(UserEvent):
    """The event of handovers lies between these two times from now on; None: any."""

    not_before_us: int | None
    not_after_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOff(UserEvent):
    """Abort the handover that the record holds at that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteChannel(UserEvent):
    """Delete the CR."""
