"""What really happened in a simulated world, as the checkers see it: values only.

The world reports facts in the order in which they happen; checkers judge by them alone and never
look into the machines under test. Times are microseconds of the world's own clock (the truth, not
what some actor believes the time to be).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hitless_handover.messages import HandoverMode, PeerPhase, Refusal, Role
from hitless_handover.supervisor_model import Action, ChannelRecord, Desired
from hitless_handover.timeline import Anchor


class Quality(StrEnum):
    """What an encoder's output is worth, whatever it or anybody says of it."""

    GOOD = "Good"
    MISMATCH = "Mismatch"  # another grid, ladder or anchor than the channel's: declared openly
    BAD_PICTURE = "BadPicture"  # declared right, encoded wrong: only judgement finds it


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Base. at_us: when it happened."""

    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UserWants(Fact):
    """The user changed the spec (or its annotations). None: deleted the channel.

    parts: in a segment, gop_parts: in a GOP; 0 where there are none.
    """

    desired: Desired | None
    mode: HandoverMode
    parts: int = 0
    gop_parts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCreated(Fact):
    """by: name of the operator process."""

    name: str
    uid: str
    digest: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodDeleted(Fact):
    """by: name of the operator process, or "user", "platform"."""

    name: str
    uid: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodHasToLeave(Fact):
    """The node of the pod is being emptied."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderStarted(Fact):
    """A process of the pod began to encode; instance differs after a restart of its container."""

    name: str
    uid: str
    instance: str
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderEnded(Fact):
    """The process ended, by a fault or because its pod was deleted."""

    name: str
    uid: str
    instance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped(Fact):
    """An encoder gave a segment its priority. silent: it withholds it."""

    name: str
    instance: str
    segment: int
    priority: int
    silent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(Fact):
    """Every track of an encoder's segment is at the origin (told before the origin decides)."""

    name: str
    instance: str
    segment: int
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Published(Fact):
    """The origin put a segment on air."""

    segment: int
    name: str
    priority: int
    fallback: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PartDelivered(Fact):
    """Every track of a part is at the origin. data: stands for its bytes."""

    name: str
    segment: int
    part: int
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPublished(Fact):
    """The origin put a part on air."""

    segment: int
    part: int
    name: str
    fallback: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsSkipped(Fact):
    """The origin gave up parts first to last of a segment, both included."""

    segment: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Fact):
    """The origin gave up segments first to last, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRestarted(Fact):
    """The origin process ended and came back from its journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Fact):
    """The API server took a new record of the channel. version: its resourceVersion."""

    record: ChannelRecord
    version: int
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorTold(Fact):
    """The encoder on air tells its anchor while no update is under way, and this is then decided.

    name, term: of that encoder, as it says.
    """

    name: str
    term: int
    anchor: Anchor
    decided: ChannelRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted(Fact):
    """An operator process carries out an action now; version: of the record it had stored."""

    action: Action
    version: int
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered(Fact):
    """An order with a term (Take, Begin) reached an encoder and was accepted or refused."""

    name: str
    instance: str
    term: int
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerMoved(Fact):
    """An encoder's side of a handover changed its phase (before None: it began)."""

    name: str
    instance: str
    role: Role
    handover_id: str
    term: int
    before: PeerPhase | None
    after: PeerPhase
    frame: int | None
    reason: Refusal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRefused(Fact):
    """An encoder answered a call or an order with a refusal."""

    name: str
    reason: Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityChanged(Fact):
    """What an encoder makes from now on is worth something else: its input jumped."""

    name: str
    instance: str
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLost(Fact):
    """An encoder gets no input (until SourceBack)."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBack(Fact):
    """The input of an encoder is back."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed(Fact):
    """From here on no fault is active and none will come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Fact):
    """The simulation ends. record: as stored. pods: that exist. leading: term each one leads with.

    on_air: (encoder, priority) of the newest published segment, None if nothing was published.
    """

    record: ChannelRecord
    pods: tuple[str, ...]
    leading: tuple[tuple[str, int], ...]
    on_air: tuple[str, int] | None
