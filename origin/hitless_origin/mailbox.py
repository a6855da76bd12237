"""One task that does one thing after the other, and wakes itself when asked to.

Owns order and time for a channel; it knows nothing of segments. Work that fails fails its caller,
never the task.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from hitless_origin.clock import Clock
from hitless_origin.errors import PushRefused

INBOX_MAX = 256  # callers waiting for their turn

T = TypeVar("T")
log = logging.getLogger(__name__)


class Mailbox:
    """A queue of work, a timer, and the task that serves both.

    on_time is awaited in the task after all waiting work is done and whenever `wake_at_us` is
    reached.
    """

    def __init__(self, clock: Clock, on_time: Callable[[], Awaitable[object]]) -> None:
        self.wake_at_us: int | None = None
        self._clock = clock
        self._on_time = on_time
        self._inbox: deque[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]] = deque()
        self._kick = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def start(self, name: str) -> None:
        """Start the task."""
        self._task = asyncio.create_task(self._run(), name=name)

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work in its turn and give its result. Raises what it raises, or PushRefused."""
        if self._closing or len(self._inbox) >= INBOX_MAX:
            raise PushRefused(
                503,
                "the origin is closing" if self._closing else "too many pushes are waiting",
                hint="push it again",
                retry_after_s=1,
            )
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._inbox.append((work, done))
        self._kick.set()
        return await done

    async def settle(self) -> None:
        """Wait until everything asked for so far, and everything due by now, is done."""
        await self.call(self._on_time)

    async def close(self) -> None:
        """Finish what was asked for, then end the task."""
        self._closing = True
        self._kick.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self._closing or self._inbox:
            await self._clock.wait(self._kick, self.wake_at_us)
            self._kick.clear()
            while self._inbox:
                await self._do(*self._inbox.popleft())
            try:
                await self._on_time()
            except Exception:
                log.exception("a timer failed")
                self.wake_at_us = None  # the next push sets it again

    async def _do(self, work: Callable[[], Awaitable[T]], done: asyncio.Future[T]) -> None:
        try:
            result = await work()
        except Exception as error:
            if done.cancelled():
                log.exception("work failed after its caller had gone")
            else:
                done.set_exception(error)
        else:
            if not done.cancelled():
                done.set_result(result)
