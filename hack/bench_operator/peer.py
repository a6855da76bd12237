"""The peer: Kubernetes' own Deployment controller rolls pods on the same nodes.

Owns the Deployment. Its pods start as fast as encoders do, and count as available after the time
that the encoders of a handover need besides (minReadySeconds): so both controllers wait for the
same, and what is compared is what they add to it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from hack.bench_operator.audit import Calls
from hack.bench_operator.processes import usage
from hack.bench_operator.scene import CONTROLLERS, NAMESPACE, Document, Scene
from hack.control_plane import MERGE, controllers

PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
NAME = "peer"
LABELS = {"app": NAME}
PEER_S_MAX = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """What the roll took. cpu_s, rss_mb: of the process of the controllers."""

    seconds: float
    cpu_s: float
    rss_mb: float
    calls: Calls


def roll(made: Scene, *, pods: int, surge: int, settle_s: int) -> Rolled:
    """Bring up so many pods, then roll them to another version."""
    with controllers(made.plane, "deployment-controller", "replicaset-controller") as program:
        assert program.process is not None
        pid = program.process.pid
        made.plane.create(PATH, _deployment(pods, surge, settle_s))
        made.wait("peer's pods", lambda: (_available(made, 1), pods), PEER_S_MAX)
        made.audit.read()
        before, start_s = usage(pid), time.monotonic()
        change = {"spec": {"template": {"spec": {"containers": [_container(2)]}}}}
        made.plane.call("PATCH", f"{PATH}/{NAME}", change, content_type=MERGE)
        made.wait("peer's pods rolled", lambda: (_available(made, 2), pods), PEER_S_MAX)
        seconds, after = time.monotonic() - start_s, usage(pid)
        calls = made.audit.read().get(CONTROLLERS, Calls())
    return Rolled(
        seconds=seconds, cpu_s=after.cpu_s - before.cpu_s, rss_mb=after.rss_mb, calls=calls
    )


def _available(made: Scene, generation: int) -> int:
    """Pods of the newest version that are available, once none of another one is left."""
    status = made.plane.call("GET", f"{PATH}/{NAME}").get("status", {})
    if status.get("observedGeneration", 0) < generation:
        return 0
    done: int = min(int(status.get(key, 0)) for key in ("availableReplicas", "updatedReplicas"))
    others = status.get("replicas", 0) != status.get("updatedReplicas", 0)
    return done - int(others)


def _deployment(pods: int, surge: int, settle_s: int) -> Document:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "replicas": pods,
            "minReadySeconds": settle_s,
            "progressDeadlineSeconds": int(PEER_S_MAX) + settle_s,
            "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": 0}},
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [_container(1)]}},
        },
    }


def _container(version: int) -> Document:
    return {"name": "work", "image": f"localhost/peer:v{version}"}
