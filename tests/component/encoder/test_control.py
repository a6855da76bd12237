"""Two real encoder processes and real gRPC between them: what a handover is on the wire."""

from __future__ import annotations

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.component.encoder.duo import (
    HANDOVER,
    SEGMENT_FRAMES,
    accepted,
    begin,
    encoder,
    phase_is,
    priorities,
    until,
)
from tests.component.encoder.studio import receiver

from hitless_handover.messages import PeerPhase, Refusal
from hitless_handover.supervisor_model import GrantTerm, ReleaseHandover
from hitless_wire.peers import Peers


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
