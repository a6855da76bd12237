"""A channel's document as values: what the commands need of an EncoderDeployment's spec and status.

Pure and lenient: a field that an older operator has not written, or a newer one has added, is no
error. The operator's own models are not for the CLI; field names are those of its status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hitless_handover.supervisor_model import HANDOVER_FINAL, HandoverPhase

Document = dict[str, Any]
PARTIES = ("incumbent", "successor", "origin")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Key(NamedTuple):
    """One channel."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """One encoder that the channel relies on, or relied on. image_id: what runs, with digest."""

    pod: str
    image: str
    term: int
    since_us: int | None
    image_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What one party says it did at the event."""

    segment: int
    gap_frames: int
    overlap_frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """One update. confirmations: of those that have confirmed, by party."""

    id: str
    phase: str
    generation: int
    term: int
    incumbent: Encoder
    successor: Encoder
    frame: int | None
    segment: int | None
    timestamp: str
    timecode: str
    confirmations: Mapping[str, Confirmation]
    frames_lost: int | None
    frames_repeated: int | None
    started_us: int | None
    begun_us: int | None
    phase_since_us: int | None
    finished_us: int | None
    reason: str
    message: str

    @property
    def live(self) -> bool:
        """Whether it is still under way."""
        return self.phase not in HANDOVER_FINAL

    @property
    def completed(self) -> bool:
        """Whether the successor has taken over for good."""
        return self.phase == HandoverPhase.COMPLETED

    @property
    def lost(self) -> int | None:
        """Frames lost, by the origin's count; without an origin, by the successor's own."""
        if self.frames_lost is not None:
            return self.frames_lost
        said = self.confirmations.get("origin") or self.confirmations.get("successor")
        return None if said is None else said.gap_frames

    @property
    def event_us(self) -> int | None:
        """Wall time of the agreed frame."""
        return micros(self.timestamp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """metav1.Condition."""

    type: str
    status: str
    reason: str
    message: str
    since_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """An EncoderDeployment. body: as the API server gave it."""

    key: Key
    body: Document
    generation: int
    created_us: int | None
    image: str
    type: str
    source: str
    paused: bool
    hold_segments: int
    observed_generation: int
    phase: str
    term: int
    active: Encoder | None
    standby: Encoder | None
    handover: Handover | None
    history: tuple[Handover, ...]
    conditions: tuple[Condition, ...]
    endpoints: Mapping[str, str]
    refused_digest: str

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type."""
        return next((c for c in self.conditions if c.type == kind), None)

    @property
    def on_air(self) -> Encoder | None:
        """Whose output is published: in the hold that is the successor's already."""
        update = self.under_way
        if update is not None and update.phase == HandoverPhase.HOLDING:
            return update.successor
        return self.active

    @property
    def ready(self) -> bool:
        """Whether a picture is on air."""
        found = self.condition("Ready")
        return found is not None and found.status == "True"

    @property
    def under_way(self) -> Handover | None:
        """The handover that has not ended."""
        return self.handover if self.handover is not None and self.handover.live else None


def channel_of(body: Document) -> Channel:
    """Read a document."""
    metadata, spec, status = (_map(body, part) for part in ("metadata", "spec", "status"))
    return Channel(
        key=Key(metadata.get("namespace") or "", metadata["name"]),
        body=body,
        generation=int(metadata.get("generation") or 0),
        created_us=micros(metadata.get("creationTimestamp")),
        image=str(spec.get("image") or ""),
        type=str(spec.get("type") or ""),
        source=str(_map(spec, "source").get("url") or ""),
        paused=bool(spec.get("paused")),
        hold_segments=int(_map(spec, "handover").get("holdSegments") or 0),
        observed_generation=int(status.get("observedGeneration", -1)),
        phase=str(status.get("phase") or "Pending"),
        term=int(status.get("term") or 0),
        active=_maybe_encoder(status.get("active")),
        standby=_maybe_encoder(status.get("standby")),
        handover=handover_of(status["handover"]) if status.get("handover") else None,
        history=tuple(handover_of(row) for row in status.get("history") or ()),
        conditions=tuple(_condition(row) for row in status.get("conditions") or ()),
        endpoints={k: str(v) for k, v in _map(status, "endpoints").items()},
        refused_digest=str(status.get("refusedDigest") or ""),
    )


def handover_of(body: Document) -> Handover:
    """Read status.handover, or a row of status.history."""
    event, said = _map(body, "event"), _map(body, "confirmations")
    return Handover(
        id=str(body.get("id") or ""),
        phase=str(body.get("phase") or ""),
        generation=int(body.get("generation") or 0),
        term=int(body.get("term") or 0),
        incumbent=_encoder(_map(body, "from")),
        successor=_encoder(_map(body, "to")),
        frame=event.get("frame"),
        segment=event.get("segment"),
        timestamp=str(event.get("timestamp") or ""),
        timecode=str(event.get("timecode") or ""),
        confirmations={who: _confirmation(said[who]) for who in PARTIES if said.get(who)},
        frames_lost=body.get("framesLost"),
        frames_repeated=body.get("framesRepeated"),
        started_us=micros(body.get("startedAt")),
        begun_us=micros(body.get("begunAt")),
        phase_since_us=micros(body.get("phaseSince")),
        finished_us=micros(body.get("finishedAt")),
        reason=str(body.get("reason") or ""),
        message=str(body.get("message") or ""),
    )


def micros(text: str | None) -> int | None:
    """Microseconds since 1970 from RFC 3339; None from anything else."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return None if at.tzinfo is None else (at - _EPOCH) // _MICROSECOND


def _map(body: Document, name: str) -> Document:
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def _maybe_encoder(body: Document | None) -> Encoder | None:
    return _encoder(body) if body else None


def _encoder(body: Document) -> Encoder:
    return Encoder(
        pod=str(body.get("pod") or ""),
        image=str(body.get("image") or ""),
        term=int(body.get("term") or 0),
        since_us=micros(body.get("since")),
        image_id=str(body.get("imageId") or ""),
    )


def _confirmation(body: Document) -> Confirmation:
    return Confirmation(
        segment=int(body.get("segment") or 0),
        gap_frames=int(body.get("gapFrames") or 0),
        overlap_frames=int(body.get("overlapFrames") or 0),
    )


def _condition(body: Document) -> Condition:
    return Condition(
        type=str(body.get("type") or ""),
        status=str(body.get("status") or ""),
        reason=str(body.get("reason") or ""),
        message=str(body.get("message") or ""),
        since_us=micros(body.get("lastTransitionTime")),
    )
