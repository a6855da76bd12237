"""The successor's calls to the incumbent over gRPC.

Owns the connection for a call and its deadline. Every failure to get an answer is IncumbentError;
what an answer means is the machine's business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeVar

import grpc
import grpc.aio

from hitless_encoder.clock import MICROSECONDS, Clock
from hitless_encoder.control.pipeline import Pipeline
from hitless_handover.messages import Identity, SyncInfo
from hitless_handover.peer_model import Announce, Reply, Side
from hitless_wire._gen import handover_pb2 as pb
from hitless_wire._gen.handover_pb2_grpc import HandoverServiceStub
from hitless_wire.codec import announce_to_wire, reply_from_wire, sync_to_wire
from hitless_wire.peers import CHANNEL_OPTIONS

T = TypeVar("T")


class IncumbentError(Exception):
    """The incumbent gave no answer; says to what and why."""


class Incumbents:
    """Makes callers; the place for credentials once there are some."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def at(self, address: str) -> Incumbent:
        """The incumbent at host:port."""
        return Incumbent(address, self._clock)


class Incumbent:
    """One incumbent, by address. Each method is one call with its own connection."""

    def __init__(self, address: str, clock: Clock) -> None:
        self._address, self._clock = address, clock

    async def announce(self, side: Side, identity: Identity) -> Reply:
        """Who takes over."""
        request = announce_to_wire(
            Announce(
                handover_id=side.handover_id,
                term=side.term,
                successor=identity,
                criteria=side.criteria,
                deadline_us=side.deadline_us,
            )
        )

        async def call(stub: HandoverServiceStub) -> pb.Reply:
            return (await stub.Announce(request, timeout=side.criteria.call_s)).reply

        return await self._answer("Announce", call)

    async def synchronise(self, side: Side, own: SyncInfo, inits: Mapping[str, bytes]) -> Reply:
        """Are the outputs interchangeable?"""
        request = pb.SynchroniseRequest(
            handover_id=side.handover_id, successor=sync_to_wire(own, inits)
        )

        async def call(stub: HandoverServiceStub) -> pb.Reply:
            return (await stub.Synchronise(request, timeout=side.criteria.call_s)).reply

        return await self._answer("Synchronise", call)

    async def verify(
        self, side: Side, count: int, segments: Pipeline, inits: Mapping[str, bytes]
    ) -> Reply:
        """Send `count` segments that are encoded from now on; judged before the side's deadline."""
        timeout_s = max(1.0, (side.deadline_us - self._clock.now_us()) / MICROSECONDS)
        samples = _samples(side, count, segments, inits)

        async def call(stub: HandoverServiceStub) -> pb.Reply:
            return (await stub.Verify(samples, timeout=timeout_s)).reply

        return await self._answer("Verify", call)

    async def propose(self, side: Side, frame: int) -> Reply:
        """The event shall be at this frame."""
        request = pb.ProposeRequest(handover_id=side.handover_id, frame=frame)

        async def call(stub: HandoverServiceStub) -> pb.Reply:
            return (await stub.Propose(request, timeout=side.criteria.call_s)).reply

        return await self._answer("Propose", call)

    async def arm(self, side: Side, frame: int) -> Reply:
        """The frame is binding."""
        request = pb.ArmRequest(handover_id=side.handover_id, frame=frame)

        async def call(stub: HandoverServiceStub) -> pb.Reply:
            return (await stub.Arm(request, timeout=side.criteria.call_s)).reply

        return await self._answer("Arm", call)

    async def call_off(self, side: Side, reason: str) -> Reply:
        """This side gave up."""
        request = pb.CallOffRequest(handover_id=side.handover_id, reason=reason, term=side.term)

        async def call(stub: HandoverServiceStub) -> pb.Reply:
            return (await stub.CallOff(request, timeout=side.criteria.call_s)).reply

        return await self._answer("CallOff", call)

    async def _answer(
        self, what: str, call: Callable[[HandoverServiceStub], Awaitable[pb.Reply]]
    ) -> Reply:
        try:
            async with grpc.aio.insecure_channel(self._address, options=CHANNEL_OPTIONS) as channel:
                return reply_from_wire(await call(HandoverServiceStub(channel)))
        except grpc.aio.AioRpcError as error:
            text = f"{what} to {self._address}: {error.code().name} {error.details()}"
            raise IncumbentError(text) from error


async def _samples(
    side: Side, count: int, segments: Pipeline, inits: Mapping[str, bytes]
) -> AsyncIterator[pb.VerifyRequest]:
    """The next `count` segments, a message for each track; fewer when time runs out."""
    newest = segments.snapshot().encoded_segment
    first = 0 if newest is None else newest + 1
    for segment in range(first, first + count):
        tracks = await segments.wait_segment(segment, side.deadline_us)
        making = segments.making(segment)
        for track, media in sorted((tracks or {}).items()):
            yield pb.VerifyRequest(
                handover_id=side.handover_id,
                segment=segment,
                track=track,
                init=inits[track],
                media=media,
                encode_us=None if making is None else making.busy_us,
            )
