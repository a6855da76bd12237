"""A real API server, and `hitless` as a process of its own or within the test."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import pytest
from click.testing import CliRunner, Result
from hack.control_plane import APPLY, MERGE, ROOT, ControlPlane, control_plane
from tests.unit.cli import documents
from tests.unit.operator.samples import spec

from hitless_cli.__main__ import main
from hitless_handover.supervisor_model import ChannelRecord

Document = dict[str, Any]
GROUP = "/apis/hitless.video/v1alpha1"
END_S_MAX = 30
_numbers = itertools.count(1)


@dataclass(kw_only=True)
class Running:
    """A `hitless` process that follows something. Its lines are what a test waits for."""

    process: subprocess.Popen[str]
    read: dict[IO[str], list[str]] = field(default_factory=dict)

    def until(self, text: str, stream: IO[str] | None = None) -> str:
        """Read on until a line holds the text."""
        source = stream or self.process.stderr
        assert source is not None
        for line in source:
            self.read.setdefault(source, []).append(line)
            if text in line:
                return line
        raise AssertionError(f"{text!r} was not said: {self.read}")

    def end(self) -> tuple[int, str, str]:
        """Exit code, what was left of stdout, and all of stderr."""
        assert self.process.stderr is not None
        before = self.read.get(self.process.stderr, [])
        out, err = self.process.communicate(timeout=END_S_MAX)
        return self.process.returncode, out, "".join(before) + err


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One namespace of the API server."""

    plane: ControlPlane
    namespace: str

    def path(self, name: str = "") -> str:
        tail = f"/{name}" if name else ""
        return f"{GROUP}/namespaces/{self.namespace}/encoderdeployments{tail}"

    def create(self, name: str = "first", *, manager: str = "hand", **more: Any) -> Document:
        """A channel that somebody creates, as `kubectl create` does."""
        return self.plane.create(
            f"{self.path()}?fieldManager={manager}", self._document(name, **more)
        )

    def apply(self, name: str = "first", *, manager: str, **more: Any) -> Document:
        """A channel that a GitOps tool applies."""
        path = f"{self.path(name)}?fieldManager={manager}&force=true"
        return self.plane.call("PATCH", path, self._document(name, **more), content_type=APPLY)

    def _document(self, name: str, **more: Any) -> Document:
        labels = more.pop("labels", {})
        return {
            "apiVersion": "hitless.video/v1alpha1",
            "kind": "EncoderDeployment",
            "metadata": {"name": name, "labels": labels},
            "spec": spec(**{"image": documents.V1, **more}),
        }

    def get(self, name: str = "first") -> Document:
        return self.plane.call("GET", self.path(name))

    def patch(self, name: str = "first", **fields: Any) -> Document:
        return self.plane.call("PATCH", self.path(name), {"spec": fields}, content_type=MERGE)

    def delete(self, name: str = "first") -> None:
        self.plane.call("DELETE", self.path(name))

    def record(self, made: ChannelRecord, name: str = "first") -> Document:
        """Write the status as the operator would, for the spec as it is now."""
        found = self.get(name)
        generation = found["metadata"]["generation"]
        status = documents.status(
            _of_generation(made, generation),
            image=found["spec"]["image"],
            paused=found["spec"]["paused"],
        )
        found["status"] = status
        return self.plane.call("PUT", f"{self.path(name)}/status", found)

    def event(self, reason: str, note: str) -> None:
        """What the operator tells of the channel `first`."""
        event = {
            "metadata": {"name": f"first.{reason.lower()}"},
            "eventTime": "2026-11-22T23:06:41.000000Z",
            "type": "Normal",
            "reason": reason,
            "note": note,
            "action": "Supervise",
            "regarding": {
                "apiVersion": "hitless.video/v1alpha1",
                "kind": "EncoderDeployment",
                "name": "first",
                "namespace": self.namespace,
            },
            "reportingController": "hitless.video/hitless-operator",
            "reportingInstance": "test",
        }
        self.plane.create(f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events", event)

    def hitless(self, *words: str, kubeconfig: Path | None = None, text: str = "") -> Result:
        """Run it to its end."""
        return CliRunner().invoke(
            main, [*words, *self._where(kubeconfig)], prog_name="hitless", input=text
        )

    def hitless_alone(self, *words: str) -> Result:
        """Run a command that knows no cluster."""
        return CliRunner().invoke(main, list(words), prog_name="hitless")

    def json(self, *words: str) -> Any:
        """Run it, expect success, and read what it says."""
        result = self.hitless(*words, "-o", "json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    @contextlib.contextmanager
    def following(self, *words: str) -> Iterator[Running]:
        """Run it beside the test."""
        process = subprocess.Popen(
            [sys.executable, "-m", "hitless_cli", *words, *self._where(None)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            yield Running(process=process)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()

    def _where(self, kubeconfig: Path | None) -> list[str]:
        chosen = kubeconfig or self.plane.kubeconfig
        return ["-n", self.namespace, "--kubeconfig", str(chosen)]


def _of_generation(made: ChannelRecord, generation: int) -> ChannelRecord:
    update = None if made.handover is None else replace(made.handover, generation=generation)
    return replace(made, observed_generation=generation, handover=update)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("control-plane")) as running:
        for definition in sorted((ROOT / "crds").glob("*.yaml")):
            running.install(definition)
        yield running


@pytest.fixture
def stage(plane: ControlPlane) -> Stage:
    return Stage(plane=plane, namespace=plane.namespace(f"live-{next(_numbers)}"))
