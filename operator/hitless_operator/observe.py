"""What a channel looks like now: its pods, what its encoders and its origin say.

Owns the reading of all that the supervisor decides upon, and nothing else: it changes nothing.
What the platform says may be kept from before; when an encoder that is said to run is silent, it is
asked again. `reconcile.py` calls it once a look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from typing import Protocol

from hitless_handover.messages import EncoderReport, OriginReport
from hitless_handover.peer_model import Reply
from hitless_handover.supervisor import asks
from hitless_handover.supervisor_model import (
    ChannelRecord,
    ChannelView,
    Desired,
    EncoderState,
    EncoderView,
)
from hitless_operator.channel import Channel, Document
from hitless_operator.eviction.mark import is_marked
from hitless_operator.kube import Kube
from hitless_operator.nodes import Nodes
from hitless_operator.pods import encoder_view, node_of, owner_uid
from hitless_wire.following import Following
from hitless_wire.peers import Order
from hitless_wire.resources import EvictionStrategy

FAILED_CREATE = "FailedCreate"


class PeerCalls(Protocol):
    """What is needed of hitless_wire.peers.Peers."""

    async def encoder_report(self, address: str) -> EncoderReport | None:
        """None: unreachable within its deadline."""

    async def origin_report(
        self, base_url: str, namespace: str, channel: str
    ) -> OriginReport | None:
        """None: unreachable, or knows nothing of the channel."""

    async def tell(self, order: Order, addresses: Mapping[str, str]) -> Reply | None:
        """None: unreachable."""

    async def follow(self, whom: Following) -> Reply | None:
        """None: unreachable, or too old."""


class Observer:
    """Reads pods, encoders and origin."""

    def __init__(self, kube: Kube, peers: PeerCalls, nodes: Nodes | None = None) -> None:
        self._kube = kube
        self._peers = peers
        self._nodes = nodes or Nodes()

    async def view(
        self,
        channel: Channel,
        desired: Desired,
        record: ChannelRecord,
        origin_url: str | None,
        now_us: int,
    ) -> ChannelView:
        """What there is now, now_us microseconds since 1970. Raises KubeError.

        origin_url: None when no origin can be asked.
        """
        wanted = asks(desired, record)
        encoders = await self._encoders(channel, record, now_us)
        concerns_origin = not wanted.isdisjoint(encoders) or record.active is None
        origin, told = await asyncio.gather(
            self._origin(channel, origin_url if concerns_origin else None),
            self._told(encoders, wanted),
        )
        if any(_is_silent(encoder) for name, encoder in told.items() if name in wanted):
            self._kube.forget(channel.key)  # it may have gone, and nobody told
            now = await self._encoders(channel, record, now_us)
            if now != encoders:
                told = await self._told(now, wanted)
        return ChannelView(
            channel_uid=channel.uid, channel=channel.key.name, encoders=told, origin=origin
        )

    async def _encoders(
        self, channel: Channel, record: ChannelRecord, now_us: int
    ) -> dict[str, EncoderView]:
        """What the platform says of them."""

        def has_to_go(pod: Document) -> bool:
            return self._nodes.is_closing(node_of(pod)) or is_marked(pod, now_us)

        pods = await self._kube.pods(channel.key)
        return encoders_of(channel, record, pods, has_to_go)

    async def _told(
        self, encoders: Mapping[str, EncoderView], wanted: Set[str]
    ) -> dict[str, EncoderView]:
        """All of them, those that are wanted with their own word."""
        asked = [encoder for name, encoder in sorted(encoders.items()) if name in wanted]
        reports = await asyncio.gather(*(self._report(encoder) for encoder in asked))
        told = {
            encoder.name: replace(encoder, report=report)
            for encoder, report in zip(asked, reports, strict=True)
        }
        return {**encoders, **told}

    async def _report(self, encoder: EncoderView) -> EncoderReport | None:
        """Its own word. Who answers under the address of another encoder is not believed."""
        if not encoder.address:
            return None
        report = await self._peers.encoder_report(encoder.address)
        if report is None or report.identity.encoder_id != encoder.name:
            return None
        return report

    async def _origin(self, channel: Channel, origin_url: str | None) -> OriginReport | None:
        if origin_url is None:
            return None
        return await self._peers.origin_report(origin_url, channel.key.namespace, channel.key.name)


def _is_silent(encoder: EncoderView) -> bool:
    """Whether it should have answered."""
    return encoder.state is EncoderState.RUNNING and encoder.report is None


def encoders_of(
    channel: Channel,
    record: ChannelRecord,
    pods: list[Document],
    has_to_go: Callable[[Document], bool],
) -> dict[str, EncoderView]:
    """The channel's own pods by name; pods of a former CR of the same name are not its own."""
    moves = channel.spec is not None and channel.spec.eviction_strategy is EvictionStrategy.HANDOVER
    views = [
        encoder_view(pod, leaving=moves and has_to_go(pod))
        for pod in pods
        if owner_uid(pod) == channel.uid
    ]
    encoders = {view.name: view for view in views}
    refused = refused_encoder(record)
    if refused is not None and refused.name not in encoders:
        encoders[refused.name] = refused
    return encoders


def refused_encoder(record: ChannelRecord) -> EncoderView | None:
    """The encoder whose creation was refused, from the record that says so: it stays visible."""
    problem = record.problem
    if problem is None or problem.reason != FAILED_CREATE:
        return None
    name, _, message = problem.message.partition(": ")
    return EncoderView(name=name, state=EncoderState.MISSING, reason=FAILED_CREATE, message=message)
