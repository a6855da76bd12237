"""The operator against a small cluster: starts, updates, refusals, losses."""

from __future__ import annotations

import asyncio
import contextlib

from tests.component.operator.lab import (
    KEY,
    NO_ENCODER,
    SECOND_US,
    Lab,
    image_id,
    lab,
    live_channel,
    spec,
)

from hitless_handover.supervisor_model import ChannelPhase, HandoverPhase
from hitless_operator.eviction.mark import LAPSES_S
from hitless_operator.queue import TryAgain
from hitless_operator.reconcile import Reconciler, rest_s

V1 = "localhost/encoder:v1"
V2 = "localhost/encoder:v2"
V3 = "localhost/encoder:v3"


def completed(now: Lab) -> bool:
    update = now.record.handover
    return update is not None and update.phase is HandoverPhase.COMPLETED


async def test_a_first_encoder_starts_leads_and_is_described() -> None:
    async with live_channel() as now:
        assert list(now.api.pods) == ["first-1"]
        assert now.encoders["first-1"].orders == ["Take"]
        status = now.body["status"]
        assert status["active"]["pod"] == "first-1"
        assert status["active"]["image"] == "localhost/encoder:v1"
        assert status["observedGeneration"] == 1
        assert status["anchor"]["sourceTimescale"] == 90_000
        assert status["endpoints"]["hls"] == "http://play.example/live/live/first/master.m3u8"
        ready = now.condition("Ready")
        assert ready is not None
        assert (ready["status"], ready["reason"]) == ("True", "OnAir")
        assert now.condition("Reconciling") is None
        assert (await now.event_reasons()) == ["Starting", "OnAir"]


async def test_a_channel_restored_without_its_status_goes_on_from_the_pod_on_air() -> None:
    """`kubectl delete --cascade=orphan`, then created again from a backup: another uid, no status.

    What runs is nobody's and goes on; the new encoder's term is above what the origin has seen.
    """
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(completed)
        await now.run(3)
        backup = now.api.channels.pop(KEY.name)
        orphan = now.api.pods["first-2"]
        del orphan["metadata"]["ownerReferences"]
        now.api.apply(KEY.name, backup["spec"])
        now.body["metadata"]["uid"] = "another"
        await now.run_until(lambda n: n.record.phase is ChannelPhase.LIVE)
        active = now.body["status"]["active"]
        assert (active["pod"], active["term"]) == ("first-3", 3)
        assert max(now.published.values(), key=lambda row: row[1]) == ("first-3", 3)
        assert now.api.pods["first-2"] is orphan, "what is nobody's is not deleted"


async def test_a_channel_at_rest_costs_the_api_server_nothing() -> None:
    async with live_channel() as now:
        await now.run(1)
        asked, orders = list(now.api.asked), list(now.encoders["first-1"].orders)
        assert await now.look() == rest_s(KEY)
        assert (now.api.asked, now.encoders["first-1"].orders) == (asked, orders)


async def test_an_encoder_that_ended_untold_is_missed_when_rest_is_over() -> None:
    async with lab() as now:
        now.api.apply(KEY.name, spec())
        await now.run_until(lambda n: n.record.phase is ChannelPhase.LIVE)
        await now.run(1)
        now.watch()
        now.watched.clear()  # the watch is cut: it does not tell of what ends now
        await now.crash("first-1")
        delay_s = await now.reconciler.look(KEY)
        assert delay_s == rest_s(KEY)
        now.now_us += int(delay_s * SECOND_US)
        await now.run_until(lambda n: list(n.encoders) == ["first-2"])


async def test_an_update_completes_and_only_then_the_incumbent_goes() -> None:
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(completed)
        done = now.body["status"]["handover"]
        assert (done["from"]["pod"], done["to"]["pod"]) == ("first-1", "first-2")
        assert done["event"]["frame"] == done["event"]["segment"] * 30
        assert done["event"]["timestamp"].startswith("1970-01-12T")
        assert set(done["confirmations"]) == {"incumbent", "successor", "origin"}
        assert (done["framesLost"], done["framesRepeated"]) == (0, 0)
        assert (done["from"]["imageId"], done["to"]["imageId"]) == (image_id(V1), image_id(V2))
        assert now.published[done["event"]["segment"]][0] == "first-2"
        assert now.published[done["event"]["segment"] - 1][0] == "first-1"
        await now.run(2)
        assert list(now.api.pods) == ["first-2"]
        stored = now.api.writes.index("delete first-1")
        assert now.api.writes[stored - 1] == "status", "recorded before the pod is deleted"
        active, last = now.body["status"]["active"], now.body["status"]["history"][-1]
        assert (active["pod"], active["imageId"]) == ("first-2", image_id(V2))
        assert last["from"]["imageId"] == image_id(V1), "its pod is gone"
        assert await now.look() == rest_s(KEY)


async def test_an_update_costs_twelve_writes_at_most() -> None:
    async with live_channel() as now:
        await now.run(1)
        before = len(await now.event_reasons())
        now.scythe.log.clear()
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(completed)
        await now.run(2)
        assert list(now.api.pods) == ["first-2"]
        writes = [what for what in now.scythe.log if what in ("status", "create", "delete")]
        events = (await now.event_reasons())[before:]
        assert len(writes) + len(events) <= 12, (writes, events)


async def test_one_look_writes_the_status_at_most_once() -> None:
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(V2))
        while not completed(now):
            before = now.api.writes.count("status")
            await now.step()
            assert now.api.writes.count("status") - before <= 1


async def test_conditions_tell_an_update_from_outside() -> None:
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(completed)
        seen = [
            next(c["reason"] for c in status["conditions"] if c["type"] == "Reconciling")
            for status in now.statuses
            if any(c["type"] == "Reconciling" for c in status["conditions"])
        ]
        phases = [s for n, s in enumerate(seen) if n == 0 or seen[n - 1] != s]
        assert phases == [
            "Starting",
            "HandoverStarting",
            "HandoverNegotiating",
            "HandoverArmed",
            "HandoverHolding",
        ]
        updating = [s for s in now.statuses if s["phase"] == "Updating"]
        assert {c["status"] for s in updating for c in s["conditions"] if c["type"] == "Ready"} == {
            "True"
        }
        assert now.condition("Reconciling") is None
        assert now.condition("Stalled") is None


async def test_a_write_by_someone_else_makes_it_look_again() -> None:
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(V2))
        conflicts = 0

        def interfere() -> None:
            nonlocal conflicts
            if conflicts % 2 == 0:
                now.body["metadata"]["labels"] = {"touched": str(conflicts)}
                now.api.touch(now.body)
            conflicts += 1

        now.api.on_put.append(interfere)
        await now.run_until(completed)
        assert conflicts > 8
        await now.run(4)
        assert list(now.api.pods) == ["first-2"]
        assert now.body["metadata"]["labels"], "what others wrote is still there"


async def test_no_action_without_the_newest_record() -> None:
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(V2))
        now.api.on_put.append(lambda: now.api.touch(now.body))
        await now.run(5)
        assert list(now.api.pods) == ["first-1"], "the successor's term was never stored"
        assert now.record.handover is None


async def test_an_image_that_can_not_be_pulled_blocks_and_then_stalls() -> None:
    async with live_channel() as now:
        now.unpullable.add(V2)
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(lambda n: n.condition("UpdateBlocked") is not None)
        blocked = now.condition("UpdateBlocked")
        assert blocked is not None
        assert blocked["reason"] == "ErrImagePull"
        assert V2 in blocked["message"]
        assert now.condition("Stalled") is None
        await now.run_until(lambda n: n.condition("Stalled") is not None)
        stalled, ready = now.condition("Stalled"), now.condition("Ready")
        assert stalled is not None
        assert ready is not None
        assert stalled["reason"] == "StartDeadline"
        assert V2 in stalled["message"]
        assert ready["status"] == "True"
        await now.run(2)
        assert list(now.api.pods) == ["first-1"]
        assert (await now.event_reasons()).count("ErrImagePull") == 1
        now.api.apply(KEY.name, spec())
        await now.run(1)
        assert now.condition("Stalled") is None
        assert now.condition("UpdateBlocked") is None


async def test_an_update_that_can_not_work_is_given_up_at_once_and_names_the_field() -> None:
    async with live_channel() as now:
        now.misconfigured.add(V2)
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(lambda n: n.condition("Stalled") is not None, seconds=15)
        stalled, ready = now.condition("Stalled"), now.condition("Ready")
        assert stalled is not None
        assert ready is not None
        assert stalled["reason"] == "EncoderConfigInvalid"
        assert NO_ENCODER in stalled["message"]
        assert ready["status"] == "True"
        await now.run(10)
        assert list(now.api.pods) == ["first-1"], "the broken one is gone, no other has come"
        now.api.apply(KEY.name, spec())
        await now.run(1)
        assert now.condition("Stalled") is None


async def test_a_first_encoder_that_can_not_work_is_no_crash_loop_but_a_condition() -> None:
    async with lab() as now:
        now.misconfigured.add("localhost/encoder:v1")
        now.api.apply(KEY.name, spec())
        await now.run(3)
        before = now.condition("Ready")
        assert before is not None
        assert (before["status"], before["reason"]) == ("False", "EncoderConfigInvalid")
        assert NO_ENCODER in before["message"]
        written = len(now.statuses)
        await now.run(20)
        assert now.condition("Ready") == before
        assert len(now.statuses) == written, "the same all around the kubelet's circle"
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(lambda n: n.record.phase is ChannelPhase.LIVE)


async def test_outputs_that_do_not_match_are_refused_with_the_field() -> None:
    async with live_channel() as now:
        now.fingerprints[V2] = "other"
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(lambda n: n.condition("Stalled") is not None)
        stalled = now.condition("Stalled")
        assert stalled is not None
        assert stalled["reason"] == "Mismatch"
        assert "fingerprint" in stalled["message"]
        await now.run(2)
        assert list(now.api.pods) == ["first-1"]


async def test_a_refused_pod_is_visible_and_tried_again() -> None:
    async with live_channel() as now:
        now.api.reject_pods = "exceeded quota: pods, used: 1, limited: 1"
        now.api.apply(KEY.name, spec(V2))
        await now.run(3)
        blocked = now.condition("UpdateBlocked")
        assert blocked is not None
        assert blocked["reason"] == "FailedCreate"
        assert "exceeded quota" in blocked["message"]
        assert (await now.event_reasons()).count("FailedCreate") == 1
        assert list(now.api.pods) == ["first-1"]
        now.api.reject_pods = ""
        await now.run_until(completed)


async def test_a_first_pod_that_is_refused_does_not_flap() -> None:
    async with lab() as now:
        now.api.reject_pods = "violates PodSecurity"
        now.api.apply(KEY.name, spec())
        await now.run(4)
        ready = now.condition("Ready")
        assert ready is not None
        assert (ready["status"], ready["reason"]) == ("False", "FailedCreate")
        writes = now.api.writes.count("status")
        await now.run(3)
        assert now.api.writes.count("status") == writes
        now.api.reject_pods = ""
        await now.run_until(lambda n: n.record.phase is ChannelPhase.LIVE)


async def test_a_pod_of_that_name_that_belongs_to_another_is_left_alone() -> None:
    async with lab() as now:
        foreign = {"metadata": {"name": "first-1", "uid": "foreign", "labels": {}}}
        now.api.pods["first-1"] = foreign
        now.api.apply(KEY.name, spec())
        now.now_us += 500_000
        await now.look()
        ready = now.condition("Ready")
        assert ready is not None
        assert ready["reason"] == "FailedCreate"
        assert "belongs to something else" in ready["message"]
        assert now.api.pods == {"first-1": foreign}


async def test_a_lost_encoder_is_replaced_under_a_new_term_on_the_same_anchor() -> None:
    async with live_channel() as now:
        await now.crash("first-1")
        await now.run_until(
            lambda n: n.record.phase is ChannelPhase.LIVE and "first-2" in n.api.pods
        )
        assert now.record.term == 2
        assert now.encoders["first-2"].config.anchor is not None
        now.published = {k: v for k, v in now.published.items() if v[0] == "first-2"}


async def test_an_evicted_encoder_is_replaced() -> None:
    async with live_channel() as now:
        await now.evict("first-1")
        await now.run_until(lambda n: n.record.phase is ChannelPhase.LIVE and n.record.term == 2)
        assert "EncoderLost" in await now.event_reasons()
        await now.run(3)
        assert list(now.api.pods) == ["first-2"], "what was evicted is cleared away"
        now.published = {k: v for k, v in now.published.items() if v[0] == "first-2"}


async def test_without_a_spare_a_lost_node_is_waited_for_and_then_replaced() -> None:
    """It may be back at any moment; Kubernetes gives it up, by default after five minutes."""
    async with live_channel() as now:
        await now.lose_node("first-1")
        await now.run(10)
        assert (now.record.phase, now.record.term) == (ChannelPhase.DEGRADED, 1)
        degraded = now.condition("Degraded")
        assert degraded is not None
        assert degraded["status"] == "True"
        await now.evict_from_lost_node("first-1")
        await now.run_until(lambda n: n.record.phase is ChannelPhase.LIVE and n.record.term == 2)
        await now.run(3)
        assert list(now.api.pods) == ["first-1", "first-2"], "no kubelet confirms its end"
        assert await now.look() == rest_s(KEY)
        now.published = {k: v for k, v in now.published.items() if v[0] == "first-2"}


async def test_a_successor_that_no_node_has_room_for_is_given_up() -> None:
    async with live_channel() as now:
        before = now.record.active
        now.unschedulable.add(V2)
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(lambda n: n.condition("UpdateBlocked") is not None)
        blocked = now.condition("UpdateBlocked")
        assert blocked is not None
        assert (blocked["reason"], "Insufficient cpu" in blocked["message"]) == (
            "Unschedulable",
            True,
        )
        await now.run_until(lambda n: n.condition("Stalled") is not None)
        done = now.body["status"]["handover"]
        assert (done["phase"], done["reason"]) == ("Aborted", "StartDeadline")
        assert "Insufficient cpu" in done["message"]
        assert now.record.active == before
        await now.run(2)
        assert list(now.api.pods) == ["first-1"]


async def test_a_second_change_in_the_hold_waits_until_the_first_is_completed() -> None:
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(
            lambda n: (
                n.record.handover is not None and n.record.handover.phase is HandoverPhase.HOLDING
            )
        )
        now.api.apply(KEY.name, spec(V3))
        await now.run_until(
            lambda n: n.record.active is not None and n.record.active.image == V3 and completed(n)
        )
        history = now.body["status"]["history"]
        assert [(done["phase"], done["to"]["image"]) for done in history] == [
            ("Completed", V2),
            ("Completed", V3),
        ]


async def test_a_second_change_before_an_agreement_supersedes_the_first() -> None:
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(
            lambda n: (
                n.record.handover is not None and n.record.handover.phase is HandoverPhase.STARTING
            )
        )
        now.api.apply(KEY.name, spec(V3))
        await now.run_until(
            lambda n: n.record.active is not None and n.record.active.image == V3 and completed(n)
        )
        history = now.body["status"]["history"]
        assert [(done["phase"], done.get("reason")) for done in history] == [
            ("Aborted", "Superseded"),
            ("Completed", None),
        ]


async def test_a_spec_that_can_not_be_read_leaves_the_encoders_alone() -> None:
    async with live_channel() as now:
        broken = spec(profiles=[])
        now.api.apply(KEY.name, broken)
        await now.run(2)
        stalled, ready = now.condition("Stalled"), now.condition("Ready")
        assert stalled is not None
        assert ready is not None
        assert stalled["reason"] == "InvalidSpec"
        assert "profiles" in stalled["message"]
        assert ready["status"] == "True"
        assert now.body["status"]["observedGeneration"] == 2
        assert list(now.api.pods) == ["first-1"]
        assert (await now.event_reasons()).count("InvalidSpec") == 1
        now.api.apply(KEY.name, spec())
        await now.run(1)
        assert now.condition("Stalled") is None


async def test_a_deleted_channel_is_not_touched() -> None:
    async with live_channel() as now:
        now.body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        now.api.apply(KEY.name, spec(V2))
        writes = list(now.api.writes)
        assert await now.look() is None
        assert now.api.writes == writes
        now.watch()
        del now.api.channels[KEY.name]
        now.watch()
        assert await now.reconciler.look(KEY) is None


async def test_a_paused_channel_says_what_waits() -> None:
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(V2, paused=True))
        await now.run(2)
        blocked = now.condition("UpdateBlocked")
        assert blocked is not None
        assert blocked["reason"] == "Paused"
        assert now.condition("Stalled") is None
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(completed)


async def test_a_first_image_that_can_not_be_pulled_is_mended_by_another() -> None:
    async with lab() as now:
        now.unpullable.add("localhost/encoder:v1")
        now.api.apply(KEY.name, spec())
        await now.run(3)
        ready = now.condition("Ready")
        assert ready is not None
        assert (ready["status"], ready["reason"]) == ("False", "ErrImagePull")
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(lambda n: n.record.phase is ChannelPhase.LIVE)
        await now.run(1)
        assert list(now.api.pods) == ["first-2"]


async def test_two_operators_at_once_do_no_harm() -> None:
    async with live_channel() as now:
        first = now.reconciler
        now.restart()
        second = now.reconciler
        now.api.apply(KEY.name, spec(V2))

        async def look(reconciler: Reconciler) -> None:
            with contextlib.suppress(TryAgain):
                await reconciler.look(KEY)
            now.check()

        for _ in range(40):
            now.now_us += 500_000
            await now.tend_pods()
            if now.now_us % 1_000_000 == 0:
                now.next_segment()
            now.watch()
            await asyncio.gather(look(first), look(second))
        assert completed(now)
        assert now.record.term == 2
        assert [w for w in now.api.writes if not w.startswith("status")] == [
            "create first-1",
            "create first-2",
            "delete first-1",
        ]


async def test_an_origin_that_is_somebody_else_s_is_done_without() -> None:
    async with live_channel() as now:
        elsewhere = {"ingestUrl": "https://ingest.example/x", "windowSeconds": 60}
        now.api.apply(KEY.name, spec(V2, output=elsewhere))
        await now.run_until(completed)
        done = now.body["status"]["handover"]
        assert set(done["confirmations"]) == {"incumbent", "successor"}
        assert "framesLost" not in done
        assert "endpoints" not in now.body["status"]


async def test_a_status_of_another_writer_is_left_alone() -> None:
    async with live_channel() as now:
        now.body["status"] = {"phase": "Splendid"}
        now.api.touch(now.body)
        now.watch()
        assert await now.reconciler.look(KEY) is None
        assert now.body["status"] == {"phase": "Splendid"}
        assert list(now.api.pods) == ["first-1"]


async def test_who_is_on_a_node_that_is_emptied_hands_over_to_another_node() -> None:
    async with live_channel() as now:
        budget = now.api.budgets[KEY.name]["spec"]
        assert budget["maxUnavailable"] == 0, "kept from eviction until then"
        labels = now.api.pods["first-1"]["metadata"]["labels"]
        assert budget["selector"]["matchLabels"].items() <= labels.items()
        now.cordon("first-1")
        await now.run_until(completed)
        done = now.body["status"]["handover"]
        assert (done["from"]["image"], done["framesLost"]) == (done["to"]["image"], 0)
        await now.run(2)
        assert list(now.api.pods) == ["first-2"]
        assert await now.look() == rest_s(KEY)


async def test_who_is_to_be_evicted_is_left_to_it() -> None:
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(evictionStrategy="None"))
        now.cordon("first-1")
        await now.run(5)
        assert now.api.budgets == {}
        assert now.record.handover is None


async def test_whose_eviction_is_asked_for_hands_over_wherever_it_is() -> None:
    async with live_channel() as now:
        refused = await now.ask_to_evict("first-1", userInfo={"username": "descheduler"})
        assert (refused["allowed"], refused["status"]["code"]) == (False, 429)
        assert "live/first" in refused["status"]["message"]
        now.restart()  # the mark is on the pod
        await now.run_until(completed)
        done = now.body["status"]["handover"]
        assert (done["from"]["image"], done["framesLost"]) == (done["to"]["image"], 0)
        await now.run(2)
        assert list(now.api.pods) == ["first-2"]
        assert (await now.ask_to_evict("first-1"))["allowed"], "it is gone: the API server says so"
        assert await now.look() == rest_s(KEY)
        notes = [e["note"] for e in now.api.events if e["reason"] == "EvictionRequested"]
        assert notes == ["descheduler asked to evict first-1: Moves"]


async def test_a_wish_to_evict_lapses() -> None:
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(paused=True))
        await now.look()
        assert "paused" in (await now.ask_to_evict("first-1"))["status"]["message"]
        now.now_us += LAPSES_S * SECOND_US
        now.api.apply(KEY.name, spec(paused=False))
        assert await now.look() == 0, "its own write is no news by the watch"
        assert await now.look() == rest_s(KEY)
        assert now.record.handover is None
        await now.ask_to_evict("first-1")
        await now.look()
        assert now.record.handover is not None


async def test_a_spare_that_is_to_be_evicted_is_replaced() -> None:
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(redundancy="HotSpare"))
        await now.run(3)
        assert sorted(now.api.pods) == ["first-1", "first-2"]
        assert not (await now.ask_to_evict("first-2"))["allowed"]
        await now.run(3)
        assert sorted(now.api.pods) == ["first-1", "first-3"]


async def test_a_template_makes_another_pod_hitlessly() -> None:
    async with live_channel() as now:
        template = {"resources": {"requests": {"cpu": 2}}, "nodeSelector": {"disk": "fast"}}
        now.api.apply(KEY.name, spec(template=template))
        await now.run_until(completed)
        pod = now.api.pods["first-2"]["spec"]
        assert pod["nodeSelector"] == {"disk": "fast"}
        assert pod["containers"][0]["resources"]["requests"]["cpu"] == "2"
