"""State, events and effects of the encoder's machine (peer.py): values only, no rules."""

from __future__ import annotations

from dataclasses import dataclass

from hitless_handover.leadership import NEVER_LED, Schedule
from hitless_handover.messages import (
    Confirmation,
    Criteria,
    Identity,
    PeerPhase,
    Refusal,
    Role,
    SyncInfo,
)
from hitless_handover.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One encoder's side of one handover. deadline_us: when it gives up unless armed."""

    handover_id: str
    role: Role
    phase: PeerPhase
    term: int
    other_id: str
    criteria: Criteria
    deadline_us: int
    other_instance: str = ""
    frame: int | None = None
    rounds: int = 0
    attempts: int = 0
    reason: Refusal | None = None
    message: str = ""
    confirmation: Confirmation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """All that an encoder knows about leadership.

    head: newest segment stamped, None before the first. known_term: highest term heard of.
    delivered_term: highest term that the downstream took a segment with. withheld: the newest run
    of segments that were not sent, (first, last).
    """

    identity: Identity
    timeline: Timeline
    schedule: Schedule = NEVER_LED
    known_term: int = 0
    delivered_term: int = 0
    withheld: tuple[int, int] | None = None
    head: int | None = None
    retired: bool = False
    side: Side | None = None


# --- events: from the operator, from the other encoder, from this encoder's own pipeline ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """Operator: lead with this term from the next segment on (first encoder, spare, or rollback).

    from_segment: for an encoder that was silent: its downstream lacks everything from here on.
    """

    term: int
    from_segment: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Operator to successor: take over from `incumbent_id` with this term."""

    handover_id: str
    term: int
    incumbent_id: str
    criteria: Criteria
    deadline_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """Operator or peer: call it off, or never let it begin. term: the handover's; 0 = not told."""

    handover_id: str
    reason: str
    term: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Operator: the handover is recorded as completed."""

    handover_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce:
    """Successor to incumbent."""

    handover_id: str
    term: int
    successor: Identity
    criteria: Criteria
    deadline_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Synchronise:
    """Successor to incumbent, with both sides' information (`own` is filled in by the shell)."""

    handover_id: str
    own: SyncInfo
    other: SyncInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The incumbent's shell has judged the successor's segments."""

    handover_id: str
    ok: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Propose:
    """Successor to incumbent: the event shall be `frame`."""

    handover_id: str
    frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Successor to incumbent: `frame` is binding."""

    handover_id: str
    frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """This encoder's pipeline gave a segment its priority; it is being pushed."""

    segment: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """The origin acknowledged a segment (all tracks)."""

    segment: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reanchored:
    """This encoder's source jumped: its frames are others than those that were compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The incumbent answered the successor's last call."""

    handover_id: str
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed:
    """The successor's last call did not get an answer."""

    handover_id: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answer to a call. accepted False: see reason. frame: a counter-proposal when not None."""

    accepted: bool
    reason: Refusal | None = None
    message: str = ""
    frame: int | None = None
    segment: int | None = None


Call = Announce | Synchronise | Judged | Propose | Arm
Order = Take | Begin | Abort | Release
Event = Call | Order | Stamped | Pushed | Reanchored | Answered | CallFailed | Tick


# --- effects ---


class Request:
    """Base of what the successor asks the incumbent for."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SendAnnounce(Request):
    """Call Announce."""

    handover_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSync(Request):
    """Call Synchronise with this encoder's information."""

    handover_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSamples(Request):
    """Stream `segments` newly encoded segments to the incumbent for judgement."""

    handover_id: str
    segments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPropose(Request):
    """Call Propose."""

    handover_id: str
    frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendArm(Request):
    """Call Arm."""

    handover_id: str
    frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendAbort(Request):
    """Tell the incumbent, once and without waiting, that this side gave up."""

    handover_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """Stop pushing: the handover is recorded and this encoder is no longer needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resend:
    """Send these segments, both included, that were withheld while silent: as `Lead` has them."""

    first: int
    last: int


Effect = Request | Retire | Resend


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Result of `step`. reply: answer to a Call or Order. wake_at_us: send Tick no later."""

    peer: Peer
    effects: tuple[Effect, ...] = ()
    reply: Reply | None = None
    wake_at_us: int | None = None
