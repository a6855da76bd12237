"""Whom the hot spare of a live source stands by for: the supervisor's shell tells it at each look.

Nothing is remembered of it, and nothing is decided from the answer: a call that is lost is made
again at the next look. Operator and `hitless local` use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from hitless_handover.supervisor_model import ChannelPhase, ChannelRecord, ChannelView
from hitless_wire.resources import EncoderDeploymentSpec
from hitless_wire.source_resources import LIVE_SCHEMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """A spare, and the encoder on air. Addresses are host:port."""

    spare_address: str
    leader: str
    leader_address: str


def following_of(
    spec: EncoderDeploymentSpec, record: ChannelRecord, view: ChannelView
) -> Following | None:
    """What the spare is to be told now. None: nothing, for one that is not ready hears nothing,
    in an update the encoder on air is about to change, and where all encoders go by the wall clock
    or by what the source states of its time, there is nothing to take over.
    """
    live = urlsplit(spec.source.url).scheme in LIVE_SCHEMES and spec.source.timecode is None
    updating = record.handover is not None and record.handover.live
    if not live or updating or record.phase is not ChannelPhase.LIVE:
        return None
    if record.active is None or record.spare is None:
        return None
    spare, leader = view.encoder(record.spare.name), view.encoder(record.active.name)
    if not (spare.ready and spare.address and leader.address):
        return None
    return Following(spare_address=spare.address, leader=leader.name, leader_address=leader.address)
