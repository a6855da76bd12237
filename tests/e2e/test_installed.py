"""The installation itself: `helm test`, and what an update leaves in metrics and Events."""

from __future__ import annotations

import re

from hack.lab import SYSTEM_NAMESPACE, Lab
from tests.e2e.channel import ENCODER, Channel

OPERATOR = "app.kubernetes.io/name=hitless-operator"


def metrics(lab: Lab) -> str:
    """The operator's, through the API server: a pod's address need not be in reach."""
    pods = lab.get("pods", "-n", SYSTEM_NAMESPACE, "-l", OPERATOR)["items"]
    (name,) = (p["metadata"]["name"] for p in pods if not p["metadata"].get("deletionTimestamp"))
    path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/{name}:8081/proxy/metrics"
    return lab.kubectl("get", "--raw", path)


def sample(text: str, name: str) -> float:
    """The value of one series, written as Prometheus' text format has it."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def forbidden(text: str) -> list[str]:
    return re.findall(r'^hitless_api_calls_total\{code="403".*$', text, re.MULTILINE)


def test_helm_test_finds_everything_that_was_installed(lab: Lab) -> None:
    said = lab.helm("test", "hitless", "-n", SYSTEM_NAMESPACE, "--logs", "--timeout", "120s")
    for check in ("crd is served", "origin is healthy", "operator is healthy", "is measured"):
        assert re.search(rf"ok .*{check}", said), said


def test_an_update_shows_in_the_metrics_once(lab: Lab, channel: Channel) -> None:
    completed = 'hitless_handovers_total{reason="None",result="Completed"}'
    channel.apply(f"{ENCODER}:v1")
    channel.until_phase("Live")
    before = metrics(lab)
    channel.update(f"{ENCODER}:v2")
    after = metrics(lab)
    assert sample(after, completed) == sample(before, completed) + 1
    assert sample(after, "hitless_frames_lost_total") == sample(before, "hitless_frames_lost_total")
    assert forbidden(after) == forbidden(before), (
        "a namespace that is deleted forbids, nothing else"
    )
