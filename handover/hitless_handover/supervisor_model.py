"""What the supervisor sees, remembers, decides and asks for: values only, no rules.

`ChannelRecord` is what is persisted (the CR status; a file for `hitless local`): intent and
history. `ChannelView` is what was observed just now. `supervisor.supervise` maps both to a
`Decision`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hitless_handover.messages import (
    Confirmation,
    Criteria,
    EncoderReport,
    OriginReport,
)
from hitless_handover.timeline import Anchor, Timeline

HISTORY_MAX = 10
CONFIG_INVALID = "EncoderConfigInvalid"  # an EncoderView's reason: no start of it can work


class ChannelPhase(StrEnum):
    """Where a channel stands."""

    PENDING = "Pending"  # nothing is known to run yet
    STARTING = "Starting"  # the first encoder, or one that replaces a lost one, is coming up
    LIVE = "Live"  # the active encoder leads and delivers
    UPDATING = "Updating"  # live, and a handover is under way
    DEGRADED = "Degraded"  # the active encoder does not deliver


class HandoverPhase(StrEnum):
    """Where an update stands."""

    STARTING = "Starting"  # the successor is being created and begins to encode
    NEGOTIATING = "Negotiating"  # announce, synchronise, verify, propose
    ARMED = "Armed"  # the frame is agreed, binding and recorded
    HOLDING = "Holding"  # all confirmed; the incumbent is kept as fallback
    COMPLETED = "Completed"  # recorded; the incumbent may go
    ABORTING = "Aborting"  # being called off: leadership goes back to the incumbent
    ABORTED = "Aborted"  # called off before the frame; the incumbent never stopped leading
    ROLLED_BACK = "RolledBack"  # called off after the frame; the incumbent leads a newer term


HANDOVER_FINAL = frozenset(
    {HandoverPhase.COMPLETED, HandoverPhase.ABORTED, HandoverPhase.ROLLED_BACK}
)


class EncoderState(StrEnum):
    """What the platform says of an encoder's pod or process."""

    MISSING = "Missing"
    PENDING = "Pending"  # accepted, not running: see reason
    RUNNING = "Running"
    FAILED = "Failed"  # will not run again by itself
    TERMINATING = "Terminating"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderView:
    """One encoder as observed. report: None when it could not be asked, or was not.

    process: another one after each restart in place; empty when the platform does not say.
    leaving: it can't stay where it is, for its node is being emptied, or its eviction is asked for.
    image_id: the very image that runs, for people: nothing is decided from it.
    """

    name: str
    state: EncoderState
    uid: str = ""
    process: str = ""
    address: str = ""
    reason: str = ""
    message: str = ""
    ready: bool = False
    leaving: bool = False
    image_id: str = ""
    report: EncoderReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverPolicy:
    """How updates of this channel are to be done. Deadlines in seconds.

    at_timecode: the event is at the first such timecode after the update began; empty for none.
    """

    criteria: Criteria
    hold_segments: int
    start_s: int
    negotiate_s: int
    confirm_s: int
    at_timecode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What the user asks for.

    digest: of all that an encoder is made from (`spec_digest`). has_origin: whether an origin's
    confirmation is to be had. hot_spare: keep a second encoder that takes over at once.
    abort_id: the handover that the user calls off, before or after its frame; empty for none.
    """

    generation: int
    image: str
    digest: str
    policy: HandoverPolicy
    timeline: Timeline
    has_origin: bool = True
    paused: bool = False
    hot_spare: bool = False
    abort_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderRecord:
    """An encoder that the record holds responsible. since_us: when it was first seen leading.

    process: the one that was seen leading; a later one has forgotten its term.
    """

    name: str
    image: str
    digest: str
    term: int
    uid: str = ""
    process: str = ""
    since_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverRecord:
    """One update. frame: the agreed event. phase_since_us: when the phase was entered.

    begun_us: when the successor was first told to begin; None: it never heard of this.
    """

    handover_id: str
    phase: HandoverPhase
    generation: int
    term: int
    incumbent: EncoderRecord
    successor: EncoderRecord
    started_us: int
    phase_since_us: int
    begun_us: int | None = None
    frame: int | None = None
    segment: int | None = None
    incumbent_confirmation: Confirmation | None = None
    successor_confirmation: Confirmation | None = None
    origin_confirmation: Confirmation | None = None
    reason: str = ""
    message: str = ""
    finished_us: int | None = None

    @property
    def live(self) -> bool:
        """Whether it is still under way."""
        return self.phase not in HANDOVER_FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What keeps a channel or an update from going on; becomes a condition."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRecord:
    """All that must survive a restart of the operator.

    term: the highest ever allotted. spare: the standby that takes over when `active` is lost.
    refused_digest: what an update failed to bring on air; not tried again until the user has asked
    for something else in between.
    """

    phase: ChannelPhase = ChannelPhase.PENDING
    observed_generation: int = -1
    term: int = 0
    anchor: Anchor | None = None
    active: EncoderRecord | None = None
    spare: EncoderRecord | None = None
    handover: HandoverRecord | None = None
    history: tuple[HandoverRecord, ...] = ()
    problem: Problem | None = None
    refused_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelView:
    """What was observed. encoders: all that exist for the channel, by name, asked or not."""

    channel_uid: str
    channel: str
    encoders: dict[str, EncoderView]
    origin: OriginReport | None

    def encoder(self, name: str) -> EncoderView:
        """The encoder of that name, or one that is Missing."""
        return self.encoders.get(name) or EncoderView(name=name, state=EncoderState.MISSING)


# --- actions: carried out only after the Decision's record has been stored ---


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateEncoder:
    """Start the encoder (no error if one of that name exists)."""

    encoder: EncoderRecord
    anchor: Anchor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantTerm:
    """Call Take. from_segment: see there."""

    name: str
    term: int
    from_segment: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginHandover:
    """Call Begin on the successor."""

    name: str
    incumbent: str
    handover_id: str
    term: int
    criteria: Criteria
    deadline_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BindIncumbent:
    """Call Arm on the incumbent, as the successor has done: its own call may have been lost."""

    name: str
    handover_id: str
    frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortHandover:
    """Call Abort."""

    name: str
    handover_id: str
    term: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHandover:
    """Call Release. Sent before the incumbent is deleted; not waited for."""

    name: str
    handover_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteEncoder:
    """Delete the encoder, if it still has this uid."""

    name: str
    uid: str


Action = (
    CreateEncoder
    | GrantTerm
    | BeginHandover
    | BindIncumbent
    | AbortHandover
    | ReleaseHandover
    | DeleteEncoder
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened, for people: becomes a Kubernetes Event. warning: its type."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The record to store, then what to do, what to tell, and when to look again at the latest.

    wake_at_us: None = nothing to wait for but events.
    """

    record: ChannelRecord
    actions: tuple[Action, ...] = ()
    notices: tuple[Notice, ...] = ()
    wake_at_us: int | None = None
