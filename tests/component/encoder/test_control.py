"""Two real encoder processes and real gRPC between them: what a handover is on the wire."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.component.encoder.studio import Receiver, make_config, receiver

import hitless_encoder
from hitless_handover.messages import Criteria, EncoderReport, PeerPhase, Refusal
from hitless_handover.supervisor_model import BeginHandover, GrantTerm, ReleaseHandover
from hitless_wire.ingest import HEADER_ENCODER, HEADER_PRIORITY
from hitless_wire.peers import Order, Peers

LADDER = ((256, 144, 300),)
SEGMENT_FRAMES = 30
CRITERIA = Criteria(lead_segments=1, verify_segments=1, psnr_min_db=26)
DEADLINE_S = 120
HANDOVER = "handover-2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    name: str
    address: str


@asynccontextmanager
async def encoder(
    end: Receiver,
    name: str,
    preset: str,
    ladder: tuple[tuple[int, int, int], ...] = LADDER,
) -> AsyncIterator[Running]:
    """A process that serves gRPC and has had a segment acknowledged."""
    config = make_config(
        sizes=ladder, segment_frames=SEGMENT_FRAMES, ingest_url=end.url, encoder_id=name
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", hitless_encoder.__name__, "--grpc-host", "127.0.0.1",
        "--grpc-port", "0",
        env={
            **os.environ,
            "HITLESS_ENCODER_CONFIG": config.to_json(),
            "HITLESS_VERSION": preset,
            "HITLESS_PRESET": preset,
        },
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    address = await _address(process.stderr)
    drain = asyncio.create_task(process.stderr.read())
    try:
        yield Running(name=name, address=address)
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.gather(process.wait(), drain)


async def _address(log: asyncio.StreamReader) -> str:
    async with asyncio.timeout(DEADLINE_S):
        async for line in log:
            found = re.search(rb"gRPC on port (\d+)", line)
            if found:
                return f"127.0.0.1:{int(found[1])}"
    raise AssertionError("the encoder ended before it served gRPC")


async def until(
    peers: Peers, who: Running, condition: Callable[[EncoderReport], bool]
) -> EncoderReport:
    """Ask until the report fulfils the condition."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            report = await peers.encoder_report(who.address)
            if report is not None and condition(report):
                return report
            await asyncio.sleep(0.1)


def begin(successor: Running, incumbent: Running) -> BeginHandover:
    return BeginHandover(
        name=successor.name,
        incumbent=incumbent.name,
        handover_id=HANDOVER,
        term=2,
        criteria=CRITERIA,
        deadline_us=time.time_ns() // 1000 + DEADLINE_S * 1_000_000,
    )


async def accepted(peers: Peers, order: Order, *who: Running) -> None:
    reply = await peers.tell(order, {one.name: one.address for one in who})
    assert reply is not None
    assert reply.accepted, reply


def phase_is(*phases: PeerPhase) -> Callable[[EncoderReport], bool]:
    return lambda report: report.handover is not None and report.handover.phase in phases


async def test_two_versions_hand_over_at_the_agreed_frame() -> None:
    async with (
        receiver() as end,
        Peers() as peers,
        encoder(end, "old", "superfast") as old,
        encoder(end, "new", "veryfast") as new,
    ):
        await until(peers, old, lambda report: report.head_segment is not None)
        await accepted(peers, GrantTerm(name="old", term=1), old)
        await until(peers, new, lambda report: report.head_segment is not None)
        await accepted(peers, begin(new, old), new, old)
        ended = phase_is(PeerPhase.SWITCHED, PeerPhase.ABORTED)
        theirs = (await until(peers, new, ended)).handover
        ours = (await until(peers, old, ended)).handover
        for name in ("new", "old"):
            await accepted(peers, ReleaseHandover(name=name, handover_id=HANDOVER), new, old)
        assert ours is not None
        assert theirs is not None
        assert (ours.phase, theirs.phase) == (PeerPhase.SWITCHED, PeerPhase.SWITCHED), theirs
        assert ours.frame == theirs.frame
        assert theirs.frame is not None
        event = theirs.frame // SEGMENT_FRAMES
        assert ours.confirmation is not None
        assert ours.confirmation.segment == event - 1
        assert theirs.confirmation is not None
        assert (theirs.confirmation.segment, theirs.confirmation.gap_frames) == (event, 0)
        stamped = priorities(end)
        assert {p for (who, k), p in stamped.items() if who == "new" and k >= event} == {2}
        assert {p for (who, k), p in stamped.items() if who == "new" and k < event} == {0}
        assert {p for (who, k), p in stamped.items() if who == "old" and k >= event} <= {0}
        assert stamped["old", event - 1] == 1


def priorities(end: Receiver) -> dict[tuple[str, int], int]:
    """What each encoder's segments were stamped with; the same for all of a segment's tracks."""
    found: dict[tuple[str, int], int] = {}
    for path, headers in end.headers:
        number = re.search(r"/(\d+)\.m4s$", path)
        if number:
            key = (headers[HEADER_ENCODER], int(number[1]))
            assert found.setdefault(key, int(headers[HEADER_PRIORITY])) == int(
                headers[HEADER_PRIORITY]
            )
    return found


async def test_another_ladder_is_refused_with_the_field_and_changes_nothing() -> None:
    async with (
        receiver() as end,
        Peers() as peers,
        encoder(end, "old", "superfast") as old,
        encoder(end, "new", "superfast", ((128, 72, 200),)) as new,
    ):
        await until(peers, old, lambda report: report.head_segment is not None)
        await accepted(peers, GrantTerm(name="old", term=1), old)
        await until(peers, new, lambda report: report.head_segment is not None)
        await accepted(peers, begin(new, old), new, old)
        refused = (await until(peers, new, phase_is(PeerPhase.ABORTED))).handover
        assert refused is not None
        assert refused.reason is Refusal.MISMATCH
        assert refused.message.startswith("fingerprint: incumbent has ")
        incumbent = await peers.encoder_report(old.address)
        assert incumbent is not None
        assert incumbent.leading_term == 1


async def test_health_and_reflection_are_served() -> None:
    async with (
        receiver() as end,
        encoder(end, "one", "superfast") as one,
        grpc.aio.insecure_channel(one.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        for service in (
            "",
            "hitless.handover.v1.EncoderService",
            "hitless.handover.v1.HandoverService",
        ):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        )
        listed = [s.name async for r in call for s in r.list_services_response.service]
        assert "hitless.handover.v1.HandoverService" in listed
        assert "grpc.health.v1.Health" in listed
