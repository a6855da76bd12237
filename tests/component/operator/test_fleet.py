"""A fleet update from order to end, against a small API server and channels that hand over."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.component.operator.fake_api import Document
from tests.component.operator.fleet_lab import (
    KEY,
    PAGE,
    SECOND_US,
    V1,
    V2,
    V3,
    channel_spec,
    fleet,
    update_spec,
)

from hitless_operator.channel import Key

ALL = [f"ch{n}" for n in range(1, 9)]
CANARY = {"steps": [{"channels": 1, "bakeSeconds": 20}]}


async def test_all_channels_a_few_at_a_time() -> None:
    async with fleet() as now:
        now.api.order(update_spec(canary=CANARY))
        await now.run_to_the_end()
        assert now.phase == "Completed"
        assert set(now.on_air().values()) == {V2}
        assert now.most_under_way == 2
        counts = {k: now.status[k] for k in ("total", "updated", "failed", "pending")}
        assert counts == {"total": 8, "updated": 8, "failed": 0, "pending": 0}
        assert now.status["currentStep"] == 1
        assert now.status["observedGeneration"] == 1
        assert await now.event_reasons() == ["Started", "CanaryPassed", "Completed"]
        ready = now.condition("Ready")
        assert ready is not None
        assert ready["status"] == "True"
        assert now.condition("Reconciling") is None
        writes = len(now.api.writes)
        await now.run(5)
        assert (now.delay_s, len(now.api.writes)) == (None, writes)


async def test_only_the_image_is_touched_and_what_was_before_is_kept_with_the_channel() -> None:
    async with fleet(2) as now:
        now.api.order(update_spec())
        await now.run_to_the_end()
        name, patch, force = min(now.api.applied, key=lambda row: row[0])
        assert (name, patch["spec"], force) == ("ch1", {"image": V2}, True)
        assert list(patch["metadata"]["annotations"]) == ["hitless.video/fleet-update"]
        assert now.mark("ch1").earlier == {"image": V1}
        assert now.mark("ch1").set == {"image": V2}


async def test_the_canary_is_watched_for_its_whole_time() -> None:
    async with fleet() as now:
        now.api.order(update_spec(canary=CANARY))
        await now.run_until("Baking")
        began_us = now.now_us
        assert [n for n, image in now.images().items() if image == V2] == ["ch1"]
        while len([i for i in now.images().values() if i == V2]) == 1:
            await now.step()
        assert now.now_us - began_us >= 20 * SECOND_US


async def test_a_bad_version_stops_at_the_canary_and_is_taken_back() -> None:
    async with fleet() as now:
        now.bad.add(V2)
        now.api.order(update_spec(canary=CANARY, onFailure="Rollback", failureBudget="50%"))
        await now.run_to_the_end()
        assert now.phase == "RolledBack"
        assert [name for name, _, _ in now.api.applied] == ["ch1", "ch1"]
        assert set(now.images().values()) == set(now.on_air().values()) == {V1}
        assert now.outcome("ch1")["outcome"] == "RolledBack"
        assert (now.status["rolledBack"], now.status["pending"]) == (1, 7)
        assert "ErrImagePull" in next(
            e["note"] for e in now.api.events if e["reason"] == "RollingBack"
        )
        stalled = now.condition("Stalled")
        assert stalled is not None
        assert stalled["status"] == "True"


async def test_a_failure_pauses_and_a_better_version_goes_on_from_there() -> None:
    async with fleet() as now:
        now.bad.add(V2)
        now.api.order(update_spec())
        await now.run_until("Paused")
        await now.run(10)
        failed = now.status["failed"]
        assert failed == 2
        assert now.outcome("ch1")["reason"] == "ErrImagePull"
        assert now.condition("Stalled") is not None
        now.api.order(update_spec(change={"image": V3}))
        await now.run_to_the_end()
        assert now.phase == "Completed"
        assert set(now.on_air().values()) == {V3}
        assert {now.mark(n).earlier["image"] for n in ALL} == {V1}


async def test_taken_back_after_completion() -> None:
    async with fleet(5) as now:
        now.api.create("other", channel_spec(type="test"))
        now.api.order(update_spec())
        await now.run_to_the_end()
        now.most_under_way = 0
        now.api.order(update_spec(rollback=True))
        await now.step()
        await now.run_to_the_end()
        assert now.phase == "RolledBack"
        assert set(now.on_air().values()) == {V1}
        assert now.status["rolledBack"] == 5
        assert now.most_under_way == 2
        assert "other" not in [name for name, _, _ in now.api.applied]


async def test_a_handover_under_way_is_called_off_before_it_costs_anything() -> None:
    async with fleet(1) as now:
        now.api.order(update_spec())
        await now.run(3)
        assert now.api.channels["ch1"]["status"]["phase"] == "Updating"
        now.api.order(update_spec(rollback=True))
        await now.run_until("RolledBack")
        assert now.api.channels["ch1"]["status"]["handover"]["phase"] == "Aborted"
        assert now.on_air() == {"ch1": V1}


async def test_configuration_from_a_config_map() -> None:
    async with fleet(2) as now:
        text = "profiles: [{name: high, maxKbps: 900}]\naudio: [{name: audio, kbps: 128}]\n"
        change = {"configurationRef": {"name": "ladder", "key": "configuration.yaml"}}
        now.api.order(update_spec(change=change))
        await now.step()
        stalled = now.condition("Stalled")
        assert stalled is not None
        assert "ConfigMap ladder: there is none" in stalled["message"]
        assert now.delay_s == 30
        now.api.config_maps["ladder"] = {"data": {"configuration.yaml": text}}
        await now.run_to_the_end()
        assert now.phase == "Completed"
        spec = now.api.channels["ch2"]["spec"]
        assert spec["profiles"][0] == {**channel_spec()["profiles"][0], "maxKbps": 900}
        assert spec["audio"][0]["kbps"] == 128
        assert now.mark("ch2").earlier == {"profiles/high/maxKbps": 800, "audio/audio/kbps": 96}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"other": "x"}, "there is no such key"),
        ({"configuration.yaml": "{"}, "not YAML"),
        ({"configuration.yaml": "profiles: [{name: high, width: 64}]"}, "width"),
    ],
)
async def test_a_config_map_that_can_t_be_read(data: dict[str, str], says: str) -> None:
    async with fleet(1) as now:
        now.api.config_maps["ladder"] = {"data": data}
        now.api.order(update_spec(change={"configurationRef": {"name": "ladder"}}))
        await now.run(3)
        stalled = now.condition("Stalled")
        assert stalled is not None
        assert says in stalled["message"]
        assert await now.event_reasons() == ["InvalidSpec"]
        assert now.api.applied == []


async def test_a_completed_update_waits_for_the_config_map_of_its_next_change() -> None:
    async with fleet(1) as now:
        now.api.order(update_spec())
        await now.run_to_the_end()
        now.api.order(update_spec(change={"configurationRef": {"name": "ladder"}}))
        await now.run(2)
        assert now.delay_s == 30
        text = "profiles: [{name: high, crf: 21}]"
        now.api.config_maps["ladder"] = {"data": {"configuration.yaml": text}}
        await now.step()
        assert now.phase == "Progressing"
        await now.run_to_the_end()
        assert now.api.channels["ch1"]["spec"]["profiles"][0]["crf"] == 21
        assert now.condition("Stalled") is None


async def test_an_update_after_another_keeps_what_the_first_has_set() -> None:
    """Server-side apply removes what its manager names no more: the fake refuses that."""
    async with fleet(2) as now:
        now.api.order(update_spec())
        await now.run_to_the_end()
        change = {"configuration": {"profiles": [{"name": "high", "crf": 20}]}}
        now.api.order(update_spec(change=change), "finer")
        for _ in range(40):
            await now.step(Key("live", "finer"))
        assert now.api.updates["finer"]["status"]["phase"] == "Completed"
        spec = now.api.channels["ch1"]["spec"]
        assert (spec["image"], spec["profiles"][0]["crf"]) == (V2, 20)


async def test_a_field_that_git_owns_is_left_alone() -> None:
    async with fleet(3) as now:
        now.api.own("ch2", "image", "argocd-controller")
        now.api.order(update_spec(failureBudget=1))
        await now.run_to_the_end()
        assert now.phase == "Completed"
        conflict = now.outcome("ch2")
        assert conflict["outcome"] == "Conflict"
        assert "argocd-controller" in conflict["message"]
        assert "spec.takeOverFrom" in conflict["message"]
        assert now.images() == {"ch1": V2, "ch2": V1, "ch3": V2}
        assert now.status["failed"] == 1


async def test_a_field_is_taken_from_a_manager_that_is_named() -> None:
    async with fleet(1) as now:
        now.api.own("ch1", "image", "argocd-controller")
        now.api.order(update_spec())
        await now.run_to_the_end()
        assert now.phase == "Failed"
        assert now.images() == {"ch1": V1}
        now.api.order(update_spec(takeOverFrom=["argocd-controller"]))
        await now.step()
        await now.run_to_the_end()
        assert (now.phase, now.images()) == ("Completed", {"ch1": V2})


async def test_two_updates_of_the_same_channels_do_not_mix() -> None:
    async with fleet(4) as now:
        now.api.order(update_spec(concurrency=1))
        await now.run(3)
        now.api.order(update_spec(change={"image": V3}, selector={"names": ["ch1"]}), "second")
        await now.step(Key("live", "second"))
        second = now.api.updates["second"]["status"]
        assert second["outcomes"][0]["reason"] == "AnotherUpdate"
        assert KEY.name in second["outcomes"][0]["message"]
        assert now.images()["ch1"] == V2


async def test_a_channel_that_the_cluster_does_not_let_be_written() -> None:
    async with fleet(4) as now:
        now.api.reject["ch2"] = "admission webhook says no"
        now.api.order(update_spec(failureBudget=1))
        await now.run_to_the_end()
        assert now.phase == "Completed"
        assert "webhook says no" in now.outcome("ch2")["message"]
        assert [n for n, i in now.images().items() if i == V1] == ["ch2"]


async def test_what_can_t_be_updated_is_skipped_and_told() -> None:
    async with fleet(1) as now:
        now.api.create("current", channel_spec(V2))
        now.api.create("halted", channel_spec(paused=True))
        now.api.create("dark", channel_spec())["status"]["phase"] = "Starting"
        names = ["ch1", "current", "halted", "dark", "typo"]
        now.api.order(update_spec(selector={"names": names}))
        await now.run_to_the_end()
        reasons = {o["name"]: o.get("reason") for o in now.status["outcomes"]}
        assert reasons == {
            "ch1": None,
            "current": "AlreadyCurrent",
            "halted": "ChannelPaused",
            "dark": "NotOnAir",
            "typo": "NotFound",
        }
        assert (now.status["total"], now.status["skipped"]) == (5, 4)


async def test_nothing_selected_is_not_success() -> None:
    async with fleet(1) as now:
        now.api.order(update_spec(selector={"types": ["nothing"]}))
        await now.run(3)
        assert now.phase == "Pending"
        assert now.status["reason"] == "NoChannels"
        ready = now.condition("Ready")
        assert ready is not None
        assert ready["status"] == "False"


async def test_lost_frames_count_as_failure() -> None:
    async with fleet(3) as now:
        now.lossy.add("ch1")
        now.api.order(update_spec(concurrency=1))
        await now.run_until("Paused")
        assert now.outcome("ch1")["reason"] == "FramesLost"
        assert now.images()["ch2"] == V1
        now.api.order(update_spec(concurrency=1, canary={"maxFramesLost": 3}))
        await now.run_to_the_end()
        assert now.phase == "Completed"


async def test_a_fallback_during_the_bake_stops_the_update() -> None:
    async with fleet(3) as now:
        now.api.order(update_spec(canary=CANARY, onFailure="Rollback"))
        await now.run_until("Baking")
        now.fallbacks["ch1"] = 1
        await now.run_to_the_end()
        assert now.phase == "RolledBack"
        assert "fell back" in next(
            e["note"] for e in now.api.events if e["reason"] == "RollingBack"
        )
        assert set(now.on_air().values()) == {V1}


async def test_a_canary_is_not_passed_without_the_origin_s_word() -> None:
    async with fleet(3) as now:
        now.fallbacks["ch1"] = None
        now.api.order(update_spec(canary=CANARY, progressDeadlineSeconds=60))
        await now.run_until("Baking")
        await now.run(40)
        assert now.phase == "Baking"
        await now.run_until("Paused", seconds=60)
        assert now.outcome("ch1")["reason"] == "OriginSilent"


async def test_approval_pause_and_resume() -> None:
    async with fleet(4) as now:
        body = now.api.order(update_spec(approval={"required": True}, concurrency=1))
        await now.run(3)
        assert (now.phase, now.api.applied) == ("AwaitingApproval", [])
        body["metadata"]["annotations"] = {"hitless.video/approve": now.status["change"]}
        await now.run(3)
        assert now.phase == "Progressing"
        now.api.order(update_spec(approval={"required": True}, concurrency=1, paused=True))
        await now.run(20)
        assert (now.phase, now.status["updated"], now.status["inProgress"]) == ("Paused", 1, 0)
        now.api.order(update_spec(approval={"required": True}, concurrency=1))
        await now.run_to_the_end()
        assert now.phase == "Completed"
        assert await now.event_reasons() == [
            "AwaitingApproval", "Started", "Paused", "Resumed", "Completed",
        ]  # fmt: skip


async def test_windows_are_kept_to_the_second() -> None:
    async with fleet(4) as now:
        start = datetime.fromtimestamp(now.now_us // SECOND_US, UTC) + timedelta(minutes=30)
        start = start.replace(second=0, microsecond=0)
        window = {"cron": f"{start.minute} {start.hour} * * *", "durationMinutes": 1}
        now.api.order(update_spec(concurrency=1, schedule={"windows": [window]}))
        await now.step()
        assert now.phase == "Waiting"
        start_us = int(start.timestamp()) * SECOND_US
        assert now.delay_s == (start_us - now.now_us) / SECOND_US
        now.now_us = start_us - 2 * SECOND_US
        await now.step()
        assert now.api.applied == []
        await now.step()
        assert len(now.api.applied) == 1


async def test_the_end_of_the_schedule_leaves_the_rest_as_it_is() -> None:
    async with fleet(4) as now:
        end = datetime.fromtimestamp(now.now_us // SECOND_US + 10, UTC)
        schedule: dict[str, Any] = {"notAfter": end.isoformat()}
        now.api.order(update_spec(concurrency=1, schedule=schedule))
        await now.run_to_the_end()
        assert (now.phase, now.status["reason"]) == ("Failed", "ScheduleOver")
        assert 1 <= now.status["updated"] < 4
        assert now.status["inProgress"] == 0


async def test_someone_else_s_change_is_not_fought() -> None:
    async with fleet(2) as now:
        now.api.order(update_spec(concurrency=1))
        await now.run(3)
        now.api.apply("ch1", {**now.api.channels["ch1"]["spec"], "image": V3})
        await now.run_until("Paused")
        assert now.outcome("ch1")["reason"] == "Reverted"
        now.api.order(update_spec(concurrency=1, rollback=True))
        await now.run_until("RolledBack")
        assert now.images() == {"ch1": V3, "ch2": V1}


async def test_a_roll_back_restores_just_what_is_still_as_this_update_left_it() -> None:
    async with fleet(1) as now:
        ladder = {"profiles": [{"name": "high", "crf": 20}]}
        now.api.order(update_spec(change={"image": V2, "configuration": ladder}))
        await now.run_to_the_end()
        spec = now.api.channels["ch1"]["spec"]
        now.api.apply("ch1", {**spec, "image": V3})
        await now.run(10)
        now.api.order(update_spec(change={"image": V2, "configuration": ladder}, rollback=True))
        await now.run_until("RolledBack")
        spec = now.api.channels["ch1"]["spec"]
        assert (spec["image"], spec["profiles"][0]["crf"]) == (V3, 24)


async def test_a_decision_is_dropped_when_someone_has_written_since() -> None:
    async with fleet(2) as now:
        body = now.api.order(update_spec())
        now.api.on_put.append(lambda: now.api.touch(body))
        await now.look()
        assert now.delay_s == 0.0
        assert now.api.applied == []
        now.api.on_put.clear()
        await now.run_to_the_end()
        assert now.phase == "Completed"


async def undisturbed(
    writes: list[str] | None = None, kill_at: int = -1, after: bool = False, late: bool = False
) -> Any:
    """A canary, a failure within the rest, a roll-back of all: every kind of write."""
    async with fleet(4) as now:
        now.late = late
        now.kill_at, now.kill_after = kill_at, after
        now.lossy.add("ch3")
        now.api.order(
            update_spec(canary={"steps": [{"channels": 1, "bakeSeconds": 2}]}, onFailure="Rollback")
        )
        await now.run_to_the_end()
        if writes is not None:
            writes += now.writes
        assert now.phase == "RolledBack"
        assert set(now.on_air().values()) == {V1}
        assert now.most_under_way <= 2
        applied = Counter(name for name, _, _ in now.api.applied)
        assert applied.keys() >= {"ch1", "ch2", "ch3"}
        assert set(applied.values()) == {2}, "each changed once and restored once"


@pytest.mark.parametrize("late", [False, True])
async def test_a_restart_at_any_write_goes_on_from_the_same_place(late: bool) -> None:
    writes: list[str] = []
    await undisturbed(writes, late=late)
    assert len(writes) <= 40
    for at in range(1, len(writes) + 1):
        for after in (False, True):
            await undisturbed(kill_at=at, after=after, late=late)


async def test_channels_are_listed_once() -> None:
    async with fleet(PAGE + 1) as now:
        now.api.order(update_spec())
        await now.run_to_the_end()
        lists = [path for verb, path, _ in now.api.asked if path.endswith("/encoderdeployments")]
        assert len(lists) == 2, "a page each"


async def test_nobody_sees_half_a_list() -> None:
    async with fleet(2 * PAGE) as now:
        now.watch()
        found = await asyncio.gather(*(now.kube.kept_channels(KEY.namespace) for _ in range(2)))
        assert [len(rows) for rows in found] == [2 * PAGE, 2 * PAGE]
        lists = [path for verb, path, _ in now.api.asked if path.endswith("/encoderdeployments")]
        assert len(lists) == 2, "a page each, for both"


async def test_what_the_watch_tells_while_channels_are_listed_is_newer() -> None:
    async with fleet(2 * PAGE) as now:
        now.watch()
        pages = now.kube.channels

        async def slowly(namespace: str) -> AsyncIterator[Document]:
            async for body in pages(namespace):
                if body["metadata"]["name"] == "ch2":
                    newer = copy.deepcopy(body)
                    newer["metadata"]["resourceVersion"] = "99999"
                    now.kube.channel_changed(newer, gone=False)
                    now.kube.channel_changed(now.api.with_owners("ch3"), gone=True)
                yield body

        now.kube.channels = slowly  # type: ignore[method-assign]
        found = {row.name: row.version for row in await now.kube.kept_channels(KEY.namespace)}
        assert found["ch2"] == 99999
        assert "ch3" not in found
        assert len(found) == 2 * PAGE - 1


async def test_a_watch_that_begins_anew_tells_of_no_end_so_channels_are_listed_again() -> None:
    async with fleet(3) as now:
        now.api.order(update_spec(concurrency=1))
        await now.run(2)
        for name in ("ch2", "ch3"):
            del now.api.channels[name]
            now.watched.pop(name, None)
        now.kube.forget_channels(KEY.namespace)
        await now.run_to_the_end()
        assert now.on_air() == {"ch1": V2}


@pytest.mark.parametrize("version", ["opaque", "101"])
async def test_versions_that_can_not_be_compared_are_never_taken_for_known(version: str) -> None:
    async with fleet(1) as now:
        now.late = True  # the watch tells nothing new before the look
        now.api.channels["ch1"]["metadata"]["resourceVersion"] = version
        first = (await now.kube.kept_channels(KEY.namespace))[0].document()
        now.api.channels["ch1"]["spec"]["paused"] = True
        again = (await now.kube.kept_channels(KEY.namespace))[0].document()
        assert (first != again) is (version == "opaque")
