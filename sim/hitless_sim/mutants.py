"""Plants one bug at a time in the machines and sees which checker objects, and how soon.

Owns how a mutant gets in: a process of its own, in which a finder hands out the module's source
with `old` replaced by `new` before anything has imported the core. So this module imports nothing
of the core, nor anything that does, before that.

    python -m hitless_sim.mutants NAME SEEDS_MAX    # what `python -m hitless_sim mutants` starts
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from types import ModuleType

from hitless_sim.mutant_list import MUTANTS, Mutant

TIMEOUT_S = 900
STALE_EXIT = 3
OPTION_COUNT = 2
SEEDS_BEFORE_PLANS = 100


class StaleMutant(Exception):
    """A mutant's `old` text does not occur exactly once in its module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a mutant.

    caught_by: the invariant, empty if none. plan: the saved plan that did it, if one did. seeds: as
    many were run.
    """

    name: str
    caught_by: str = ""
    plan: str = ""
    seeds: int = 0
    message: str = ""


# --- in the process of a mutant ---


class _MutantFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module, and loads it with the mutant's text."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if found is None or found.origin is None:
            return None
        return importlib.util.spec_from_file_location(fullname, found.origin, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__file__ is not None
        source = mutated(self._mutant, Path(module.__file__).read_text())
        exec(compile(source, module.__file__, "exec"), module.__dict__)


def mutated(mutant: Mutant, source: str) -> str:
    """The source with the bug in it. Raises StaleMutant."""
    count = source.count(mutant.old)
    if count != 1:
        raise StaleMutant(
            f"mutant {mutant.name}: its `old` text occurs {count} times in {mutant.module}, "
            "expected once; write it anew in mutant_list/"
        )
    return source.replace(mutant.old, mutant.new)


def work(name: str, seeds_max: int) -> Verdict:
    """Run seeds with the mutant in place until a checker objects.

    After the first few come the saved plans: most of what few seeds show, they show at once.
    """
    mutant = next(m for m in MUTANTS if m.name == name)
    sys.meta_path.insert(0, _MutantFinder(mutant))
    from hitless_sim.plan import plan_of  # noqa: PLC0415 - the core only comes after the finder
    from hitless_sim.runner import judge  # noqa: PLC0415
    from hitless_sim.saved import saved_plans  # noqa: PLC0415

    if mutant.module not in sys.modules:
        raise StaleMutant(f"mutant {name}: nothing imports {mutant.module}")
    few = min(seeds_max, SEEDS_BEFORE_PLANS)
    trials = chain(
        (("", seed + 1, plan_of(seed)) for seed in range(few)),
        ((title, few, plan) for title, plan in saved_plans()),
        (("", seed + 1, plan_of(seed)) for seed in range(few, seeds_max)),
    )
    for title, tried, plan in trials:
        found = judge(plan)
        if found is not None:
            return Verdict(
                name=name,
                caught_by=found.invariant,
                plan=title,
                seeds=tried,
                message=found.message,
            )
    return Verdict(name=name, seeds=seeds_max)


# --- in the process that starts them ---


def try_all(names: Sequence[str], *, seeds_max: int, jobs: int) -> Iterator[Verdict]:
    """Each mutant in a process of its own, `jobs` at a time; in order. Raises StaleMutant."""
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(lambda name: _try_one(name, seeds_max), names)
        finally:
            pool.shutdown(cancel_futures=True)


def _try_one(name: str, seeds_max: int) -> Verdict:
    command = [sys.executable, "-m", "hitless_sim.mutants", name, str(seeds_max)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, env=os.environ, check=False
        )
    except subprocess.TimeoutExpired:
        return Verdict(name=name, message=f"no end within {TIMEOUT_S} s")
    if done.returncode == STALE_EXIT:
        raise StaleMutant(done.stderr.strip())
    if done.returncode:
        return Verdict(name=name, message=done.stderr.strip()[-500:])
    return Verdict(**json.loads(done.stdout))


def main(arguments: Sequence[str]) -> int:
    """The process of one mutant: prints its Verdict as JSON."""
    if len(arguments) != OPTION_COUNT:
        sys.stderr.write(f"{__doc__}")
        return 2
    try:
        verdict = work(arguments[0], int(arguments[1]))
    except StaleMutant as stale:
        sys.stderr.write(f"{stale}\n")
        return STALE_EXIT
    sys.stdout.write(json.dumps(asdict(verdict)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
