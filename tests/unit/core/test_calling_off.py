"""Calling an update off: by the user, in every phase, and what is remembered of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.core.world import TIMELINE, World, desired

from hitless_handover.supervisor_model import ChannelPhase, HandoverPhase
from hitless_handover.timeline import TimelineError


@pytest.fixture
def world() -> World:
    started = World(want=desired("v1", 1))
    started.run(10)
    started.want = desired("v2", 2)
    return started


def call_off(world: World) -> None:
    update = world.record.handover
    assert update is not None
    world.want = replace(world.want, abort_id=update.handover_id)


@pytest.mark.parametrize(
    ("phase", "outcome"),
    [
        (HandoverPhase.STARTING, HandoverPhase.ABORTED),
        (HandoverPhase.NEGOTIATING, HandoverPhase.ABORTED),
        (HandoverPhase.ARMED, HandoverPhase.ABORTED),
        (HandoverPhase.HOLDING, HandoverPhase.ROLLED_BACK),
    ],
)
def test_the_user_calls_it_off(world: World, phase: HandoverPhase, outcome: HandoverPhase) -> None:
    world.run_until(phase)
    call_off(world)
    world.run(20)
    done = world.record.handover
    assert done is not None
    assert (done.phase, done.reason) == (outcome, "AbortRequested")
    assert world.record.phase is ChannelPhase.LIVE
    assert world.record.active is not None
    assert world.record.active.name == "ch-1"
    assert sorted(world.states) == ["ch-1"]
    kept = outcome is HandoverPhase.ABORTED
    assert world.record.active.term == (1 if kept else 3), "undone, or won back by a newer term"
    world.check_published()


def test_what_was_called_off_is_tried_again_once_something_else_was_asked_for(world: World) -> None:
    world.run_until(HandoverPhase.NEGOTIATING)
    call_off(world)
    world.run(60)
    assert len(world.record.history) == 1, "not tried again by itself"
    world.want = desired("v1", 3)
    world.look()
    world.want = desired("v2", 4)
    world.run(60)
    assert world.record.handover is not None
    assert world.record.handover.phase is HandoverPhase.COMPLETED


def test_the_old_image_asked_for_in_the_hold_rolls_back_at_once(world: World) -> None:
    world.run_until(HandoverPhase.HOLDING)
    world.want = desired("v1", 3)
    world.run(10)
    done = world.record.handover
    assert done is not None
    assert (done.phase, done.reason) == (HandoverPhase.ROLLED_BACK, "Reverted")
    assert sorted(world.states) == ["ch-1"]
    world.check_published()


def test_a_successor_that_can_not_be_asked_gets_no_say(world: World) -> None:
    """Armed and cut off from the operator: it leads from its frame on, until a newer term wins."""
    world.run_until(HandoverPhase.ARMED)
    call_off(world)
    world.unreachable.add("ch-2")
    world.run(45)
    done = world.record.handover
    assert done is not None
    assert done.phase is HandoverPhase.ROLLED_BACK
    assert world.record.active is not None
    assert (world.record.active.name, world.record.active.term) == ("ch-1", 3)
    assert world.published[max(world.published)] == ("ch-1", 3)
    world.check_published()


def test_an_event_at_a_timecode(world: World) -> None:
    frame = TIMELINE.frame_at(world.now_us) + 30 * TIMELINE.rate_num
    timecode = TIMELINE.timecode(frame)
    policy = replace(world.want.policy, at_timecode=timecode)
    world.want = replace(world.want, policy=policy)
    world.run_until(HandoverPhase.COMPLETED, seconds=180)
    done = world.record.handover
    assert done is not None
    assert done.frame == TIMELINE.first_segment_frame(frame)


def test_an_event_that_is_too_soon_is_refused_and_says_so(world: World) -> None:
    soon = TIMELINE.frame_at(world.now_us) + 60
    criteria = replace(world.want.policy.criteria, not_after_frame=soon)
    world.want = replace(world.want, policy=replace(world.want.policy, criteria=criteria))
    world.run(60)
    done = world.record.handover
    assert done is not None
    assert (done.phase, done.reason) == (HandoverPhase.ABORTED, "TooLate")
    assert f"not after {soon} is asked" in done.message


def test_an_armed_handover_far_ahead_gives_way_to_another_change(world: World) -> None:
    late = TIMELINE.frame_at(world.now_us) + 600 * TIMELINE.rate_num
    criteria = replace(world.want.policy.criteria, not_before_frame=late)
    world.want = replace(world.want, policy=replace(world.want.policy, criteria=criteria))
    world.run_until(HandoverPhase.ARMED)
    world.run(120)
    assert world.record.handover is not None
    assert world.record.handover.phase is HandoverPhase.ARMED, "it waits for its frame"
    world.want = desired("v3", 3)
    world.run(60)
    assert [done.reason for done in world.record.history] == ["Superseded", ""]
    assert world.record.active is not None
    assert world.record.active.digest == "digest-v3"
    world.check_published()


@pytest.mark.parametrize("text", ["24:00:00:00", "00:60:00:00", "00:00:00:30", "1:2:3", "noon"])
def test_a_timecode_that_does_not_exist(text: str) -> None:
    with pytest.raises(TimelineError, match="timecode"):
        TIMELINE.frame_of_timecode(text, 0)


@pytest.mark.parametrize("after", [0, 1, 53_861_717_100])
def test_the_next_frame_of_a_timecode(after: int) -> None:
    frame = TIMELINE.frame_of_timecode("12:34:56:07", after)
    assert TIMELINE.timecode(frame) == "12:34:56:07"
    assert after <= frame < after + 24 * 3600 * 30
