"""The supervisor and both peers together, in a world that tells them everything at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.unit.core.world import World, desired

from hitless_handover.messages import PeerPhase
from hitless_handover.supervisor_model import (
    HANDOVER_FINAL,
    ChannelPhase,
    ChannelRecord,
    Desired,
    EncoderState,
    HandoverPhase,
)
from hitless_handover.supervisor_update import TRANSITIONS
from hitless_handover.timeline import Anchor


@pytest.fixture
def world() -> Iterator[World]:
    """A channel that is live with v1; the published segments are checked at the end."""
    world = World(want=desired("v1", 1))
    world.run(10)
    assert world.record.phase is ChannelPhase.LIVE
    assert world.record.active is not None
    assert world.record.active.name == "ch-1"
    yield world
    world.check_published()


def test_at_rest_nothing_is_asked_and_nothing_is_woken(world: World) -> None:
    before = world.record
    decision = world.look()
    assert (decision.record, decision.actions, decision.wake_at_us) == (before, (), None)


def test_an_update_goes_through_every_phase_and_ends_with_the_successor(world: World) -> None:
    world.want = desired("v2", 2)
    world.run(40)
    done = world.record.handover
    assert done is not None
    assert done.phase is HandoverPhase.COMPLETED
    assert world.record.active is not None
    assert (world.record.active.name, world.record.active.image) == ("ch-2", "encoder:v2")
    assert world.deleted == ["ch-1"]
    phases = [r.handover.phase for r in world.records if r.handover is not None]
    assert list(dict.fromkeys(phases)) == [
        HandoverPhase.STARTING,
        HandoverPhase.NEGOTIATING,
        HandoverPhase.ARMED,
        HandoverPhase.HOLDING,
        HandoverPhase.COMPLETED,
    ]
    assert done.segment is not None
    assert world.published[done.segment - 1] == ("ch-1", 1)
    assert world.published[done.segment] == ("ch-2", 2)
    assert done.incumbent_confirmation is not None
    assert done.incumbent_confirmation.segment == done.segment - 1


def test_an_update_creates_its_successor_at_once_if_the_incumbent_answers(world: World) -> None:
    world.want = desired("v2", 2)
    decision = world.look()
    assert decision.record.handover is not None
    assert decision.record.handover.phase is HandoverPhase.STARTING
    assert [type(action).__name__ for action in decision.actions] == ["CreateEncoder"]


def test_without_the_incumbents_word_the_successor_is_created_at_the_next_look(
    world: World,
) -> None:
    world.unreachable.add("ch-1")
    world.want = desired("v2", 2)
    assert world.look().actions == ()
    assert [type(action).__name__ for action in world.look().actions] == ["CreateEncoder"]


def test_while_nothing_is_expected_looks_are_rare(world: World) -> None:
    """What has to last for segments is looked at every 2 s, then every half second."""
    world.want = desired("v2", 2)
    waits: dict[HandoverPhase, set[float]] = {}
    for _ in range(100):
        world.half_second()
        decision = world.look()
        update = decision.record.handover
        if update is None or not update.live or decision.wake_at_us is None:
            continue
        wait_s = (decision.wake_at_us - world.now_us) / 1_000_000
        waits.setdefault(update.phase, set()).add(wait_s)
    for phase in (HandoverPhase.ARMED, HandoverPhase.HOLDING):
        assert max(waits[phase]) == 2.0, phase
        assert min(waits[phase]) == 0.5, phase


def test_ten_updates_leave_ten_records(world: World) -> None:
    for n in range(2, 13):
        world.want = desired(f"v{n}", n)
        world.run(40)
    assert [u.term for u in world.record.history] == list(range(3, 13))
    assert {u.phase for u in world.record.history} == {HandoverPhase.COMPLETED}


@pytest.mark.parametrize("lost_look", range(80))
def test_a_supervisor_killed_after_any_write_goes_on(lost_look: int) -> None:
    """The record of one look is stored, its actions are never carried out."""
    world = World(want=desired("v1", 1))
    world.run(10)
    world.want = desired("v2", 2)
    for look in range(120):
        world.lose_actions = look == lost_look
        world.half_second()
    assert world.record.handover is not None
    assert world.record.handover.phase is HandoverPhase.COMPLETED
    assert world.deleted == ["ch-1"]
    world.check_published()


def test_paused_starts_nothing(world: World) -> None:
    world.want = desired("v2", 2, paused=True)
    world.run(20)
    assert world.record.handover is None
    assert world.record.observed_generation == 2


def test_an_image_that_does_not_exist_names_itself_and_leaves_the_incumbent(world: World) -> None:
    world.want = desired("v2", 2)
    world.unstartable = {"ch-2"}
    world.run(10)
    assert world.record.problem is not None
    assert world.record.problem.reason == "ErrImagePull"
    assert [n.reason for n in world.notices].count("ErrImagePull") == 1
    world.run(80)
    done = world.record.handover
    assert done is not None
    assert (done.phase, done.reason) == (HandoverPhase.ABORTED, "StartDeadline")
    assert "no such image" in done.message
    assert world.deleted == ["ch-2"]
    assert world.record.phase is ChannelPhase.LIVE
    world.run(60)
    assert world.record.handover == done, "a refused update is not tried again by itself"


def test_a_configuration_that_no_start_can_work_with_is_given_up_at_once(world: World) -> None:
    world.want = desired("v2", 2)
    world.misconfigured = {"ch-2"}
    world.run(10)
    done = world.record.handover
    assert done is not None
    assert (done.phase, done.reason) == (HandoverPhase.ABORTED, "EncoderConfigInvalid")
    assert done.message == "ch-2: profiles.a.codec: no"
    assert world.deleted == ["ch-2"]
    assert world.record.phase is ChannelPhase.LIVE
    world.run(60)
    assert world.record.handover == done, "a refused update is not tried again by itself"


def test_a_first_configuration_that_can_not_work_says_so_until_it_is_mended() -> None:
    world = World(want=desired("v1", 1), misconfigured={"ch-1"})
    world.run(10)
    assert world.record.problem is not None
    assert world.record.problem.reason == "EncoderConfigInvalid"
    world.want = desired("v2", 2)
    world.run(10)
    assert world.record.phase is ChannelPhase.LIVE
    assert world.deleted == ["ch-1"]


def test_mending_the_image_supersedes_the_bad_update(world: World) -> None:
    world.want = desired("v2", 2)
    world.unstartable = {"ch-2"}
    world.run(10)
    world.want = desired("v3", 3)
    world.run(60)
    assert [(u.phase, u.reason) for u in world.record.history] == [
        (HandoverPhase.ABORTED, "Superseded"),
        (HandoverPhase.COMPLETED, ""),
    ]
    assert world.record.active is not None
    assert world.record.active.image == "encoder:v3"


def test_changing_back_during_an_update_ends_it(world: World) -> None:
    world.want = desired("v2", 2)
    world.unstartable = {"ch-2"}
    world.run(10)
    world.want = desired("v1", 3)
    world.run(20)
    assert world.record.handover is not None
    assert world.record.handover.reason == "Superseded"
    assert world.record.problem is None
    assert world.deleted == ["ch-2"]


def test_a_mismatch_is_refused_with_the_field(world: World) -> None:
    world.want = desired("v2", 2)
    world.next_fingerprint = "other"
    world.run(40)
    done = world.record.handover
    assert done is not None
    assert (done.phase, done.reason) == (HandoverPhase.ABORTED, "Mismatch")
    assert done.message.startswith("fingerprint: incumbent has same, successor has other")


def test_a_mismatch_is_tried_again_once_a_discontinuity_is_allowed(world: World) -> None:
    world.want = desired("v2", 2)
    world.next_fingerprint = "other"
    world.run(40)
    assert world.record.refused_digest == world.want.digest
    world.want = allowing(desired("v2", 3))
    world.run(40)
    done = world.record.handover
    assert done is not None
    assert (done.phase, done.term) == (HandoverPhase.COMPLETED, 3)
    assert world.record.refused_digest == ""


def test_what_no_discontinuity_excuses_is_tried_once_an_edit(world: World) -> None:
    world.next_anchor = Anchor(
        source_ticks=1, source_timescale=90_000, wrap_ticks=0, frame=1, wall_us=0
    )
    world.want = allowing(desired("v2", 2))
    world.run(80)
    done = world.record.handover
    assert done is not None
    assert (done.reason, done.term) == ("Mismatch", 2)
    world.want = allowing(desired("v2", 3))
    world.run(80)
    done = world.record.handover
    assert done is not None
    assert (done.reason, done.term) == ("Mismatch", 3)


def allowing(wanted: Desired) -> Desired:
    criteria = replace(wanted.policy.criteria, allow_discontinuity=True)
    return replace(wanted, policy=replace(wanted.policy, criteria=criteria))


def test_bad_segments_are_refused(world: World) -> None:
    world.want = desired("v2", 2)
    world.next_samples_ok = False
    world.run(40)
    done = world.record.handover
    assert done is not None
    assert (done.phase, done.reason) == (HandoverPhase.ABORTED, "Verification")
    assert world.record.active is not None
    assert world.record.active.term == 1


def test_a_lost_arm_costs_nothing(world: World) -> None:
    """The incumbent does not hear that the frame is binding: the operator tells it."""
    world.arm_is_lost = True
    world.want = desired("v2", 2)
    world.run_until(HandoverPhase.ARMED)
    segment = world.record.handover.segment if world.record.handover else None
    assert segment is not None
    world.run(30)
    assert world.published[segment] == ("ch-2", 2)
    done = world.record.handover
    assert done is not None
    assert done.phase is HandoverPhase.COMPLETED
    assert done.incumbent_confirmation is not None
    assert done.incumbent_confirmation.overlap_frames == 0


def test_losing_the_successor_before_the_frame_leaves_the_incumbent(world: World) -> None:
    world.want = desired("v2", 2)
    world.run_until(HandoverPhase.ARMED)
    world.kill("ch-2")
    world.run(40)
    done = world.record.handover
    assert done is not None
    assert done.reason == "SuccessorLost"
    assert done.phase is HandoverPhase.ABORTED
    # A newer term: nobody can say whether the one that vanished does not send on somewhere.
    assert world.record.active is not None
    assert (world.record.active.name, world.record.active.term) == ("ch-1", 3)
    last = max(world.published)
    assert world.published[last] == ("ch-1", 3)


def test_losing_the_successor_in_the_hold_rolls_back(world: World) -> None:
    world.want = desired("v2", 2)
    world.run_until(HandoverPhase.HOLDING)
    world.kill("ch-2")
    world.run(40)
    done = world.record.handover
    assert done is not None
    assert (done.phase, done.reason) == (HandoverPhase.ROLLED_BACK, "SuccessorLost")
    assert world.record.active is not None
    assert (world.record.active.name, world.record.active.term) == ("ch-1", 3)
    assert world.published[max(world.published)] == ("ch-1", 3)
    assert world.record.phase is ChannelPhase.LIVE


def test_losing_the_incumbent_promotes_the_successor(world: World) -> None:
    world.want = desired("v2", 2)
    world.run_until(HandoverPhase.ARMED)
    world.kill("ch-1")
    world.run(20)
    assert world.record.active is not None
    assert (world.record.active.name, world.record.active.term) == ("ch-2", 3)
    assert world.record.phase is ChannelPhase.LIVE
    last = max(world.published)
    assert world.published[last] == ("ch-2", 3)


def test_a_lost_active_encoder_is_replaced_under_a_new_term(world: World) -> None:
    world.kill("ch-1")
    world.run(10)
    assert world.record.active is not None
    assert (world.record.active.name, world.record.active.term) == ("ch-2", 2)
    assert world.record.phase is ChannelPhase.LIVE
    assert any(n.reason == "EncoderLost" and n.warning for n in world.notices)
    world.published = {k: v for k, v in world.published.items() if v[0] == "ch-2"}


def test_an_active_encoder_that_is_not_ready_is_degraded_and_recovers(world: World) -> None:
    healthy = world.states["ch-1"]
    world.states["ch-1"] = replace(
        healthy, ready=False, reason="CrashLoopBackOff", message="exit code 1"
    )
    hidden = world.encoders.pop("ch-1")
    world.look()
    assert world.record.problem is not None
    assert world.record.problem.reason == "CrashLoopBackOff"
    world.encoders["ch-1"] = hidden
    world.states["ch-1"] = healthy
    world.look()
    assert [r.phase for r in world.records[-2:]] == [ChannelPhase.DEGRADED, ChannelPhase.LIVE]
    assert world.records[-1].problem is None


def test_a_bad_first_image_is_replaced_when_the_user_mends_it() -> None:
    world = World(want=desired("typo", 1), unstartable={"ch-1"})
    world.run(10)
    assert world.record.problem is not None
    assert world.record.problem.reason == "ErrImagePull"
    world.want = desired("v1", 2)
    world.run(10)
    assert world.record.phase is ChannelPhase.LIVE
    assert world.record.active is not None
    assert world.record.active.image == "encoder:v1"
    assert world.deleted == ["ch-1"]


def test_a_crashing_encoder_is_replaced_when_the_user_changes_it(world: World) -> None:
    world.states["ch-1"] = replace(world.states["ch-1"], ready=False, reason="CrashLoopBackOff")
    world.encoders.pop("ch-1")
    world.look()
    world.want = desired("v2", 2)
    world.run(10)
    assert world.record.phase is ChannelPhase.LIVE
    assert world.record.active is not None
    assert (world.record.active.image, world.record.active.term) == ("encoder:v2", 2)
    world.published = {k: v for k, v in world.published.items() if v[0] == "ch-2"}


def test_the_first_encoder_is_created_once_its_term_is_recorded() -> None:
    world = World(want=desired("v1", 1))
    world.look()
    assert world.record == replace(
        ChannelRecord(),
        phase=ChannelPhase.STARTING,
        observed_generation=1,
        term=1,
        active=world.record.active,
    )
    assert world.states["ch-1"].state is EncoderState.RUNNING


def test_a_lost_record_does_not_begin_below_what_has_been_on_air() -> None:
    world = World(want=desired("v1", 1))
    world.published = {7: ("ch-4", 4)}
    world.look()
    assert (world.record.term, world.record.active and world.record.active.name) == (5, "ch-5")


def test_every_phase_but_the_final_ones_leads_somewhere() -> None:
    assert {phase for phase, to in TRANSITIONS.items() if not to} == HANDOVER_FINAL
    assert set(TRANSITIONS) == set(HandoverPhase)


def test_the_successor_forgets_the_handover_when_it_is_released(world: World) -> None:
    world.want = desired("v2", 2)
    world.run(40)
    report = world.handover_report("ch-2")
    assert report is not None
    assert report.phase is PeerPhase.RELEASED


@pytest.mark.parametrize(
    ("state", "message", "reason"),
    [
        ("Connecting", "", "EncoderStarting"),
        ("Lost", "no data from udp://239.0.0.1:1", "SourceUnavailable"),
        ("Running", "409 init of v differs", "OutputRefused"),
    ],
)
def test_what_an_encoder_complains_of_is_named(state: str, message: str, reason: str) -> None:
    world = World(want=desired("v1", 1), complaint=(state, message))
    world.look()
    world.look()
    assert world.record.problem is not None
    assert world.record.problem.reason == reason
    assert message in world.record.problem.message


def test_a_successor_gets_the_anchor_that_the_incumbent_has_now() -> None:
    """The first encoder chooses it; a jump of the source moves it later."""
    chosen = Anchor(source_ticks=1, source_timescale=90_000, wrap_ticks=2**33, frame=60, wall_us=0)
    moved = replace(chosen, source_ticks=5)
    world = World(want=desired("v1", 1), anchor=chosen)
    world.run(10)
    assert world.record.anchor == chosen
    world.anchor = moved
    world.want = desired("v2", 2)
    world.run(40)
    assert world.created_with == [None, moved]
    assert world.record.anchor == moved


def test_an_encoder_that_takes_long_to_lead_again_is_not_replaced_while_paused(
    world: World,
) -> None:
    """After a rollback whose order does not arrive, with a change of the spec that is paused."""
    world.want = desired("v2", 2)
    world.run_until(HandoverPhase.HOLDING)
    world.encoders["ch-2"].delivers = False
    world.kill("ch-2")
    world.unreachable.add("ch-1")
    world.want = desired("v3", 3, paused=True)
    world.run(150)
    assert world.record.active is not None
    assert world.record.active.name == "ch-1"
    assert sorted(world.states) == ["ch-1"]
