"""The rows of `python -m hack.sources`: what counts as a failure, and how it is told."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hack.sources.marks import Marks
from hack.sources.watch import Result, Update, table

FRAMES = {"seen": 900, "lost": 0, "repeated": 0, "out_of_order": 0}
GOOD = Result(
    kind="udp",
    report={
        "ok": True,
        "seconds": 30.2,
        "frames": FRAMES,
        "faults": [],
        "renditions": [{"timestamps_wrong": 0}, {"timestamps_wrong": 0}],
    },
    marks=Marks(offset=7, pictures=900, tones=898, wrong=()),
    updates=(
        Update(
            version="same", outcome="Completed", lost_frames=0, judged=Counter({"Identical": 5})
        ),
        Update(version="v1", outcome="Completed", lost_frames=0, judged=Counter({"Equivalent": 5})),
    ),
)


def test_a_row_says_what_was_seen() -> None:
    assert GOOD.ok
    assert not list(GOOD.why())
    assert table([GOOD]).splitlines()[-1] == (
        "| udp | 30 | 900 | 0 | 0 | 0 | 0 | 1798 of 1798 | Completed, 0 lost; 5 identical "
        "| Completed, 0 lost; 5 equivalent |  |"
    )


def test_where_the_source_states_its_time_numbers_stay_without_any_anchor() -> None:
    assert not replace(GOOD, kind="udp-timecode").ok
    stated = replace(GOOD, kind="udp-timecode", anew=Marks(offset=7, pictures=9, tones=9, wrong=()))
    assert stated.ok
    assert table([stated]).endswith(" 9 of 9 numbers as before |")
    moved = replace(stated, anew=Marks(offset=8, pictures=9, tones=9, wrong=()))
    assert not moved.ok
    assert list(moved.why()) == ["started anew, pictures have other numbers: by 1 of 480"]


def updated(first: Update) -> Result:
    return replace(GOOD, updates=(first, GOOD.updates[1]))


FIRST = GOOD.updates[0]
BAD = {
    "other bytes": updated(replace(FIRST, judged=Counter({"Identical": 4, "Equivalent": 1}))),
    "nothing judged": updated(replace(FIRST, judged=Counter())),
    "aborted": updated(replace(FIRST, outcome="Aborted")),
    "frames lost": updated(replace(FIRST, lost_frames=2)),
    "not confirmed": updated(replace(FIRST, lost_frames=None)),
    "a mark": replace(GOOD, marks=Marks(offset=7, pictures=9, tones=9, wrong=("frame 7 shows 6",))),
    "source lost": replace(GOOD, source_losses=("no data for 5 s",)),
    "not watched": replace(GOOD, report={}, marks=None, failure="on air: not within 90 s"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_row_that_is_not_as_it_should_be_says_why(name: str) -> None:
    assert not BAD[name].ok
    assert list(BAD[name].why())
    assert len(table([BAD[name]]).splitlines()) == 3
