"""A cluster with Hitless in it, for the demo and the end-to-end tests.

Owns the order: cluster up, images in, namespaces, chart. Everything goes through the public tools
(hack/cluster/cluster.py, hack/images/build.py, helm, kubectl), as a user would do it by hand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = ROOT / "hack" / "cluster" / "cluster.py"
BUILD = ROOT / "hack" / "images" / "build.py"
CHART = ROOT / "charts" / "hitless"
SYSTEM_NAMESPACE = "hitless-system"
ORIGIN_NODE_PORT = 30080
COMMAND_DEADLINE_S = 120
CLUSTER_DEADLINE_S = 3600  # a cold build of Kubernetes is part of it

T = TypeVar("T")


class LabError(Exception):
    """A step failed; the message holds the command and what it printed."""


def run(
    command: Sequence[str | Path],
    *,
    env: dict[str, str] | None = None,
    text: str | None = None,
    deadline_s: int = COMMAND_DEADLINE_S,
    show: bool = False,
) -> str:
    """Run a command to its end; its standard output. Raises LabError.

    show: what it says on standard error (its progress) goes straight to the terminal.
    """
    shown = " ".join(str(part) for part in command)
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env={**os.environ, **(env or {})},
            input=text,
            stdout=subprocess.PIPE,
            stderr=None if show else subprocess.PIPE,
            text=True,
            timeout=deadline_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{shown}: not done after {deadline_s} s") from error
    if done.returncode != 0:
        said = f"{done.stdout}{done.stderr or ''}"
        raise LabError(f"{shown}: exit code {done.returncode}\n{said}".strip())
    return done.stdout


def until(what: str, look: Callable[[], T | None], *, deadline_s: int = 120) -> T:
    """Poll until `look` gives something. Raises LabError naming what was awaited."""
    end = time.monotonic() + deadline_s
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > end:
            raise LabError(f"{what}: not seen within {deadline_s} s")
        time.sleep(0.5)


def images() -> dict[str, Path]:
    """Build what is not built yet: image reference to archive."""
    run([sys.executable, BUILD, "build"], show=True, deadline_s=CLUSTER_DEADLINE_S)
    listed: dict[str, str] = json.loads(run([sys.executable, BUILD, "list"]))
    return {reference: Path(archive) for reference, archive in listed.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """One cluster by name, with `kubectl` and `helm` bound to it."""

    name: str
    kubeconfig: str
    path: str

    @classmethod
    def up(cls, name: str, *, kind: str = "auto", nodes: int = 1) -> Lab:
        """A fresh cluster of that name; a former one is removed first."""
        run(
            [sys.executable, CLUSTER, "up", "--name", name, "--kind", kind, "--nodes", str(nodes)],
            show=True,
            deadline_s=CLUSTER_DEADLINE_S,
        )
        return cls.of(name)

    @classmethod
    def of(cls, name: str) -> Lab:
        """A cluster that runs already."""
        kubeconfig = run([sys.executable, CLUSTER, "kubeconfig", "--name", name]).strip()
        return cls(name=name, kubeconfig=kubeconfig, path=tools_path())

    def down(self) -> None:
        """Remove it."""
        run([sys.executable, CLUSTER, "down", "--name", self.name], show=True)

    def load(self, *archives: Path) -> None:
        """Bring images into every node."""
        once = dict.fromkeys(archives)  # versions of one image share an archive
        run([sys.executable, CLUSTER, "load", "--name", self.name, *once], deadline_s=600)

    def env(self) -> dict[str, str]:
        """Environment in which kubectl and helm talk to this cluster."""
        return {"KUBECONFIG": self.kubeconfig, "PATH": f"{self.path}:{os.environ['PATH']}"}

    def kubectl(
        self, *arguments: str, text: str | None = None, deadline_s: int = COMMAND_DEADLINE_S
    ) -> str:
        """Standard output of a kubectl call. Raises LabError with what kubectl said."""
        return run(["kubectl", *arguments], env=self.env(), text=text, deadline_s=deadline_s)

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get … -o json`, parsed."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def helm(self, *arguments: str | Path, deadline_s: int = 300) -> str:
        """Standard output of a helm call."""
        return run(["helm", *arguments], env=self.env(), deadline_s=deadline_s)

    def node_address(self) -> str:
        """An address of a node that the host reaches."""
        rows = self.get("nodes")["items"][0]["status"]["addresses"]
        return str(next(row["address"] for row in rows if row["type"] == "InternalIP"))

    def origin_url(self) -> str:
        """Base URL of the origin, as the host reaches it."""
        return f"http://{self.node_address()}:{ORIGIN_NODE_PORT}"

    def namespace(self, name: str) -> None:
        """A namespace that enforces the restricted Pod Security Standard."""
        manifest = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }
        self.kubectl("apply", "-f", "-", text=json.dumps(manifest))

    def install(
        self,
        *,
        deadline_percent: int = 150,
        encoder_cpu: str = "200m",
        on: dict[str, str] | None = None,
        operators: int = 1,
        evictions: bool = False,
    ) -> None:
        """The chart, with the origin on a node port; again: with other values.

        deadline_percent: of its fallback. encoder_cpu: what every encoder pod asks of its node. on:
        labels of the nodes for operator and origin. operators: replicas. evictions: whether the API
        server asks the operator about evictions.
        """
        self.namespace(SYSTEM_NAMESPACE)
        chosen = json.dumps(on or {})
        self.helm(
            "upgrade",
            "--install",
            "hitless",
            CHART,
            "--namespace",
            SYSTEM_NAMESPACE,
            "--set",
            "origin.service.type=NodePort",
            "--set",
            f"origin.service.nodePort={ORIGIN_NODE_PORT}",
            "--set",
            f"origin.publicUrl={self.origin_url()}",
            "--set",
            f"origin.deadlinePercent={deadline_percent}",
            "--set",
            f"operator.replicas={operators}",
            "--set",
            f"evictionWebhook.enabled={str(evictions).lower()}",
            "--set-json",
            f"operator.nodeSelector={chosen}",
            "--set-json",
            f"origin.nodeSelector={chosen}",
            "--set",
            f"encoder.cpuRequest={encoder_cpu}",
            "--wait",
            "--timeout",
            "180s",
        )


def tools_path() -> str:
    """Folders that hold kubectl and helm, joined for PATH."""
    return run([sys.executable, CLUSTER, "path"]).strip()
