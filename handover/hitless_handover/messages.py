"""What encoders, operator and origin tell each other, as core values.

Owns the vocabulary of the handover protocol (docs/protocol.md): identity, criteria, sync
information, refusals, reports. The wire package alone translates these to and from gRPC.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum

from hitless_handover.timeline import Anchor, Timeline

PROTOCOL_VERSION = 2
PROTOCOL_SKEW_MAX = 1  # peers one version apart hand over
# The first proposal holds unless a side was slow: each further round means another slow segment.
ROUNDS_MAX = 5
ATTEMPTS_MAX = 5  # of one call: a hole in the network in between, not a dead peer
# What the incumbent's judgement tolerates where nobody says otherwise; reasons: docs/gate.md.
SSIM_MIN_PERMILLE = 600
LOUDNESS_MAX_DB = 6
AV_OFFSET_MAX_MS = 20
SPEED_MIN_PERCENT = 100
LATE_MAX_MS = 4000
CALL_S = 5  # for an answer that takes milliseconds; longer means that there is none


class Refusal(StrEnum):
    """Why an encoder says no. One word each; the words around it go into the message."""

    NOT_LEADING = "NotLeading"  # asked to hand over what it does not lead
    BUSY = "Busy"  # another handover is armed here
    STALE_TERM = "StaleTerm"  # the term is not above every term this encoder knows
    PROTOCOL_VERSION = "ProtocolVersion"  # versions too far apart
    MISMATCH = "Mismatch"  # outputs are not interchangeable; the message names the field
    VERIFICATION = "Verification"  # the successor's segments failed the judgement
    TOO_LATE = "TooLate"  # the frame, or the moment to abort, has passed
    UNKNOWN_HANDOVER = "UnknownHandover"  # no handover of this id here
    WRONG_PHASE = "WrongPhase"  # a step before its predecessor
    ROUNDS_EXHAUSTED = "RoundsExhausted"  # no frame agreed within the bound
    UNREACHABLE = "Unreachable"  # the other encoder did not answer in time
    DEADLINE = "Deadline"  # the handover's own deadline passed
    ABORTED = "Aborted"  # operator or peer called it off
    NOT_READY = "NotReady"  # has not delivered a segment yet


class HandoverMode(StrEnum):
    """What the two encoders send to their downstream around the event."""

    PRIORITY = "Priority"  # both send all the time; the downstream selects by term
    CEASE = "Cease"  # the incumbent stops sending at the event; for downstreams without priorities
    SILENT_STANDBY = "SilentStandby"  # and the successor sends nothing before it: one input only


class Role(StrEnum):
    """Which side of a handover an encoder is on."""

    INCUMBENT = "Incumbent"
    SUCCESSOR = "Successor"


class PeerPhase(StrEnum):
    """The last step that a peer has completed. Both roles walk the same line."""

    BEGUN = "Begun"  # the operator told the successor to start (successor only)
    ANNOUNCED = "Announced"  # the incumbent accepted the successor
    SYNCHRONISED = "Synchronised"  # outputs are interchangeable by declaration
    VERIFIED = "Verified"  # outputs are interchangeable by judgement
    AGREED = "Agreed"  # a frame is accepted, not yet binding
    ARMED = "Armed"  # the frame is binding
    SWITCHED = "Switched"  # the frame has passed; this side reports what it did
    RELEASED = "Released"  # the operator closed the handover
    ABORTED = "Aborted"  # called off; leadership is as it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who an encoder is. instance: new for every process start. protocol: PROTOCOL_VERSION."""

    namespace: str
    channel: str
    encoder_id: str
    instance: str
    version: str
    protocol: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What the operator demands of a handover event.

    lead_segments: least whole segments between agreement and event. verify_segments: how many are
    judged. psnr_min_db: least PSNR of a plane. ssim_min_permille: least luma SSIM. loudness_max_db,
    av_offset_max_ms: how far the sound may be from the incumbent's. speed_min_percent: least speed,
    100 is real time. late_max_ms: how long after the incumbent's a segment may come.
    not_before_frame, not_after_frame: the event lies between these two, 0 = any. rounds_max:
    proposals, counter-proposals included. attempts_max: how often an unanswered call is made.
    call_s: how long an answer is waited for, seconds. allow_discontinuity: the successor's tracks
    may be others, on the same grid of segments; the origin then declares a discontinuity at the
    event.
    """

    lead_segments: int
    verify_segments: int
    psnr_min_db: int
    not_before_frame: int = 0
    not_after_frame: int = 0
    mode: HandoverMode = HandoverMode.PRIORITY
    rounds_max: int = ROUNDS_MAX
    attempts_max: int = ATTEMPTS_MAX
    call_s: int = CALL_S
    allow_discontinuity: bool = False
    ssim_min_permille: int = SSIM_MIN_PERMILLE
    loudness_max_db: int = LOUDNESS_MAX_DB
    av_offset_max_ms: int = AV_OFFSET_MAX_MS
    speed_min_percent: int = SPEED_MIN_PERCENT
    late_max_ms: int = LATE_MAX_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncInfo:
    """What must be equal for two outputs to be interchangeable, and where an encoder stands.

    init_digests: (track, SHA-256 hex) sorted by track. head_segment: newest segment given out.
    """

    timeline: Timeline
    fingerprint: str
    anchor: Anchor | None
    init_digests: tuple[tuple[str, str], ...]
    current_frame: int
    head_segment: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """The first field in which two encoders differ."""

    field: str
    incumbent: str
    successor: str

    def __str__(self) -> str:
        return f"{self.field}: incumbent has {self.incumbent}, successor has {self.successor}"


# What must be equal even across a declared discontinuity: frames and segments keep their numbers.
_GRID = ("rate_num", "rate_den", "segment_frames")


def compare(
    incumbent: SyncInfo, successor: SyncInfo, *, allow_discontinuity: bool = False
) -> Mismatch | None:
    """The first difference that forbids a handover; None when there is none.

    Outputs must be interchangeable; with a declared discontinuity, on the same grid of segments.
    """
    for name, ours, theirs in _compared(incumbent, successor, grid_only=allow_discontinuity):
        if ours != theirs:
            return Mismatch(field=name, incumbent=str(ours), successor=str(theirs))
    return None


def _compared(
    ours: SyncInfo, theirs: SyncInfo, *, grid_only: bool
) -> list[tuple[str, object, object]]:
    names = _GRID if grid_only else [f.name for f in fields(Timeline)]
    rows: list[tuple[str, object, object]] = [
        (f"timeline.{name}", getattr(ours.timeline, name), getattr(theirs.timeline, name))
        for name in names
    ]
    anchor = ("anchor", ours.anchor and ours.anchor.line, theirs.anchor and theirs.anchor.line)
    if grid_only:
        return [*rows, anchor]
    rows += [("fingerprint", ours.fingerprint, theirs.fingerprint), anchor]
    mine, other = dict(ours.init_digests), dict(theirs.init_digests)
    rows.extend(
        (f"init.{track}", mine.get(track, "no track"), other.get(track, "no track"))
        for track in sorted(mine.keys() | other.keys())
    )
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What one party did at the event. segment: the incumbent's last or the successor's first.

    gap_frames: frames between the agreed event and that segment that this party did not cover.
    overlap_frames: frames it delivered beside the other party.
    """

    segment: int
    gap_frames: int = 0
    overlap_frames: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverReport:
    """One peer's account of its handover, for the operator."""

    handover_id: str
    role: Role
    phase: PeerPhase
    term: int
    frame: int | None
    reason: Refusal | None
    message: str
    confirmation: Confirmation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderReport:
    """What an encoder says of itself. leading_term: 0 while it is a standby.

    delivered_term: the highest that its downstream took a segment with; None: it does not say.

    source_state: Connecting, Running or Lost. source_message: what is wrong, empty when nothing is;
    with a Running source it is about the output.
    """

    identity: Identity
    leading_term: int
    head_segment: int | None
    current_frame: int
    anchor: Anchor | None
    source_state: str
    source_message: str
    speed_percent: int
    handover: HandoverReport | None = None
    delivered_term: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSwitch:
    """One change of the selected encoder, or of the term it is selected under."""

    segment: int
    from_encoder: str
    to_encoder: str
    from_priority: int
    to_priority: int
    fallback: bool
    gap_frames: int
    overlap_frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginReport:
    """What the origin says of a channel. last_segment: newest published, None before the first."""

    last_segment: int | None
    selected_encoder: str | None
    selected_priority: int
    fallbacks: int
    gaps: int
    switches: tuple[OriginSwitch, ...] = field(default=())
