"""The other provider: kind, where a Docker engine runs and a node image can be had.

Owns the command lines of `docker` and `kind`; the clusters themselves are kind's. Called by
cluster.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import machine
import pki
import state
import toolchain
from state import Cluster

NODE_IMAGE = (
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
)
"""The default of the kind pinned in tools/kind; see pkg/apis/config/defaults there."""

DOCKER_S_MAX = 5.0
PULL_S_MAX = 900.0
CREATE_S_MAX = 600.0
DELETE_S_MAX = 180.0
LOAD_S_MAX = 300.0


def engine_answers() -> bool:
    """Whether there is a Docker engine, not just its client."""
    if not shutil.which("docker"):
        return False
    return _succeeds(["docker", "info", "--format", "{{.ServerVersion}}"], DOCKER_S_MAX)


def node_image() -> str | None:
    """The node image if it is here or can be fetched: `KIND_NODE_IMAGE`, or else kind's own."""
    image = os.environ.get("KIND_NODE_IMAGE") or NODE_IMAGE
    if _succeeds(["docker", "image", "inspect", image], DOCKER_S_MAX):
        return image
    if os.environ.get("KIND_NODE_IMAGE"):
        return None
    machine.say(f"fetching {image}")
    return image if _succeeds(["docker", "pull", "--quiet", image], PULL_S_MAX) else None


def _succeeds(command: list[str], limit_s: float) -> bool:
    try:
        machine.run(command, limit_s=limit_s)
    except machine.ClusterError:
        return False
    return True


def up(name: str, node_count: int) -> Cluster:
    """Create a kind cluster: for more than one node, a control plane and that many workers."""
    if not engine_answers():
        raise machine.ClusterError(
            "CLUSTER=kind needs a Docker engine, and `docker info` gets no answer: start one, or "
            "use CLUSTER=embedded"
        )
    image = node_image()
    if image is None:
        raise machine.ClusterError(
            "no node image: KIND_NODE_IMAGE must name an image that `docker image inspect` knows, "
            f"or be unset where {NODE_IMAGE} can be pulled"
        )
    toolchain.ensure(toolchain.kind_steps())
    with state.locked(state.folder_of(name)):
        tear_down(name)
        cluster = state.claim_slot(name, state.Provider.KIND, node_count)
        cluster.logs.mkdir()
        configuration = cluster.folder / "kind.json"
        configuration.write_text(json.dumps(_configuration(node_count)))
        command = [_kind(), "create", "cluster", "--name", cluster.context, "--image", image]
        command += ["--config", str(configuration), "--kubeconfig", str(cluster.kubeconfig)]
        log = cluster.logs / "kind.log"
        machine.run_logged(
            "kind create cluster", [*command, "--wait", "180s"], log=log, limit_s=CREATE_S_MAX
        )
        pki.give_to_sudo_user(cluster.kubeconfig)
    return cluster


def _configuration(node_count: int) -> dict[str, object]:
    workers = node_count if node_count > 1 else 0
    roles = ["control-plane"] + ["worker"] * workers
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": role} for role in roles],
    }


def tear_down(name: str) -> None:
    """Delete the kind cluster of this name, if there is one. The caller holds the lock."""
    cluster = state.read(name)
    if cluster is not None and cluster.provider is state.Provider.KIND:
        kubeconfig = ["--kubeconfig", str(cluster.kubeconfig)]
        delete = [_kind(), "delete", "cluster", "--name", cluster.context, *kubeconfig]
        machine.run(delete, limit_s=DELETE_S_MAX)
    state.empty_folder(name)


def load(cluster: Cluster, archive: Path) -> None:
    """Import a docker archive on every node."""
    command = [_kind(), "load", "image-archive", str(archive), "--name", cluster.context]
    machine.run(command, limit_s=LOAD_S_MAX)


def answers(cluster: Cluster) -> bool:
    try:
        names = machine.run([_kind(), "get", "clusters"], limit_s=DOCKER_S_MAX).split()
    except (machine.ClusterError, subprocess.SubprocessError):
        return False
    return cluster.context in names


def _kind() -> str:
    return shutil.which("kind") or str(toolchain.kind_step().folder / "kind")
