from __future__ import annotations

from collections import Counter

import pytest

from hitless_cli.probe.continuity import GAPS_OPEN_MAX, Continuity, Verdict

TABLE = [
    ("clean", [5, 6, 7, 8], {}),
    ("one lost", [5, 6, 8, 9], {Verdict.LOST: 1}),
    ("many lost", [5, 100], {Verdict.LOST: 94}),
    ("repeated", [5, 6, 6, 7], {Verdict.REPEATED: 1}),
    ("repeated in place of the next", [5, 6, 6, 8], {Verdict.REPEATED: 1, Verdict.LOST: 1}),
    ("swapped", [5, 7, 6, 8], {Verdict.OUT_OF_ORDER: 1}),
    ("a block late", [1, 4, 5, 2, 3, 6], {Verdict.OUT_OF_ORDER: 2}),
    ("late, and then again", [1, 3, 2, 2, 4], {Verdict.OUT_OF_ORDER: 1, Verdict.REPEATED: 1}),
    ("two gaps, one filled", [1, 3, 5, 4, 6], {Verdict.OUT_OF_ORDER: 1, Verdict.LOST: 1}),
    ("before the first", [5, 4, 6], {Verdict.OUT_OF_ORDER: 1}),
    ("too late to fill the gap", [1, 3, *range(4, 30), 2], {Verdict.LOST: 1, Verdict.REPEATED: 1}),
]


def verdicts(numbers: list[int]) -> dict[Verdict, int]:
    sequence = Continuity(horizon=20)
    breaks = [found for number in numbers for found in sequence.step(number, 0)]
    counts: Counter[Verdict] = Counter()
    for found in [*breaks, *sequence.finish()]:
        counts[found.verdict] += found.count
    assert sequence.seen == len(numbers)
    return dict(counts)


@pytest.mark.parametrize(("numbers", "want"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_breaks(numbers: list[int], want: dict[Verdict, int]) -> None:
    assert verdicts(numbers) == want


def test_open_gaps_are_bounded_and_none_is_forgotten() -> None:
    sequence = Continuity(horizon=1 << 40)
    lost = [b for n in range(0, 1000, 2) for b in sequence.step(n, 0)]
    assert len(sequence.gaps) == GAPS_OPEN_MAX
    lost += sequence.finish()
    assert sum(b.count for b in lost) == 499
    assert not sequence.gaps


def test_what_is_known_not_to_come_is_lost() -> None:
    sequence = Continuity(horizon=20)
    sequence.step(7, 0)
    sequence.skip(3, 1)
    assert sequence.open_count == 3
    (lost,) = sequence.finish()
    assert (lost.number, lost.count, lost.segment) == (8, 3, 1)
