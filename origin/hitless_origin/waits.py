"""Requests that wait for the next publication: who rings, and how many may wait for how long.

A channel has one Bell; the process has one Waits. Nothing here knows HTTP or playlists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum

from hitless_origin.clock import Clock


class Waited(StrEnum):
    """How a wait ended."""

    READY = "Ready"  # what was waited for is there
    LATE = "Late"  # it did not come in time
    CROWDED = "Crowded"  # too many wait already
    CLOSED = "Closed"  # the channel or the process closes


class Bell:
    """Rings once a publication: one event for everybody who waits."""

    def __init__(self) -> None:
        self.next = asyncio.Event()  # set by the next ring
        self.closed = False
        self.callers: set[Callable[[], None]] = set()  # called at a ring, before anybody wakes

    def ring(self) -> None:
        """Wake everybody."""
        for call in tuple(self.callers):
            call()
        rung, self.next = self.next, asyncio.Event()
        rung.set()

    def close(self) -> None:
        """Nothing will be published any more."""
        self.closed = True
        self.ring()


class Waits:
    """The waiting requests of one process. count: now; limit: at most."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self.count = 0
        self._clock = clock
        self._limit = limit
        self._closed = False

    def close(self) -> None:
        """Let nobody wait any longer than until the next ring of their bell."""
        self._closed = True

    async def until(self, ready: Callable[[], bool], bell: Bell, wait_us_max: int) -> Waited:
        """Wait until `ready`, asked at every ring, says so. Leaves no trace when cancelled."""
        if ready():
            return Waited.READY
        if self.count >= self._limit:
            return Waited.CROWDED
        until_us = self._clock.monotonic_us() + wait_us_max
        self.count += 1
        try:
            while not ready():
                if self._closed or bell.closed:
                    return Waited.CLOSED
                if self._clock.monotonic_us() >= until_us:
                    return Waited.LATE
                await self._clock.wait(bell.next, until_us)
        finally:
            self.count -= 1
        return Waited.READY
