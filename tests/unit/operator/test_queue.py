"""The work queue with a clock of its own: a number that the test moves."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from hitless_operator.queue import (
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    SOON_S,
    TryAgain,
    WorkQueue,
    backoff_s,
)


@dataclass
class Handle:
    when: float
    callback: Callable[..., Any]
    args: tuple[Any, ...]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Clock:
    now: float = 1000.0
    handles: list[Handle] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> Handle:
        self.handles.append(Handle(when, callback, args))
        return self.handles[-1]

    async def pass_s(self, seconds: float) -> None:
        """Let time pass: timers fire in order, and what they set off is done."""
        end = self.now + seconds
        while due := [h for h in self.pending() if h.when <= end]:
            first = min(due, key=lambda h: h.when)
            self.now = first.when
            self.handles.remove(first)
            first.callback(*first.args)
            await settle()
        self.now = end

    def pending(self) -> list[Handle]:
        self.handles = [h for h in self.handles if not h.cancelled]
        return self.handles


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Work:
    """Counts looks; `gate` holds them up; `answer` says what a look returns or raises."""

    def __init__(self) -> None:
        self.looks: list[str] = []
        self.running: Counter[str] = Counter()
        self.running_max = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer: Callable[[str], float | None] = lambda _: None

    async def __call__(self, key: str) -> float | None:
        self.looks.append(key)
        self.running[key] += 1
        assert self.running[key] == 1, "a key is never worked on twice at a time"
        self.running_max = max(self.running_max, self.running.total())
        try:
            await self.gate.wait()
            return self.answer(key)
        finally:
            self.running[key] -= 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def work() -> Work:
    return Work()


@pytest.fixture
async def queue(work: Work, clock: Clock) -> AsyncIterator[WorkQueue[str]]:
    async with WorkQueue(work, workers=3, timer=clock) as made:
        yield made


async def test_a_waiting_key_is_looked_at_once(work: Work, queue: WorkQueue[str]) -> None:
    for _ in range(5):
        queue.add("a")
    queue.add("b")
    await settle()
    assert work.looks == ["a", "b"]


async def test_a_change_during_a_look_makes_one_more(work: Work, queue: WorkQueue[str]) -> None:
    work.gate.clear()
    queue.add("a")
    await settle()
    for _ in range(3):
        queue.add("a")
    await settle()
    assert work.looks == ["a"]
    work.gate.set()
    await settle()
    assert work.looks == ["a", "a"]


async def test_work_at_once_is_bounded(work: Work, queue: WorkQueue[str]) -> None:
    work.gate.clear()
    for n in range(10):
        queue.add(str(n))
    await settle()
    assert (queue.state().running, queue.state().waiting) == (3, 7)
    work.gate.set()
    await settle()
    assert work.looks == [str(n) for n in range(10)]
    assert work.running_max == 3


async def test_a_look_says_when_to_look_again(
    work: Work, queue: WorkQueue[str], clock: Clock
) -> None:
    work.answer = lambda _: 2.0 if len(work.looks) < 3 else None
    queue.add("a")
    await settle()
    await clock.pass_s(1.9)
    assert len(work.looks) == 1
    await clock.pass_s(0.2)
    assert len(work.looks) == 2
    await clock.pass_s(60)
    assert len(work.looks) == 3
    assert clock.pending() == [], "a quiet key holds no timer"


async def test_a_change_comes_before_the_appointment(
    work: Work, queue: WorkQueue[str], clock: Clock
) -> None:
    work.answer = lambda _: 30.0 if len(work.looks) == 1 else None
    queue.add("a")
    await settle()
    queue.add("a")
    await settle()
    assert len(work.looks) == 2
    await clock.pass_s(60)
    assert len(work.looks) == 2


async def test_the_earlier_of_two_appointments_stands(
    work: Work, queue: WorkQueue[str], clock: Clock
) -> None:
    queue.add_in("a", 5)
    queue.add_in("a", 3)
    queue.add_in("a", 9)
    await clock.pass_s(3.1)
    assert work.looks == ["a"]
    await clock.pass_s(20)
    assert work.looks == ["a"]


async def test_failures_back_off_up_to_a_cap_and_are_forgotten(
    work: Work, queue: WorkQueue[str], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(key: str) -> float | None:
        raise ValueError("broken")

    work.answer = fail
    queue.add("a")
    await settle()
    at = [clock.now]
    for _ in range(12):
        known = len(work.looks)
        while len(work.looks) == known:
            await clock.pass_s(0.1)
        at.append(clock.now)
    waits = [round(b - a, 1) for a, b in pairwise(at)]
    assert waits[:4] == [0.2, 0.4, 0.8, 1.6]
    assert max(waits) == pytest.approx(BACKOFF_MAX_S, abs=0.2)
    assert queue.state().failing == 1
    assert "broken" in caplog.text
    work.answer = lambda _: None
    await clock.pass_s(BACKOFF_MAX_S + 1)
    assert queue.state().failing == 0


async def test_events_do_not_outrun_the_back_off_of_a_failing_key(
    work: Work, queue: WorkQueue[str], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(key: str) -> float | None:
        queue.add(key)
        raise TryAgain("conflict")

    caplog.set_level(logging.INFO)
    work.answer = refuse
    queue.add("a")
    await settle()
    assert len(work.looks) == 1
    await clock.pass_s(BACKOFF_FIRST_S + 0.01)
    assert len(work.looks) == 2
    assert "Traceback" not in caplog.text


async def test_closing_cancels_what_runs_and_takes_no_more(work: Work, clock: Clock) -> None:
    async with WorkQueue(work, workers=2, timer=clock) as queue:
        work.gate.clear()
        queue.add("a")
        queue.add_in("b", 5)
        await settle()
    queue.add("c")
    queue.add_in("d", 1)
    await clock.pass_s(10)
    assert work.looks == ["a"]
    assert work.running.total() == 0


async def test_who_is_looked_at_much_later_counts_as_at_rest(
    queue: WorkQueue[str], clock: Clock
) -> None:
    queue.add_in("a", SOON_S)
    queue.add_in("b", SOON_S + 10)
    assert queue.state().delayed == 1
    await clock.pass_s(10)
    assert queue.state().delayed == 2


async def test_the_longest_look_shows(work: Work, queue: WorkQueue[str], clock: Clock) -> None:
    work.gate.clear()
    queue.add("a")
    await settle()
    await clock.pass_s(7)
    assert queue.state().running_s_max == 7
    work.gate.set()


def test_back_off_grows_and_is_capped() -> None:
    assert [backoff_s(n) for n in (1, 2, 3)] == [0.2, 0.4, 0.8]
    assert backoff_s(10**9) == BACKOFF_MAX_S
