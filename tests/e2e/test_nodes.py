"""Nodes and operators that go, on a cluster of two nodes of its own."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hack.lab import CLUSTER, SYSTEM_NAMESPACE, Lab, LabError, images, run, until
from tests.e2e.channel import ENCODER, Channel
from tests.e2e.conftest import SLOW_MACHINE_PERCENT
from tests.e2e.test_outcomes import until_delivering
from tests.e2e.test_updates import faults

NAME = "e2e-nodes"
SECOND = "2"  # number of the node
DRAIN_DEADLINE_S = 300
FIRST = {"hitless.test/first": "true"}
LEASE = "hitless-operator"
EVICTED_DEADLINE_S = 300


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Lab]:
    """Operator and origin stay on the first node; nothing happens to that one."""
    if os.environ.get("CLUSTER") == "kind":
        pytest.skip("nodes of kind are containers: killing them is not done here")
    archives = images()
    lab = Lab.up(NAME, kind="embedded", nodes=2)
    try:
        lab.load(*archives.values())
        first = node_names(lab)[0]
        lab.kubectl("label", "node", first, *(f"{key}={value}" for key, value in FIRST.items()))
        lab.install(deadline_percent=SLOW_MACHINE_PERCENT, on=FIRST)
        yield lab
    finally:
        lab.down()


def node_names(lab: Lab) -> list[str]:
    return sorted(str(node["metadata"]["name"]) for node in lab.get("nodes")["items"])


@pytest.fixture
def channel(two_nodes: Lab, request: pytest.FixtureRequest) -> Iterator[Channel]:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40]
    two_nodes.namespace(name)
    yield Channel(lab=two_nodes, namespace=name)
    two_nodes.kubectl("delete", "namespace", name, "--wait=true", "--timeout=90s")


def node_of(channel: Channel, pod: str) -> str:
    found = channel.lab.get("-n", channel.namespace, "pod", pod)
    return str(found["spec"]["nodeName"])


def live_on(channel: Channel, node: str) -> str:
    """A channel whose encoder on air is on that node; its pod."""
    others = [name for name in node_names(channel.lab) if name != node]
    channel.lab.kubectl("cordon", *others)
    channel.apply(f"{ENCODER}:v1")
    pod = str(channel.until_phase("Live")["active"]["pod"])
    channel.lab.kubectl("uncordon", *others)
    channel.until_segment(channel.report()["lastSegment"] + 2)
    assert node_of(channel, pod) == node
    return pod


def test_a_drained_node_is_left_hitlessly(channel: Channel) -> None:
    first, second = node_names(channel.lab)
    before = live_on(channel, second)
    with channel.watched() as probe:
        drain = subprocess.Popen(
            [
                *("kubectl", "drain", second, "--ignore-daemonsets", "--delete-emptydir-data"),
                f"--timeout={DRAIN_DEADLINE_S}s",
            ],
            env={**os.environ, **channel.lab.env()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said, _ = drain.communicate(timeout=DRAIN_DEADLINE_S + 30)
        done = channel.until_handover("Completed", "Aborted", "RolledBack")
        channel.until_segment(channel.report()["lastSegment"] + 3)
        report = probe.end()
    channel.lab.kubectl("uncordon", second)
    assert drain.returncode == 0, said
    assert "disruption budget" in said, "the eviction was held until the handover was done"
    assert (done["phase"], done["framesLost"], done["framesRepeated"]) == ("Completed", 0, 0)
    assert done["from"] == {**done["from"], "pod": before}
    assert node_of(channel, channel.status()["active"]["pod"]) == first
    assert faults(report) == {}


def evict(channel: Channel, pod: str) -> str:
    """Ask for it, as a descheduler does; what the API server said, empty when it was evicted."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": channel.namespace},
    }
    path = f"/api/v1/namespaces/{channel.namespace}/pods/{pod}/eviction"
    try:
        channel.lab.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(eviction))
    except LabError as error:
        return str(error)
    return ""


@pytest.fixture
def asked_about_evictions(two_nodes: Lab) -> Iterator[None]:
    """The webhook is there, and two replicas that answer."""
    install = functools.partial(two_nodes.install, deadline_percent=SLOW_MACHINE_PERCENT, on=FIRST)
    install(operators=2, evictions=True)
    yield
    install()


@pytest.mark.usefixtures("asked_about_evictions")
def test_a_pod_that_is_evicted_alone_hands_over(channel: Channel) -> None:
    """Nobody cordons its node: without the webhook, the budget would say no for ever."""
    _, second = node_names(channel.lab)
    before = live_on(channel, second)
    said: list[str] = []

    def gone() -> bool | None:
        said.append(evict(channel, before))
        if not said[-1]:  # the API server agrees to what the operator has begun itself
            assert channel.handover()["phase"] == "Completed", said
        return True if "NotFound" in said[-1] else None

    with channel.watched() as probe:
        until(f"{before} is gone", gone, deadline_s=EVICTED_DEADLINE_S)
        done = channel.until_handover("Completed", "Aborted", "RolledBack")
        channel.until_segment(channel.report()["lastSegment"] + 3)
        report = probe.end()
    assert "TooManyRequests" in said[0]
    assert f"is being handed over from pod {before}" in "".join(said)
    assert (done["phase"], done["framesLost"], done["framesRepeated"]) == ("Completed", 0, 0)
    assert done["from"] == {**done["from"], "pod": before}
    assert channel.status()["active"]["pod"] != before
    assert faults(report) == {}


def test_a_killed_node_costs_no_frame_where_there_is_a_spare(channel: Channel) -> None:
    first, second = node_names(channel.lab)
    before = live_on(channel, second)
    channel.patch({"redundancy": "HotSpare"})
    spare = until("a spare", lambda: (channel.status().get("standby") or {}).get("pod"))
    until_delivering(channel, spare)
    assert node_of(channel, spare) == first, "siblings prefer different nodes"
    with channel.watched() as probe:
        run([sys.executable, CLUSTER, "node-kill", "--name", NAME, SECOND])
        try:

            def taken_over() -> bool | None:
                now = channel.status()
                return True if now["phase"] == "Live" and now["active"]["pod"] == spare else None

            until(f"{spare} takes over from {before}", taken_over, deadline_s=300)
            channel.until_segment(channel.report()["lastSegment"] + 3)
            report = probe.end()
        finally:
            run([sys.executable, CLUSTER, "node-start", "--name", NAME, SECOND], deadline_s=180)
    origin = channel.report()
    assert faults(report) == {}
    assert (origin["selectedEncoder"], origin["gaps"]) == (spare, 0)


def holder(lab: Lab) -> str:
    found = lab.get("-n", SYSTEM_NAMESPACE, "leases", LEASE)
    return str(found["spec"].get("holderIdentity") or "")


def test_a_standby_operator_goes_on_in_the_middle_of_a_handover(
    two_nodes: Lab, channel: Channel
) -> None:
    two_nodes.install(deadline_percent=SLOW_MACHINE_PERCENT, on=FIRST, operators=2)
    first, _ = node_names(two_nodes)
    live_on(channel, first)
    before = holder(two_nodes)
    with channel.watched() as probe:
        channel.set_image(f"{ENCODER}:v2")
        channel.until_handover("Negotiating")
        system = ("-n", SYSTEM_NAMESPACE)
        two_nodes.kubectl(*system, "delete", "pod", before, "--grace-period=0", "--force")
        done = channel.until_handover("Completed", "Aborted", "RolledBack")
        channel.until_segment(done["event"]["segment"] + 3)
        report = probe.end()
    assert (done["phase"], done["framesLost"], done["framesRepeated"]) == ("Completed", 0, 0)
    assert faults(report) == {}
    assert holder(two_nodes) not in ("", before)
