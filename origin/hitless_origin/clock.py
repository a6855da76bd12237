"""Time as the origin sees it. The only module that reads a clock; tests bring their own."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

MICROSECONDS = 1_000_000


class Clock(Protocol):
    """What the shells need to know of time, in microseconds."""

    def wall_us(self) -> int:
        """Since the Unix epoch; may jump. For reports and people."""

    def monotonic_us(self) -> int:
        """Never goes back; any origin. For deadlines."""

    async def wait(self, event: asyncio.Event, until_us: int | None) -> None:
        """Return when the event is set or the monotonic time is reached (None: never)."""


class SystemClock:
    """The machine's clocks."""

    def wall_us(self) -> int:
        """Since the Unix epoch."""
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        """Since some moment before the process started."""
        return time.monotonic_ns() // 1000

    async def wait(self, event: asyncio.Event, until_us: int | None) -> None:
        """Return when the event is set or the monotonic time is reached."""
        if until_us is None:
            await event.wait()
            return
        try:
            async with asyncio.timeout(max(0, until_us - self.monotonic_us()) / MICROSECONDS):
                await event.wait()
        except TimeoutError:
            return
