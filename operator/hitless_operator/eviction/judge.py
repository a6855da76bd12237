"""Whether a pod may be evicted now: a pure function of the pod and its channel.

Owns the verdicts and what people are told of them. `webhook.py` asks.
"""

from __future__ import annotations

from enum import StrEnum

from hitless_handover.supervisor_model import ChannelRecord
from hitless_operator.channel import Channel, Document
from hitless_operator.eviction.mark import LAPSES_S
from hitless_operator.pods import encoder_view, owner_uid
from hitless_operator.status import record_of
from hitless_wire.resources import EvictionStrategy, spec_digest


class Verdict(StrEnum):
    """What an eviction comes to. Where it is allowed, the PodDisruptionBudget has its say yet."""

    NOT_OURS = "NotOurs"  # allowed: no encoder of a channel that there is
    NOT_KEPT = "NotKept"  # allowed: its channel lets encoders be evicted, or can't be read
    NOT_READY = "NotReady"  # allowed, as the budget does: a broken encoder shields nothing
    NOT_NEEDED = "NotNeeded"  # allowed: neither on air, nor a spare, nor in a handover
    MOVES = "Moves"  # held: it is replaced by another pod
    PAUSED = "Paused"  # held: it moves when updates are not paused any more
    REFUSED = "Refused"  # held: it moves when the spec asks for what is on air


HELD = frozenset({Verdict.MOVES, Verdict.PAUSED, Verdict.REFUSED})
_WHY = {
    Verdict.MOVES: "is being handed over from pod {pod} to another one; ask again until it is gone",
    Verdict.PAUSED: "needs pod {pod} on air, and its updates are paused: nothing moves until "
    "spec.paused is false",
    Verdict.REFUSED: "needs pod {pod} on air, whose version can't be started from the present "
    "spec, which was refused: set the spec to what is on air, then it moves",
}


def judge(pod: Document, channel: Channel | None) -> Verdict:
    """channel: the one that the pod's label names; None: there is none."""
    if channel is None or owner_uid(pod) != channel.uid:
        return Verdict.NOT_OURS
    spec = channel.spec
    if spec is None or spec.eviction_strategy is not EvictionStrategy.HANDOVER:
        return Verdict.NOT_KEPT
    if not encoder_view(pod).ready:
        return Verdict.NOT_READY
    record = record_of(channel.status)
    if pod["metadata"]["name"] not in _needed(record):
        return Verdict.NOT_NEEDED
    if spec.paused:
        return Verdict.PAUSED
    digest = spec_digest(spec)
    on_air = record.active
    if digest == record.refused_digest and on_air is not None and on_air.digest != digest:
        return Verdict.REFUSED
    return Verdict.MOVES


def message(verdict: Verdict, channel: Channel, pod: str) -> str:
    """Why it is held, and what to watch."""
    namespace, name = channel.key
    return (
        f"channel {channel.key} {_WHY[verdict].format(pod=pod)}. Watch it: kubectl -n {namespace} "
        f"get encd {name} -w. The wish lapses after {LAPSES_S // 60} minutes without another one."
    )


def _needed(record: ChannelRecord) -> frozenset[str]:
    """Names of the encoders that the channel can't lose without something in their place."""
    encoders = [record.active, record.spare]
    if record.handover is not None and record.handover.live:
        encoders += [record.handover.incumbent, record.handover.successor]
    return frozenset(encoder.name for encoder in encoders if encoder is not None)
