"""Encoders without media: a real gRPC server with the real, pure machine behind it.

Each listens on an address of its own in 127/8, as a pod would. Calls between two encoders are made
in this process and arrive at once; orders and reports of the operator go over gRPC. Tests and the
benchmark of the operator use it.
"""

# ruff: noqa: ARG002 - the signatures of servicer methods are gRPC's

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import grpc.aio

from hitless_handover import peer as machine
from hitless_handover.leadership import priority_of
from hitless_handover.messages import EncoderReport, Identity, SyncInfo
from hitless_handover.peer_model import (
    Abort,
    Announce,
    Answered,
    Arm,
    CallFailed,
    Effect,
    Event,
    Judged,
    Peer,
    Propose,
    Pushed,
    Release,
    Reply,
    SendAbort,
    SendAnnounce,
    SendArm,
    SendPropose,
    SendSamples,
    SendSync,
    Side,
    Stamped,
    Synchronise,
    Take,
)
from hitless_handover.peer_rules import leading_term
from hitless_handover.timeline import Anchor
from hitless_wire._gen import handover_pb2 as pb
from hitless_wire._gen.handover_pb2_grpc import (
    EncoderServiceServicer,
    add_EncoderServiceServicer_to_server,
)
from hitless_wire.codec import begin_from_wire, reply_to_wire, report_to_wire
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.peers import GRPC_PORT

ANCHOR = Anchor(
    source_ticks=7, source_timescale=90_000, wrap_ticks=2**33, frame=30_000_000, wall_us=10**12
)
Call = Announce | Synchronise | Judged | Propose | Arm | Abort
_numbers = itertools.count(1)
_addresses = itertools.count()


class Encoder:
    """One encoder process. neighbours: all encoders of the channel by name, alive ones only."""

    def __init__(
        self,
        config: EncoderConfig,
        now_us: Callable[[], int],
        neighbours: dict[str, Encoder],
    ) -> None:
        self.config = config
        self._now_us = now_us
        self._neighbours = neighbours
        self.timeline = config.timeline.resolve()
        identity = Identity(
            namespace=config.namespace,
            channel=config.channel,
            encoder_id=config.encoder_id,
            instance=f"{config.encoder_id}-{next(_numbers)}",
            version="v",
        )
        self.peer = Peer(identity=identity, timeline=self.timeline)
        self.fingerprint = "same"
        self.orders: list[str] = []
        self.ip = _address(next(_addresses))
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        add_EncoderServiceServicer_to_server(_Service(self), self._server)

    async def start(self) -> None:
        self._server.add_insecure_port(f"{self.ip}:{GRPC_PORT}")
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    def report(self) -> EncoderReport:
        return EncoderReport(
            identity=self.peer.identity,
            leading_term=leading_term(self.peer),
            head_segment=self.peer.head,
            current_frame=self.timeline.frame_at(self._now_us()),
            anchor=ANCHOR,
            source_state="Running",
            source_message="",
            speed_percent=150,
            handover=machine.report(self.peer),
        )

    def order(self, event: Event) -> pb.Reply:
        self.orders.append(type(event).__name__)
        reply = self.send(event)
        assert reply is not None
        return reply_to_wire(reply)

    def deliver(self, segment: int) -> int | None:
        """Give a segment out; its priority, None when this encoder pushes nothing any more."""
        if self.peer.retired:
            return None
        priority = priority_of(self.peer.schedule, segment)
        self.send(Stamped(segment=segment))
        return priority

    def pushed(self, segment: int) -> None:
        self.send(Pushed(segment=segment))

    def send(self, event: Event) -> Reply | None:
        result = machine.step(self.peer, event, self._now_us())
        self.peer = result.peer
        for effect in result.effects:
            self._perform(effect)
        return result.reply

    def _perform(self, effect: Effect) -> None:
        side = self.peer.side
        call = None if side is None else self._call_of(effect, side)
        if side is None or call is None:
            return
        incumbent = self._neighbours.get(side.other_id)
        reply = None if incumbent is None else incumbent.send(call)
        if isinstance(call, Abort):
            return
        self.send(
            CallFailed(handover_id=side.handover_id, message="no answer")
            if reply is None
            else Answered(handover_id=side.handover_id, reply=reply)
        )

    def _call_of(self, effect: Effect, side: Side) -> Call | None:
        same = side.handover_id
        match effect:
            case SendAnnounce():
                return Announce(
                    handover_id=same,
                    term=side.term,
                    successor=self.peer.identity,
                    criteria=side.criteria,
                    deadline_us=side.deadline_us,
                )
            case SendSync():
                incumbent = self._neighbours.get(side.other_id, self)
                return Synchronise(handover_id=same, own=incumbent.sync(), other=self.sync())
            case SendSamples():
                return Judged(handover_id=same, ok=True, message="")
            case SendPropose():
                return Propose(handover_id=same, frame=effect.frame)
            case SendArm():
                return Arm(handover_id=same, frame=effect.frame)
            case SendAbort():
                return Abort(handover_id=same, reason=effect.reason)
            case _:
                return None

    def sync(self) -> SyncInfo:
        return SyncInfo(
            timeline=self.timeline,
            fingerprint=self.fingerprint,
            anchor=ANCHOR,
            init_digests=(("audio", "a"), ("high", "b")),
            current_frame=self.timeline.frame_at(self._now_us()),
            head_segment=self.peer.head or 0,
        )


def _address(number: int) -> str:
    """Of 127/8, another one for each number; processes start at different places in it."""
    place = (os.getpid() * 7919 + number) % (253 * 250 * 250)
    return f"127.{2 + place // 62_500}.{place // 250 % 250}.{1 + place % 250}"


Context = grpc.aio.ServicerContext[Any, Any]


class _Service(EncoderServiceServicer):
    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    async def GetReport(
        self, request: pb.GetReportRequest, context: Context
    ) -> pb.GetReportResponse:
        return pb.GetReportResponse(report=report_to_wire(self._encoder.report()))

    async def Take(self, request: pb.TakeRequest, context: Context) -> pb.TakeResponse:
        return pb.TakeResponse(reply=self._encoder.order(Take(term=request.term)))

    async def Begin(self, request: pb.BeginRequest, context: Context) -> pb.BeginResponse:
        assert request.incumbent_address, "the operator says where the incumbent is"
        return pb.BeginResponse(reply=self._encoder.order(begin_from_wire(request)))

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:
        order = Release(handover_id=request.handover_id)
        return pb.ReleaseResponse(reply=self._encoder.order(order))

    async def Abort(self, request: pb.AbortRequest, context: Context) -> pb.AbortResponse:
        order = Abort(handover_id=request.handover_id, reason=request.reason)
        return pb.AbortResponse(reply=self._encoder.order(order))

    async def Follow(self, request: pb.FollowRequest, context: Context) -> pb.FollowResponse:
        return pb.FollowResponse(reply=pb.Reply(accepted=True))
