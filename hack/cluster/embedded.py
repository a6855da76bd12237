"""The embedded cluster: a real Kubernetes in nested namespaces of this one machine.

Owns what such a cluster has on the host: one tree of processes (found by a marker in their command
lines, never by a pid file), one veth with its routes, one cgroup folder in each hierarchy, and its
folder. The tree is built by scripts/lab.sh and scripts/node.sh; this module prepares what they
read, gives their orders, waits, and takes everything away again. Called by cluster.py.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import string
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import cgroups
import machine
import pki
import state
import toolchain
from api import Api
from state import Cluster

HERE = Path(__file__).resolve().parent

START_S_MAX = 20.0
API_S_MAX = 90.0
NODES_S_MAX = 120.0
DNS_S_MAX = 120.0
LOAD_S_MAX = 300.0


# --- up ----------------------------------------------------------------------------------------


def up(name: str, node_count: int) -> Cluster:
    """Start a cluster, after taking away whatever is left of one with the same name."""
    machine.require_root()
    machine.ensure_packages(toolchain.tools_dir() / "log" / "apt.log")
    toolchain.ensure(toolchain.embedded_steps())
    with state.locked(state.folder_of(name)):
        tear_down(name)
        cluster = state.claim_slot(name, state.Provider.EMBEDDED, node_count)
        try:
            _start(cluster)
        except BaseException:
            machine.end(lambda: _processes(cluster.folder), f"cluster {name}")
            raise
    return cluster


def _start(cluster: Cluster) -> None:
    with _timed("prepared"):
        _prepare(cluster)
    with _timed("control plane"):
        lab = _launch(cluster)
        _join_host(cluster)
        for index in range(1, cluster.node_count + 1):
            _order(cluster, f"node {index}")
        api = Api(cluster.slot.api, cluster.folder / "pki")
        _await(
            cluster, lab, "the API server", api.ready, limit_s=API_S_MAX, component="kube-apiserver"
        )
        _order(cluster, "api-ready")
    with _timed(f"{cluster.node_count} node(s) ready"):
        _apply_dns(cluster)
        _await(
            cluster,
            lab,
            "the nodes",
            lambda: api.nodes_ready() >= cluster.node_count,
            limit_s=NODES_S_MAX,
            component="kubelet1",
        )
        _await(
            cluster,
            lab,
            "the default ServiceAccount",
            api.default_namespace_ready,
            limit_s=NODES_S_MAX,
            component="kube-controller-manager",
        )
    with _timed("cluster DNS"):
        _await(
            cluster, lab, "cluster DNS", api.dns_available, limit_s=DNS_S_MAX, component="kubelet1"
        )


@contextlib.contextmanager
def _timed(what: str) -> Iterator[None]:
    start_s = time.monotonic()
    yield
    machine.say(f"{what}: {time.monotonic() - start_s:.1f} s")


def _prepare(cluster: Cluster) -> None:
    """Put everything on disk that the scripts read."""
    folder = cluster.folder
    cluster.logs.mkdir()
    shutil.copytree(HERE / "scripts", folder / "scripts")
    os.mkfifo(folder / "control", mode=0o600)
    variables = _variables(cluster)
    lines = (f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    (folder / "env").write_text("".join(lines))
    pki.make(cluster)
    for index in range(1, cluster.node_count + 1):
        _prepare_node(cluster, index)
    pki.give_to_sudo_user(cluster.kubeconfig)


def _variables(cluster: Cluster) -> dict[str, str]:
    """What the scripts know of this cluster."""
    slot = cluster.slot
    pods_prefix, _, pods_first = slot.pods.split("/")[0].rpartition(".")[0].rpartition(".")
    return {
        "API_IP": slot.api,
        "CGROUP": cluster.cgroup,
        "DNS_IP": slot.service(10),
        "NODES_MAX": str(state.NODES_MAX),
        "NODES_PREFIX": slot.api.rpartition(".")[0],
        "PAUSE_IMAGE": toolchain.PAUSE_IMAGE,
        "PODS": slot.pods,
        "PODS_BITS": slot.pods.partition("/")[2],
        "PODS_FIRST": pods_first,
        "PODS_PREFIX": pods_prefix,
        "SERVICES": slot.services,
    }


def _prepare_node(cluster: Cluster, index: int) -> None:
    pki.make_node(cluster, index)
    cgroups.make(cluster.cgroup)
    cgroups.make(f"{cluster.cgroup}/node{index}")


def _launch(cluster: Cluster) -> subprocess.Popen[bytes]:
    """Start the tree: whoever dies in it takes everything below with it."""
    namespaces = ["--net", "--mount", "--pid", "--uts", "--ipc"]
    script = cluster.folder / "scripts" / "lab.sh"
    programs = toolchain.node_farm().folder
    command = ["unshare", *namespaces, "--fork", "--kill-child", "--mount-proc"]
    command += ["bash", str(script), _marker(cluster.folder), str(cluster.folder), str(programs)]
    kubectl = toolchain.kubectl_step().folder / "bin"
    env = {"HOME": "/root", "LANG": "C.UTF-8", "PATH": f"{machine.system_path()}:{kubectl}"}
    with (cluster.logs / "lab.log").open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            cwd="/",
            start_new_session=True,
        )


def _join_host(cluster: Cluster) -> None:
    """Give the host its end of the LAN, and the ways to pods and Services."""
    slot, log = cluster.slot, cluster.logs / "lab.log"
    machine.wait_for(
        "the cluster's namespaces",
        lambda: _lab_pid(cluster) is not None,
        limit_s=START_S_MAX,
        every_s=0.01,
        log=log,
    )
    pid = _lab_pid(cluster)
    _ip("link", "add", slot.veth, "type", "veth", "peer", "name", "uplink", "netns", str(pid))
    _ip("addr", "add", f"{slot.host}/24", "dev", slot.veth)
    _ip("link", "set", slot.veth, "up")
    for index in range(1, state.NODES_MAX + 1):
        _ip("route", "add", slot.node_pods(index), "via", slot.node(index), "dev", slot.veth)
    _ip("route", "add", slot.services, "via", slot.node(1), "dev", slot.veth)


def _ip(*arguments: str) -> None:
    machine.run(["ip", *arguments])


def _order(cluster: Cluster, order: str) -> None:
    """Hand lab.sh a line; it is there as long as somebody has the pipe open for reading."""
    pipe = cluster.folder / "control"
    deadline_s = time.monotonic() + START_S_MAX
    while True:
        try:
            pipe_fd = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if time.monotonic() > deadline_s or not _processes(cluster.folder):
                log = cluster.logs / "lab.log"
                raise machine.ClusterError(
                    f"nobody takes orders for cluster {cluster.name} ({error.strerror}): "
                    f"see {log}, start it again with `up`\n{machine.tail(log)}"
                ) from error
            time.sleep(0.02)
        else:
            break
    with os.fdopen(pipe_fd, "w") as writer:
        writer.write(order + "\n")


def _await(
    cluster: Cluster,
    lab: subprocess.Popen[bytes],
    what: str,
    met: machine.Test,
    *,
    limit_s: float,
    component: str,
) -> None:
    """Wait for something in the cluster, but not when what should bring it about has died."""
    failed = cluster.folder / "failed"

    def met_or_hopeless() -> bool:
        if met():
            return True
        if failed.exists():
            first = failed.read_text().partition("\n")[0]
            log = cluster.logs / f"{first.partition(' ')[0]}.log"
            raise machine.ClusterError(
                f"while waiting for {what}: {first}: see {log}\n{machine.tail(log)}"
            )
        if lab.poll() is not None:
            log = cluster.logs / "lab.log"
            raise machine.ClusterError(
                f"while waiting for {what}, the cluster ended: see {log}\n{machine.tail(log)}"
            )
        return False

    machine.wait_for(what, met_or_hopeless, limit_s=limit_s, log=cluster.logs / f"{component}.log")


def _apply_dns(cluster: Cluster) -> None:
    template = string.Template((HERE / "manifests" / "coredns.yaml").read_text())
    manifest = template.substitute(dns_ip=cluster.slot.service(10), image=toolchain.COREDNS_IMAGE)
    kubectl = toolchain.kubectl_step().folder / "bin" / "kubectl"
    apply = [str(kubectl), "--kubeconfig", str(cluster.kubeconfig), "apply", "-f", "-"]
    env = os.environ | {"NO_PROXY": "198.18.0.0/15", "no_proxy": "198.18.0.0/15"}
    machine.run([*apply, "--server-side"], stdin=manifest, env=env)


# --- down --------------------------------------------------------------------------------------


def tear_down(name: str) -> None:
    """Take away all that a cluster of this name has or had, at whatever moment it was left.

    The caller holds the lock. `cluster.json` goes last: it names what to look for, so a killed
    tear-down can be done again.
    """
    folder = state.folder_of(name)
    machine.end(lambda: _processes(folder), f"cluster {name}")
    cluster = state.read(name)
    if cluster is not None:
        # A veth goes with its namespace, but only some time after; its routes go with it.
        if (Path("/sys/class/net") / cluster.slot.veth).exists():
            with contextlib.suppress(machine.ClusterError):
                _ip("link", "delete", cluster.slot.veth)
        cgroups.remove(cluster.cgroup)
    state.empty_folder(name)


def _marker(folder: Path) -> str:
    return f"--hitless-cluster={folder}"


def _processes(folder: Path) -> list[machine.Process]:
    """Those whose end is the end of all: the `unshare`s and PID 1s of a cluster."""
    return machine.processes_with(_marker(folder))


def _lab_pid(cluster: Cluster) -> int | None:
    """PID 1 of the cluster, as the host sees it; it runs bash only once it is in its namespaces."""
    return next((p.pid for p in _processes(cluster.folder) if _runs(p, "/lab.sh")), None)


def _runs(process: machine.Process, script: str) -> bool:
    return process.argv[0] == "bash" and process.argv[1].endswith(script) and process.is_init


# --- a running cluster -------------------------------------------------------------------------


def live_nodes(cluster: Cluster) -> dict[int, int]:
    """The numbers of the nodes that run, each with the pid of its PID 1."""
    return {
        int(process.argv[-1]): process.pid
        for process in _processes(cluster.folder)
        if _runs(process, "/node.sh")
    }


def answers(cluster: Cluster) -> bool:
    return Api(cluster.slot.api, cluster.folder / "pki").ready()


def load(cluster: Cluster, archive: Path) -> None:
    """Import a docker or OCI archive on every node that runs."""
    nodes = live_nodes(cluster)
    if not nodes:
        raise machine.ClusterError(f"cluster {cluster.name} has no live node: start it with `up`")
    for index, pid in sorted(nodes.items()):
        with _timed(f"{archive.name} on node{index}"), archive.open("rb") as source:
            _import(pid, source.fileno(), archive)


def _import(pid: int, source_fd: int, archive: Path) -> None:
    command = ["nsenter", "--target", str(pid), "--mount", "--", "/run/hitless/bin/ctr"]
    command += ["--namespace", "k8s.io", "images", "import"]
    command += ["--label", "io.cri-containerd.image=managed", "-"]
    try:
        done = subprocess.run(
            command,
            stdin=source_fd,
            capture_output=True,
            text=True,
            timeout=LOAD_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise machine.ClusterError(
            f"{archive}: the import did not end within {LOAD_S_MAX:.0f} s"
        ) from error
    if done.returncode:
        raise machine.ClusterError(f"{archive}: the import failed: {done.stderr.strip()}")


def kill_node(cluster: Cluster, index: int) -> None:
    """End a node as a power cut would. Its Node object stays, and goes NotReady by itself."""
    if index not in live_nodes(cluster):
        raise machine.ClusterError(f"cluster {cluster.name} has no live node{index}")
    machine.end(lambda: _node_processes(cluster, index), f"node{index}")
    survivors = sorted(live_nodes(cluster))
    if survivors:
        _services_via(cluster, survivors[0])


def start_node(cluster: Cluster, index: int) -> None:
    """Start a node that was killed, or one more; returns when the order is given."""
    if index in live_nodes(cluster):
        raise machine.ClusterError(f"node{index} of cluster {cluster.name} runs already")
    # Left behind, the kubelet would take 3 s for each to see that nobody lives there.
    cgroups.remove(f"{cluster.cgroup}/node{index}")
    _prepare_node(cluster, index)
    alone = not live_nodes(cluster)
    _order(cluster, f"node {index}")
    if alone:
        _services_via(cluster, index)


def _node_processes(cluster: Cluster, index: int) -> list[machine.Process]:
    return [
        process
        for process in _processes(cluster.folder)
        if process.argv[-1] == str(index) and process.argv[-3].endswith("/node.sh")
    ]


def _services_via(cluster: Cluster, index: int) -> None:
    """Send what comes from outside the nodes to Services through a node that lives."""
    slot = cluster.slot
    _order(cluster, f"services-via {slot.node(index)}")
    _ip("route", "replace", slot.services, "via", slot.node(index), "dev", slot.veth)
