"""A cluster's name, folder, addresses and lock: what tells one cluster from another.

Owns `${HITLESS_STATE:-/var/lib/hitless}/clusters/<name>/` and `cluster.json` in it, and gives out
slots: a slot is a number that fixes every address, the host's veth and the cgroup folder, so two
clusters with different slots have nothing in common. Starts nothing. Called by the providers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import fcntl
import ipaddress
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import machine

SLOTS_MAX = 16
NODES_MAX = 4
LOCK_S_MAX = 600.0
DEFAULT_NAME = "hitless"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?")


class Provider(enum.StrEnum):
    """Who runs a cluster."""

    EMBEDDED = "embedded"
    KIND = "kind"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The addresses of one embedded cluster, all from 198.18.0.0/15.

    That range is set aside for tests (RFC 2544), so unlike 10/8 and 172.16/12 it is neither a VPN's
    nor a container engine's. Slot 0: nodes 198.18.0.0/24, services 198.18.128.0/22, pods
    198.19.0.0/20.
    """

    number: int

    @property
    def networks(self) -> tuple[ipaddress.IPv4Network, ...]:
        return tuple(ipaddress.IPv4Network(n) for n in (self.nodes, self.services, self.pods))

    @property
    def nodes(self) -> str:
        return f"198.18.{self.number}.0/24"

    @property
    def api(self) -> str:
        return f"198.18.{self.number}.1"

    @property
    def host(self) -> str:
        return f"198.18.{self.number}.254"

    def node(self, index: int) -> str:
        """The address of node `index`, which counts from 1."""
        return f"198.18.{self.number}.{10 + index}"

    @property
    def services(self) -> str:
        return f"198.18.{128 + 4 * self.number}.0/22"

    def service(self, index: int) -> str:
        return str(ipaddress.IPv4Network(self.services)[index])

    @property
    def pods(self) -> str:
        return f"198.19.{16 * self.number}.0/20"

    def node_pods(self, index: int) -> str:
        """The /24 that node `index` gives its pods' addresses from; on the wire all are one."""
        return f"198.19.{16 * self.number + index}.0/24"

    @property
    def veth(self) -> str:
        return f"hitless{self.number}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What `cluster.json` says of a cluster."""

    name: str
    provider: Provider
    node_count: int
    slot: Slot

    @property
    def folder(self) -> Path:
        return folder_of(self.name)

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.folder / "log"

    @property
    def context(self) -> str:
        return f"hitless-{self.name}"

    @property
    def cgroup(self) -> str:
        return f"hitless-{self.slot.number}-{self.name}"

    def write(self) -> None:
        """Must be on disk before anything is started: `down` reads here what to look for."""
        value = {
            "provider": self.provider,
            "nodes": self.node_count,
            "slot": self.slot.number,
        }
        work = self.folder / ".cluster.json"
        work.write_text(json.dumps(value) + "\n")
        work.rename(self.folder / "cluster.json")


def read(name: str) -> Cluster | None:
    """The cluster of that name, dead or alive, if there is one."""
    try:
        value = json.loads((folder_of(name) / "cluster.json").read_text())
    except FileNotFoundError:
        return None
    return Cluster(
        name=name,
        provider=Provider(value["provider"]),
        node_count=int(value["nodes"]),
        slot=Slot(number=int(value["slot"])),
    )


def get(name: str) -> Cluster:
    cluster = read(name)
    if cluster is None:
        raise machine.ClusterError(f"there is no cluster {name!r}: start it with `up`")
    return cluster


def clusters_dir() -> Path:
    return _root().expanduser().absolute() / "clusters"


def _root() -> Path:
    """Only root runs embedded clusters; anyone may run kind, and needs a place of their own."""
    named = os.environ.get("HITLESS_STATE")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/hitless")
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state") / "hitless"


def folder_of(name: str) -> Path:
    return clusters_dir() / name


def names() -> list[str]:
    """The names of all clusters that left a folder here."""
    try:
        return sorted(path.name for path in clusters_dir().iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise machine.ClusterError(
            f"cluster name {name!r}: expected at most 30 of a-z, 0-9 and -, as in `e2e-1`"
        )
    return name


def claim_slot(name: str, provider: Provider, node_count: int) -> Cluster:
    """Give the cluster the lowest slot that nobody uses, and write that down.

    A slot is in use when another cluster's folder names it, or when the host has a route or an
    address in its networks, whoever put it there.
    """
    with locked(clusters_dir()):
        others = [read(other) for other in names() if other != name]
        taken = {other.slot.number for other in others if other is not None}
        networks = host_networks()
        for number in range(SLOTS_MAX):
            slot = Slot(number=number)
            if number not in taken and not _overlap(slot, networks):
                cluster = Cluster(name=name, provider=provider, node_count=node_count, slot=slot)
                cluster.write()
                return cluster
    raise machine.ClusterError(
        f"all {SLOTS_MAX} address slots in 198.18.0.0/15 are taken: see `cluster.py status` and "
        "`ip route`, and end what is no longer needed"
    )


def host_networks() -> list[ipaddress.IPv4Network]:
    """What the host routes anywhere but by its default route."""
    routes = json.loads(machine.run(["ip", "-json", "-4", "route", "show"]))
    return [
        ipaddress.IPv4Network(route["dst"], strict=False)
        for route in routes
        if route["dst"] != "default" and not route["dst"][0].isalpha()
    ]


def _overlap(slot: Slot, networks: list[ipaddress.IPv4Network]) -> bool:
    return any(ours.overlaps(theirs) for ours in slot.networks for theirs in networks)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder: one `up`, `down` or claim at a time. The kernel lets go when we die.

    The folder is its own lock file, so nothing is left behind. Whoever waited for a folder that
    was removed meanwhile holds the lock of a ghost: look at the inode, and take the new one.
    """
    deadline_s = time.monotonic() + LOCK_S_MAX
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            _flock(folder_fd, folder, deadline_s)
            if _is_at(folder_fd, folder):
                yield
                return
        finally:
            os.close(folder_fd)


def _flock(folder_fd: int, folder: Path, deadline_s: float) -> None:
    while True:
        try:
            fcntl.flock(folder_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise machine.ClusterError(
                    f"another process has held {folder} for {LOCK_S_MAX:.0f} s: find it with "
                    "`lsof`, end it, try again"
                ) from None
            time.sleep(0.05)
        else:
            return


def _is_at(folder_fd: int, folder: Path) -> bool:
    try:
        there = folder.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(folder_fd)
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def empty_folder(name: str) -> None:
    """Remove what is in a cluster's folder, `cluster.json` last; its holder keeps the lock."""
    folder = folder_of(name)
    for path in sorted(folder.iterdir(), key=lambda path: path.name == "cluster.json"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def remove_folder(name: str) -> None:
    """Remove a cluster's folder, and those above it that we made and that are empty now."""
    empty_folder(name)
    folder_of(name).rmdir()
    for folder in (clusters_dir(), clusters_dir().parent):
        try:
            folder.rmdir()
        except OSError:
            return
