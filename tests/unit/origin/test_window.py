"""The window: tables of what happens to it, and a random drive against plain sets."""

from __future__ import annotations

import random

import pytest
from tests.component.origin.cmaf_maker import NTSC, PAL

from hitless_origin.window import Run, Window, window_segments


def test_it_grows_and_is_trimmed() -> None:
    window = Window(first=5, last=5)
    for k in range(6, 20):
        window = window.published(k).trim(3)
    assert window == Window(first=17, last=19)
    assert [k for k in range(25) if k in window] == [17, 18, 19]


def test_a_gap_is_a_hole_and_never_the_start() -> None:
    window = Window(first=5, last=6).gap(7, 9).published(10)
    assert list(window.runs()) == [Run(first=5, last=6), Run(first=10, last=10)]
    assert 8 not in window
    assert window.is_gap(8)
    assert window.trim(4) == Window(first=10, last=10)
    assert window.trim(5) == Window(first=6, last=10, gaps=((7, 9),))


def test_the_start_of_a_run_is_remembered() -> None:
    window = Window(first=5, last=6).gap(7, 9).published(10)
    for k in range(11, 20):
        window = window.published(k).trim(3)
    assert list(window.runs()) == [Run(first=17, last=19)]


def test_neighbouring_gaps_are_one() -> None:
    assert Window(first=1, last=1).gap(2, 3).gap(4, 4).gaps == ((2, 4),)
    assert Window(first=1, last=4).gap(2, 2).gap(3, 3).gaps == ((2, 3),)


def test_an_outage_longer_than_the_window_leaves_nothing() -> None:
    window = Window(first=1, last=4).gap(5, 1_000_000).trim(10)
    assert window.first == 1_000_001
    assert list(window.runs()) == []
    assert list(window.published(1_000_001).runs()) == [Run(first=1_000_001, last=1_000_001)]


@pytest.mark.parametrize("seed", range(30))
def test_it_behaves_like_a_set(seed: int) -> None:
    rng = random.Random(seed)
    size = rng.randrange(1, 12)
    window, there, first = Window(first=0, last=0), {0}, 0
    for _ in range(200):
        nxt = window.last + 1
        if rng.random() < 0.2:
            jump = nxt + rng.randrange(3)
            window = window.gap(nxt, jump)
            nxt = jump + 1
        window = window.published(nxt).trim(size)
        there = {k for k in there | {nxt} if k > nxt - size}
        runs = [k for run in window.runs() for k in range(run.first, run.last + 1)]
        assert set(runs) == there
        assert runs == sorted(there)
        assert window.first == min(there)
        assert window.first >= first
        first = window.first


@pytest.mark.parametrize(("seconds", "segments"), [(10, 5), (11, 6), (1, 3), (86_400, 43_200)])
def test_seconds_are_whole_segments(seconds: int, segments: int) -> None:
    assert window_segments(PAL, seconds) == segments


def test_seconds_are_covered_at_ntsc_rates() -> None:
    assert window_segments(NTSC, 20) == 10


def test_spans_are_clipped_and_say_what_they_are() -> None:
    window = Window(first=10, last=20, gaps=((12, 13), (17, 18)))

    def spans(first: int, last: int) -> list[tuple[int, int, bool]]:
        return [(run.first, run.last, gap) for run, gap in window.spans(first, last)]

    assert spans(13, 17) == [(13, 13, True), (14, 16, False), (17, 17, True)]
    assert spans(14, 16) == [(14, 16, False)]
    assert spans(18, 20) == [(18, 18, True), (19, 20, False)]
    assert spans(12, 13) == [(12, 13, True)]
    assert spans(20, 19) == []


def test_a_window_that_begins_later() -> None:
    window = Window(first=10, last=20, gaps=((12, 13), (17, 18)))
    assert window.since(5) == window
    assert window.since(12) == Window(first=14, last=20, gaps=((17, 18),))
    assert window.since(19) == Window(first=19, last=20)
