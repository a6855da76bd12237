"""Between the supervisor's record and the CR status, both ways, without loss.

Owns this translation only. What is derived for people (timestamps, lost frames, endpoints,
conditions) is added on the way out and ignored on the way in. `reconcile.py` calls it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hitless_handover.messages import Confirmation
from hitless_handover.supervisor_model import ChannelRecord, EncoderRecord, HandoverRecord, Problem
from hitless_handover.timeline import Timeline
from hitless_operator.moments import from_time, maybe_time, maybe_us, micro_time
from hitless_operator.status_model import (
    Condition,
    ConfirmationsStatus,
    ConfirmationStatus,
    EncoderDeploymentStatus,
    EncoderStatus,
    EndpointsStatus,
    EventStatus,
    HandoverStatus,
    ProblemStatus,
)
from hitless_wire.encoder_config import AnchorModel


def record_of(status: EncoderDeploymentStatus) -> ChannelRecord:
    """The record that a status holds."""
    return ChannelRecord(
        phase=status.phase,
        observed_generation=status.observed_generation,
        term=status.term,
        anchor=None if status.anchor is None else status.anchor.value(),
        active=None if status.active is None else _encoder_record(status.active),
        spare=None if status.standby is None else _encoder_record(status.standby),
        handover=None if status.handover is None else _handover_record(status.handover),
        history=tuple(_handover_record(done) for done in status.history),
        problem=_problem(status.problem),
        refused_digest=status.refused_digest or "",
    )


def status_of(
    record: ChannelRecord,
    *,
    previous: EncoderDeploymentStatus,
    timeline: Timeline | None,
    endpoints: EndpointsStatus | None,
    conditions: tuple[Condition, ...],
    running: Mapping[str, str] | None = None,
) -> EncoderDeploymentStatus:
    """The status that holds a record.

    previous: what the CR holds now; an event once written keeps its timestamp and timecode, also
    when the timeline has changed since. timeline: None when the spec can't be read. running: the
    image that each encoder was just seen to run, by the encoder's name.
    """
    events, images = _Events(previous, timeline), _Images(previous, running or {})
    return EncoderDeploymentStatus(
        observed_generation=record.observed_generation,
        phase=record.phase,
        term=record.term,
        anchor=None if record.anchor is None else AnchorModel.of(record.anchor),
        active=None if record.active is None else images.encoder(record.active),
        standby=None if record.spare is None else images.encoder(record.spare),
        endpoints=endpoints,
        handover=_maybe_handover(record.handover, events, images),
        history=tuple(_handover_status(done, events, images) for done in record.history),
        problem=_problem_status(record.problem),
        refused_digest=record.refused_digest or None,
        conditions=conditions,
    )


def as_document(status: EncoderDeploymentStatus) -> dict[str, Any]:
    """The status as it is sent: camelCase, nothing that is None."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


class _Events:
    """Derives the people's notations of a handover event, or finds what was written before."""

    def __init__(self, previous: EncoderDeploymentStatus, timeline: Timeline | None) -> None:
        known = (*previous.history, *([previous.handover] if previous.handover else []))
        self._written = {done.id: done.event for done in known if done.event is not None}
        self._timeline = timeline

    def of(self, update: HandoverRecord) -> EventStatus | None:
        if update.frame is None and update.segment is None:
            return None
        written = self._written.get(update.handover_id)
        if written is not None and written.frame == update.frame:
            return written.model_copy(update={"segment": update.segment})
        if self._timeline is None or update.frame is None:
            return EventStatus(frame=update.frame, segment=update.segment)
        return EventStatus(
            frame=update.frame,
            segment=update.segment,
            timestamp=micro_time(self._timeline.wall_us(update.frame)),
            timecode=self._timeline.timecode(update.frame),
        )


class _Images:
    """Adds which image runs. An update that has ended keeps what it was done with."""

    def __init__(self, previous: EncoderDeploymentStatus, running: Mapping[str, str]) -> None:
        updates = (*previous.history, *([previous.handover] if previous.handover else []))
        self._ended = {done.id: done for done in updates if done.finished_at}
        parties = [encoder for done in updates for encoder in (done.from_, done.to)]
        present = [e for e in (previous.active, previous.standby) if e is not None]
        self._known = {e.pod: e.image_id for e in (*parties, *present) if e.image_id}
        self._known |= {name: image_id for name, image_id in running.items() if image_id}

    def encoder(self, encoder: EncoderRecord) -> EncoderStatus:
        return _encoder_status(encoder, self._known.get(encoder.name))

    def both(self, update: HandoverRecord) -> tuple[EncoderStatus, EncoderStatus]:
        ended = self._ended.get(update.handover_id)
        if ended is None:
            return self.encoder(update.incumbent), self.encoder(update.successor)
        return (
            _encoder_status(update.incumbent, ended.from_.image_id),
            _encoder_status(update.successor, ended.to.image_id),
        )


# --- encoders ---


def _encoder_status(encoder: EncoderRecord, image_id: str | None) -> EncoderStatus:
    return EncoderStatus(
        pod=encoder.name,
        image=encoder.image,
        image_id=image_id,
        digest=encoder.digest,
        term=encoder.term,
        uid=encoder.uid or None,
        container_id=encoder.process or None,
        since=maybe_time(encoder.since_us),
    )


def _encoder_record(status: EncoderStatus) -> EncoderRecord:
    return EncoderRecord(
        name=status.pod,
        image=status.image,
        digest=status.digest,
        term=status.term,
        uid=status.uid or "",
        process=status.container_id or "",
        since_us=maybe_us(status.since),
    )


# --- handovers ---


def _maybe_handover(
    update: HandoverRecord | None, events: _Events, images: _Images
) -> HandoverStatus | None:
    return None if update is None else _handover_status(update, events, images)


def _handover_status(update: HandoverRecord, events: _Events, images: _Images) -> HandoverStatus:
    said = update.origin_confirmation
    incumbent, successor = images.both(update)
    return HandoverStatus(
        id=update.handover_id,
        phase=update.phase,
        generation=update.generation,
        term=update.term,
        from_=incumbent,
        to=successor,
        event=events.of(update),
        confirmations=_confirmations_status(update),
        frames_lost=None if said is None else said.gap_frames,
        # Frames that both encoders *delivered* are overlap; the origin publishes one of them.
        frames_repeated=None if said is None else 0,
        started_at=micro_time(update.started_us),
        phase_since=micro_time(update.phase_since_us),
        begun_at=maybe_time(update.begun_us),
        finished_at=maybe_time(update.finished_us),
        reason=update.reason or None,
        message=update.message or None,
    )


def _handover_record(status: HandoverStatus) -> HandoverRecord:
    said = status.confirmations or ConfirmationsStatus()
    return HandoverRecord(
        handover_id=status.id,
        phase=status.phase,
        generation=status.generation,
        term=status.term,
        incumbent=_encoder_record(status.from_),
        successor=_encoder_record(status.to),
        started_us=from_time(status.started_at),
        phase_since_us=from_time(status.phase_since),
        begun_us=maybe_us(status.begun_at),
        frame=None if status.event is None else status.event.frame,
        segment=None if status.event is None else status.event.segment,
        incumbent_confirmation=_confirmation(said.incumbent),
        successor_confirmation=_confirmation(said.successor),
        origin_confirmation=_confirmation(said.origin),
        reason=status.reason or "",
        message=status.message or "",
        finished_us=maybe_us(status.finished_at),
    )


def _confirmations_status(update: HandoverRecord) -> ConfirmationsStatus | None:
    said = ConfirmationsStatus(
        incumbent=_confirmation_status(update.incumbent_confirmation),
        successor=_confirmation_status(update.successor_confirmation),
        origin=_confirmation_status(update.origin_confirmation),
    )
    return None if said == ConfirmationsStatus() else said


def _confirmation_status(said: Confirmation | None) -> ConfirmationStatus | None:
    if said is None:
        return None
    return ConfirmationStatus(
        segment=said.segment, gap_frames=said.gap_frames, overlap_frames=said.overlap_frames
    )


def _confirmation(status: ConfirmationStatus | None) -> Confirmation | None:
    if status is None:
        return None
    return Confirmation(
        segment=status.segment,
        gap_frames=status.gap_frames,
        overlap_frames=status.overlap_frames,
    )


# --- small leaves ---


def _problem(status: ProblemStatus | None) -> Problem | None:
    return None if status is None else Problem(reason=status.reason, message=status.message)


def _problem_status(problem: Problem | None) -> ProblemStatus | None:
    if problem is None:
        return None
    return ProblemStatus(reason=problem.reason, message=problem.message)
