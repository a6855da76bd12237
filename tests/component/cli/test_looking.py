"""get, status and history against a real API server."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hack.control_plane import ControlPlane, control_plane
from tests.component.cli.conftest import END_S_MAX, Stage
from tests.unit.cli.documents import V2, at_rest, called_off, updating

from hitless_cli.cluster import kube
from hitless_handover.supervisor_model import HandoverPhase


def test_get_lists_channels(stage: Stage) -> None:
    stage.create("news", image=V2)
    stage.create("sport")
    stage.record(at_rest(), "news")
    result = stage.hitless("get")
    assert result.exit_code == 0
    head, news, sport = (line.split() for line in result.stdout.splitlines())
    assert head == ["NAME", "PHASE", "ON-AIR", "TERM", "FRAME", "HANDOVER", "READY", "AGE"]
    assert news[:8] == ["news", "Live", "v2", "9", "53861664360", "Completed,", "lost", "0"]
    assert sport[:5] == ["sport", "Pending", "-", "0", "-"]


def test_get_by_name_label_and_namespace(stage: Stage, plane: ControlPlane) -> None:
    other = Stage(plane=plane, namespace=plane.namespace(f"{stage.namespace}-other"))
    stage.create("news", labels={"tier": "gold"})
    stage.create("sport")
    other.create("films", labels={"tier": stage.namespace})
    names = [c["name"] for c in stage.json("get", "sport")["channels"]]
    assert names == ["sport"]
    names = [c["name"] for c in stage.json("get", "-l", "tier=gold")["channels"]]
    assert names == ["news"]
    everywhere = stage.json("get", "-A", "-l", f"tier={stage.namespace}")["channels"]
    assert [(c["namespace"], c["name"]) for c in everywhere] == [(other.namespace, "films")]


def test_get_reads_all_pages(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "PAGE_SIZE", 2)
    for number in range(5):
        stage.create(f"news-{number}")
    assert len(stage.json("get")["channels"]) == 5
    monkeypatch.setattr(kube, "PAGES_MAX", 2)
    result = stage.hitless("get")
    assert result.exit_code == 3
    assert "more than 4 objects: narrow it down" in result.stderr


def test_get_wide_shows_pod_and_node(stage: Stage) -> None:
    stage.create("news", image=V2)
    stage.record(at_rest(), "news")
    made = _pod("first-8", node="node1")
    stage.plane.create(f"/api/v1/namespaces/{stage.namespace}/pods", made)
    result = stage.hitless("get", "-o", "wide")
    row = result.stdout.splitlines()[1].split()
    assert row[-5:] == ["first-8", "node1", "-", V2, "-"]


def test_get_watch_prints_a_row_for_each_change(stage: Stage) -> None:
    stage.create("news", image=V2)
    with stage.following("get", "--watch") as running:
        out = running.process.stdout
        running.until("Pending", out)
        stage.record(updating(HandoverPhase.ARMED), "news")
        assert "Armed to v2" in running.until("Updating", out)
        stage.record(at_rest(), "news")
        assert "Completed, lost 0" in running.until("Live", out)
        stage.delete("news")
        running.until("deleted", out)


def test_an_interrupted_watch_ends_quietly(stage: Stage) -> None:
    stage.create("news")
    with stage.following("get", "--watch") as running:
        running.until("news", running.process.stdout)
        running.process.send_signal(signal.SIGINT)
        code, _, err = running.end()
    assert (code, err) == (130, "")


def test_status_tells_all(stage: Stage) -> None:
    stage.create(image=V2)
    stage.record(updating(HandoverPhase.ARMED))
    stage.plane.create(f"/api/v1/namespaces/{stage.namespace}/pods", _pod("first-8"))
    stage.event("HandoverStarted", "Update to v2")
    result = stage.hitless("status", "first")
    assert result.exit_code == 0
    for text in ("Handover c0ff0655-8: Armed", "first-8", "HandoverStarted", "hitless abort first"):
        assert text in result.stdout
    document = stage.json("status", "first")
    assert document["handover"]["event"]["frame"] == 53861664360
    assert [p["state"] for p in document["phases"]] == ["Done", "Done", "Now", "Ahead", "Ahead"]
    assert [e["reason"] for e in document["events"]] == ["HandoverStarted"]
    assert document["unknown"] == []


def test_status_as_yaml_is_the_same(stage: Stage) -> None:
    stage.create()
    result = stage.hitless("status", "first", "-o", "yaml")
    assert yaml.safe_load(result.stdout) == stage.json("status", "first")


def test_status_says_what_it_may_not_see(stage: Stage) -> None:
    stage.create()
    stage.plane.allow(1, stage.namespace, [_rule("get", "encoderdeployments")])
    result = stage.hitless("status", "first", kubeconfig=stage.plane.kubeconfig_of(1))
    assert result.exit_code == 0
    assert "pods: not allowed to list pods in namespace" in result.stdout
    assert "Events: not allowed to list events in namespace" in result.stdout


def test_status_watch_follows(stage: Stage) -> None:
    stage.create(image=V2)
    with stage.following("status", "first", "--watch") as running:
        out = running.process.stdout
        running.until("Wanted", out)
        stage.record(updating(HandoverPhase.NEGOTIATING))
        running.until("Negotiating", out)
        stage.record(at_rest())
        running.until("Live, no handover under way", out)
        stage.delete()
        code, _, err = running.end()
    assert code == 3
    assert "has been deleted" in err


def test_status_watch_on_a_terminal_rewrites_the_view(stage: Stage) -> None:
    stage.create(image=V2)
    ours, theirs = pty.openpty()
    words = ["status", "first", "--watch", "-n", stage.namespace]
    process = subprocess.Popen(
        [sys.executable, "-m", "hitless_cli", *words],
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "KUBECONFIG": str(stage.plane.kubeconfig), "LINES": "60"},
    )
    os.close(theirs)
    try:
        _read_until(ours, "Pending")
        stage.record(updating(HandoverPhase.ARMED))
        shown = _read_until(ours, "[>] Armed")
        assert "\x1b[J" in shown
        process.send_signal(signal.SIGINT)
        assert process.wait(END_S_MAX) == 130
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read_until(terminal: int, text: str) -> str:
    """What a terminal shows up to a text; the test's own time limit bounds it."""
    shown = ""
    while text not in shown:
        shown += os.read(terminal, 65536).decode()
    return shown


def test_history(stage: Stage) -> None:
    stage.create(image=V2)
    stage.record(at_rest())
    result = stage.hitless("history", "first")
    assert result.exit_code == 0
    row = result.stdout.splitlines()[1]
    assert "Completed   v1     v2   -           8      53861664360   0      5.0 s   7.0 s" in row
    assert "rollback first --to: 1 = localhost/hitless/encoder:v1" in result.stdout
    document = stage.json("history", "first")
    assert document["handovers"][0]["durations"]["totalSeconds"] == 20.000002


def test_history_of_a_failure_names_the_reason(stage: Stage) -> None:
    stage.create(image=V2)
    stage.record(called_off())
    assert "SuccessorFailed" in stage.hitless("history", "first").stdout


# --- what goes wrong ---


def test_a_wrong_name_is_answered_with_those_near(stage: Stage) -> None:
    stage.create("news")
    result = stage.hitless("status", "nwes")
    assert result.exit_code == 3
    assert result.stderr == (
        f"hitless status: no channel nwes in namespace {stage.namespace}; did you mean news?\n"
    )


def test_a_refusal_names_verb_and_resource(stage: Stage) -> None:
    result = stage.hitless("get", kubeconfig=stage.plane.kubeconfig_of(2))
    assert result.exit_code == 3
    assert f"not allowed to list encoderdeployments in namespace {stage.namespace}" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_watch_that_is_refused_names_the_verb(stage: Stage) -> None:
    rule = {**_rule("get", "encoderdeployments"), "verbs": ["get", "list"]}
    stage.plane.allow(4, stage.namespace, [rule])
    result = stage.hitless("get", "-w", kubeconfig=stage.plane.kubeconfig_of(4))
    assert result.exit_code == 3
    assert (
        f"not allowed to watch encoderdeployments in namespace {stage.namespace}" in result.stderr
    )


def test_unknown_credentials(stage: Stage, tmp_path: Path) -> None:
    value = json.loads(stage.plane.kubeconfig.read_text())
    value["users"][0]["user"] = {"token": "nobody"}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(value))
    result = stage.hitless("get", kubeconfig=path)
    assert result.exit_code == 3
    assert "does not accept these credentials" in result.stderr


def test_no_api_server(stage: Stage, tmp_path: Path) -> None:
    value = json.loads(stage.plane.kubeconfig.read_text())
    value["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(value))
    result = stage.hitless("get", kubeconfig=path)
    assert result.exit_code == 3
    assert "no answer from the API server at https://127.0.0.1:9" in result.stderr
    assert result.stderr.count("\n") == 1


def test_no_kubeconfig_and_no_such_context(stage: Stage, tmp_path: Path) -> None:
    result = stage.hitless("get", kubeconfig=tmp_path / "nonesuch")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert "no usable kubeconfig" in result.stderr
    result = stage.hitless("get", "--context", "nonesuch")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert "nonesuch" in result.stderr


def test_a_resource_type_that_is_not_installed(tmp_path: Path) -> None:
    with control_plane(tmp_path) as bare:
        result = Stage(plane=bare, namespace="default").hitless("approve", "nightly")
    assert result.exit_code == 3
    assert "no resource type encoderupdates.hitless.video" in result.stderr


def _pod(name: str, *, node: str = "") -> dict[str, object]:
    labels = {"app.kubernetes.io/managed-by": "hitless-operator", "hitless.video/channel": "first"}
    pod_spec: dict[str, object] = {"containers": [{"name": "encoder", "image": V2}]}
    if node:
        pod_spec["nodeName"] = node
    return {"metadata": {"name": name, "labels": labels}, "spec": pod_spec}


def _rule(verb: str, resource: str) -> dict[str, object]:
    return {"apiGroups": ["hitless.video"], "resources": [resource], "verbs": [verb]}
