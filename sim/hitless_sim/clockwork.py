"""Virtual time: one heap of what happens when, and the processes to which it happens.

Owns order. Two things at the same time happen in the order in which they were asked for, so a run
is a function of its plan alone. Nothing here knows of encoders or channels.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

Trace = Callable[[str], None]
Work = Callable[..., None]


class Process:
    """Something that runs. What happens to it waits while it is paused and is lost once it is dead.

    distance_us: one way to the middle of the network. skew_us: how wrong its clock is.
    crash_in, on_crash: what befalls it just before that many effects from now on.
    """

    __slots__ = (
        "backlog",
        "crash_in",
        "dead",
        "distance_us",
        "name",
        "on_crash",
        "paused",
        "skew_us",
    )

    def __init__(self, name: str, distance_us: int) -> None:
        self.name = name
        self.distance_us = distance_us
        self.dead = False
        self.paused = False
        self.skew_us = 0
        self.backlog: list[tuple[Work, tuple[Any, ...]]] = []
        self.crash_in = 0
        self.on_crash: Callable[[], None] | None = None

    def before_effect(self) -> bool:
        """Called before anything that others can see; whether it still comes to it."""
        if self.dead:
            return False
        if self.crash_in:
            self.crash_in -= 1
            if not self.crash_in and self.on_crash is not None:
                self.on_crash()
                return not self.dead and not self.paused
        return True


class Clockwork:
    """The heap. `now_us` is the truth."""

    __slots__ = ("_count", "_heap", "events", "now_us", "over", "trace")

    def __init__(self, now_us: int, trace: Trace | None) -> None:
        self.now_us = now_us
        self.trace = trace
        self.over = False
        self.events = 0
        self._heap: list[tuple[int, int, Process | None, Work, tuple[Any, ...]]] = []
        self._count = 0

    def at(self, time_us: int, process: Process | None, work: Work, *args: Any) -> None:
        """Do it then, or now if that is past; None: to the world, which never stands still."""
        time_us = max(time_us, self.now_us)
        self._count = count = self._count + 1
        heappush(self._heap, (time_us, count, process, work, args))

    def run(self) -> None:
        """Until `over`, or nothing is left to happen."""
        heap, trace = self._heap, self.trace
        while heap and not self.over:
            time_us, _, process, work, args = heappop(heap)
            if process is not None:
                if process.dead:
                    continue
                if process.paused:
                    process.backlog.append((work, args))
                    continue
            self.now_us = time_us
            if trace is not None:
                trace(f"{time_us} {'world' if process is None else process.name} {work.__name__}")
            work(*args)

    def pause(self, process: Process) -> None:
        """Let it stand still."""
        process.paused = True

    def resume(self, process: Process) -> None:
        """All that waited happens now, in order."""
        if not process.paused:
            return
        process.paused = False
        waiting, process.backlog = process.backlog, []
        for work, args in waiting:
            self.at(self.now_us, process, work, *args)

    def tell(self, line: str) -> None:
        """A line of the trace; ask `trace is not None` first where making the line costs."""
        if self.trace is not None:
            self.trace(f"{self.now_us} {line}")
