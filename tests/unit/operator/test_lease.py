"""The lease: taken, kept, lost and given up, against a small API server and a clock of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from tests.component.operator.fake_api import FakeApi

from hitless_operator.kube import Kube
from hitless_operator.lease import Lease, LeaseLost, LeaseTimes

TIMES = LeaseTimes(duration_s=15, renew_s=5, retry_s=2)


class World:
    """Time moves while somebody sleeps. ends_at_s: then the sleeper is woken for good."""

    def __init__(self, api: FakeApi, client: ApiClient) -> None:
        self.api, self.client = api, client
        self.now_s = 100.0
        self.ends_at_s = 1000.0

    def lease(self, identity: str, offset_s: float = 0) -> Lease:
        """offset_s: of this process's own clock."""
        return Lease(
            Kube(self.client),
            namespace="system",
            name="operator",
            identity=identity,
            now_s=lambda: self.now_s + offset_s,
            wall_us=lambda: int(self.now_s * 1_000_000),
            times=TIMES,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= self.ends_at_s:
            raise TimeoutError

    @property
    def holder(self) -> str:
        return str(self.api.leases["operator"]["spec"]["holderIdentity"])


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with FakeApi() as api, ApiClient(Configuration(host=api.url)) as client:
        yield World(api, client)


async def test_the_first_one_has_it_at_once_and_again_after_a_restart_in_place() -> None:
    async with world() as now:
        await now.lease("one").acquire()
        await now.lease("one").acquire()
        assert now.now_s == 100
        assert now.api.leases["operator"]["spec"]["leaseTransitions"] == 0


async def test_another_one_takes_over_when_it_has_run_out_and_not_before() -> None:
    async with world() as now:
        await now.lease("one").acquire()
        await now.lease("two", offset_s=5000).acquire()
        assert 100 + TIMES.duration_s <= now.now_s <= 100 + TIMES.duration_s + 2 * TIMES.retry_s
        assert now.holder == "two"
        assert now.api.leases["operator"]["spec"]["leaseTransitions"] == 1


async def test_another_one_waits_as_long_as_it_is_renewed() -> None:
    async with world() as now:
        one = now.lease("one")
        await one.acquire()
        now.ends_at_s = 160

        async def sleep(seconds: float) -> None:
            await World.sleep(now, seconds)
            await one._try()

        two = now.lease("two")
        two._sleep = sleep
        with pytest.raises(TimeoutError):
            await two.acquire()
        assert now.holder == "one"


async def test_what_was_given_up_is_free_at_once() -> None:
    async with world() as now:
        one = now.lease("one")
        await one.acquire()
        await one.release()
        await now.lease("two").acquire()
        assert (now.now_s, now.holder) == (100, "two")
        await one.release()
        assert now.holder == "two", "nobody gives up what is another's"


async def test_who_finds_another_holder_ends() -> None:
    async with world() as now:
        one = now.lease("one")
        await one.acquire()
        await now.lease("two", offset_s=0).acquire()
        with pytest.raises(LeaseLost, match="two holds"):
            await one.keep()


async def test_who_can_not_renew_ends_before_anybody_else_may_take_over() -> None:
    async with world() as now:
        one = now.lease("one")
        await one.acquire()
        await now.api._runner.cleanup()
        with pytest.raises(LeaseLost, match="could not be renewed"):
            await one.keep()
        assert now.now_s <= 100 + TIMES.duration_s
