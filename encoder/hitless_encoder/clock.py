"""The encoder's only way to time: wall clock and waiting, behind a protocol that tests replace.

Media time never comes from here (that is hitless_handover.timeline); this says when a frame of a
wall-clock-keyed source is due, and how long to wait before a retry.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Protocol

MICROSECONDS = 1_000_000


class Clock(Protocol):
    """Wall time in microseconds since the Unix epoch, and waiting for it."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        ...

    def sleep_until(self, wall_us: int, stop: threading.Event) -> None:
        """Block the calling thread until wall_us, or until `stop` is set."""
        ...

    async def pause(self, seconds: float) -> None:
        """Let the event loop run for some seconds."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1000

    def sleep_until(self, wall_us: int, stop: threading.Event) -> None:
        """Block the calling thread until wall_us, or until `stop` is set."""
        wait_us = wall_us - self.now_us()
        if wait_us > 0:
            stop.wait(wait_us / MICROSECONDS)

    async def pause(self, seconds: float) -> None:
        """Let the event loop run for some seconds."""
        await asyncio.sleep(seconds)
