"""Which condition says what, and when its transition time moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operator import samples

from hitless_handover.supervisor_model import (
    HANDOVER_FINAL,
    ChannelPhase,
    ChannelRecord,
    HandoverPhase,
    Problem,
)
from hitless_operator.conditions import Wanted, conditions_of, findings
from hitless_operator.status_model import Condition

NOW_US = 1_795_388_861_000_000
PULL = Problem(reason="ErrImagePull", message="first-8: localhost/hitless/encoder:v2: not found")
CURRENT = Wanted(digest="digest-9", image="v1")
NEWER = Wanted(digest="digest-10", image="v2")


def table(record: ChannelRecord, wanted: Wanted) -> dict[str, tuple[bool, str]]:
    return {f.type: (f.holds, f.reason) for f in findings(record, wanted)}


def live(**more: Any) -> ChannelRecord:
    return samples.record(**{"handover": None, "problem": None, **more})


def test_before_anything_runs() -> None:
    assert table(ChannelRecord(), NEWER) == {
        "Ready": (False, "Pending"),
        "Reconciling": (True, "Starting"),
    }


def test_while_the_first_encoder_starts() -> None:
    starting = live(phase=ChannelPhase.STARTING)
    assert table(starting, CURRENT) == {
        "Ready": (False, "Starting"),
        "Reconciling": (True, "Starting"),
    }
    blocked = replace(starting, problem=PULL)
    assert table(blocked, CURRENT)["Ready"] == (False, "ErrImagePull")


def test_on_air() -> None:
    assert table(live(), CURRENT) == {"Ready": (True, "OnAir")}


def test_degraded() -> None:
    lost = Problem(reason="SourceUnavailable", message="nothing on udp://239.0.0.1:5000")
    degraded = live(phase=ChannelPhase.DEGRADED, problem=lost)
    assert table(degraded, CURRENT) == {
        "Ready": (False, "SourceUnavailable"),
        "Degraded": (True, "SourceUnavailable"),
    }


@pytest.mark.parametrize("phase", sorted(set(HandoverPhase) - HANDOVER_FINAL))
def test_ready_stays_during_an_update(phase: HandoverPhase) -> None:
    updating = live(phase=ChannelPhase.UPDATING, handover=samples.update(phase))
    assert table(updating, NEWER) == {
        "Ready": (True, "OnAir"),
        "Reconciling": (True, f"Handover{phase}"),
        "HandoverInProgress": (True, f"Handover{phase}"),
    }


def test_what_holds_an_update_up() -> None:
    updating = live(
        phase=ChannelPhase.UPDATING,
        handover=samples.update(HandoverPhase.STARTING),
        problem=PULL,
    )
    found = table(updating, NEWER)
    assert found["UpdateBlocked"] == (True, "ErrImagePull")
    assert "Stalled" not in found


@pytest.mark.parametrize("phase", [HandoverPhase.ABORTED, HandoverPhase.ROLLED_BACK])
@pytest.mark.parametrize("problem", [None, PULL])
def test_an_update_that_was_given_up(phase: HandoverPhase, problem: Problem | None) -> None:
    """Also when the record's problem has been cleared: the spec is still not what runs."""
    given_up = live(handover=samples.update(phase), problem=problem, refused_digest=NEWER.digest)
    assert table(given_up, NEWER) == {
        "Ready": (True, "OnAir"),
        "Stalled": (True, "SuccessorFailed"),
        "UpdateBlocked": (True, "SuccessorFailed"),
    }


def test_a_spec_put_back_is_no_longer_stalled() -> None:
    given_up = live(handover=samples.update(HandoverPhase.ABORTED), refused_digest="digest-10")
    assert table(given_up, CURRENT) == {"Ready": (True, "OnAir")}


def test_a_completed_update_leaves_nothing_behind() -> None:
    done = live(handover=samples.update(HandoverPhase.COMPLETED))
    assert table(done, CURRENT) == {"Ready": (True, "OnAir")}


def test_the_picture_stays_while_the_incumbent_takes_the_output_back() -> None:
    back = samples.record(
        phase=ChannelPhase.STARTING, active=replace(samples.encoder(7), term=9), problem=PULL
    )
    assert table(back, NEWER) == {
        "Ready": (True, "RollingBack"),
        "Reconciling": (True, "Starting"),
    }


def test_paused() -> None:
    assert table(live(), replace(NEWER, paused=True)) == {
        "Ready": (True, "OnAir"),
        "UpdateBlocked": (True, "Paused"),
    }
    assert table(live(), replace(CURRENT, paused=True)) == {"Ready": (True, "OnAir")}


def test_a_spec_that_can_not_be_read() -> None:
    broken = Wanted(digest=None, invalid="profiles: too short")
    assert table(live(), broken) == {
        "Ready": (True, "OnAir"),
        "Stalled": (True, "InvalidSpec"),
        "UpdateBlocked": (True, "InvalidSpec"),
    }


def test_the_transition_time_moves_with_the_status_only() -> None:
    first = conditions_of(live(), CURRENT, (), NOW_US)
    assert first[0].last_transition_time == "2026-11-22T23:07:41Z"
    assert first[0].observed_generation == 3
    later = conditions_of(live(active=samples.encoder(10)), CURRENT, first, NOW_US + 60_000_000)
    assert later[0].last_transition_time == "2026-11-22T23:07:41Z"
    assert later[0].message != first[0].message
    degraded = live(phase=ChannelPhase.DEGRADED, problem=PULL)
    fallen = conditions_of(degraded, CURRENT, later, NOW_US + 120_000_000)
    assert (fallen[0].status, fallen[0].last_transition_time) == ("False", "2026-11-22T23:09:41Z")


def test_conditions_of_others_are_kept() -> None:
    foreign = Condition(
        type="example.com/Audited",
        status="True",
        last_transition_time="2026-01-01T00:00:00Z",
        reason="Fine",
        message="",
    )
    stale = foreign.model_copy(update={"type": "Stalled"})
    kept = conditions_of(live(), CURRENT, (foreign, stale), NOW_US)
    assert [c.type for c in kept] == ["Ready", "example.com/Audited"]
    assert kept[1] == foreign
