"""A tiny encoder for the tests of `hitless local`: the real peer machine, and no media.

Run as a program with the encoder's environment. Its version says how it behaves: `crash` exits at
once, `unable` because of its configuration, `mute` never serves, `fussy` refuses the handover, any
other works.
"""

# ruff: noqa: ARG002 - the signatures are gRPC's
from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import aiohttp
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
    Stamped,
    Synchronise,
    Take,
)
from hitless_handover.peer_rules import ACCEPTED, leading_term
from hitless_wire import exits
from hitless_wire._gen import handover_pb2 as pb
from hitless_wire._gen import handover_pb2_grpc as services
from hitless_wire.codec import (
    announce_from_wire,
    announce_to_wire,
    begin_from_wire,
    reply_from_wire,
    reply_to_wire,
    report_to_wire,
    sync_from_wire,
    sync_to_wire,
)
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.ingest import HEADER_ENCODER, HEADER_PRIORITY, ingest_path

FRAMES = "Test-Segment-Frames"
CALL_S = 3.0
Context = grpc.aio.ServicerContext[Any, Any]


def now_us() -> int:
    return time.time_ns() // 1000


class Encoder:
    """State, pace and effects."""

    def __init__(self, config: EncoderConfig, version: str) -> None:
        self.config = config
        self.timeline = config.timeline.resolve()
        self.version = version
        self.incumbent_address = ""
        self.tasks: set[asyncio.Task[None]] = set()
        self.peer = Peer(
            identity=Identity(
                namespace=config.namespace,
                channel=config.channel,
                encoder_id=config.encoder_id,
                instance=uuid.uuid4().hex,
                version=version,
            ),
            timeline=self.timeline,
        )

    def step(self, event: Event) -> Reply:
        done = machine.step(self.peer, event, now_us())
        self.peer = done.peer
        for effect in done.effects:
            self._spawn(self._perform(effect))
        return done.reply or ACCEPTED

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def sync(self) -> SyncInfo:
        return SyncInfo(
            timeline=self.timeline,
            fingerprint="stand-in",
            anchor=None,
            init_digests=(),
            current_frame=self.timeline.frame_at(now_us()),
            head_segment=self.peer.head or 0,
        )

    def report(self) -> EncoderReport:
        return EncoderReport(
            identity=self.peer.identity,
            leading_term=leading_term(self.peer),
            head_segment=self.peer.head,
            current_frame=self.timeline.frame_at(now_us()),
            anchor=None,
            source_state="Running",
            source_message="",
            speed_percent=100,
            handover=machine.report(self.peer),
        )

    # --- pace ---

    async def encode(self) -> None:
        async with aiohttp.ClientSession() as http:
            segment = self.timeline.segment_of(self.timeline.frame_at(now_us()))
            while True:
                ends_us = self.timeline.wall_us(self.timeline.first_frame(segment + 1))
                await asyncio.sleep(max(0, ends_us - now_us()) / 1_000_000)
                await self._push(http, segment)
                segment += 1

    async def _push(self, http: aiohttp.ClientSession, segment: int) -> None:
        headers = {
            HEADER_ENCODER: self.config.encoder_id,
            HEADER_PRIORITY: str(priority_of(self.peer.schedule, segment)),
            FRAMES: str(self.timeline.segment_frames),
        }
        self.step(Stamped(segment=segment))
        path = ingest_path(self.config.namespace, self.config.channel)
        url = f"{self.config.ingest_url}{path}/video/{segment}.m4s"
        try:
            async with http.put(url, headers=headers) as response:
                if response.status == 201:
                    self.step(Pushed(segment=segment))
        except aiohttp.ClientError as error:
            print(f"segment {segment}: {error}", flush=True)

    # --- effects ---

    async def _perform(self, effect: Effect) -> None:
        match effect:
            case SendAnnounce() | SendSync() | SendSamples() | SendPropose() | SendArm():
                try:
                    reply = await self._request(effect)
                except grpc.aio.AioRpcError as error:
                    failed = CallFailed(handover_id=effect.handover_id, message=str(error.code()))
                    self.step(failed)
                    return
                self.step(Answered(handover_id=effect.handover_id, reply=reply))
            case SendAbort() | _:
                return  # the stand-in's incumbent is told by the supervisor

    async def _request(
        self, effect: SendAnnounce | SendSync | SendSamples | SendPropose | SendArm
    ) -> Reply:
        async with grpc.aio.insecure_channel(self.incumbent_address) as channel:
            stub = services.HandoverServiceStub(channel)
            return reply_from_wire(await self._ask(stub, effect))

    async def _ask(
        self,
        stub: services.HandoverServiceStub,
        effect: SendAnnounce | SendSync | SendSamples | SendPropose | SendArm,
    ) -> pb.Reply:
        known = effect.handover_id
        match effect:
            case SendAnnounce():
                announce = announce_to_wire(self._announcement(known))
                return (await stub.Announce(announce, timeout=CALL_S)).reply
            case SendSync():
                sync = pb.SynchroniseRequest(handover_id=known, successor=sync_to_wire(self.sync()))
                return (await stub.Synchronise(sync, timeout=CALL_S)).reply
            case SendSamples():
                return (await stub.Verify(_samples(known), timeout=CALL_S)).reply
            case SendPropose():
                propose = pb.ProposeRequest(handover_id=known, frame=effect.frame)
                return (await stub.Propose(propose, timeout=CALL_S)).reply
            case SendArm():
                arm = pb.ArmRequest(handover_id=known, frame=effect.frame)
                return (await stub.Arm(arm, timeout=CALL_S)).reply

    def _announcement(self, handover_id: str) -> Announce:
        side = self.peer.side
        assert side is not None
        return Announce(
            handover_id=handover_id,
            term=side.term,
            successor=self.peer.identity,
            criteria=side.criteria,
            deadline_us=side.deadline_us,
        )


async def _samples(handover_id: str) -> AsyncIterator[pb.VerifyRequest]:
    yield pb.VerifyRequest(handover_id=handover_id, segment=0, track="video")


class Orders(services.EncoderServiceServicer):
    """What the supervisor calls."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    async def GetReport(
        self, request: pb.GetReportRequest, context: Context
    ) -> pb.GetReportResponse:
        return pb.GetReportResponse(report=report_to_wire(self._encoder.report()))

    async def Take(self, request: pb.TakeRequest, context: Context) -> pb.TakeResponse:
        reply = self._encoder.step(Take(term=request.term))
        return pb.TakeResponse(reply=reply_to_wire(reply))

    async def Begin(self, request: pb.BeginRequest, context: Context) -> pb.BeginResponse:
        self._encoder.incumbent_address = request.incumbent_address
        reply = self._encoder.step(begin_from_wire(request))
        return pb.BeginResponse(reply=reply_to_wire(reply))

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:
        reply = self._encoder.step(Release(handover_id=request.handover_id))
        return pb.ReleaseResponse(reply=reply_to_wire(reply))

    async def Abort(self, request: pb.AbortRequest, context: Context) -> pb.AbortResponse:
        order = Abort(handover_id=request.handover_id, reason=request.reason)
        return pb.AbortResponse(reply=reply_to_wire(self._encoder.step(order)))

    async def Follow(self, request: pb.FollowRequest, context: Context) -> pb.FollowResponse:
        return pb.FollowResponse(reply=pb.Reply(accepted=True))


class Calls(services.HandoverServiceServicer):
    """What the successor calls."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    async def Announce(self, request: pb.AnnounceRequest, context: Context) -> pb.AnnounceResponse:
        reply = self._encoder.step(announce_from_wire(request))
        return pb.AnnounceResponse(reply=reply_to_wire(reply))

    async def Synchronise(
        self, request: pb.SynchroniseRequest, context: Context
    ) -> pb.SynchroniseResponse:
        own = self._encoder.sync()
        event = Synchronise(
            handover_id=request.handover_id, own=own, other=sync_from_wire(request.successor)
        )
        reply = reply_to_wire(self._encoder.step(event))
        return pb.SynchroniseResponse(reply=reply, incumbent=sync_to_wire(own))

    async def Verify(
        self, request_iterator: AsyncIterator[pb.VerifyRequest], context: Context
    ) -> pb.VerifyResponse:
        handover_id = ""
        async for sample in request_iterator:
            handover_id = sample.handover_id
        fussy = self._encoder.version == "fussy"
        judged = Judged(handover_id=handover_id, ok=not fussy, message="not to my taste")
        return pb.VerifyResponse(reply=reply_to_wire(self._encoder.step(judged)))

    async def Propose(self, request: pb.ProposeRequest, context: Context) -> pb.ProposeResponse:
        event = Propose(handover_id=request.handover_id, frame=request.frame)
        return pb.ProposeResponse(reply=reply_to_wire(self._encoder.step(event)))

    async def Arm(self, request: pb.ArmRequest, context: Context) -> pb.ArmResponse:
        event = Arm(handover_id=request.handover_id, frame=request.frame)
        return pb.ArmResponse(reply=reply_to_wire(self._encoder.step(event)))

    async def CallOff(self, request: pb.CallOffRequest, context: Context) -> pb.CallOffResponse:
        event = Abort(handover_id=request.handover_id, reason=request.reason)
        return pb.CallOffResponse(reply=reply_to_wire(self._encoder.step(event)))


async def serve(encoder: Encoder, address: str) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server()
    services.add_EncoderServiceServicer_to_server(Orders(encoder), server)
    services.add_HandoverServiceServicer_to_server(Calls(encoder), server)
    server.add_insecure_port(address)
    await server.start()
    pace = asyncio.create_task(encoder.encode())
    print(json.dumps({"serving": address}), flush=True)
    await stop.wait()
    pace.cancel()
    await asyncio.gather(pace, *encoder.tasks, return_exceptions=True)
    await server.stop(grace=0)


async def main() -> None:
    config = EncoderConfig.model_validate_json(os.environ["HITLESS_ENCODER_CONFIG"])
    version = os.environ["HITLESS_VERSION"]
    if version == "crash":
        print("no such codec: oops", flush=True)
        sys.exit(3)
    if version == "unable":
        print("profiles.v180.codec: no such encoder here", flush=True)
        sys.exit(exits.CONFIGURATION)
    if version == "mute":
        await asyncio.Event().wait()
    host, port = os.environ["HITLESS_GRPC_HOST"], os.environ["HITLESS_GRPC_PORT"]
    await serve(Encoder(config, version), f"{host}:{port}")


if __name__ == "__main__":
    asyncio.run(main())
