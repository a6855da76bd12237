"""The hot spare: kept, replaced, and what happens when it has to lead."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.core.world import World, desired

from hitless_handover.leadership import NEVER_LED
from hitless_handover.supervisor import supervise
from hitless_handover.supervisor_model import ChannelPhase, HandoverPhase
from hitless_handover.timeline import Anchor


def with_spare() -> World:
    world = World(want=desired("v1", 1, hot_spare=True))
    world.run(10)
    assert world.record.spare is not None
    assert sorted(world.states) == ["ch-1", "ch-2"]
    return world


def test_it_takes_over_when_the_active_encoder_is_lost() -> None:
    world = with_spare()
    world.kill("ch-1")
    world.run(10)
    assert world.record.active is not None
    assert world.record.spare is not None
    assert (world.record.active.name, world.record.active.term) == ("ch-2", 3)
    assert world.record.phase is ChannelPhase.LIVE
    assert sorted(world.states) == ["ch-2", world.record.spare.name], "and there is a new spare"
    world.check_published()


def test_it_takes_over_from_one_that_does_not_deliver() -> None:
    world = with_spare()
    world.encoders["ch-1"].delivers = False
    world.states["ch-1"] = replace(world.states["ch-1"], ready=False)
    world.run(10)
    assert world.record.active is not None
    assert world.record.active.name == "ch-2"
    assert "ch-1" in world.deleted
    world.check_published()


def test_a_lost_spare_is_replaced() -> None:
    world = with_spare()
    world.kill("ch-2")
    world.run(10)
    assert sorted(world.states) == ["ch-1", "ch-3"]


def test_an_update_replaces_the_active_encoder_and_then_the_spare() -> None:
    world = with_spare()
    world.want = desired("v2", 2, hot_spare=True)
    world.run_until(HandoverPhase.HOLDING)
    assert {"ch-1", "ch-2", "ch-3"} <= set(world.states), "the old spare stands by all the time"
    world.run(30)
    assert world.record.active is not None
    assert world.record.spare is not None
    assert world.record.active.name == "ch-3"
    assert world.record.spare.digest == "digest-v2"
    assert sorted(world.states) == sorted(["ch-3", world.record.spare.name])


def test_the_proven_spare_leads_when_the_incumbent_is_lost_in_an_update() -> None:
    world = with_spare()
    world.want = desired("v2", 2, hot_spare=True)
    world.run_until(HandoverPhase.NEGOTIATING)
    world.kill("ch-1")
    world.look()
    assert world.record.active is not None
    assert world.record.active.name == "ch-2"
    world.run(60)
    assert world.record.active.digest == "digest-v2", "and the update is begun anew"
    assert [done.reason for done in world.record.history] == ["IncumbentLost", ""]
    world.check_published()


def test_without_redundancy_the_spare_goes() -> None:
    world = with_spare()
    world.want = desired("v1", 2)
    world.run(5)
    assert sorted(world.states) == ["ch-1"]
    assert world.record.spare is None


def test_no_spare_of_a_version_that_was_refused() -> None:
    world = with_spare()
    world.next_samples_ok = False
    world.want = desired("v2", 2, hot_spare=True)
    world.run(60)
    assert world.record.refused_digest == "digest-v2"
    world.kill("ch-2")
    world.run(10)
    assert sorted(world.states) == ["ch-1"]


def test_one_old_encoder_stands_by_until_the_new_spare_is_ready() -> None:
    world = with_spare()
    world.want = desired("v2", 2, hot_spare=True)
    world.run_until(HandoverPhase.HOLDING)
    world.slow.add("ch-4")
    world.run(30)
    assert world.record.spare is not None
    assert world.record.spare.name == "ch-4"
    assert sorted(world.states) == ["ch-1", "ch-3", "ch-4"], "the last incumbent, no second one"
    world.states["ch-4"] = replace(world.states["ch-4"], ready=True)
    world.run(3)
    assert sorted(world.states) == ["ch-3", "ch-4"]
    world.check_published()


def test_updates_that_follow_each_other_closely_pile_up_no_encoders() -> None:
    world = with_spare()
    for number in range(2, 8):
        world.want = desired(f"v{number}", number, hot_spare=True)
        world.run_until(HandoverPhase.HOLDING)
        assert len(world.states) <= 4, "on air, its spare, the incumbent and an old one"
        world.run_until(HandoverPhase.COMPLETED)
    world.check_published()


ANCHOR = Anchor(source_ticks=1, source_timescale=90_000, wrap_ticks=2**33, frame=60, wall_us=0)


def test_a_spare_takes_over_and_the_newest_anchor_is_recorded() -> None:
    world = World(want=desired("v1", 1, hot_spare=True), anchor=ANCHOR)
    world.run(10)
    assert world.record.anchor == ANCHOR
    world.anchor = replace(ANCHOR, source_ticks=5)
    world.run(2)
    assert world.record.anchor == world.anchor
    world.kill("ch-1")
    world.run(20)
    assert world.created_with == [None, ANCHOR, world.anchor]


def test_the_anchor_of_an_encoder_that_does_not_lead_is_not_recorded() -> None:
    world = World(want=desired("v1", 1, hot_spare=True), anchor=ANCHOR)
    world.run(10)
    assert world.record.active is not None
    peer = world.encoders["ch-1"].peer
    world.encoders["ch-1"].peer = replace(peer, schedule=NEVER_LED)
    world.anchor = replace(ANCHOR, source_ticks=5)
    view = world.view()
    decision = supervise(world.want, world.record, view, world.now_us)
    assert decision.record.anchor == ANCHOR
