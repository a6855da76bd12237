"""One keyed work queue: which channel is looked at next, and when again.

Owns deduplication (a key waits once), order (a key is never worked on twice at a time), wake-ups,
back-off after failures, and the bound on work done at once. It knows nothing of Kubernetes. kopf's
handlers and the reconciler's own wake-ups feed it. A quiet key costs a timer at most.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

K = TypeVar("K", bound=Hashable)
BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 30.0
BACKOFF_FACTOR = 2.0
SOON_S = 60.0  # longer than any back-off

_log = logging.getLogger(__name__)


class TryAgain(Exception):
    """The work could not be finished and is to be tried again after the back-off: no defect."""


class TimerHandle(Protocol):
    """A timer that can be called off."""

    def cancel(self) -> None:
        """Call it off."""


class Timer(Protocol):
    """What the queue needs of an event loop; a test gives it another one."""

    def time(self) -> float:
        """Monotonic seconds."""

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> TimerHandle:
        """Call back at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """For the health check. delayed: keys with an appointment within SOON_S; others are at rest.

    running_s_max: how long the longest look has been going on, seconds.
    """

    waiting: int
    running: int
    delayed: int
    failing: int
    running_s_max: float


class WorkQueue(Generic[K]):
    """Use as an async context manager: entering starts the workers, leaving cancels them.

    work: looks at a key and returns in how many seconds to look again at the latest; None = nothing
    to wait for but `add`. It may raise: the key comes back after a back-off.
    """

    def __init__(
        self,
        work: Callable[[K], Awaitable[float | None]],
        *,
        workers: int = 16,
        timer: Timer | None = None,
    ) -> None:
        self._work = work
        self._count = workers
        self._timer: Timer = timer or asyncio.get_running_loop()
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        self._again: set[K] = set()  # added while being worked on
        self._running: dict[K, float] = {}
        self._delayed: dict[K, tuple[float, TimerHandle]] = {}
        self._failures: dict[K, int] = {}
        self._wakeup = asyncio.Semaphore(0)
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._worker(), name=f"queue worker {n}")
            for n in range(self._count)
        ]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop at once: work in progress is cancelled, which must be safe at any point."""
        self._closed = True
        for _, handle in self._delayed.values():
            handle.cancel()
        self._delayed.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def add(self, key: K) -> None:
        """Look at this key as soon as a worker is free."""
        if self._closed:
            return
        self._drop_delay(key)
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._wakeup.release()

    def add_in(self, key: K, delay_s: float) -> None:
        """Look at this key in so many seconds; an earlier appointment stands."""
        if self._closed or key in self._waiting or key in self._again:
            return
        if delay_s <= 0:
            self.add(key)
            return
        when = self._timer.time() + delay_s
        planned = self._delayed.get(key)
        if planned is not None and planned[0] <= when:
            return
        self._drop_delay(key)
        self._delayed[key] = (when, self._timer.call_at(when, self._due, key))

    def state(self) -> QueueState:
        """How it goes."""
        now = self._timer.time()
        return QueueState(
            waiting=len(self._ready),
            running=len(self._running),
            delayed=sum(when - now <= SOON_S for when, _ in self._delayed.values()),
            failing=len(self._failures),
            running_s_max=max((now - since for since in self._running.values()), default=0.0),
        )

    def _due(self, key: K) -> None:
        self._delayed.pop(key, None)
        self.add(key)

    def _drop_delay(self, key: K) -> None:
        planned = self._delayed.pop(key, None)
        if planned is not None:
            planned[1].cancel()

    async def _worker(self) -> None:
        while True:
            await self._wakeup.acquire()
            key = self._ready.popleft()
            self._waiting.discard(key)
            self._running[key] = self._timer.time()
            try:
                delay_s = await self._attempt(key)
            finally:
                del self._running[key]
            if key in self._again:
                self._again.discard(key)
                # A failing key's events don't outrun its back-off.
                if key not in self._failures:
                    delay_s = 0.0
            if delay_s is not None:
                self.add_in(key, delay_s)

    async def _attempt(self, key: K) -> float | None:
        """One look; after a failure, the back-off in seconds."""
        try:
            delay_s = await self._work(key)
        except TryAgain as why:
            _log.info("%s: %s", key, why, extra={"channel": str(key)})
        except Exception:
            _log.exception("%s: the look failed", key, extra={"channel": str(key)})
        else:
            self._failures.pop(key, None)
            return delay_s
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return backoff_s(failures)


def backoff_s(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    exponent = min(failures - 1, 16)  # the cap is reached long before; keeps the power small
    return float(min(BACKOFF_FIRST_S * BACKOFF_FACTOR**exponent, BACKOFF_MAX_S))
