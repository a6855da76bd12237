"""The stable JSON of the commands: what `--output json` and `yaml` print. docs/cli.md describes it.

Pure. Fields are only ever added. Moments are RFC 3339 as in the resource, durations are seconds,
what is not known is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hitless_cli.cluster.reading import (
    PARTIES,
    Channel,
    Condition,
    Confirmation,
    Document,
    Encoder,
    Handover,
)
from hitless_cli.cluster.redaction import redacted_text, redacted_url
from hitless_cli.cluster.timeline import Step
from hitless_cli.cluster.wording import rfc3339, seconds_between


def channel_document(channel: Channel) -> Document:
    """One channel, as in `get`."""
    return {
        "namespace": channel.key.namespace,
        "name": channel.key.name,
        "type": channel.type,
        "image": channel.image,
        "source": redacted_url(channel.source),
        "paused": channel.paused,
        "generation": channel.generation,
        "observedGeneration": channel.observed_generation,
        "phase": channel.phase,
        "ready": channel.ready,
        "term": channel.term,
        "onAir": None if channel.on_air is None else encoder_document(channel.on_air),
        "active": None if channel.active is None else encoder_document(channel.active),
        "standby": None if channel.standby is None else encoder_document(channel.standby),
        "handover": None if channel.handover is None else handover_document(channel.handover),
        "conditions": [_condition(c) for c in channel.conditions],
        "endpoints": {k: redacted_url(v) for k, v in channel.endpoints.items()},
        "createdAt": rfc3339(channel.created_us),
    }


def encoder_document(encoder: Encoder) -> Document:
    """One encoder."""
    return {
        "pod": encoder.pod,
        "image": encoder.image,
        "imageId": encoder.image_id or None,
        "term": encoder.term,
        "since": rfc3339(encoder.since_us),
    }


def handover_document(handover: Handover) -> Document:
    """One handover, under way or ended."""
    return {
        "id": handover.id,
        "phase": handover.phase,
        "live": handover.live,
        "generation": handover.generation,
        "term": handover.term,
        "from": encoder_document(handover.incumbent),
        "to": encoder_document(handover.successor),
        "event": {
            "frame": handover.frame,
            "segment": handover.segment,
            "timestamp": handover.timestamp or None,
            "timecode": handover.timecode or None,
        },
        "confirmations": {who: _said(handover.confirmations.get(who)) for who in PARTIES},
        "framesLost": handover.lost,
        "framesRepeated": handover.frames_repeated,
        "startedAt": rfc3339(handover.started_us),
        "begunAt": rfc3339(handover.begun_us),
        "phaseSince": rfc3339(handover.phase_since_us),
        "finishedAt": rfc3339(handover.finished_us),
        "durations": durations(handover),
        "reason": handover.reason or None,
        "message": redacted_text(handover.message) or None,
    }


def durations(handover: Handover) -> dict[str, float | None]:
    """What of the time the record tells: to the successor's readiness, to its frame, and after."""
    event_us = handover.event_us
    return {
        "startSeconds": seconds_between(handover.started_us, handover.begun_us),
        "toFrameSeconds": seconds_between(handover.begun_us, event_us),
        "afterFrameSeconds": seconds_between(event_us, handover.finished_us),
        "totalSeconds": seconds_between(handover.started_us, handover.finished_us),
    }


def status_document(
    channel: Channel,
    *,
    pods: Sequence[Document],
    events: Sequence[Document],
    phases: Sequence[Step],
    next_steps: Sequence[str],
    unknown: Sequence[str],
) -> Document:
    """One channel with everything around it, as in `status`."""
    return {
        **channel_document(channel),
        "phases": [
            {"phase": s.phase, "state": str(s.state), "enteredAt": rfc3339(s.entered_us)}
            for s in phases
        ],
        "pods": [pod_document(pod) for pod in pods],
        "events": [event_document(event) for event in events],
        "nextSteps": list(next_steps),
        "unknown": list(unknown),
    }


def pod_document(pod: Document) -> Document:
    """One encoder pod."""
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or []
    return {
        "name": pod["metadata"]["name"],
        "phase": status.get("phase"),
        "ready": bool(containers) and all(c.get("ready") for c in containers),
        "restarts": sum(int(c.get("restartCount") or 0) for c in containers),
        "node": (pod.get("spec") or {}).get("nodeName"),
        "waiting": _waiting(containers),
        "terminating": bool(pod["metadata"].get("deletionTimestamp")),
    }


def event_document(event: Document) -> Document:
    """One Event."""
    return {
        "at": event.get("eventTime") or event.get("deprecatedLastTimestamp"),
        "type": event.get("type"),
        "reason": event.get("reason"),
        "message": redacted_text(str(event.get("note") or "")),
    }


def history_document(channel: Channel) -> Document:
    """Ended updates, the newest last, as in `history`."""
    return {
        "namespace": channel.key.namespace,
        "name": channel.key.name,
        "handovers": [handover_document(done) for done in channel.history],
    }


def _waiting(containers: Sequence[Document]) -> str | None:
    states = ((c.get("state") or {}).get("waiting") or {} for c in containers)
    return next((str(s["reason"]) for s in states if s.get("reason")), None)


def _said(said: Confirmation | None) -> dict[str, Any] | None:
    if said is None:
        return None
    return {
        "segment": said.segment,
        "gapFrames": said.gap_frames,
        "overlapFrames": said.overlap_frames,
    }


def _condition(condition: Condition) -> Document:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": redacted_text(condition.message),
        "since": rfc3339(condition.since_us),
    }
