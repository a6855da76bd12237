"""Whole runs: the same every time, and saved plans that must never fail again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hitless_sim.plan import Plan, items, plan_from_json, plan_of, plan_to_json, with_items
from hitless_sim.runner import Failure, judge, replay, run_many, shrunk
from hitless_sim.saved import saved_plans

SIM = Path(__file__).parents[2] / "sim"
SEEDS = (1, 2, 3, 4, 5)
DIGESTS = f"""
import json
from hitless_sim.plan import plan_of
from hitless_sim.runner import replay
print(json.dumps([replay(plan_of(seed)).digest for seed in {SEEDS}]))
"""


def digests(hash_seed: str) -> list[str]:
    paths = os.pathsep.join([str(SIM), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", DIGESTS],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    told: list[str] = json.loads(done.stdout)
    return told


def test_a_seed_is_the_same_story_in_every_process() -> None:
    first, second = digests("1"), digests("2")
    assert first == second
    assert len(set(first)) == len(SEEDS)


@pytest.mark.parametrize("plan", [pytest.param(plan, id=name) for name, plan in saved_plans()])
def test_what_failed_once_does_not_fail_again(plan: Plan) -> None:
    result = replay(plan)
    assert result.failure is None, "\n".join([str(result.failure), *result.tail])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plan_that_was_saved_is_the_same_story(seed: int) -> None:
    plan = plan_of(seed)
    saved = plan_from_json(plan_to_json(plan))
    assert replay(saved).digest == replay(plan).digest


def test_no_less_than_the_whole_plan_is_run_and_a_smaller_one_is_another() -> None:
    plan = next(plan for plan in map(plan_of, range(1, 100)) if items(plan))
    assert with_items(plan, items(plan)) == plan
    assert items(with_items(plan, ())) == ()


def test_seeds_on_two_processes_are_the_same_seeds() -> None:
    alone, shared = (run_many(range(1, 13), jobs=n, keep_going=True) for n in (1, 2))
    assert alone.seeds == shared.seeds == 12
    assert alone.counts == shared.counts
    assert alone.failed == shared.failed


def test_a_failure_keeps_its_invariant_when_it_is_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = next(plan for plan in map(plan_of, range(1, 100)) if len(items(plan)) > 3)
    guilty = items(plan)[1]

    def judge_that(one: object, **_: object) -> Failure | None:
        kept = items(one)  # type: ignore[arg-type]
        return Failure(invariant="I4", message="made up") if guilty in kept else None

    monkeypatch.setattr("hitless_sim.runner.judge", judge_that)
    small = shrunk(plan, Failure(invariant="I4", message="made up"))
    assert items(small) == (guilty,)
    assert items(shrunk(plan, Failure(invariant="I1", message="another"))) == items(plan)


def test_an_exception_of_a_machine_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("an illegal transition")

    monkeypatch.setattr("hitless_sim.runner.run", broken)
    failure = judge(plan_of(1))
    assert failure is not None
    assert failure.invariant == "I0"
    assert "ValueError: an illegal transition" in failure.message
    assert "Traceback" in failure.traceback
