"""The support archive: what is in it, what is not in it and why, and that no secret is."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.component.cli.conftest import Stage
from tests.component.cli.neighbours import (
    NODE,
    kubelet,
    origin_service,
    own_address,
    serving,
)
from tests.unit.cli.documents import V2, at_rest

SECRET = "s3cr3t-v4lue"
SOURCE = {"url": f"udp://user:{SECRET}@239.1.1.1:5000?token={SECRET}"}
LABELS = {"app.kubernetes.io/managed-by": "hitless-operator", "hitless.video/channel": "first"}


@pytest.fixture
def broadcast(stage: Stage) -> Stage:
    """A channel with a secret in its source, a pod with one in its environment, and a Secret."""
    stage.create(image=V2, source=SOURCE)
    stage.record(at_rest())
    stage.create("other")
    config = json.dumps({"source": SOURCE, "passphrase": SECRET})
    env = [{"name": "FEED_PASSWORD", "value": SECRET}, {"name": "CONFIG", "value": config}]
    container = {"name": "encoder", "image": V2, "env": env}
    pods = f"/api/v1/namespaces/{stage.namespace}/pods"
    metadata = {"name": "first-8", "labels": LABELS}
    pod_spec = {"nodeName": NODE, "containers": [container]}
    made = stage.plane.create(pods, {"metadata": metadata, "spec": pod_spec})
    made["status"] = {
        "phase": "Running",
        "containerStatuses": [
            {"name": "encoder", "image": V2, "imageID": "", "ready": True, "restartCount": 1}
        ],
    }
    stage.plane.call("PUT", f"{pods}/first-8/status", made)
    secret = {"metadata": {"name": "feed"}, "stringData": {"pass": SECRET}}
    stage.plane.create(f"/api/v1/namespaces/{stage.namespace}/secrets", secret)
    stage.event("SourceLost", f"can't open srt://u:{SECRET}@h:1?passphrase={SECRET}")
    return stage


def bundle(
    stage: Stage, path: Path, *words: str, kubeconfig: Path | None = None
) -> dict[str, bytes]:
    """Make one; its files by path."""
    result = stage.hitless("bundle", *words, "-o", str(path), kubeconfig=kubeconfig)
    assert result.exit_code == 0, result.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        found = {}
        for member in archive.getmembers():
            content = archive.extractfile(member)
            assert content is not None
            found[member.name.removeprefix("hitless-bundle/")] = content.read()
        return found


def missing(files: dict[str, bytes]) -> dict[str, str]:
    rows: list[dict[str, Any]] = json.loads(files["MANIFEST.json"])["missing"]
    return {row["what"]: row["why"] for row in rows}


def test_everything_and_no_secret(broadcast: Stage, tmp_path: Path) -> None:
    stage = broadcast
    log = f"opening {SOURCE['url']}\nAuthorization: Bearer {SECRET}\nframe 7\n".encode()
    logs = f"/containerLogs/{stage.namespace}/first-8/encoder"
    with kubelet(stage.plane, {logs: log}) as asked:
        files = bundle(stage, tmp_path / "b.tar.gz")
    ours = stage.namespace
    assert {
        "MANIFEST.json",
        "versions.json",
        "definitions/encoderdeployments.hitless.video.json",
        f"channels/{ours}/first.json",
        f"channels/{ours}/other.json",
        f"events/{ours}.json",
        f"pods/{ours}/first-8.json",
        f"logs/{ours}/first-8/encoder.log",
        f"logs/{ours}/first-8/encoder.previous.log",
    } <= set(files)
    assert [name for name, content in files.items() if SECRET.encode() in content] == []
    assert b"frame 7" in files[f"logs/{ours}/first-8/encoder.log"]
    assert any("tailLines=10000" in path for path in asked)
    assert any("previous=true" in path for path in asked)
    listed = {row["path"] for row in json.loads(files["MANIFEST.json"])["files"]}
    assert listed == set(files) - {"MANIFEST.json"}
    kept = json.loads(files[f"channels/{ours}/first.json"])
    assert kept["status"]["handover"]["event"]["frame"] == 53861664360


def test_the_origins_report_comes_through_the_api_server(broadcast: Stage, tmp_path: Path) -> None:
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    stage = broadcast
    path = f"/api/v1/channels/{stage.namespace}/first"
    report = b'{"lastSegment": 897694406}'
    with serving({path: report}, host=address) as (port, _):
        origin_service(stage.plane, stage.namespace, address, port, path)
        files = bundle(stage, tmp_path / "b.tar.gz", "first")
    services = f"/api/v1/namespaces/{stage.namespace}/services/o"
    stage.plane.call("DELETE", services)
    assert files[f"origin/{stage.namespace}/o/{stage.namespace}/first.json"] == report


def test_what_can_not_be_read_is_told_with_the_reason(broadcast: Stage, tmp_path: Path) -> None:
    files = bundle(broadcast, tmp_path / "b.tar.gz", "first")
    why = missing(files)
    assert "EncoderUpdates" not in why
    assert f"log of {broadcast.namespace}/first-8 encoder" in why
    assert why["the origin's reports"] == "no Service of a Hitless origin is to be found"
    assert f"channels/{broadcast.namespace}/other.json" not in files


def test_permissions_narrow_it_down(broadcast: Stage, tmp_path: Path) -> None:
    rule = {"apiGroups": ["hitless.video"], "resources": ["*"], "verbs": ["get", "list"]}
    broadcast.plane.allow(3, broadcast.namespace, [rule])
    files = bundle(broadcast, tmp_path / "b.tar.gz", kubeconfig=broadcast.plane.kubeconfig_of(3))
    assert f"channels/{broadcast.namespace}/first.json" in files
    why = missing(files)
    assert why[f"encoder pods in {broadcast.namespace}"].startswith("not allowed to list pods")
    assert why["operator and origin pods"].startswith("not allowed to list pods")


def test_no_archive_without_channels_to_read(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    result = stage.hitless("bundle", "nonesuch", "-o", str(path))
    assert result.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_can_not_be_written(stage: Stage, tmp_path: Path) -> None:
    result = stage.hitless("bundle", "-o", str(tmp_path / "none" / "b.tar.gz"))
    assert result.exit_code == 1
    assert "can't be written" in result.stderr
