"""The operator ends at any write or order, before or after it took effect; a new one goes on.

One undisturbed run lists the writes; then every prefix of that list is tried.
"""

from __future__ import annotations

import pytest
from tests.component.operator.lab import KEY, Lab, Scythe, lab, spec

from hitless_handover.supervisor_model import ChannelPhase, HandoverPhase

V2 = "localhost/encoder:v2"
# status and create at the start, Take, live, five phases of the update with create and Begin,
# release of both, delete. The exact list is the undisturbed run's.
WRITES_MAX = 24


def over(now: Lab) -> bool:
    update = now.record.handover
    done = update is not None and update.phase is HandoverPhase.COMPLETED
    return done and list(now.api.pods) == ["first-2"]


async def start_and_update(now: Lab) -> None:
    now.api.apply(KEY.name, spec())
    await now.run_until(lambda n: n.record.phase is ChannelPhase.LIVE)
    now.api.apply(KEY.name, spec(V2))
    await now.run_until(over)
    now.check_published()


async def test_the_order_of_writes_and_orders() -> None:
    scythe = Scythe()
    async with lab(scythe, late=True) as now:
        await start_and_update(now)
    assert len(scythe.log) <= WRITES_MAX
    shown = [w for n, w in enumerate(scythe.log) if n == 0 or scythe.log[n - 1] != w]
    assert shown == [
        "status",
        "create",
        "status",
        "GrantTerm",
        "status",
        "create",
        "status",
        "BeginHandover",
        "status",
        "ReleaseHandover",
        "delete",
    ]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, WRITES_MAX + 1))
async def test_a_restart_at_any_write_goes_on_from_the_same_place(at: int, after: bool) -> None:
    scythe = Scythe(at=at, after=after)
    async with lab(scythe, late=True) as now:
        await start_and_update(now)
        assert now.restarts == (1 if at <= scythe.count else 0)
        assert now.record.term == 2
        assert len(now.record.history) == 1
        assert [w for w in now.api.writes if w.startswith("create")] == [
            "create first-1",
            "create first-2",
        ]


async def test_a_crash_loop_gets_there() -> None:
    """Each process ends after four writes or orders: what the longest single look needs."""
    scythe = Scythe()
    async with lab(scythe, late=True) as now:
        for version in ("v1", "v2"):
            now.api.apply(KEY.name, spec(f"localhost/encoder:{version}"))
            for _ in range(80):
                if scythe.at <= scythe.count:
                    scythe.at, scythe.after = scythe.count + 4, True
                await now.step()
        assert over(now)
        now.check_published()
        assert now.restarts >= 4
