"""The two programs that build images, Docker and buildah, behind one interface.

Owns buildah's storage folder, which is ours and not the system's. It knows nothing of roles.
build.py calls it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hack.images.commands import (
    CommandFailed,
    Commands,
    ImageError,
    answers,
    contained,
    remove,
)

BUILD_DEADLINE_S = 1200.0
SAVE_DEADLINE_S = 300.0
LOOK_DEADLINE_S = 30.0
DOCKER_ANSWER_S = 2.0

# Every change of a source file leaves some intermediate images behind; then we start afresh.
STORED_IMAGES_MAX = 400


class Engine(Protocol):
    """Builds an image out of a folder, and saves it as a docker-archive."""

    @property
    def name(self) -> str:
        """The program's name."""

    @property
    def packages(self) -> tuple[str, ...]:
        """The Debian packages it comes in, where installing them is all it takes."""

    def has(self, reference: str) -> bool:
        """Whether the engine holds an image of that name."""

    def build(
        self, reference: str, *, containerfile: Path, context: Path, args: Mapping[str, str]
    ) -> None:
        """Build `containerfile` in `context`, and name the result."""

    def save(self, reference: str, *, to: Path) -> None:
        """Write an image to the tar file `to`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """A Docker engine, local or wherever DOCKER_HOST points."""

    commands: Commands
    name: str = "docker"
    packages: tuple[str, ...] = ()

    @staticmethod
    def is_there() -> bool:
        """Whether an engine answers, not only the client."""
        return answers(["docker", "version"], deadline_s=DOCKER_ANSWER_S)

    def has(self, reference: str) -> bool:
        """Whether the engine holds an image of that name."""
        return answers(["docker", "image", "inspect", reference], deadline_s=LOOK_DEADLINE_S)

    def build(
        self, reference: str, *, containerfile: Path, context: Path, args: Mapping[str, str]
    ) -> None:
        """Build `containerfile` in `context`, and name the result."""
        options = ["--network", "none", "--tag", reference, *_build_args(args)]
        self.commands.run(
            ["docker", "build", *options, "--file", containerfile, context],
            log=_log_name("build", reference),
            deadline_s=BUILD_DEADLINE_S,
        )

    def save(self, reference: str, *, to: Path) -> None:
        """Write an image to the tar file `to`."""
        self.commands.run(
            ["docker", "save", "--output", to, reference],
            log=_log_name("save", reference),
            deadline_s=SAVE_DEADLINE_S,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildah:
    """buildah, run as root, with a storage of its own in `storage`."""

    commands: Commands
    storage: Path
    work: Path
    driver: str
    name: str = "buildah"
    packages: tuple[str, ...] = ("buildah",)

    def has(self, reference: str) -> bool:
        """Whether the storage holds an image of that name."""
        look = self._command("inspect", "--type", "image", reference)
        return answers(look, deadline_s=LOOK_DEADLINE_S, env=self._env())

    def build(
        self, reference: str, *, containerfile: Path, context: Path, args: Mapping[str, str]
    ) -> None:
        """Build `containerfile` in `context`, and name the result."""
        options = ["--isolation", "chroot", "--layers", "--tag", reference, *_build_args(args)]
        self.commands.run(
            self._command("build", *options, "--file", containerfile, context),
            log=_log_name("build", reference),
            deadline_s=BUILD_DEADLINE_S,
            env=self._env(),
        )

    def save(self, reference: str, *, to: Path) -> None:
        """Write an image to the tar file `to`."""
        self.commands.run(
            self._command("push", reference, f"docker-archive:{to}:{reference}"),
            log=_log_name("save", reference),
            deadline_s=SAVE_DEADLINE_S,
            env=self._env(),
        )

    def _command(self, *args: str | Path) -> list[str | Path]:
        places: list[str | Path] = ["--root", self.storage / "root", "--runroot", self.work / "run"]
        return contained("buildah", *places, "--storage-driver", self.driver, *args)

    def _env(self) -> dict[str, str]:
        return {"TMPDIR": str(self.work)}


@contextmanager
def buildah_storage(storage: Path) -> Iterator[None]:
    """Guard the storage: one that a killed build may have left half written is thrown away."""
    in_use = storage / "in-use"
    if in_use.exists() or _stored_images(storage) > STORED_IMAGES_MAX:
        remove(storage)
    storage.mkdir(parents=True, exist_ok=True)
    in_use.touch()
    try:
        yield
    except CommandFailed:
        in_use.unlink()
        raise
    # Not in a `finally`: after an interrupt or a deadline nobody knows what buildah left behind.
    in_use.unlink()


def _stored_images(storage: Path) -> int:
    lists = storage.glob("root/*-images/images.json")
    return sum(path.read_bytes().count(b'"created"') for path in lists)


def storage_driver(work: Path) -> str:
    """Overlay where it can be mounted (3 to 6 times as fast, a quarter of the space), else vfs."""
    parts = [work / "overlay" / part for part in ("lower", "upper", "work", "merged")]
    for part in parts:
        part.mkdir(parents=True, exist_ok=True)
    lower, upper, working, merged = parts
    options = f"lowerdir={lower},upperdir={upper},workdir={working}"
    mount: list[str | Path] = ["mount", "-t", "overlay", "overlay", "-o", options, merged]
    return "overlay" if answers(contained(*mount), deadline_s=LOOK_DEADLINE_S) else "vfs"


def choose(tool: str, *, commands: Commands, storage: Path, work: Path) -> Engine:
    """The engine for `tool`: docker, buildah, or auto (Docker where an engine answers)."""
    if tool != "buildah" and Docker.is_there():
        return Docker(commands=commands)
    if tool == "docker":
        raise ImageError(
            "no Docker engine answers `docker version`. Start it, or leave --tool out."
        )
    if os.geteuid() != 0:
        raise ImageError(
            "no Docker engine answers, and buildah needs root here. "
            "Start Docker, or run this as root."
        )
    return Buildah(commands=commands, storage=storage, work=work, driver=storage_driver(work))


def _build_args(args: Mapping[str, str]) -> Iterator[str]:
    for name, value in args.items():
        yield from ("--build-arg", f"{name}={value}")


def _log_name(verb: str, reference: str) -> str:
    return f"{verb}-{reference.rpartition('/')[2].replace(':', '-')}"
