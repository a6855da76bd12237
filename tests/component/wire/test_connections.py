"""Connections to encoders, against real gRPC servers that come and go under one address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hitless_wire import connections
from hitless_wire.connections import Connections

CALL_S = 30
LOCAL = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))


class Encoder(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # untyped
    """peers: the connections that it was asked over, one entry a call."""

    def __init__(self) -> None:
        self.peers: list[str] = []

    async def Check(
        self,
        request: health_pb2.HealthCheckRequest,  # noqa: ARG002 - as in the protocol
        context: grpc.aio.ServicerContext[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ],
    ) -> health_pb2.HealthCheckResponse:
        """It is well."""
        self.peers.append(context.peer())
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


@asynccontextmanager
async def serving(encoder: Encoder, port: int = 0) -> AsyncIterator[int]:
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    health_pb2_grpc.add_HealthServicer_to_server(encoder, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@asynccontextmanager
async def connections_() -> AsyncIterator[Connections]:
    made = Connections(LOCAL)
    try:
        yield made
    finally:
        await made.close()


async def check(channel: grpc.aio.Channel) -> int:
    """The status that whoever is there tells."""
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=CALL_S)
    return int(answer.status)


async def test_calls_that_follow_each_other_share_a_connection() -> None:
    async with serving(encoder := Encoder()) as port, connections_() as made:
        for _ in range(3):
            await made.call(f"127.0.0.1:{port}", check)
        assert len(encoder.peers) == 3
        assert len(set(encoder.peers)) == 1


async def test_whoever_comes_under_the_address_of_another_is_reached_at_once() -> None:
    async with connections_() as made:
        async with serving(Encoder()) as port:
            await made.call(f"127.0.0.1:{port}", check)
        async with serving(after := Encoder(), port):
            await made.call(f"127.0.0.1:{port}", check)
        assert len(after.peers) == 1


async def test_nobody_there_is_an_error_once_and_no_obstacle_later() -> None:
    async with connections_() as made:
        async with serving(Encoder()) as port:
            pass
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError):
                await made.call(f"127.0.0.1:{port}", check)
        async with serving(after := Encoder(), port):
            await made.call(f"127.0.0.1:{port}", check)
        assert len(after.peers) == 1


async def test_only_so_many_are_kept_and_none_in_use_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "KEPT_MAX", 1)
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(channel: grpc.aio.Channel) -> int:
        asked.set()
        await go_on.wait()
        return await check(channel)

    async with (
        serving(first := Encoder()) as one,
        serving(second := Encoder()) as two,
        connections_() as made,
    ):
        waiting = asyncio.create_task(made.call(f"127.0.0.1:{one}", slowly))
        await asked.wait()
        for _ in range(2):
            await made.call(f"127.0.0.1:{two}", check)
        go_on.set()
        assert await waiting == health_pb2.HealthCheckResponse.SERVING
        for _ in range(2):
            await made.call(f"127.0.0.1:{two}", check)
    assert len(first.peers) == 1
    assert len(second.peers) == 4
    assert len(set(second.peers)) == 3, "kept from the third on, when the first was not in use"
