"""The chart grants what the operator asks for: nothing is missing, nothing is spare.

Asked for is what an API server saw: the real client through starts, updates and refusals, and the
real kopf as it begins to watch. A new method of `Kube` has to be called in `_work`, or this fails.
"""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any, cast

import kopf
import pytest
from kubernetes.aio.client import ApiClient, Configuration
from tests.chart.chart import of_kind
from tests.component.operator.fake_api import FakeApi
from tests.component.operator.fleet_lab import fleet, update_spec
from tests.component.operator.lab import KEY, Lab, lab, live_channel, spec

from hitless_handover.supervisor_model import HandoverPhase
from hitless_operator.__main__ import STREAMS_PER_NAMESPACE
from hitless_operator.api_calls import ApiCall, api_call
from hitless_operator.fleet.index import ActiveUpdates
from hitless_operator.fleet.shelf import ShelvedKube
from hitless_operator.health import WatchPulse
from hitless_operator.kube import Kube
from hitless_operator.lease import Lease
from hitless_operator.mirror import MirroredKube
from hitless_operator.nodes import Nodes
from hitless_operator.watch import registry_of_kopf, settings_of_kopf

NAMESPACES = ("live", "studio")
TOKENS = ("--set", "origin.ingestAuth.secretName=keys")
EVICTIONS = ("--set", "evictionWebhook.enabled=true")
WATCH_S_MAX = 30


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the methods of Kube that were called."""
    called: set[str] = set()

    def noted(name: str) -> Any:
        real = getattr(Kube, name)

        async def method(*arguments: Any, **more: Any) -> Any:
            called.add(name)
            return await real(*arguments, **more)

        return method

    for name in kube_methods():
        monkeypatch.setattr(Kube, name, noted(name))
    return called


def kube_methods() -> set[str]:
    found = inspect.getmembers(Kube, inspect.iscoroutinefunction)
    return {name for name, _ in found if not name.startswith("_")}


def _completed(now: Lab) -> bool:
    update = now.record.handover
    return update is not None and update.phase is HandoverPhase.COMPLETED


async def _work(*, guards: bool = True) -> list[tuple[str, str, bool]]:
    """All requests of the client: a start, an update to its end, no guard against evictions any
    more, a look that knows nothing, an encoder whose name is taken; an update of a fleet.
    """
    async with live_channel(guards=guards) as now:
        await Kube(now.client).is_served()
        now.api.apply(KEY.name, spec("localhost/encoder:v2"))
        await now.run_until(_completed)
        await now.run(2)
        now.api.apply(KEY.name, spec("localhost/encoder:v2", evictionStrategy="None"))
        await now.look()
        now.mirrors[-1].forget(KEY)
        await now.reconciler.look(KEY)
        await now.announcer.sent()
        asked = now.api.asked
    async with lab(guards=guards) as now:
        now.api.pods["first-1"] = {"metadata": {"name": "first-1", "uid": "other", "labels": {}}}
        now.api.apply(KEY.name, spec())
        await now.look()
        asked = [*asked, *now.api.asked]
    async with fleet(1) as fleets:
        fleets.api.config_maps["ladder"] = {"data": {"configuration.yaml": "audio: []"}}
        fleets.api.order(update_spec(change={"configurationRef": {"name": "ladder"}}))
        await fleets.step()
        fleets.api.order(update_spec())
        await fleets.run_to_the_end()
        return [*asked, *fleets.api.asked]


async def _evict() -> set[ApiCall]:
    """All requests of the eviction webhook: the pod on air is marked, and it is told."""
    async with live_channel() as now:
        before = len(now.api.asked)
        assert not (await now.ask_to_evict("first-1"))["allowed"]
        await now.announcer.sent()
        return _calls(now.api.asked[before:])


async def _sign(folder: Path) -> set[ApiCall]:
    """The requests for a channel's token: it is new, then it is there."""
    keys = folder / "keys"
    keys.write_bytes(b"k" * 44)
    async with live_channel(keys=keys) as now:
        now.restart()
        await now.look()
        return {call for call in _calls(now.api.asked) if call.resource == "secrets"}


async def _elect() -> set[ApiCall]:
    """A replica that takes the lease, keeps it, and gives it up."""
    async with FakeApi() as api, ApiClient(Configuration(host=api.url)) as client:
        lease = Lease(
            Kube(client),
            namespace="hitless-system",
            name="hitless-operator",
            identity="one",
            now_s=lambda: 0,
            wall_us=lambda: 0,
        )
        await lease.acquire()
        await lease.release()
        return _calls(api.asked)


async def _watch(namespaces: tuple[str, ...]) -> list[tuple[str, str, bool]]:
    """kopf until it watches all collections (in each namespace): all requests that it made."""
    async with FakeApi() as api, ApiClient(config := Configuration(host=api.url)) as client:
        mirror = MirroredKube(client, now_s=lambda: 0)
        nodes = None if namespaces else Nodes()
        streams = STREAMS_PER_NAMESPACE * max(1, len(namespaces)) + (nodes is not None)
        shelf = ShelvedKube(client, now_s=lambda: 0)
        updates = ActiveUpdates(lambda _: None, lambda _key, _s: None, shelf)
        pulse = WatchPulse(streams, lambda: 0)
        stop = asyncio.Event()
        running = asyncio.create_task(
            kopf.operator(
                registry=registry_of_kopf(
                    lambda _: None, updates, config, pulse, mirror=mirror, nodes=nodes
                ),
                settings=settings_of_kopf(),
                identity=cast(Any, "test"),
                standalone=True,
                clusterwide=not namespaces,
                namespaces=namespaces,
                stop_flag=stop,
            )
        )
        async with asyncio.timeout(WATCH_S_MAX):
            while sum(w for _, _, w in api.asked) < streams:  # noqa: ASYNC110 - kopf tells nobody
                await asyncio.sleep(0.02)
        stop.set()
        await running
        return api.asked


def _calls(asked: list[tuple[str, str, bool]]) -> set[ApiCall]:
    """Discovery is open to all who are authenticated: no resource, no rule."""
    calls = {api_call(method, path, watch=watch) for method, path, watch in asked}
    return {call for call in calls if call.resource}


def _granted(role: dict[str, Any]) -> set[ApiCall]:
    return {
        ApiCall(verb, group, resource)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


async def test_a_cluster_role_grants_just_what_is_asked_for(used: set[str], tmp_path: Path) -> None:
    asked = _calls(await _work()) | _calls(await _watch(()))
    elected, evicted, signed = await _elect(), await _evict(), await _sign(tmp_path)
    assert used == kube_methods(), "call the new method of Kube in _work"
    (role,) = of_kind("ClusterRole")
    assert _granted(role) == asked
    (role,) = of_kind("ClusterRole", *EVICTIONS)
    assert _granted(role) == asked | evicted
    assert evicted - asked == {ApiCall("patch", "", "pods")}
    (role,) = of_kind("ClusterRole", *TOKENS)
    assert _granted(role) == asked | signed
    assert signed == {ApiCall("create", "", "secrets"), ApiCall("update", "", "secrets")}
    assert of_kind("Role") == []
    (role,) = of_kind("Role", "--set", "operator.replicas=2")
    assert _granted(role) == elected
    (deployment,) = [d for d in of_kind("Deployment", "--set", "operator.replicas=2") if _elects(d)]
    named = [rule["resourceNames"] for rule in role["rules"] if "resourceNames" in rule]
    lease = f"{deployment['metadata']['namespace']}/{named[0][0]}"
    assert _elects(deployment) == lease


def _elects(deployment: dict[str, Any]) -> str:
    """The lease that its pods are told of."""
    rows = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return next((str(row["value"]) for row in rows if row["name"] == "HITLESS_LEASE"), "")


async def test_roles_grant_just_what_is_asked_for_in_each_namespace() -> None:
    watched = await _watch(NAMESPACES)
    asked = _calls(await _work(guards=False)) | _calls(watched)
    roles = of_kind("Role", "--set", "watchNamespaces={live,studio}")
    assert sorted(role["metadata"]["namespace"] for role in roles) == sorted(NAMESPACES)
    for role in roles:
        assert _granted(role) == asked
    assert of_kind("ClusterRole", "--set", "watchNamespaces={live,studio}") == []
    kept = _calls(await _work()) | _calls(watched) | await _evict()
    for role in of_kind("Role", "--set", "watchNamespaces={live,studio}", *EVICTIONS):
        assert _granted(role) == kept, "asked about evictions, it may also refuse them"
    paths = [
        path for method, path, watch in watched if api_call(method, path, watch=watch).resource
    ]
    outside = [path for path in paths if not any(f"/namespaces/{n}/" in path for n in NAMESPACES)]
    assert outside == []


def test_no_rule_has_a_wildcard() -> None:
    for role in [*of_kind("ClusterRole"), *of_kind("ClusterRole", *EVICTIONS)]:
        assert "*" not in str(role["rules"])
        assert "secrets" not in str(role["rules"])
