"""Time as the probe sees it, so that tests can supply their own."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic seconds, wall microseconds since the epoch, and waiting."""

    def monotonic_s(self) -> float:
        """Seconds that never go back."""

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch."""

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch."""
        return time.time_ns() // 1000

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        await asyncio.sleep(seconds)
