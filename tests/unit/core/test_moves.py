"""An encoder that can't stay on its node hands over to another of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from tests.unit.core.world import World, desired

from hitless_handover.supervisor_model import ChannelPhase, HandoverPhase


@pytest.fixture
def world() -> Iterator[World]:
    world = World(want=desired("v1", 1))
    world.run(10)
    yield world
    world.check_published()


def leave(world: World, name: str, *, leaving: bool = True) -> None:
    world.states[name] = replace(world.states[name], leaving=leaving)


def active(world: World) -> str:
    assert world.record.active is not None
    return world.record.active.name


def test_it_hands_over_to_the_same_version_elsewhere(world: World) -> None:
    leave(world, "ch-1")
    world.run(40)
    done = world.record.handover
    assert done is not None
    assert (done.phase, done.incumbent.digest) == (HandoverPhase.COMPLETED, done.successor.digest)
    assert active(world) == "ch-2"
    assert sorted(world.states) == ["ch-2"]
    assert world.record.phase is ChannelPhase.LIVE
    assert world.look().wake_at_us is None


def test_not_while_updates_are_paused(world: World) -> None:
    world.want = replace(world.want, paused=True)
    leave(world, "ch-1")
    world.run(40)
    assert world.record.handover is None
    assert world.look().wake_at_us is None


def test_a_move_that_fails_refuses_no_version_and_is_tried_again_later(world: World) -> None:
    leave(world, "ch-1")
    world.run_until(HandoverPhase.STARTING)
    world.want = replace(world.want, abort_id=world.record.handover.handover_id)  # type: ignore[union-attr]
    world.run_until(HandoverPhase.ABORTED)
    assert world.record.refused_digest == ""
    finished = world.record.handover
    assert finished is not None
    assert finished.finished_us is not None
    world.run(4)
    assert world.record.handover == finished, "not at once"
    decision = world.look()
    assert decision.wake_at_us == finished.finished_us + world.want.policy.start_s * 1_000_000
    world.run(world.want.policy.start_s + 40)
    assert active(world) != "ch-1"


def test_moves_that_fail_again_and_again_come_at_twice_the_distance(world: World) -> None:
    leave(world, "ch-1")
    begun: list[int] = []
    for _ in range(600):
        world.run(1)
        update = world.record.handover
        if update is not None and update.live:
            if update.started_us not in begun:
                begun.append(update.started_us)
            world.want = replace(world.want, abort_id=update.handover_id)
    start_us = world.want.policy.start_s * 1_000_000
    distances = [b - a for a, b in pairwise(begun)]
    assert len(distances) >= 2
    for number, distance in enumerate(distances):
        assert start_us << number <= distance < (start_us << number) + 10_000_000
    assert active(world) == "ch-1"


def test_who_may_stay_after_all_stays(world: World) -> None:
    leave(world, "ch-1")
    leave(world, "ch-1", leaving=False)
    world.run(10)
    assert world.record.handover is None


def test_an_update_moves_it_as_well(world: World) -> None:
    leave(world, "ch-1")
    world.want = desired("v2", 2)
    world.run(40)
    assert world.record.handover is not None
    assert world.record.handover.successor.digest == "digest-v2"
    assert len(world.record.history) == 1


def test_a_spare_that_has_to_leave_is_replaced_before_it_goes() -> None:
    world = World(want=desired("v1", 1, hot_spare=True))
    world.run(10)
    leave(world, "ch-2")
    world.run(10)
    assert sorted(world.states) == ["ch-1", "ch-3"]
    assert world.record.handover is None
    world.check_published()


def test_the_dates_of_an_update_do_not_bind_a_move(world: World) -> None:
    policy = world.want.policy
    past = replace(policy.criteria, not_after_frame=1)
    world.want = replace(
        world.want, policy=replace(policy, criteria=past, at_timecode="10:00:00:00")
    )
    leave(world, "ch-1")
    world.run(40)
    assert active(world) == "ch-2"
