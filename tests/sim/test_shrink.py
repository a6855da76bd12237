"""The shrinker, on made-up failures."""

from __future__ import annotations

import random

import pytest

from hitless_sim.shrink import shrink


@pytest.mark.parametrize("guilty", [(), (0,), (7,), (3, 11), (0, 1, 2), (2, 5, 8, 13)])
def test_what_is_left_is_what_it_takes(guilty: tuple[int, ...]) -> None:
    left = shrink(range(16), lambda part: set(guilty) <= set(part))
    assert left == guilty


def test_without_any_of_what_is_left_it_does_not_fail() -> None:
    def fails(part: tuple[int, ...]) -> bool:
        return sum(part) >= 40

    left = shrink(range(16), fails)
    assert fails(left)
    assert not any(fails(left[:i] + left[i + 1 :]) for i in range(len(left)))


def test_the_number_of_runs_is_bounded() -> None:
    runs = 0

    def fails(part: tuple[int, ...]) -> bool:
        nonlocal runs
        runs += 1
        return random.Random(str(part)).random() < 0.5

    left = shrink(range(1000), fails, runs_max=25)
    assert runs <= 25
    assert set(left) <= set(range(1000))
