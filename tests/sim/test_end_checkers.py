"""I11, I13 and I16: the end, the waits and the user, by facts written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sim.scene import (
    CONFIRMED,
    DESIRED,
    OLD,
    UPDATE,
    Scene,
    Story,
    armed,
    born,
    objects,
    updating,
)

from hitless_handover.messages import HandoverMode, PeerPhase, Role
from hitless_handover.supervisor_model import (
    ChannelPhase,
    EncoderRecord,
    HandoverPhase,
    Problem,
)

SPARE = EncoderRecord(name="ch-5", image="v1", digest="v1", term=5, uid="uid-ch-5")


# --- I11 ---


def at_rest() -> Scene:
    scene = born()
    scene.heals()
    return scene


def test_i11_at_rest() -> None:
    at_rest().closes()


@pytest.mark.parametrize(
    "ending",
    [
        {"pods": ("ch-1", "ch-2")},
        {"pods": ()},
        {"leading": (("ch-1", 0),)},
        {"on_air": ("ch-1", 0)},
        {"on_air": None},
    ],
    ids=str,
)
def test_i11_something_is_wrong_in_the_end(ending: dict[str, object]) -> None:
    assert objects(lambda: at_rest().closes(**ending)) == "I11"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"phase": ChannelPhase.STARTING},
        {"active": None},
        {"observed_generation": 0},
        {"problem": Problem(reason="EncoderLost", message="it is back long since")},
        {"spare": replace(SPARE, term=1, name="ch-1")},
        {"active": replace(OLD, digest="v0")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_i11_the_record_is_not_what_is_wanted(change: dict[str, object]) -> None:
    def story() -> None:
        scene = at_rest()
        scene.stores(replace(scene.record, **change))  # type: ignore[arg-type]
        scene.closes()

    assert objects(story) == "I11"


def test_i11_a_version_that_was_refused_is_named() -> None:
    scene = at_rest()
    scene.wants(replace(DESIRED, generation=1, image="v2", digest="v2"))
    problem = Problem(reason="Mismatch", message="fingerprint")
    refused = replace(scene.record, refused_digest="v2", problem=problem)
    scene.stores(refused)
    scene.closes()

    def nobody_is_told() -> None:
        scene.stores(replace(refused, problem=None))
        scene.closes()

    assert objects(nobody_is_told) == "I11"


def test_i11_of_a_channel_that_was_deleted_nothing_is_demanded() -> None:
    scene = at_rest()
    scene.wants(None)
    scene.closes(pods=(), leading=(), on_air=None)


def test_i11_a_spare_that_is_wanted_is_there() -> None:
    scene = born(desired=replace(DESIRED, hot_spare=True))
    scene.heals()
    assert objects(scene.closes) == "I11"
    scene.stores(replace(scene.record, spare=SPARE, term=5))
    scene.closes(pods=("ch-1", "ch-5"))


# --- I13 ---


@pytest.mark.parametrize(
    ("phase", "seconds"),
    [
        (HandoverPhase.STARTING, 60),
        (HandoverPhase.NEGOTIATING, 90),
        (HandoverPhase.HOLDING, 36),
        (HandoverPhase.ABORTING, 60),
    ],
)
def test_i13_a_phase_ends_by_its_deadline(phase: HandoverPhase, seconds: int) -> None:
    scene = born()
    scene.heals()
    scene.updates(phase, **CONFIRMED)
    scene.later(seconds + 19)
    scene.stamps("ch-1", 2, 1)
    scene.later(2)
    assert objects(lambda: scene.stamps("ch-1", 3, 1)) == "I13"


def test_i13_an_encoders_side_of_it_ends_by_the_deadline_it_was_given() -> None:
    scene = updating()
    scene.begins("ch-2", "ch-1", HandoverMode.PRIORITY, deadline_s=60)
    scene.moves("ch-2", Role.SUCCESSOR, None, PeerPhase.BEGUN)
    scene.later(179)
    scene.stamps("ch-1", 3, 1)
    scene.later(2)
    assert objects(lambda: scene.stamps("ch-1", 4, 1)) == "I13"


def test_i13_while_things_are_broken_nothing_is_late() -> None:
    scene = updating()
    scene.later(1000)
    scene.stamps("ch-1", 3, 1)


# --- I16 ---


def begun_while_paused() -> None:
    scene = born()
    scene.wants(replace(DESIRED, generation=2, image="v2", digest="v2", paused=True))
    scene.stores(replace(scene.record, handover=UPDATE, term=2))


def begun_for_another_version() -> None:
    scene = born()
    scene.stores(replace(scene.record, handover=UPDATE, term=2))


def begun_though_refused() -> None:
    scene = born()
    scene.stores(replace(scene.record, refused_digest="v2"))
    scene.updates(HandoverPhase.STARTING)


def negotiates_for_what_is_no_longer_asked_for() -> None:
    scene = updating()
    scene.wants(replace(DESIRED, generation=3, image="v3", digest="v3"))
    scene.updates(HandoverPhase.NEGOTIATING)


def completed_though_called_off() -> None:
    scene = armed()
    scene.airs("ch-2", 4, 2, standby="ch-1")
    scene.updates(HandoverPhase.HOLDING, **CONFIRMED)
    scene.airs("ch-2", 5, 2, standby="ch-1")
    assert scene.desired is not None
    scene.wants(replace(scene.desired, abort_id="h-2"))
    scene.updates(HandoverPhase.COMPLETED)


@pytest.mark.parametrize(
    "story",
    [
        begun_while_paused,
        begun_for_another_version,
        begun_though_refused,
        negotiates_for_what_is_no_longer_asked_for,
        completed_though_called_off,
    ],
)
def test_i16_the_user_is_heard(story: Story) -> None:
    assert objects(story) == "I16"


# --- I17 ---


def flaps(changes: int, every_s: float) -> None:
    scene = born()
    for number in range(changes):
        scene.later(every_s)
        phase = ChannelPhase.LIVE if number % 2 else ChannelPhase.DEGRADED
        scene.stores(replace(scene.record, phase=phase))


def test_i17_a_phase_that_goes_to_and_fro() -> None:
    assert objects(lambda: flaps(10, 0.05)) == "I17"
    flaps(6, 0.05)
    flaps(20, 0.5)
