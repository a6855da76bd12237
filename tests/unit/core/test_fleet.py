"""The planner of fleet updates: tables of what is seen, and what follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hitless_handover.fleet import BAKE_POLL_US, plan, refused
from hitless_handover.fleet_model import (
    CONCURRENCY_MAX,
    REFUSALS_MAX,
    CanaryStop,
    ChannelSeen,
    FleetDecision,
    FleetDesired,
    FleetRecord,
    Mark,
    Outcome,
    Refusal,
    Share,
    UpdatePhase,
)
from hitless_handover.fleet_outcome import judge
from hitless_handover.supervisor_model import ChannelPhase, Problem

NOW_US = 1_000_000_000_000
SECOND_US = 1_000_000
DEADLINE_US = 600 * SECOND_US
REFUSED = Problem(reason="ErrImagePull", message="no such image")


def desired(**more: Any) -> FleetDesired:
    base = FleetDesired(
        generation=1, change="new", concurrency=Share(amount=2), deadline_us=DEADLINE_US
    )
    return replace(base, **more)


def record(phase: UpdatePhase = UpdatePhase.PROGRESSING, **more: Any) -> FleetRecord:
    base = FleetRecord(phase=phase, observed_generation=1, change="new", started_us=NOW_US)
    return replace(base, **more)


def seen(name: str = "a", **more: Any) -> ChannelSeen:
    return replace(ChannelSeen(name=name), **more)


def marked(name: str = "a", **more: Any) -> ChannelSeen:
    """Changed by this update and on air with it, unless said otherwise."""
    mark = Mark(
        change=more.pop("change", "new"),
        rolled_back=more.pop("rolled_back", False),
        intact=more.pop("intact", True),
        at_us=more.pop("at_us", NOW_US),
        restorable=more.pop("restorable", True),
    )
    return seen(name, mark=mark, matches=True, **more)


def moving(name: str = "a", **more: Any) -> ChannelSeen:
    return marked(name, busy=True, on_target=False, phase=ChannelPhase.UPDATING, **more)


def fresh(count: int) -> list[ChannelSeen]:
    return [seen(f"n{number:03}") for number in range(count)]


def written(decision: FleetDecision) -> list[str]:
    return [write.name for write in decision.writes]


@pytest.mark.parametrize(
    ("channel", "outcome", "reason"),
    [
        (seen(), Outcome.PENDING, ""),
        (seen(busy=True), Outcome.PENDING, "Busy"),
        (seen(phase=ChannelPhase.UPDATING), Outcome.PENDING, "Busy"),
        (seen(exists=False), Outcome.SKIPPED, "NotFound"),
        (seen(matches=True), Outcome.SKIPPED, "AlreadyCurrent"),
        (seen(paused=True), Outcome.SKIPPED, "ChannelPaused"),
        (seen(phase=ChannelPhase.STARTING), Outcome.SKIPPED, "NotOnAir"),
        (seen(invalid="it has no profiles/x/crf"), Outcome.FAILED, "InvalidChange"),
        (seen(holder="other"), Outcome.CONFLICT, "AnotherUpdate"),
        (seen(change_owner="argocd-controller"), Outcome.CONFLICT, "FieldOwned"),
        (marked(change="older"), Outcome.PENDING, ""),
        (marked(change="older", selected=False), Outcome.SKIPPED, "NotSelected"),
        (moving(), Outcome.IN_PROGRESS, "Updating"),
        (marked(), Outcome.UPDATED, ""),
        (marked(frames_lost=0, fallbacks=0), Outcome.UPDATED, ""),
        (marked(frames_lost=1), Outcome.FAILED, "FramesLost"),
        (marked(fallbacks=1), Outcome.FAILED, "TooManyFallbacks"),
        (marked(intact=False), Outcome.FAILED, "Reverted"),
        (marked(on_target=False, refusal=REFUSED), Outcome.FAILED, "ErrImagePull"),
        (marked(on_target=False, refusal=REFUSED, busy=True), Outcome.IN_PROGRESS, "Live"),
        (marked(phase=ChannelPhase.DEGRADED), Outcome.FAILED, "Degraded"),
        (marked(phase=ChannelPhase.STARTING), Outcome.IN_PROGRESS, "Starting"),
        (moving(at_us=NOW_US - DEADLINE_US), Outcome.FAILED, "Overdue"),
        (marked(at_us=NOW_US - DEADLINE_US), Outcome.UPDATED, ""),
        (marked(rolled_back=True), Outcome.ROLLED_BACK, ""),
    ],
)
def test_what_became_of_a_channel(channel: ChannelSeen, outcome: Outcome, reason: str) -> None:
    result = judge(desired(), record(), channel, NOW_US)
    assert (result.outcome, result.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("channel", "outcome", "reason"),
    [
        (seen(), Outcome.PENDING, ""),
        (marked(), Outcome.UPDATED, ""),
        (moving(), Outcome.IN_PROGRESS, "Updating"),
        (moving(rolled_back=True), Outcome.IN_PROGRESS, "RollingBack"),
        (marked(rolled_back=True), Outcome.ROLLED_BACK, ""),
        (marked(rolled_back=True, on_target=False, refusal=REFUSED), Outcome.ROLLED_BACK, ""),
        (moving(rolled_back=True, at_us=NOW_US - DEADLINE_US), Outcome.FAILED, "Overdue"),
        (marked(intact=False, restorable=False), Outcome.FAILED, "Reverted"),
        (marked(earlier_owner="flux"), Outcome.CONFLICT, "FieldOwned"),
        (marked(holder="other"), Outcome.CONFLICT, "AnotherUpdate"),
    ],
)
def test_what_became_of_a_channel_on_the_way_back(
    channel: ChannelSeen, outcome: Outcome, reason: str
) -> None:
    result = judge(desired(), record(UpdatePhase.ROLLING_BACK), channel, NOW_US)
    assert (result.outcome, result.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("share", "total", "down", "up"),
    [
        (Share(amount=3), 100, 3, 3),
        (Share(amount=10, percent=True), 100, 10, 10),
        (Share(amount=10, percent=True), 15, 1, 2),
        (Share(amount=10, percent=True), 5, 0, 1),
        (Share(amount=0, percent=True), 5, 0, 0),
        (Share(amount=100, percent=True), 7, 7, 7),
    ],
)
def test_shares(share: Share, total: int, down: int, up: int) -> None:
    assert (share.of(total), share.of(total, up=True)) == (down, up)


@pytest.mark.parametrize(
    ("concurrency", "under_way", "admitted"),
    [
        (Share(amount=3), 0, 3),
        (Share(amount=3), 2, 1),
        (Share(amount=3), 3, 0),
        (Share(amount=0), 0, 1),
        (Share(amount=1, percent=True), 0, 1),
        (Share(amount=100, percent=True), 0, CONCURRENCY_MAX),
    ],
)
def test_concurrency(concurrency: Share, under_way: int, admitted: int) -> None:
    channels = [*fresh(150), *(moving(f"m{number}") for number in range(under_way))]
    decision = plan(desired(concurrency=concurrency), record(), channels, NOW_US)
    assert len(decision.writes) == admitted
    assert decision.record.admitted == tuple(written(decision))


def test_what_was_admitted_is_written_again_until_it_shows() -> None:
    first = plan(desired(), record(), fresh(5), NOW_US)
    assert written(first) == ["n000", "n001"]
    again = plan(desired(), first.record, fresh(5), NOW_US)
    assert written(again) == ["n000", "n001"]
    shows = [moving("n000"), *fresh(5)[1:]]
    assert written(plan(desired(), first.record, shows, NOW_US)) == ["n001"]


@pytest.mark.parametrize(
    ("more", "phase", "reason", "wakes_us"),
    [
        ({"paused": True}, UpdatePhase.PAUSED, "Requested", None),
        ({"approved": False}, UpdatePhase.AWAITING_APPROVAL, "AwaitingApproval", None),
        (
            {"open": False, "next_change_us": NOW_US + 5},
            UpdatePhase.WAITING,
            "OutsideWindow",
            NOW_US + 5,
        ),
        ({"over": True}, UpdatePhase.FAILED, "ScheduleOver", None),
        ({"rollback": True}, UpdatePhase.ROLLING_BACK, "Requested", NOW_US),
        ({"next_change_us": NOW_US + 9}, UpdatePhase.PROGRESSING, "Progressing", NOW_US + 9),
    ],
)
def test_what_holds_an_update_up(
    more: dict[str, Any], phase: UpdatePhase, reason: str, wakes_us: int | None
) -> None:
    decision = plan(desired(**more), record(), fresh(3), NOW_US)
    assert (decision.record.phase, decision.record.reason) == (phase, reason)
    assert decision.wake_at_us == wakes_us
    assert bool(decision.writes) is (phase is UpdatePhase.PROGRESSING)


def test_what_is_under_way_is_waited_for_when_the_time_is_over() -> None:
    decision = plan(desired(over=True), record(), [*fresh(1), moving("m")], NOW_US)
    assert decision.record.phase is UpdatePhase.WAITING
    assert decision.wake_at_us == NOW_US + DEADLINE_US
    last = plan(desired(over=True), record(), [moving("m")], NOW_US)
    assert last.record.phase is UpdatePhase.PROGRESSING


BAD = marked("bad", on_target=False, refusal=REFUSED)
STOP = CanaryStop(channels=Share(amount=1), bake_us=60 * SECOND_US)


@pytest.mark.parametrize(
    ("channels", "more", "phase"),
    [
        ([BAD, *fresh(2)], {}, UpdatePhase.PAUSED),
        ([BAD, *fresh(2)], {"failure_budget": Share(amount=1)}, UpdatePhase.PROGRESSING),
        ([BAD, *fresh(2)], {"rolls_back": True}, UpdatePhase.ROLLING_BACK),
        ([BAD], {}, UpdatePhase.FAILED),
        ([BAD, marked()], {"failure_budget": Share(amount=1)}, UpdatePhase.COMPLETED),
        (
            [BAD, *fresh(2)],
            {"failure_budget": Share(amount=1), "stops": (STOP,)},
            UpdatePhase.PAUSED,
        ),
        (
            [seen("theirs", change_owner="flux"), *fresh(2)],
            {"failure_budget": Share(amount=1), "stops": (STOP,)},
            UpdatePhase.PROGRESSING,
        ),
    ],
)
def test_the_failure_budget(
    channels: list[ChannelSeen], more: dict[str, Any], phase: UpdatePhase
) -> None:
    assert plan(desired(**more), record(), channels, NOW_US).record.phase is phase


def test_a_pause_for_failures_names_the_first_and_is_told_once() -> None:
    paused = plan(desired(), record(), [BAD, *fresh(2)], NOW_US)
    assert "bad: ErrImagePull: no such image" in paused.record.message
    assert [(n.reason, n.warning) for n in paused.notices] == [("Paused", True)]
    assert plan(desired(), paused.record, [BAD, *fresh(2)], NOW_US).notices == ()


def test_a_canary_step_from_its_first_channel_to_the_next() -> None:
    wanted = desired(stops=(STOP,))
    first = plan(wanted, record(UpdatePhase.PENDING, started_us=None), fresh(3), NOW_US)
    assert written(first) == ["n000"]
    assert [n.reason for n in first.notices] == ["Started"]
    arrived = [marked("n000", fallbacks=0), *fresh(3)[1:]]
    under_way = [moving("n000"), *fresh(3)[1:]]
    assert plan(wanted, first.record, under_way, NOW_US).writes == ()
    bake = plan(wanted, first.record, arrived, NOW_US)
    assert (bake.record.phase, bake.record.bake_since_us) == (UpdatePhase.BAKING, NOW_US)
    assert bake.wake_at_us == NOW_US + BAKE_POLL_US
    end_us = NOW_US + STOP.bake_us
    early = plan(wanted, bake.record, arrived, end_us - 1)
    assert (early.record.phase, early.wake_at_us) == (UpdatePhase.BAKING, end_us)
    passed = plan(wanted, bake.record, arrived, end_us)
    assert passed.record.stops_passed == 1
    assert [n.reason for n in passed.notices] == ["CanaryPassed"]
    assert written(plan(wanted, passed.record, arrived, end_us)) == ["n001", "n002"]


def test_a_bake_begins_anew_when_a_channel_is_not_on_air() -> None:
    wanted = desired(stops=(STOP,))
    baking = record(UpdatePhase.BAKING, bake_since_us=NOW_US - 50 * SECOND_US)
    lost = [marked("n000", phase=ChannelPhase.STARTING), *fresh(3)[1:]]
    assert plan(wanted, baking, lost, NOW_US).record.bake_since_us is None


def test_a_canary_larger_than_the_fleet_is_all_of_it_and_is_watched_too() -> None:
    stop = CanaryStop(channels=Share(amount=50), bake_us=SECOND_US)
    channels = [marked("a", fallbacks=0), marked("b", fallbacks=0)]
    baking = plan(desired(stops=(stop,)), record(), channels, NOW_US)
    assert baking.record.phase is UpdatePhase.BAKING
    passed = plan(desired(stops=(stop,)), baking.record, channels, NOW_US + SECOND_US)
    ended = plan(desired(stops=(stop,)), passed.record, channels, NOW_US + SECOND_US)
    assert ended.record.phase is UpdatePhase.COMPLETED


def test_a_fallback_is_remembered_when_the_origin_is_not_asked_any_more() -> None:
    wanted = desired(stops=(STOP,))
    fell = plan(wanted, record(UpdatePhase.BAKING), [marked(fallbacks=2), *fresh(2)], NOW_US)
    assert fell.record.phase is UpdatePhase.PAUSED
    later = plan(wanted, fell.record, [marked(), *fresh(2)], NOW_US)
    assert later.record.phase is UpdatePhase.PAUSED
    assert later.results[0].reason == "TooManyFallbacks"


def test_rolling_back_restores_those_under_way_at_once_and_others_in_turn() -> None:
    channels = [marked("a"), marked("b"), moving("c"), BAD, *fresh(1)]
    back = record(UpdatePhase.ROLLING_BACK)
    decision = plan(desired(), back, channels, NOW_US)
    assert written(decision) == ["c", "a"]
    assert all(write.restore for write in decision.writes)
    full = [moving("x", rolled_back=True), moving("y", rolled_back=True), marked("a")]
    assert plan(desired(), back, full, NOW_US).writes == ()
    assert plan(desired(paused=True), back, channels, NOW_US).writes == ()


@pytest.mark.parametrize(
    ("channels", "phase", "reason"),
    [
        ([marked(rolled_back=True), *fresh(1)], UpdatePhase.ROLLED_BACK, "FailureBudget"),
        (
            [marked(intact=False, restorable=False)],
            UpdatePhase.ROLLED_BACK,
            "FailureBudget",
        ),
        ([marked(earlier_owner="flux")], UpdatePhase.FAILED, "RollbackIncomplete"),
        (
            [moving(rolled_back=True, at_us=NOW_US - DEADLINE_US)],
            UpdatePhase.FAILED,
            "RollbackIncomplete",
        ),
    ],
)
def test_how_a_roll_back_ends(channels: list[ChannelSeen], phase: UpdatePhase, reason: str) -> None:
    back = record(UpdatePhase.ROLLING_BACK, reason="FailureBudget")
    decision = plan(desired(), back, channels, NOW_US)
    assert (decision.record.phase, decision.record.reason) == (phase, reason)
    assert decision.record.finished_us == NOW_US


@pytest.mark.parametrize(
    ("before", "more", "phase"),
    [
        (record(UpdatePhase.COMPLETED), {"generation": 2}, UpdatePhase.PROGRESSING),
        (record(UpdatePhase.FAILED), {"generation": 2}, UpdatePhase.PROGRESSING),
        (record(UpdatePhase.ROLLED_BACK), {"generation": 2}, UpdatePhase.ROLLED_BACK),
        (record(UpdatePhase.ROLLED_BACK), {"change": "newer"}, UpdatePhase.PROGRESSING),
        (
            record(UpdatePhase.COMPLETED),
            {"generation": 2, "rollback": True},
            UpdatePhase.ROLLING_BACK,
        ),
        (
            record(UpdatePhase.FAILED, reason="RollbackIncomplete"),
            {"generation": 2},
            UpdatePhase.ROLLED_BACK,
        ),
    ],
)
def test_an_edit_of_an_update_that_is_over(
    before: FleetRecord, more: dict[str, Any], phase: UpdatePhase
) -> None:
    decision = plan(desired(**more), before, fresh(1), NOW_US)
    assert decision.record.phase is phase


def test_refusals_are_bounded_and_the_bound_stops_the_update() -> None:
    now = record()
    for channel in fresh(REFUSALS_MAX + 10):
        now = refused(now, channel.name, "quota")
    assert len(now.refusals) == REFUSALS_MAX
    lenient = desired(failure_budget=Share(amount=100, percent=True))
    decision = plan(lenient, now, fresh(REFUSALS_MAX + 50), NOW_US)
    assert decision.record.phase is UpdatePhase.PAUSED


def test_an_edit_tries_what_was_refused_again() -> None:
    before = record(refusals=(Refusal(name="n000", reason="Rejected", message="quota"),))
    assert written(plan(desired(generation=2), before, fresh(1), NOW_US)) == ["n000"]


def test_counts_are_the_sum_of_all_outcomes() -> None:
    channels = [
        seen("a"), moving("b"), marked("c"), BAD, seen("d", change_owner="x"),
        seen("e", paused=True), marked("f", rolled_back=True),
    ]  # fmt: skip
    counts = plan(desired(), record(), channels, NOW_US).counts
    assert (counts.total, counts.updated, counts.in_progress, counts.failed) == (7, 1, 1, 2)
    assert (counts.skipped, counts.rolled_back, counts.pending) == (1, 1, 1)


def test_the_eta_is_reckoned_from_what_handovers_took() -> None:
    stops = (CanaryStop(channels=Share(amount=1), bake_us=0), STOP)
    wanted = desired(stops=stops)
    channels = [marked("a", took_us=10 * SECOND_US, fallbacks=0), *fresh(4)]
    decision = plan(wanted, record(stops_passed=1), channels, NOW_US)
    assert decision.eta_us == NOW_US + 2 * 10 * SECOND_US + STOP.bake_us
    assert plan(wanted, record(), fresh(4), NOW_US).eta_us is None


@pytest.mark.parametrize("channels", [[], [seen("typo", exists=False)]])
def test_nothing_selected_waits_until_the_time_is_over(channels: list[ChannelSeen]) -> None:
    assert plan(desired(), record(), channels, NOW_US).record.phase is UpdatePhase.PENDING
    over = plan(desired(over=True), record(), channels, NOW_US)
    assert over.record.phase is UpdatePhase.FAILED
