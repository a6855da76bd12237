"""I5 to I8 and I10: records and deeds, by facts written by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.sim.scene import (
    CONFIRMED,
    DESIRED,
    NEW,
    OLD,
    Scene,
    Story,
    armed,
    born,
    completed,
    objects,
    updating,
)

from hitless_handover.messages import Confirmation, PeerPhase, Role
from hitless_handover.supervisor_model import (
    EncoderRecord,
    GrantTerm,
    HandoverPhase,
    ReleaseHandover,
)

SPARE = EncoderRecord(name="ch-5", image="v1", digest="v1", term=5, uid="uid-ch-5")


# --- I5, I6 ---


def deleted_in_the_hold() -> None:
    scene = armed()
    scene.airs("ch-2", 4, 2, standby="ch-1")
    scene.updates(HandoverPhase.HOLDING, **CONFIRMED)
    scene.deletes("ch-1")


def deleted_without_the_origin() -> None:
    completed(origin_confirmation=None).deletes("ch-1")


def deleted_by_an_older_record() -> None:
    scene = completed()
    scene.deletes("ch-1", version=scene.version - 1)


def pod_deleted_by_an_operator() -> None:
    armed().pod_deleted("ch-1", by="op1")


def released_early() -> None:
    scene = armed()
    scene.airs("ch-2", 4, 2, standby="ch-1")
    scene.acts(ReleaseHandover(name="ch-1", handover_id="h-2"))


def retired_early() -> None:
    armed().moves("ch-1", Role.INCUMBENT, PeerPhase.SWITCHED, PeerPhase.RELEASED)


def held_without_the_successor() -> None:
    scene = armed()
    scene.airs("ch-2", 4, 2, standby="ch-1")
    scene.updates(HandoverPhase.HOLDING, **{**CONFIRMED, "successor_confirmation": None})


def completed_before_the_hold_is_over() -> None:
    completed(held=False)


@pytest.mark.parametrize(
    "story",
    [
        held_without_the_successor,
        completed_before_the_hold_is_over,
        deleted_in_the_hold,
        deleted_without_the_origin,
        deleted_by_an_older_record,
        pod_deleted_by_an_operator,
        released_early,
        retired_early,
    ],
)
def test_i5_an_incumbent_goes_only_after_completed(story: Story) -> None:
    assert objects(story) == "I5"


def test_i5_after_completed_it_goes() -> None:
    scene = completed()
    scene.acts(ReleaseHandover(name="ch-1", handover_id="h-2"))
    scene.deletes("ch-1")
    scene.pod_deleted("ch-1", by="op1")
    scene.ends("ch-1")


def test_i5_who_else_deletes_it_is_not_judged() -> None:
    armed().pod_deleted("ch-1", by="platform")


def active_deleted() -> None:
    born().deletes("ch-1")


def successor_deleted() -> None:
    updating().deletes("ch-2")


def spare_deleted() -> None:
    scene = born(desired=replace(DESIRED, hot_spare=True))
    scene.stores(replace(scene.record, spare=SPARE, term=5))
    scene.creates("ch-5")
    scene.deletes("ch-5")


def last_one_deleted() -> None:
    scene = born()
    scene.creates("ch-9")
    scene.ends("ch-1")
    scene.later(60)
    scene.deletes("ch-9")


def deleted_on_air() -> None:
    scene = born()
    scene.creates("ch-9")
    for segment in range(2, 20):
        scene.later(2)
        scene.delivers("ch-9", segment, 0)
        scene.later(3)
        scene.publishes("ch-9", segment, 0, fallback=True)
    scene.deletes("ch-9")


@pytest.mark.parametrize(
    "story",
    [active_deleted, successor_deleted, spare_deleted, last_one_deleted, deleted_on_air],
)
def test_i6_what_is_needed_is_not_deleted(story: Story) -> None:
    assert objects(story) == "I6"


def test_i6_who_deletes_the_channel_may_delete_everything() -> None:
    scene = born()
    scene.wants(None)
    scene.pod_deleted("ch-1", by="op1")


# --- I7 ---


def granted_and_not_stored() -> None:
    born().grants("ch-1", 2)


def stamped_and_not_stored() -> None:
    born().stamps("ch-1", 2, 2)


def shared() -> None:
    scene = born()
    scene.creates("ch-2")
    scene.stamps("ch-2", 2, 1)


def acted_before_anything_is_stored() -> None:
    Scene().acts(GrantTerm(name="ch-1", term=0))


def stale_order() -> None:
    scene = armed()
    scene.stamps("ch-1", 4, 0)
    scene.ordered("ch-1", 1)


def stale_handover() -> None:
    scene = born()
    scene.stores(replace(scene.record, term=3))
    scene.grants("ch-1", 3)
    scene.moves("ch-1", Role.INCUMBENT, None, PeerPhase.ANNOUNCED)


def fallen() -> None:
    scene = completed()
    scene.stores(replace(scene.record, term=1))


def allotted_twice() -> None:
    scene = born()
    twice = replace(scene.record, active=replace(NEW, term=1))
    scene.stores(twice)


@pytest.mark.parametrize(
    "story",
    [
        granted_and_not_stored,
        stamped_and_not_stored,
        shared,
        acted_before_anything_is_stored,
        stale_order,
        stale_handover,
        fallen,
        allotted_twice,
    ],
)
def test_i7_a_term_is_stored_and_has_one_owner(story: Story) -> None:
    assert objects(story) == "I7"


def test_i7_an_order_may_be_repeated() -> None:
    scene = armed()
    scene.ordered("ch-1", 1)
    scene.ordered("ch-2", 2)


# --- I8 ---


def active_is_the_successor() -> None:
    scene = updating()
    scene.stores(replace(scene.record, active=NEW))
    scene.updates(HandoverPhase.ABORTED, reason="Mismatch")


def rolled_back_with_the_old_term() -> None:
    scene = updating()
    scene.updates(HandoverPhase.ROLLED_BACK, reason="SuccessorFailed")


def does_not_lead_in_the_end() -> None:
    scene = updating()
    scene.updates(HandoverPhase.ABORTED, reason="Mismatch")
    scene.closes(leading=(("ch-1", 0),))


@pytest.mark.parametrize(
    "story", [active_is_the_successor, rolled_back_with_the_old_term, does_not_lead_in_the_end]
)
def test_i8_a_handover_that_is_called_off_keeps_the_incumbent(story: Story) -> None:
    assert objects(story) == "I8"


def test_i8_an_incumbent_that_was_lost_is_followed_by_the_successor() -> None:
    scene = updating()
    scene.ends("ch-1")
    scene.stores(replace(scene.record, term=3, active=replace(NEW, term=3)))
    scene.updates(HandoverPhase.ABORTED, reason="IncumbentLost")


# --- I10 ---


@pytest.mark.parametrize(
    "lie",
    [
        {"origin_confirmation": Confirmation(segment=5)},
        {"origin_confirmation": Confirmation(segment=4, gap_frames=60)},
        {"successor_confirmation": Confirmation(segment=3)},
        {"incumbent_confirmation": Confirmation(segment=2)},
        {"frame": 300},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_i10_a_completed_record_that_lies(lie: dict[str, Any]) -> None:
    assert objects(lambda: completed(**lie)) == "I10"


def test_i10_a_completed_record_that_tells_the_truth() -> None:
    completed()


def aborted_and_published() -> None:
    scene = armed()
    scene.airs("ch-2", 4, 2, standby="ch-1")
    scene.updates(HandoverPhase.ABORTED, reason="ConfirmDeadline")


def published_after_it_was_aborted() -> None:
    scene = armed()
    scene.updates(HandoverPhase.ABORTED, reason="ConfirmDeadline")
    scene.airs("ch-2", 4, 2, standby="ch-1")


def written_anew() -> None:
    scene = completed()
    done = scene.record.history[0]
    scene.stores(replace(scene.record, history=(replace(done, reason="Other"),), handover=None))


def not_written_down() -> None:
    scene = updating()
    over = replace(scene.record.handover, phase=HandoverPhase.ABORTED)  # type: ignore[type-var]
    scene.stores(replace(scene.record, handover=over))


def completed_and_another_is_active() -> None:
    scene = completed(held=True)
    scene.judge.story.record = replace(scene.record, handover=None, history=())
    scene.stores(replace(scene.record, active=OLD))


@pytest.mark.parametrize(
    "story",
    [
        aborted_and_published,
        published_after_it_was_aborted,
        written_anew,
        not_written_down,
        completed_and_another_is_active,
    ],
)
def test_i10_the_history_is_what_happened(story: Story) -> None:
    assert objects(story) == "I10"
