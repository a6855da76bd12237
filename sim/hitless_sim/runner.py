"""Runs seeds against the checkers: one, or many on all cores; shrinks what fails.

Owns processes and progress. What a seed does is the world's business, what is wrong the checkers'.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain

from hitless_sim.checkers import Judge, Violation
from hitless_sim.coverage import Coverage
from hitless_sim.facts import Fact
from hitless_sim.faults import Fault, UserEvent
from hitless_sim.lines import line_of
from hitless_sim.plan import Plan, items, plan_of, with_items
from hitless_sim.saved import saved_plans
from hitless_sim.shrink import shrink
from hitless_sim.world import run

BROKEN_MACHINE = "I0"  # the machines' own complaint: an illegal transition, a failed assertion
CHUNK_SEEDS = 10
TRACE_LINES = 40  # shown of a failure
PROGRESS_S = 5.0
FACT_INDENT = "  "  # of a fact in the trace of a world


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a run failed. at_us: of the violation, 0 if unknown. traceback: of a broken machine."""

    invariant: str
    message: str
    at_us: int = 0
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at_us / 1e6:.3f} s: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run came to. digest: SHA-256 over the lines of its trace. tail: the last of them."""

    failure: Failure | None
    digest: str
    tail: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One run among many. name: "seed N", or that of a saved plan. counts: its coverage."""

    name: str
    saved: bool
    failure: Failure | None
    counts: Counter[str]


@dataclass(slots=True, kw_only=True)
class Tally:
    """What many runs came to. saved: how many saved plans. failed: name and failure, in order."""

    seeds: int = 0
    saved: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, Failure]] = field(default_factory=list)

    def add(self, ran: Ran) -> None:
        """Count a run."""
        self.saved += ran.saved
        self.seeds += not ran.saved
        self.counts.update(ran.counts)
        if ran.failure is not None:
            self.failed.append((ran.name, ran.failure))


def judge(
    plan: Plan,
    *,
    watch: Callable[[Fact], None] | None = None,
    trace: Callable[[str], None] | None = None,
) -> Failure | None:
    """Run a plan before all checkers. None: nothing is wrong with it. watch: sees facts first."""
    court = Judge()
    now_us = 0

    def see(fact: Fact) -> None:
        nonlocal now_us
        now_us = fact.at_us
        if watch is not None:
            watch(fact)
        court.see(fact)

    try:
        run(plan, see, trace)
    except Violation as violation:
        return Failure(
            invariant=violation.invariant, message=violation.message, at_us=violation.at_us
        )
    except Exception as error:  # whatever the machines raise is their violation
        message = f"the machine broke its own rules: {type(error).__name__}: {error}"
        story = traceback.format_exc()
        return Failure(invariant=BROKEN_MACHINE, message=message, at_us=now_us, traceback=story)
    return None


def replay(plan: Plan, *, show: Callable[[str], None] | None = None) -> Result:
    """Run a plan with its trace. show: gets each line, facts as people read them."""
    sum_ = hashlib.sha256()
    tail: deque[str] = deque(maxlen=TRACE_LINES)

    def tell(line: str) -> None:
        tail.append(line)
        if show is not None:
            show(line)

    def trace(line: str) -> None:
        sum_.update(f"{line}\n".encode())
        if not line.startswith(FACT_INDENT):
            tell(line)

    failure = judge(plan, watch=lambda fact: tell(line_of(fact)), trace=trace)
    return Result(failure=failure, digest=sum_.hexdigest(), tail=tuple(tail))


def shrunk(plan: Plan, failure: Failure) -> Plan:
    """The plan with only those of its items without which the same invariant would hold."""

    def fails(kept: tuple[Fault | UserEvent, ...]) -> bool:
        found = judge(with_items(plan, kept))
        return found is not None and found.invariant == failure.invariant

    return with_items(plan, shrink(items(plan), fails))


# --- many seeds ---


def run_many(
    seeds: range,
    *,
    jobs: int,
    keep_going: bool = False,
    tell: Callable[[str, Failure], None] | None = None,
) -> Tally:
    """Run the saved plans, then seeds in order, on `jobs` processes.

    Stops at the first that fails, unless keep_going. tell: hears of each failure at once.
    """
    tally, progress = Tally(), _Progress(len(seeds))
    with closing(_runs(seeds, jobs)) as runs:
        for ran in runs:
            tally.add(ran)
            if ran.failure is not None and tell is not None:
                tell(ran.name, ran.failure)
            if ran.failure is not None and not keep_going:
                break
            progress.show(tally)
    progress.show(tally, last=True)
    return tally


def _runs(seeds: range, jobs: int) -> Generator[Ran, None, None]:
    """In order, so that the first failure is always the same one. Closing it ends the processes."""
    for name, plan in saved_plans():
        yield _run_one(name, plan, saved=True)
    chunks = [seeds[start : start + CHUNK_SEEDS] for start in range(0, len(seeds), CHUNK_SEEDS)]
    if jobs == 1:
        yield from chain.from_iterable(map(_run_chunk, chunks))
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(jobs, len(chunks) or 1), _leave_signals_to_parent) as pool:
        yield from chain.from_iterable(pool.imap(_run_chunk, chunks))


def _leave_signals_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_chunk(seeds: range) -> list[Ran]:
    return [_run_one(f"seed {seed}", plan_of(seed), saved=False) for seed in seeds]


def _run_one(name: str, plan: Plan, *, saved: bool) -> Ran:
    coverage = Coverage()
    failure = judge(plan, watch=coverage.see)
    return Ran(name=name, saved=saved, failure=failure, counts=coverage.counts)


class _Progress:
    """A line on stderr that says how far it is."""

    def __init__(self, seeds: int) -> None:
        self._seeds = seeds
        self._began_s = self._shown_s = time.monotonic()
        self._live = sys.stderr.isatty()

    def show(self, tally: Tally, *, last: bool = False) -> None:
        now_s = time.monotonic()
        if not last and now_s - self._shown_s < (0.2 if self._live else PROGRESS_S):
            return
        self._shown_s = now_s
        speed = tally.seeds / max(now_s - self._began_s, 0.001)
        left_s = (self._seeds - tally.seeds) / max(speed, 0.001)
        line = f"{tally.seeds} of {self._seeds} seeds, {speed:.0f} a second"
        line += f", {len(tally.failed)} failed" if tally.failed else ""
        line += "" if last else f", {left_s:.0f} s to go"
        start, end = ("\r\x1b[K", "\n" if last else "") if self._live else ("", "\n")
        sys.stderr.write(f"{start}{line}{end}")
        sys.stderr.flush()
