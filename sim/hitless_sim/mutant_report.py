"""What the command line says of the mutants: a line for each, and whether one got away."""

from __future__ import annotations

import sys
from collections import Counter

from hitless_sim.mutant_list import MUTANTS
from hitless_sim.mutants import StaleMutant, Verdict, try_all


def report(only: str | None, *, seeds_max: int, jobs: int) -> int:
    """Try all, or one. 1: one was not caught, or is stale, or the core is broken without them."""
    names = [mutant.name for mutant in MUTANTS if only in (None, mutant.name)]
    if not names:
        known = ", ".join(mutant.name for mutant in MUTANTS)
        sys.stderr.write(f"no mutant {only}; there are: {known}\n")
        return 2
    if not _is_sound(seeds_max, jobs):
        return 1
    verdicts: list[Verdict] = []
    try:
        for verdict in try_all(names, seeds_max=seeds_max, jobs=jobs):
            verdicts.append(verdict)
            _say(verdict)
    except StaleMutant as stale:
        sys.stderr.write(f"FAILED: {stale}\n")
        return 1
    free = [verdict.name for verdict in verdicts if not verdict.caught_by]
    caught = Counter(verdict.caught_by for verdict in verdicts if verdict.caught_by)
    by = ", ".join(f"{invariant} {count}" for invariant, count in sorted(caught.items()))
    sys.stdout.write(f"{len(verdicts) - len(free)} of {len(verdicts)} caught ({by})\n")
    if free:
        sys.stdout.write(f"FAILED: not caught: {', '.join(free)}\n")
    return 1 if free else 0


def _is_sound(seeds_max: int, jobs: int) -> bool:
    """Whether nothing is wrong without a mutant: else nobody can say what caught it."""
    from hitless_sim.runner import run_many  # noqa: PLC0415 - the core, in this process only

    tally = run_many(range(seeds_max), jobs=jobs)
    if tally.failed:
        name, failure = tally.failed[0]
        sys.stdout.write(f"FAILED: without any mutant: {name}: {failure}\n")
    return not tally.failed


def _say(verdict: Verdict) -> None:
    if verdict.caught_by:
        where = f"in {verdict.plan}" if verdict.plan else f"after {verdict.seeds:>3} seeds"
        row = f"{verdict.caught_by:>4} {where}"
    else:
        row = f"NOT CAUGHT in {verdict.seeds}"
    sys.stdout.write(f"{verdict.name:<34} {row:<22} {verdict.message[:160]}\n")
    sys.stdout.flush()
