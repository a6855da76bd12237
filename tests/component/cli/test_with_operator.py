"""The CLI and the real operator on one API server: they mean the same by what they write.

Pods are objects that nobody runs, so an update gets no further than its start; that is enough to
see that the operator takes up an image, a pause and an abort as the CLI gives them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hack.control_plane import until
from tests.component.cli.conftest import Stage
from tests.unit.cli.documents import V1, V2, at_rest
from tests.unit.operator.samples import encoder

from hitless_wire.resources import EncoderDeploymentSpec, spec_digest

END_S = 15
DEADLINES = {"deadlines": {"confirmSeconds": 5, "startSeconds": 600}}


@pytest.fixture
def operated(stage: Stage, tmp_path: Path) -> Iterator[Stage]:
    """A channel with v1 on air, in the hands of an operator."""
    made = stage.create(handover=DEADLINES)
    _run_pod(stage, made["metadata"]["uid"])
    digest = spec_digest(EncoderDeploymentSpec.model_validate(made["spec"]))
    active = replace(encoder(7), digest=digest, uid="", process="")
    stage.record(at_rest(active=active, handover=None, history=(), term=7))
    environment = {
        **os.environ,
        "KUBECONFIG": str(stage.plane.kubeconfig),
        "HITLESS_ORIGIN_URL": "http://127.0.0.1:9",
        "HITLESS_NAMESPACES": stage.namespace,
        "HITLESS_HEALTH_PORT": "0",
        "HITLESS_CALL_SECONDS": "1",
    }
    with (tmp_path / "operator.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hitless_operator"], env=environment, stdout=log, stderr=log
        )
        try:
            yield stage
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _run_pod(stage: Stage, owner: str) -> None:
    """The encoder on air: a pod that is Running as far as anybody can see."""
    pods = f"/api/v1/namespaces/{stage.namespace}/pods"
    labels = {
        "app.kubernetes.io/name": "hitless-encoder",
        "app.kubernetes.io/managed-by": "hitless-operator",
        "hitless.video/channel": "first",
        "hitless.video/term": "7",
    }
    reference = {
        "apiVersion": "hitless.video/v1alpha1",
        "kind": "EncoderDeployment",
        "name": "first",
        "uid": owner,
        "controller": True,
    }
    metadata = {"name": "first-7", "labels": labels, "ownerReferences": [reference]}
    containers = [{"name": "encoder", "image": V1}]
    made = stage.plane.create(pods, {"metadata": metadata, "spec": {"containers": containers}})
    state = {"running": {"startedAt": "2026-11-22T22:40:00Z"}}
    made["status"] = {
        "phase": "Running",
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": "encoder",
                "image": V1,
                "imageID": "",
                "ready": True,
                "restartCount": 0,
                "containerID": "containerd://7",
                "state": state,
            }
        ],
    }
    stage.plane.call("PUT", f"{pods}/first-7/status", made)


def test_a_pause_holds_up_and_an_abort_calls_off(operated: Stage) -> None:
    assert operated.hitless("pause", "first").exit_code == 0
    result = operated.hitless(
        "update", "first", "--image", V2, "--force-conflicts", "--wait", "--timeout", "180s"
    )
    assert result.exit_code == 1
    assert "Paused" in result.stderr
    assert operated.hitless("resume", "first").exit_code == 0
    until("the update", lambda: operated.json("status", "first")["phase"] == "Updating")
    update = operated.json("status", "first")["handover"]
    assert (update["phase"], update["to"]["image"]) == ("Starting", V2)
    result = operated.hitless("abort", "first", "--wait", "--timeout", "180s")
    assert result.exit_code == 0, result.stderr
    last = operated.json("history", "first")["handovers"][-1]
    assert (last["id"], last["reason"]) == (update["id"], "AbortRequested")
    again = operated.hitless("update", "first", "--image", V2, "--wait", "--timeout", "180s")
    assert again.exit_code == 1
    assert "not tried again: AbortRequested: called off by the user" in again.stderr
