"""EncoderDeployments as an operator writes them: made by its own code from the supervisor's record.

So the CLI, which reads documents, and the operator, which writes them, can't drift apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.operator.samples import UID, encoder, record, spec, update

from hitless_cli.cluster.reading import Channel, channel_of
from hitless_handover.supervisor_model import (
    ChannelPhase,
    ChannelRecord,
    HandoverPhase,
    HandoverRecord,
    Problem,
)
from hitless_operator.conditions import Wanted, conditions_of
from hitless_operator.status import as_document, status_of
from hitless_operator.status_model import EncoderDeploymentStatus, EndpointsStatus
from hitless_wire.media_resources import TimelineSpec

Document = dict[str, Any]
V1 = "localhost/hitless/encoder:v1"
V2 = "localhost/hitless/encoder:v2"
V3 = "localhost/hitless/encoder:v3"
NOW_US = 1_795_388_900_000_000
ENDPOINTS = EndpointsStatus(hls="http://o/live/first/master.m3u8", dash="http://o/live/m.mpd")


def under_way(phase: HandoverPhase, **more: Any) -> HandoverRecord:
    """A handover from v1 to v2 in that phase; before Armed no frame is agreed."""
    made = replace(update(phase), reason="", message="", finished_us=None)
    if phase in (HandoverPhase.STARTING, HandoverPhase.NEGOTIATING):
        made = replace(made, frame=None, segment=None)
    if phase is not HandoverPhase.HOLDING:
        made = replace(
            made,
            incumbent_confirmation=None,
            successor_confirmation=None,
            origin_confirmation=None,
        )
    return replace(made, **more)


def ended(phase: HandoverPhase, *, lost: int = 0, **more: Any) -> HandoverRecord:
    """A handover from v1 to v2 that has ended. lost: frames, by the origin."""
    made = update(phase)
    said = made.origin_confirmation
    assert said is not None
    made = replace(made, origin_confirmation=replace(said, gap_frames=lost))
    if phase is HandoverPhase.COMPLETED:
        made = replace(made, reason="", message="")
    return replace(made, **more)


def at_rest(**more: Any) -> ChannelRecord:
    """v2 is on air after the handover from v1; nothing is wrong."""
    done = ended(HandoverPhase.COMPLETED)
    rest = record(
        active=encoder(8, image=V2),
        spare=None,
        refused_digest="",
        handover=done,
        history=(done,),
        problem=None,
    )
    return replace(rest, **more)


def updating(phase: HandoverPhase, **more: Any) -> ChannelRecord:
    """v1 is on air, and v2 is to take over."""
    made = under_way(phase)
    going = replace(
        at_rest(),
        phase=ChannelPhase.UPDATING,
        active=encoder(7),
        handover=made,
        history=(),
    )
    return replace(going, **more)


def called_off(phase: HandoverPhase = HandoverPhase.ABORTED) -> ChannelRecord:
    """v1 is on air, and v2 has failed."""
    made = ended(phase)
    return replace(
        at_rest(),
        active=encoder(7),
        handover=made,
        history=(made,),
        refused_digest="refused",
        problem=Problem(reason=made.reason, message=made.message),
    )


def status(made: ChannelRecord, *, image: str = V2, paused: bool = False) -> Document:
    """The status that the operator would write. image: what the spec asks for."""
    digest = _digest(made, image)
    wanted = Wanted(digest=digest, image=image, paused=paused)
    written = status_of(
        made,
        previous=EncoderDeploymentStatus(),
        timeline=TimelineSpec().resolve(),
        endpoints=ENDPOINTS,
        conditions=conditions_of(made, wanted, (), NOW_US),
    )
    return as_document(written)


def _digest(made: ChannelRecord, image: str) -> str:
    if made.active is not None and made.active.image == image:
        return made.active.digest
    return made.refused_digest or "wanted"


def body(
    made: ChannelRecord, *, name: str = "first", image: str = V2, paused: bool = False, **spec_: Any
) -> Document:
    """The whole document."""
    metadata = {
        "name": name,
        "namespace": "live",
        "uid": UID,
        "generation": made.observed_generation,
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-22T22:40:00Z",
    }
    wanted = spec(**{"image": image, "paused": paused, **spec_})
    return {
        "metadata": metadata,
        "spec": wanted,
        "status": status(made, image=image, paused=paused),
    }


def channel(made: ChannelRecord, **more: Any) -> Channel:
    """The document as the CLI reads it."""
    return channel_of(body(made, **more))
