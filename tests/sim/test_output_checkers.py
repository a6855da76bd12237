"""I1 to I4: what was published, by facts written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sim.scene import DESIRED, Story, armed, born, objects, updating

from hitless_handover.messages import HandoverMode

# --- I1 ---


def delivered_and_given_up() -> None:
    scene = born()
    scene.delivers("ch-1", 2, 1)
    scene.delivers("ch-1", 3, 1)
    scene.later(3)
    scene.gives_up(2, 2)


def given_up_early() -> None:
    scene = born()
    scene.delivers("ch-1", 3, 1)
    scene.later(2.9)
    scene.gives_up(2, 2)


def given_up_for_nothing() -> None:
    scene = born()
    scene.later(10)
    scene.gives_up(2, 2)


def left_undecided() -> None:
    scene = born()
    for segment in range(3, 12):
        scene.delivers("ch-1", segment, 1)
        scene.later(2)


def withheld_and_never_sent() -> None:
    scene = born(HandoverMode.SILENT_STANDBY)
    scene.creates("ch-2")
    scene.stores(replace(scene.record, term=2))
    scene.stamps("ch-2", 2, 0, silent=True)
    scene.grants("ch-2", 2)
    scene.stamps("ch-2", 3, 2)
    scene.delivers("ch-2", 3, 2)
    scene.later(3)
    scene.gives_up(2, 2)


def withheld_by_all() -> None:
    scene = armed(HandoverMode.SILENT_STANDBY)
    for segment in (4, 5):
        scene.later(2)
        scene.stamps("ch-1", segment, 0, silent=True)
    scene.stamps("ch-2", 4, 2, silent=True)
    scene.stamps("ch-2", 5, 2)
    scene.delivers("ch-2", 5, 2)
    scene.later(3)
    scene.gives_up(4, 4)


@pytest.mark.parametrize(
    "story",
    [
        withheld_by_all,
        delivered_and_given_up,
        given_up_early,
        given_up_for_nothing,
        left_undecided,
        withheld_and_never_sent,
    ],
)
def test_i1_a_segment_is_lost_that_was_there(story: Story) -> None:
    assert objects(story) == "I1"


def test_i1_what_nobody_delivered_is_given_up_at_the_deadline() -> None:
    scene = born()
    scene.delivers("ch-1", 3, 1)
    scene.later(3)
    scene.gives_up(2, 2)
    scene.publishes("ch-1", 3, 1)


def test_i1_what_was_withheld_is_sent_after_all() -> None:
    scene = born(HandoverMode.SILENT_STANDBY)
    scene.creates("ch-2")
    scene.stores(replace(scene.record, term=2))
    scene.stamps("ch-2", 2, 0, silent=True)
    scene.grants("ch-2", 2)
    for segment in (2, 3):
        scene.stamps("ch-2", segment, 2)
        scene.delivers("ch-2", segment, 2)
        scene.publishes("ch-2", segment, 2)


# --- I2, I3 ---


def published_twice() -> None:
    scene = born()
    scene.publishes("ch-1", 1, 1)


def out_of_order() -> None:
    scene = born()
    scene.delivers("ch-1", 3, 1)
    scene.publishes("ch-1", 3, 1)


def given_up_twice() -> None:
    scene = born()
    scene.delivers("ch-1", 3, 1)
    scene.later(3)
    scene.gives_up(2, 2)
    scene.gives_up(2, 2)


@pytest.mark.parametrize("story", [published_twice, out_of_order, given_up_twice])
def test_i2_each_segment_once_and_in_order(story: Story) -> None:
    assert objects(story) == "I2"


def incomplete() -> None:
    scene = born()
    scene.publishes("ch-1", 2, 1)


def another_priority() -> None:
    scene = born()
    scene.delivers("ch-1", 2, 0)
    scene.publishes("ch-1", 2, 1)


@pytest.mark.parametrize("story", [incomplete, another_priority])
def test_i3_what_is_published_was_delivered_whole(story: Story) -> None:
    assert objects(story) == "I3"


# --- I4 ---


def lower_though_higher_is_there() -> None:
    scene = updating()
    scene.delivers("ch-1", 3, 1)
    scene.delivers("ch-2", 3, 2)
    scene.publishes("ch-1", 3, 1)


def uncounted_fallback() -> None:
    scene = born()
    scene.delivers("ch-1", 2, 0)
    scene.later(3)
    scene.publishes("ch-1", 2, 0)


def called_fallback_and_is_none() -> None:
    scene = born()
    scene.delivers("ch-1", 2, 1)
    scene.later(3)
    scene.publishes("ch-1", 2, 1, fallback=True)


def early_fallback() -> None:
    scene = born()
    scene.delivers("ch-1", 2, 0)
    scene.later(1)
    scene.publishes("ch-1", 2, 0, fallback=True)


@pytest.mark.parametrize(
    "story",
    [
        lower_though_higher_is_there,
        uncounted_fallback,
        called_fallback_and_is_none,
        early_fallback,
    ],
)
def test_i4_the_higher_term_wins(story: Story) -> None:
    assert objects(story) == "I4"


def test_i4_a_fallback_at_the_deadline_is_one() -> None:
    scene = born()
    scene.delivers("ch-1", 2, 0)
    scene.later(3)
    scene.publishes("ch-1", 2, 0, fallback=True)


def test_i4_a_downstream_that_knows_no_priorities_is_not_judged_by_them() -> None:
    scene = born(HandoverMode.CEASE, replace(DESIRED, has_origin=False))
    scene.delivers("ch-1", 2, 0)
    scene.publishes("ch-1", 2, 0)
