"""Makes a failing plan smaller: delta debugging over what goes wrong in it.

Owns the search and its bound. It knows nothing of plans: it is given items and a question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

RUNS_MAX = 300

Item = TypeVar("Item")


def shrink(
    items: Sequence[Item],
    fails: Callable[[tuple[Item, ...]], bool],
    runs_max: int = RUNS_MAX,
) -> tuple[Item, ...]:
    """A part of `items`, in their order, that still fails. `fails(items)` is known to be true.

    Without any one of the items that are left it no longer fails, unless `runs_max` questions were
    not enough (Zeller's ddmin).
    """
    left = tuple(items)
    runs = 0

    def still_fails(part: tuple[Item, ...]) -> bool:
        nonlocal runs
        runs += 1
        return runs <= runs_max and fails(part)

    if left and still_fails(()):
        return ()
    pieces = 2
    while len(left) > 1 and runs < runs_max:
        smaller = _without_a_piece(left, pieces, still_fails)
        if smaller is not None:
            left, pieces = smaller, max(2, pieces - 1)
        elif pieces < len(left):
            pieces = min(len(left), 2 * pieces)
        else:
            break
    return left


def _without_a_piece(
    left: tuple[Item, ...], pieces: int, still_fails: Callable[[tuple[Item, ...]], bool]
) -> tuple[Item, ...] | None:
    """The first that still fails of `left` without one of its pieces."""
    size = -(-len(left) // pieces)
    for start in range(0, len(left), size):
        part = left[:start] + left[start + size :]
        if still_fails(part):
            return part
    return None
