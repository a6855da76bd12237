"""Cease and silent standby: what is sent to a downstream that knows no priorities."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from tests.unit.core.world import World, desired

from hitless_handover.messages import HandoverMode
from hitless_handover.supervisor_model import HandoverPhase


def live(mode: HandoverMode) -> World:
    world = World(want=desired("v1", 1, mode=mode))
    world.run(10)
    return world


def sent_by(world: World, name: str) -> set[int]:
    return {segment for who, segment in world.sent if who == name}


@pytest.mark.parametrize("mode", [HandoverMode.CEASE, HandoverMode.SILENT_STANDBY])
def test_the_incumbent_stops_at_the_event(mode: HandoverMode) -> None:
    world = live(mode)
    world.want = desired("v2", 2, mode=mode)
    world.run(60)
    done = world.record.handover
    assert done is not None
    assert done.phase is HandoverPhase.COMPLETED
    assert done.segment is not None
    assert max(sent_by(world, "ch-1")) == done.segment - 1
    assert ("ch-1", done.segment) in world.withheld, "it stays warm: encoding, not sending"
    world.check_published()


def test_a_silent_successor_sends_nothing_before_the_event() -> None:
    world = live(HandoverMode.SILENT_STANDBY)
    world.want = desired("v2", 2, mode=HandoverMode.SILENT_STANDBY)
    world.run(60)
    done = world.record.handover
    assert done is not None
    assert min(sent_by(world, "ch-2")) == done.segment
    assert max(Counter(segment for _, segment in world.sent).values()) == 1, "one input only"


@pytest.mark.parametrize("mode", [HandoverMode.CEASE, HandoverMode.SILENT_STANDBY])
def test_a_rollback_sends_again_what_the_downstream_lacks(mode: HandoverMode) -> None:
    """The successor dies in the hold; the silent incumbent still has what nobody sent."""
    world = live(mode)
    world.want = desired("v2", 2, mode=mode)
    world.run_until(HandoverPhase.HOLDING)
    world.encoders["ch-2"].delivers = False
    last = max(world.published)
    for _ in range(9):
        world.now_us += 500_000
        if world.now_us % 2_000_000 == 0:
            world.next_segment()
    assert max(world.published) == last, "two segments that nobody has sent"
    world.kill("ch-2")
    world.run(20)
    done = world.record.handover
    assert done is not None
    assert done.phase is HandoverPhase.ROLLED_BACK
    assert world.published[last + 1] == ("ch-1", 3)
    world.check_published()


def test_an_encoder_of_protocol_1_is_not_asked_for_what_it_does_not_know() -> None:
    world = live(HandoverMode.CEASE)
    old = world.encoders["ch-1"]
    old.peer = replace(old.peer, identity=replace(old.peer.identity, protocol=1))
    world.want = desired("v2", 2, mode=HandoverMode.CEASE)
    world.run(30)
    done = world.record.handover
    assert done is not None
    assert (done.phase, done.reason) == (HandoverPhase.ABORTED, "ProtocolVersion")
    assert done.message.startswith("ch-1 speaks protocol 1, which knows neither mode Cease")
    assert world.record.active is not None
    assert (world.record.active.name, world.record.active.term) == ("ch-1", 1)
    world.check_published()
