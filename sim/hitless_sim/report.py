"""What the command line says of runs: failures made small, replays, saved plans."""

from __future__ import annotations

import sys
from pathlib import Path

from hitless_sim import runner
from hitless_sim.plan import Plan, describe, plan_from_json, plan_of, plan_to_json
from hitless_sim.saved import REGRESSIONS

COMMAND = "python -m hitless_sim"


def say(*lines: str) -> None:
    """Print."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def say_failed(name: str, failure: runner.Failure) -> None:
    """A failure in full: what went wrong, shrunk, its trace."""
    plan = plan_named(name)
    say("", f"FAILED: {name}: {failure}", "", "The plan:", *_indented(describe(plan)), "")
    _say_small(plan, failure)
    seed = seed_named(name)
    what = f"--file {REGRESSIONS / name}.json" if seed is None else seed
    say("", f"Replay it with: {COMMAND} replay {what} [--trace]")


def seed_named(name: str) -> int | None:
    """The seed that a run is named after; None for that of a saved plan."""
    return int(name.removeprefix("seed ")) if name.startswith("seed ") else None


def plan_named(name: str) -> Plan:
    """The plan of a run, by the name that the runner gives it."""
    seed = seed_named(name)
    if seed is not None:
        return plan_of(seed)
    return plan_from_json((REGRESSIONS / f"{name}.json").read_text())


def say_line(name: str, failure: runner.Failure) -> None:
    """A failure in a line."""
    say(f"{name}: {failure}")


def _say_small(plan: Plan, failure: runner.Failure) -> None:
    small = runner.shrunk(plan, failure)
    result = runner.replay(small)
    say("It also fails with no more than this:", *_indented(describe(small)), "")
    if result.failure is not None:
        say(f"there: {result.failure}")
    say(f"The last {len(result.tail)} lines of its trace:", *_indented(list(result.tail)))
    if failure.traceback:
        say("", failure.traceback)


def replay(plan: Plan, *, trace: bool, smaller: bool) -> int:
    """Run a plan and say what came of it."""
    say(*describe(plan))
    result = runner.replay(plan, show=say if trace else None)
    say(f"trace digest: {result.digest}")
    if result.failure is None:
        say("nothing is wrong")
        return 0
    say(f"FAILED: {result.failure}")
    if smaller:
        _say_small(plan, result.failure)
    elif not trace:
        say(f"The last {len(result.tail)} lines of its trace:", *_indented(list(result.tail)))
        if result.failure.traceback:
            say("", result.failure.traceback)
    return 1


def save(seed: int, path: Path) -> int:
    """Write the seed's plan, shrunk if it fails."""
    plan = plan_of(seed)
    failure = runner.judge(plan)
    if failure is not None:
        plan = runner.shrunk(plan, failure)
        say(f"seed {seed}: {failure}")
    path.write_text(plan_to_json(plan))
    say(f"{path}:", *_indented(describe(plan)))
    return 0


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
