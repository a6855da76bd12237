"""What metrics, log lines and GitOps tools say of real looks, also of one that dies half way."""

from __future__ import annotations

import json
import logging
from collections import Counter

import aiohttp
import pytest
from tests.component.operator.lab import KEY, Lab, Scythe, live_channel, spec
from tests.unit.gitops.readers import argo_acted, argo_health, flux_health

from hitless_handover.supervisor_model import HandoverPhase
from hitless_wire.logs import JsonLines

V2 = "localhost/encoder:v2"
COMPLETED = {"result": "Completed", "reason": "None"}


def completed(now: Lab) -> bool:
    update = now.record.handover
    return update is not None and update.phase is HandoverPhase.COMPLETED


def value(now: Lab, name: str, labels: dict[str, str] | None = None) -> float:
    return now.metrics.registry.get_sample_value(name, labels or {}) or 0.0


async def test_one_update_is_one_handover_however_often_it_is_looked_at() -> None:
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(completed)
        assert value(now, "hitless_channels", {"phase": "Live"}) == 1
        await now.run(3)
        assert value(now, "hitless_handovers_total", COMPLETED) == 1
        assert value(now, "hitless_handovers_started_total") == 1
        assert value(now, "hitless_frames_lost_total") == 0
        for phase in ("Starting", "Negotiating", "Armed", "Holding"):
            labels = {"phase": phase}
            assert value(now, "hitless_handover_phase_seconds_count", labels) == 1, phase
        assert value(now, "hitless_encoders_outdated") == 0


async def test_an_operator_that_dies_anywhere_counts_no_update_twice() -> None:
    """Each process has its own counters: their sum over all lives is what Prometheus adds up."""
    for at in range(1, 60):
        scythe = Scythe()
        async with live_channel(scythe) as now:
            scythe.count, scythe.at = 0, at
            lives = [now.metrics]
            now.api.apply(KEY.name, spec(V2))
            await now.run_until(completed)
            await now.run(1)
            if now.metrics is not lives[0]:
                lives.append(now.metrics)
            sums = Counter[str]()
            for life in lives:
                for name in ("hitless_handovers_started_total",):
                    sums[name] += int(life.registry.get_sample_value(name) or 0)
                ended = life.registry.get_sample_value("hitless_handovers_total", COMPLETED)
                sums["completed"] += int(ended or 0)
            assert sums == {"hitless_handovers_started_total": 1, "completed": 1}, f"died at {at}"
            if not now.restarts:
                return
    raise AssertionError("the operator never ran out of writes to die at")


async def test_a_write_whose_answer_is_lost_is_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with live_channel() as now:
        real = now.client.call_api
        lost: list[str] = []

        async def call(method: str, url: str, *rest: object, **more: object) -> object:
            answer = await real(method, url, *rest, **more)
            body = rest[1] if len(rest) > 1 else None
            if method == "PUT" and '"phase": "Completed"' in json.dumps(body) and not lost:
                lost.append(url)
                raise aiohttp.ServerDisconnectedError
            return answer

        monkeypatch.setattr(now.client, "call_api", call)
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(completed)
        assert lost
        await now.run(2)
        assert value(now, "hitless_handovers_total", COMPLETED) == 1


async def test_lines_about_an_update_carry_channel_and_handover(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.handler.setFormatter(JsonLines({}))
    caplog.set_level(logging.INFO, logger="hitless_operator")
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(V2))
        await now.run_until(completed)
        handover = now.body["status"]["handover"]["id"]
    lines = [json.loads(line) for line in caplog.text.splitlines()]
    ours = [line for line in lines if line["logger"].startswith("hitless_operator")]
    assert ours
    assert {line["channel"] for line in ours} == {"live/first"}
    said = [line for line in ours if line["message"].startswith("live/first: HandoverCompleted")]
    assert [line["handover"] for line in said] == [handover]
    assert "handover" not in ours[0]


async def test_gitops_tools_see_an_update_begin_and_end() -> None:
    async with live_channel() as now:
        assert (argo_health(now.body)[0], flux_health(now.body)) == ("Healthy", "Current")
        seen = []
        now.api.apply(KEY.name, spec(V2))
        while not completed(now):
            seen.append((argo_health(now.body)[0], flux_health(now.body)))
            await now.step()
        assert set(seen) == {("Progressing", "InProgress")}
        assert (argo_health(now.body)[0], flux_health(now.body)) == ("Healthy", "Current")


async def test_argo_cds_abort_calls_the_update_off() -> None:
    async with live_channel() as now:
        now.api.apply(KEY.name, spec(V2))
        await now.run(2)
        acted = argo_acted(now.body, "abort")
        now.body["metadata"]["annotations"] = acted["metadata"]["annotations"]
        now.api.touch(now.body)
        ended = ("Aborted", "RolledBack")
        await now.run_until(lambda n: n.body["status"]["handover"]["phase"] in ended)
        await now.run(2)
        assert now.body["status"]["handover"]["reason"] == "AbortRequested"
        assert argo_health(now.body)[0] == "Degraded"
        assert list(now.api.pods) == ["first-1"]
