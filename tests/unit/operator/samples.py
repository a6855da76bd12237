"""Documents and records that the unit tests share: as a real API server and kubelet gave them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hitless_handover.messages import Confirmation
from hitless_handover.supervisor_model import (
    ChannelPhase,
    ChannelRecord,
    EncoderRecord,
    HandoverPhase,
    HandoverRecord,
    Problem,
)
from hitless_handover.timeline import Anchor
from hitless_operator.channel import Channel, channel_of

Document = dict[str, Any]
UID = "c0ff0655-9b79-487f-ad2d-c1bc2ccf93f2"
IMAGE = "localhost/hitless/encoder:v1"


def spec(**more: Any) -> Document:
    return {
        "image": IMAGE,
        "source": {"url": "testpattern:"},
        "profiles": [{"name": "high", "width": 640, "height": 360, "maxKbps": 1200}],
        **more,
    }


def channel(status: Document | None = None, **more: Any) -> Channel:
    metadata = {
        "name": "first",
        "namespace": "live",
        "uid": UID,
        "generation": 3,
        "resourceVersion": "559",
        "labels": {"argocd.argoproj.io/instance": "never copied"},
    }
    return channel_of({"metadata": metadata, "spec": spec(**more), "status": status or {}})


def encoder(term: int, *, image: str = IMAGE) -> EncoderRecord:
    return EncoderRecord(
        name=f"first-{term}",
        image=image,
        digest=f"digest-{term}",
        term=term,
        uid=f"uid-{term}",
        process=f"containerd://{term}",
        since_us=1_795_388_861_234_567 + term,
    )


def update(phase: HandoverPhase, term: int = 8) -> HandoverRecord:
    return HandoverRecord(
        handover_id=f"c0ff0655-{term}",
        phase=phase,
        generation=3,
        term=term,
        incumbent=encoder(term - 1),
        successor=encoder(term, image="localhost/hitless/encoder:v2"),
        started_us=1_795_388_800_000_001,
        phase_since_us=1_795_388_810_000_002,
        begun_us=1_795_388_805_000_003,
        frame=53_861_664_360,
        segment=897_694_406,
        incumbent_confirmation=Confirmation(segment=897_694_405, overlap_frames=60),
        successor_confirmation=Confirmation(segment=897_694_406),
        origin_confirmation=Confirmation(segment=897_694_406, gap_frames=2, overlap_frames=480),
        reason="SuccessorFailed",
        message="the origin fell back",
        finished_us=1_795_388_820_000_003,
    )


def record(**more: Any) -> ChannelRecord:
    full = ChannelRecord(
        phase=ChannelPhase.LIVE,
        observed_generation=3,
        term=9,
        anchor=Anchor(
            source_ticks=8_589_934_591,
            source_timescale=90_000,
            wrap_ticks=2**33,
            frame=53_861_664_000,
            wall_us=1_795_388_800_123_456,
        ),
        active=encoder(9),
        spare=encoder(10),
        refused_digest="digest-11",
        handover=update(HandoverPhase.ROLLED_BACK),
        history=tuple(update(HandoverPhase.COMPLETED, term) for term in range(2, 9)),
        problem=Problem(reason="SuccessorFailed", message="the origin fell back"),
    )
    return replace(full, **more)


# --- pods, as a kubelet of Kubernetes 1.37 reported them ---


def pod(status: Document, *, uid: str = "uid-1", owner: str = UID, **metadata: Any) -> Document:
    return {
        "metadata": {
            "name": "first-1",
            "uid": uid,
            "ownerReferences": [{"uid": owner, "controller": True}],
            **metadata,
        },
        "spec": {},
        "status": status,
    }


def container(state: Document, **more: Any) -> Document:
    return {
        "name": "encoder",
        "image": IMAGE,
        "ready": False,
        "restartCount": 0,
        "state": state,
        "lastState": {},
        **more,
    }


SCHEDULED = {"type": "PodScheduled", "status": "True"}
READY = {"type": "Ready", "status": "True"}
NOT_READY = {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}


def status(phase: str, *containers: Document, **more: Any) -> Document:
    return {
        "phase": phase,
        "podIP": "198.19.17.11",
        "conditions": [SCHEDULED, NOT_READY],
        "containerStatuses": list(containers),
        **more,
    }


def waiting(reason: str, message: str = "") -> Document:
    return {"waiting": {"reason": reason, "message": message}}


def terminated(code: int, reason: str, message: str = "") -> Document:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}
