"""The planted bugs: each fits the source as it is, and gets in. `make mutants` catches them all."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from hitless_sim.mutant_list import MUTANTS, Mutant
from hitless_sim.mutants import StaleMutant, mutated, try_all


def source_of(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_source_and_compiles(mutant: Mutant) -> None:
    source = source_of(mutant.module)
    changed = mutated(mutant, source)
    assert changed != source
    compile(changed, mutant.module, "exec")


def test_names_are_used_once() -> None:
    assert [name for name, count in Counter(m.name for m in MUTANTS).items() if count > 1] == []


def test_a_stale_mutant_is_named() -> None:
    mutant = Mutant("gone", "hitless_handover.peer", "no such text", "", "nothing")
    with pytest.raises(StaleMutant, match="gone: its `old` text occurs 0 times"):
        mutated(mutant, source_of(mutant.module))


def test_a_mutant_is_caught_in_a_process_of_its_own() -> None:
    (verdict,) = try_all(["successor-never-leads"], seeds_max=20, jobs=1)
    assert verdict.caught_by
    assert 0 < verdict.seeds <= 20
