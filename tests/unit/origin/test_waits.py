"""Waiting for a ring: every way it ends."""

from __future__ import annotations

import asyncio

from tests.component.origin.studio import ManualClock

from hitless_origin.waits import Bell, Waited, Waits


async def _counted(waits: Waits, count: int) -> None:
    while waits.count != count:  # noqa: ASYNC110  # a count rings no bell
        await asyncio.sleep(0)


async def test_what_is_there_needs_no_wait() -> None:
    waits = Waits(ManualClock(), 0)
    assert await waits.until(lambda: True, Bell(), 10) is Waited.READY
    assert await waits.until(lambda: False, Bell(), 10) is Waited.CROWDED


async def test_one_ring_wakes_everybody_and_asks_again() -> None:
    waits, bell, there = Waits(ManualClock(), 10), Bell(), set()
    tasks = [
        asyncio.create_task(waits.until(lambda i=i: i in there, bell, 10))  # type: ignore[misc]
        for i in range(3)
    ]
    await _counted(waits, 3)
    there |= {0, 1}
    bell.ring()
    assert await asyncio.gather(*tasks[:2]) == [Waited.READY, Waited.READY]
    assert waits.count == 1
    there.add(2)
    bell.ring()
    assert await tasks[2] is Waited.READY


async def test_it_ends_in_time() -> None:
    clock = ManualClock()
    waits, bell = Waits(clock, 10), Bell()
    task = asyncio.create_task(waits.until(lambda: False, bell, 10))
    await _counted(waits, 1)
    clock.move(9)
    bell.ring()
    await _counted(waits, 1)
    clock.move(1)
    assert await task is Waited.LATE
    assert waits.count == 0


async def test_it_ends_with_the_channel_and_with_the_process() -> None:
    waits, bells = Waits(ManualClock(), 10), [Bell(), Bell()]
    tasks = [asyncio.create_task(waits.until(lambda: False, bell, 10)) for bell in bells]
    await _counted(waits, 2)
    bells[0].close()
    assert await tasks[0] is Waited.CLOSED
    waits.close()
    bells[1].ring()
    assert await tasks[1] is Waited.CLOSED
    assert await waits.until(lambda: False, bells[1], 10) is Waited.CLOSED


async def test_who_is_cancelled_waits_no_longer() -> None:
    waits = Waits(ManualClock(), 10)
    task = asyncio.create_task(waits.until(lambda: False, Bell(), 10))
    await _counted(waits, 1)
    task.cancel()
    await asyncio.wait([task])
    assert waits.count == 0
