"""The encoder's gRPC server: EncoderService, HandoverService, health and reflection.

Owns the translation of calls to machine events and the judging of the successor's samples. It
decides nothing: replies come from the conductor's machine.
"""

# ruff: noqa: ARG002 - the signatures of servicer methods are gRPC's

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from hitless_encoder.control.conductor import Conductor
from hitless_encoder.control.follower import Follower
from hitless_encoder.control.init_segments import told_apart
from hitless_encoder.verify import Arrival, Encoded, Verdict, judge, judge_other_tracks, judge_pace
from hitless_handover.messages import Criteria, PeerPhase, Refusal
from hitless_handover.peer_model import (
    Arm,
    Judged,
    Propose,
    Release,
    Reply,
    Side,
    Synchronise,
)
from hitless_handover.timeline import Timeline
from hitless_wire._gen import handover_pb2 as pb
from hitless_wire._gen.handover_pb2_grpc import (
    EncoderServiceServicer,
    HandoverServiceServicer,
    add_EncoderServiceServicer_to_server,
    add_HandoverServiceServicer_to_server,
)
from hitless_wire.codec import (
    WireError,
    abort_from_wire,
    announce_from_wire,
    begin_from_wire,
    inits_from_wire,
    reply_to_wire,
    report_to_wire,
    sync_from_wire,
    sync_to_wire,
    take_from_wire,
)
from hitless_wire.peers import CHANNEL_OPTIONS

STOP_GRACE_S = 1.0
TRACKS_MAX = 64  # of a segment to judge
_SERVICES = pb.DESCRIPTOR.services_by_name
_log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


class EncoderService(EncoderServiceServicer):
    """What the operator asks and orders."""

    def __init__(self, conductor: Conductor, follower: Follower) -> None:
        self._conductor, self._follower = conductor, follower

    async def GetReport(
        self, request: pb.GetReportRequest, context: Context
    ) -> pb.GetReportResponse:
        """What this encoder does."""
        return pb.GetReportResponse(report=report_to_wire(self._conductor.report()))

    async def Take(self, request: pb.TakeRequest, context: Context) -> pb.TakeResponse:
        """Lead from the next segment on."""
        reply = self._conductor.ask(take_from_wire(request))
        return pb.TakeResponse(reply=reply_to_wire(reply))

    async def Begin(self, request: pb.BeginRequest, context: Context) -> pb.BeginResponse:
        """Take over."""
        try:
            order = begin_from_wire(request)
        except WireError as error:
            return pb.BeginResponse(reply=_not_understood(error))
        reply = self._conductor.begin(order, request.incumbent_address)
        return pb.BeginResponse(reply=reply_to_wire(reply))

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:
        """The handover is recorded."""
        reply = self._conductor.ask(Release(handover_id=request.handover_id))
        return pb.ReleaseResponse(reply=reply_to_wire(reply))

    async def Abort(self, request: pb.AbortRequest, context: Context) -> pb.AbortResponse:
        """Call it off."""
        reply = self._conductor.ask(abort_from_wire(request))
        return pb.AbortResponse(reply=reply_to_wire(reply))

    async def Follow(self, request: pb.FollowRequest, context: Context) -> pb.FollowResponse:
        """Keep to the anchor of the encoder on air."""
        reply = Reply(accepted=True)
        if self._conductor.stands_by():
            self._follower.follow(request.encoder_id, request.address)
        else:
            reply = Reply(accepted=False, reason=Refusal.WRONG_PHASE, message="it leads itself")
        return pb.FollowResponse(reply=reply_to_wire(reply))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """One segment of the successor. arrived_us: when its first track came."""

    segment: int
    arrived_us: int
    samples: list[pb.VerifyRequest] = field(default_factory=list)


class HandoverService(HandoverServiceServicer):
    """What a successor asks of this encoder, the incumbent."""

    def __init__(
        self, conductor: Conductor, timeline: Timeline, inits: Mapping[str, bytes]
    ) -> None:
        self._conductor = conductor
        self._timeline = timeline
        self._inits = inits

    async def Announce(self, request: pb.AnnounceRequest, context: Context) -> pb.AnnounceResponse:
        """Who takes over."""
        try:
            event = announce_from_wire(request)
        except WireError as error:
            return pb.AnnounceResponse(reply=_not_understood(error))
        reply = self._conductor.ask(event)
        return pb.AnnounceResponse(reply=reply_to_wire(reply))

    async def Synchronise(
        self, request: pb.SynchroniseRequest, context: Context
    ) -> pb.SynchroniseResponse:
        """Are the outputs interchangeable?"""
        own = self._conductor.sync()
        try:
            other = sync_from_wire(request.successor)
        except WireError as error:
            reply = Reply(accepted=False, reason=Refusal.MISMATCH, message=str(error))
        else:
            ours, theirs = told_apart(own, other, self._inits, inits_from_wire(request.successor))
            reply = self._conductor.ask(
                Synchronise(handover_id=request.handover_id, own=ours, other=theirs)
            )
        return pb.SynchroniseResponse(reply=reply_to_wire(reply), incumbent=sync_to_wire(own))

    async def Verify(
        self, request_iterator: AsyncIterator[pb.VerifyRequest], context: Context
    ) -> pb.VerifyResponse:
        """Judge the successor's segments against this encoder's own."""
        handover_id, arrivals = "", list[Arrival]()
        async for sent in _by_segment(request_iterator, self._conductor.now_us):
            handover_id = sent.samples[0].handover_id
            side = self._conductor.side(handover_id)
            if side is None or side.phase is not PeerPhase.SYNCHRONISED:
                break  # the machine says what that means
            fault = await self._fault_of(side, sent)
            if fault:
                return self._judged(handover_id, fault)
            arrivals.append(self._arrival(sent))
        return self._judged(handover_id, self._fault_of_pace(handover_id, arrivals))

    async def Propose(self, request: pb.ProposeRequest, context: Context) -> pb.ProposeResponse:
        """The event shall be at this frame."""
        reply = self._conductor.ask(Propose(handover_id=request.handover_id, frame=request.frame))
        return pb.ProposeResponse(reply=reply_to_wire(reply))

    async def Arm(self, request: pb.ArmRequest, context: Context) -> pb.ArmResponse:
        """The frame is binding."""
        reply = self._conductor.ask(Arm(handover_id=request.handover_id, frame=request.frame))
        return pb.ArmResponse(reply=reply_to_wire(reply))

    async def CallOff(self, request: pb.CallOffRequest, context: Context) -> pb.CallOffResponse:
        """The successor gave up."""
        reply = self._conductor.ask(abort_from_wire(request))
        return pb.CallOffResponse(reply=reply_to_wire(reply))

    async def _fault_of(self, side: Side, sent: _Sent) -> str:
        """What is wrong with one segment; empty when nothing is."""
        segment = sent.segment
        own = await self._conductor.own_segment(segment, side.deadline_us)
        if own is None:
            newest = self._conductor.sync().head_segment
            return (
                f"IncumbentLate: the encoder on air has no segment {segment} of its own to judge "
                f"by, {newest} is its newest: is its CPU enough?"
            )
        verdict = await asyncio.to_thread(self._judge, side.criteria, segment, own, sent.samples)
        told = {"handover": side.handover_id}
        _log.info("segment %d of the successor: %s", segment, verdict, extra=told)
        return "" if verdict.ok else str(verdict)

    def _judge(
        self,
        criteria: Criteria,
        segment: int,
        own: Mapping[str, bytes],
        samples: Sequence[pb.VerifyRequest],
    ) -> Verdict:
        media = {sample.track: sample.media for sample in samples}
        inits = {sample.track: sample.init for sample in samples}
        ours, theirs = Encoded(media=own, inits=self._inits), Encoded(media=media, inits=inits)
        others = criteria.allow_discontinuity and inits != self._inits
        judging = judge_other_tracks if others else judge
        return judging(ours, theirs, self._timeline, segment, criteria)

    def _arrival(self, sent: _Sent) -> Arrival:
        said = sent.samples[0]
        return Arrival(
            segment=sent.segment,
            late_us=self._conductor.late_us(sent.segment, sent.arrived_us),
            encode_us=said.encode_us if said.HasField("encode_us") else None,
        )

    def _fault_of_pace(self, handover_id: str, arrivals: Sequence[Arrival]) -> str:
        """What is wrong with the number of segments and with their times; empty: nothing."""
        side = self._conductor.side(handover_id)
        if side is None:
            return ""
        wanted = side.criteria.verify_segments
        if len(arrivals) < wanted:
            return f"TooLate: {len(arrivals)} of {wanted} segments came in time"
        verdict = judge_pace(arrivals, self._timeline, side.criteria)
        _log.info("pace of the successor: %s", verdict, extra={"handover": handover_id})
        return "" if verdict.ok else str(verdict)

    def _judged(self, handover_id: str, fault: str) -> pb.VerifyResponse:
        reply = self._conductor.ask(Judged(handover_id=handover_id, ok=not fault, message=fault))
        return pb.VerifyResponse(reply=reply_to_wire(reply))


async def _by_segment(
    samples: AsyncIterator[pb.VerifyRequest], now_us: Callable[[], int]
) -> AsyncIterator[_Sent]:
    """The tracks of one segment at a time: they come one after the other, once it is whole."""
    gathered: _Sent | None = None
    async for sample in samples:
        if gathered is None or (
            sample.segment != gathered.segment or len(gathered.samples) >= TRACKS_MAX
        ):
            if gathered is not None:
                yield gathered
            gathered = _Sent(segment=sample.segment, arrived_us=now_us())
        gathered.samples.append(sample)
    if gathered is not None:
        yield gathered


def _not_understood(error: WireError) -> pb.Reply:
    """The answer to what only a newer version can mean."""
    return reply_to_wire(Reply(accepted=False, reason=Refusal.PROTOCOL_VERSION, message=str(error)))


class ControlServer:
    """The running gRPC server; an async context manager."""

    def __init__(
        self,
        conductor: Conductor,
        follower: Follower,
        *,
        timeline: Timeline,
        inits: Mapping[str, bytes],
        host: str,
        port: int,
    ) -> None:
        self._server = grpc.aio.server(options=CHANNEL_OPTIONS)
        self._health = health_aio.HealthServicer()
        add_EncoderServiceServicer_to_server(EncoderService(conductor, follower), self._server)
        add_HandoverServiceServicer_to_server(
            HandoverService(conductor, timeline, inits), self._server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [service.full_name for service in _SERVICES.values()]
        known = (*names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(known, self._server)
        self._names = ("", *names)
        self.port = self._server.add_insecure_port(f"{host}:{port}")

    async def __aenter__(self) -> Self:
        await self._server.start()
        await self.serving(True)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.serving(False)
        await self._server.stop(STOP_GRACE_S)

    async def serving(self, yes: bool) -> None:
        """Set the health of all services."""
        status = health_pb2.HealthCheckResponse.ServingStatus
        for name in self._names:
            await self._health.set(name, status.SERVING if yes else status.NOT_SERVING)
