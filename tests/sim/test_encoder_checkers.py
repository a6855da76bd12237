"""I9, I12, I14 and I15: what encoders agree to and send, by facts written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sim.scene import CRITERIA, Scene, Story, armed, born, objects, updating

from hitless_handover.messages import HandoverMode, PeerPhase, Role
from hitless_handover.supervisor_model import HandoverPhase
from hitless_sim.facts import Quality

# --- I9 ---


def announced(quality: Quality) -> Scene:
    scene = born()
    scene.updates(HandoverPhase.STARTING)
    scene.creates("ch-2", quality)
    scene.moves("ch-2", Role.SUCCESSOR, None, PeerPhase.BEGUN)
    scene.moves("ch-1", Role.INCUMBENT, None, PeerPhase.ANNOUNCED)
    return scene


def a_mismatch_is_taken_for_its_own() -> None:
    scene = announced(Quality.MISMATCH)
    scene.moves("ch-1", Role.INCUMBENT, PeerPhase.ANNOUNCED, PeerPhase.SYNCHRONISED)


def a_bad_picture_is_agreed_to() -> None:
    scene = announced(Quality.BAD_PICTURE)
    scene.moves("ch-1", Role.INCUMBENT, PeerPhase.ANNOUNCED, PeerPhase.SYNCHRONISED)
    scene.moves("ch-1", Role.INCUMBENT, PeerPhase.VERIFIED, PeerPhase.AGREED, segment=4)


def a_bad_picture_takes_over_unasked() -> None:
    scene = announced(Quality.BAD_PICTURE)
    scene.moves("ch-2", Role.SUCCESSOR, PeerPhase.VERIFIED, PeerPhase.ARMED, segment=2)
    scene.airs("ch-2", 2, 2)


def turned_bad_before_the_frame() -> None:
    scene = armed()
    scene.turns("ch-2", Quality.MISMATCH)
    scene.airs("ch-2", 4, 2)


@pytest.mark.parametrize(
    "story",
    [
        a_mismatch_is_taken_for_its_own,
        a_bad_picture_is_agreed_to,
        a_bad_picture_takes_over_unasked,
        turned_bad_before_the_frame,
    ],
)
def test_i9_a_good_incumbent_agrees_to_good_successors_only(story: Story) -> None:
    assert objects(story) == "I9"


def test_i9_who_is_on_air_already_may_turn_bad() -> None:
    scene = armed()
    scene.airs("ch-2", 4, 2)
    scene.turns("ch-2", Quality.MISMATCH)
    scene.airs("ch-2", 5, 2)


def test_i9_who_replaces_a_lost_encoder_was_judged_by_nobody() -> None:
    scene = born()
    scene.creates("ch-2", Quality.BAD_PICTURE)
    scene.stores(replace(scene.record, term=2))
    scene.grants("ch-2", 2)
    scene.airs("ch-2", 2, 2)


# --- I12 ---


@pytest.mark.parametrize("mode", [HandoverMode.CEASE, HandoverMode.SILENT_STANDBY])
def test_i12_an_incumbent_that_yielded_is_silent(mode: HandoverMode) -> None:
    scene = armed(mode)
    scene.stamps("ch-1", 4, 0, silent=True)

    def speaks() -> None:
        scene.stamps("ch-1", 5, 0)

    assert objects(speaks) == "I12"


def test_i12_an_incumbent_that_is_granted_a_term_speaks_again() -> None:
    scene = armed(HandoverMode.CEASE)
    scene.stores(replace(scene.record, term=3))
    scene.grants("ch-1", 3)
    scene.stamps("ch-1", 4, 3)


def test_i12_an_incumbent_whose_handover_was_called_off_goes_on() -> None:
    scene = armed(HandoverMode.CEASE)
    scene.moves("ch-1", Role.INCUMBENT, PeerPhase.ARMED, PeerPhase.ABORTED)
    scene.stamps("ch-1", 4, 1)


def test_i12_by_priority_everybody_speaks() -> None:
    armed(HandoverMode.PRIORITY).stamps("ch-1", 4, 0)


def test_i12_a_silent_standby_speaks_neither_before_it_is_bound_nor_before_its_frame() -> None:
    def unbound() -> None:
        updating(HandoverMode.SILENT_STANDBY).stamps("ch-2", 3, 0)

    def early() -> None:
        armed(HandoverMode.SILENT_STANDBY).stamps("ch-2", 3, 0)

    assert [objects(unbound), objects(early)] == ["I12", "I12"]
    armed(HandoverMode.SILENT_STANDBY).stamps("ch-2", 4, 2)


# --- I14, I15 ---


def agreed(segment: int) -> Scene:
    scene = updating()
    scene.updates(HandoverPhase.NEGOTIATING)
    criteria = replace(CRITERIA, not_before_frame=300, not_after_frame=420)
    scene.begins("ch-2", "ch-1", HandoverMode.PRIORITY, criteria=criteria)
    scene.moves("ch-1", Role.INCUMBENT, PeerPhase.VERIFIED, PeerPhase.AGREED, segment=segment)
    return scene


def agreed_too_near() -> None:
    scene = agreed(5)
    scene.stamps("ch-1", 4, 1)
    scene.moves("ch-1", Role.INCUMBENT, PeerPhase.VERIFIED, PeerPhase.AGREED, segment=6)


def agreed_before_the_bound() -> None:
    agreed(4)


def agreed_after_the_bound() -> None:
    agreed(8)


def bound_to_the_past() -> None:
    scene = agreed(5)
    scene.stamps("ch-2", 5, 0)
    scene.moves("ch-2", Role.SUCCESSOR, PeerPhase.VERIFIED, PeerPhase.ARMED, segment=5)


@pytest.mark.parametrize(
    "story",
    [agreed_too_near, agreed_before_the_bound, agreed_after_the_bound, bound_to_the_past],
)
def test_i14_a_frame_keeps_to_the_criteria(story: Story) -> None:
    assert objects(story) == "I14"


def test_i14_a_frame_within_the_criteria() -> None:
    agreed(5)


def leads_past_the_frame() -> None:
    armed().stamps("ch-1", 4, 1)


def does_not_lead_from_the_frame_on() -> None:
    armed().stamps("ch-2", 4, 0)


def yields_before_the_frame() -> None:
    scene = updating()
    scene.moves("ch-1", Role.INCUMBENT, PeerPhase.AGREED, PeerPhase.ARMED, segment=4)
    scene.stamps("ch-1", 3, 0)


def leads_unasked() -> None:
    scene = born()
    scene.stores(replace(scene.record, term=2))
    scene.creates("ch-2")
    scene.stamps("ch-2", 2, 2)


def leads_after_it_was_called_off() -> None:
    scene = armed()
    scene.moves("ch-2", Role.SUCCESSOR, PeerPhase.ARMED, PeerPhase.ABORTED)
    scene.stamps("ch-2", 4, 2)


@pytest.mark.parametrize(
    "story",
    [
        leads_past_the_frame,
        does_not_lead_from_the_frame_on,
        yields_before_the_frame,
        leads_unasked,
        leads_after_it_was_called_off,
    ],
)
def test_i15_an_encoder_keeps_its_word(story: Story) -> None:
    assert objects(story) == "I15"


def test_i15_both_keep_their_word_and_an_order_comes_first() -> None:
    scene = armed()
    scene.stamps("ch-1", 4, 0)
    scene.stamps("ch-2", 4, 2)
    scene.stores(replace(scene.record, term=3))
    scene.grants("ch-1", 3)
    scene.stamps("ch-1", 5, 3)


def test_i15_what_was_called_off_binds_nobody() -> None:
    scene = armed()
    for name, role in (("ch-1", Role.INCUMBENT), ("ch-2", Role.SUCCESSOR)):
        scene.moves(name, role, PeerPhase.ARMED, PeerPhase.ABORTED)
    scene.stamps("ch-1", 4, 1)
    scene.stamps("ch-2", 4, 0)
