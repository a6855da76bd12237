"""Control group folders, in every hierarchy the kernel has mounted.

Owns their making and removal; what runs in them is the kubelet's business. Called by embedded.py.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import machine

ROOT = Path("/sys/fs/cgroup")
REMOVE_S_MAX = 20.0


def make(path: str) -> None:
    """Make `path`, whose parent exists, in every hierarchy."""
    for hierarchy in _hierarchies():
        folder = hierarchy / path
        if (folder.parent / "cgroup.subtree_control").exists():
            _delegate(folder.parent)
        folder.mkdir(exist_ok=True)
        # A v1 cpuset is born empty, and nothing can run in it before it has its parent's.
        if (folder / "cpuset.effective_cpus").exists():
            for file in ("cpuset.cpus", "cpuset.mems"):
                (folder / file).write_text((folder.parent / file).read_text())


def remove(path: str) -> None:
    """Remove `path` and all below it; whoever was in there has been ended before.

    The kernel lets a folder go only when it has done with the last process that was in it.
    """

    def gone() -> bool:
        left = [h for h in _hierarchies() if not _removed(h / path)]
        return not left

    machine.wait_for(
        f"the kernel to let go of the control groups {path}", gone, limit_s=REMOVE_S_MAX
    )


def _delegate(folder: Path) -> None:
    """With v2 a folder has the controllers that its parent hands down."""
    controllers = (folder / "cgroup.controllers").read_text().split()
    try:
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in controllers))
    except OSError as error:
        raise machine.ClusterError(
            f"{folder} can't hand its controllers down ({error.strerror}): run this outside of "
            "containers and services, or use CLUSTER=kind"
        ) from error


def _hierarchies() -> list[Path]:
    """One for each controller with cgroup v1, one in all with v2."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink()]


def _removed(folder: Path) -> bool:
    for parent, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            Path(parent).rmdir()
    return not folder.exists()
