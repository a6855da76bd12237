"""What the origin's rule works on: its settings, state, events and effects. Values only.

Owned by `selection`, which holds the rule; `part_selection` has those of parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hitless_handover.messages import OriginSwitch
from hitless_handover.part_selection import PartArrived, PartEffect, Parts
from hitless_handover.timeline import Timeline

PENDING_MAX = 32  # undecided segments kept; more than a fallback or a resent outage ever needs
DELIVERIES_MAX = 8  # encoders compared for one segment
OVERLAP_REACH = 8  # segments on each side of a switch in which overlap is counted
HISTORY_MAX = 32  # published segments whose later deliveries are still compared
SWITCHES_MAX = 50  # switches remembered, the newest last
# Players hold back three target durations. Half of that leaves time for one resent push and still
# reaches the player before it runs dry.
DEADLINE_PERCENT = 150
# Viewers who hold back three have run dry by then: to wait longer would cost stalls.
GAP_SEGMENTS = 4


def publish_deadline_us(timeline: Timeline, percent: int = DEADLINE_PERCENT) -> int:
    """How long a segment may wait for a better delivery: percent of its length, microseconds."""
    return timeline.segment_us * percent // 100


def gap_patience_us(timeline: Timeline) -> int:
    """How long after a publication the leader may still deliver what only it can, microseconds."""
    return timeline.segment_us * GAP_SEGMENTS


class Admission(StrEnum):
    """What may still become of a segment number."""

    OPEN = "Open"  # undecided: its bytes are wanted
    LATE = "Late"  # published: compared and counted, its bytes are not kept
    GONE = "Gone"  # a gap, before the start, or older than the history: refused
    TOO_FAR = "TooFar"  # more undecided segments than the origin keeps: push it again later


class RefusalReason(StrEnum):
    """Why a delivery was dropped."""

    GONE = "Gone"  # its segment is decided and no longer compared
    TOO_FAR = "TooFar"  # beyond the newest of PENDING_MAX undecided segments
    CROWDED = "Crowded"  # DELIVERIES_MAX encoders already deliver this segment
    INCOMPLETE = "Incomplete"  # still without all its tracks when PENDING_MAX was reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A channel's settings. tracks: names that make a delivery complete.

    deadline_us, gap_us: as `publish_deadline_us` and `gap_patience_us` have them.
    """

    tracks: frozenset[str]
    segment_frames: int
    deadline_us: int
    gap_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What one encoder delivered of one segment. complete_us: when the last track came, or None.

    edition: as its arrivals have it.
    """

    encoder: str
    tracks: tuple[tuple[str, int], ...]  # (track, priority), in order of arrival
    complete_us: int | None = None
    edition: int = 0

    @property
    def priority(self) -> int:
        """The claim that every track carries: an encoder leads only with all of them."""
        return min(priority for _, priority in self.tracks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One segment and what was delivered of it. touched_us: when the last track of it came."""

    segment: int
    touched_us: int
    deliveries: tuple[Delivery, ...] = ()

    def delivery(self, encoder: str) -> Delivery | None:
        """An encoder's delivery, complete or not."""
        return next((d for d in self.deliveries if d.encoder == encoder), None)

    def complete(self) -> tuple[Delivery, ...]:
        """The complete deliveries."""
        return tuple(d for d in self.deliveries if d.complete_us is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """State of one channel's selection.

    last: newest decided segment. term: highest priority known up to `last`. published: newest
    published segment, by `encoder` with `priority`. slots: ascending; up to HISTORY_MAX published
    ones, then up to PENDING_MAX undecided ones. gaps: segments never published. advanced_us: time
    of the last publication. parts: of the segment in the making; None where the channel has none.
    edition: of the newest published segment.
    """

    rules: Rules
    last: int | None = None
    term: int = 0
    published: int | None = None
    encoder: str | None = None
    priority: int = 0
    fallbacks: int = 0
    gaps: int = 0
    switch_count: int = 0
    switches: tuple[OriginSwitch, ...] = ()
    slots: tuple[Slot, ...] = ()
    advanced_us: int = 0
    parts: Parts | None = None
    edition: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """One valid track of a segment arrived. A resend may raise the priority, never lower it.

    edition: which interchangeable make of the channel the encoder delivers; all of one encoder's
    segment is of one. tracks: names that make this edition complete; None: the channel's.
    """

    segment: int
    track: str
    encoder: str
    priority: int
    edition: int = 0
    tracks: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishFailed:
    """The shell could not carry out Publish for this segment: nobody has seen it."""

    segment: int


Event = Arrived | PartArrived | Tick | PublishFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Put the encoder's whole rendition set of the segment on air. term: highest known by now.

    edition: of the delivery; parts of another one are of no use from now on.
    """

    segment: int
    encoder: str
    priority: int
    fallback: bool
    term: int
    edition: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordGap:
    """Segments first to last, both included, are given up."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """The selected encoder changed, or the overlap of an earlier change grew (same segment)."""

    switch: OriginSwitch


@dataclass(frozen=True, slots=True, kw_only=True)
class TermRaised:
    """A delivery of a decided segment carried a higher term than was known."""

    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Drop what the encoder delivered of the segment."""

    segment: int
    encoder: str
    reason: RefusalReason


Effect = PartEffect | Publish | RecordGap | Switched | TermRaised | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Result of `step`. Effects are carried out in order; wake_at_us: send Tick no later."""

    state: Selection
    effects: tuple[Effect, ...] = ()
    wake_at_us: int | None = None
