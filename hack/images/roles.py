"""What each role's image is made from: its inputs, their checksum, and the folder to build in.

Owns the knowledge of which files matter to an image. Reads the checkout and never writes to it.
build.py calls it.
"""

import hashlib
import os
import platform
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hack.images.commands import Commands, remove

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "hack" / "images"
PYTHON = ROOT / ".venv" / "bin" / "python"
REFERENCE_PREFIX = "localhost/hitless"

DOWNLOAD_DEADLINE_S = 900.0
WHEEL_DEADLINE_S = 120.0

# What the origin's page plays with: a file of an npm package, which hack/setup page installs.
PLAYER_LOCK = ROOT / "hack" / "players" / "package-lock.json"
PLAYER = ROOT / ".venv" / "players" / "node_modules" / "hls.js"
PLAYER_FILES = {"dist/hls.min.mjs": "hls.mjs", "LICENSE": "hls-license.txt"}
PAGE = Path("origin", "hitless_origin", "web")

# The parts of pyproject.toml that end in an image; a new lint rule builds none anew.
PACKAGING_TABLES = (("build-system",), ("project",), ("tool", "hatch"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One image: its name, the folders of the checkout in it, its lock file."""

    name: str

    @property
    def sources(self) -> tuple[Path, ...]:
        """The folders whose packages are in the image: the core, the wire contract, the role."""
        return tuple(ROOT / folder for folder in ("handover", "proto", self.name))

    @property
    def has_page(self) -> bool:
        """Whether the image serves a page, and so takes along what it plays with."""
        return self.name == "origin"

    @property
    def containerfile(self) -> Path:
        """What makes the role's image out of the project's."""
        return IMAGES / f"Containerfile.{self.name}"

    @property
    def locks(self) -> tuple[Path, ...]:
        """The lock files whose wheels the build needs."""
        return ROOT / "requirements" / f"{self.name}.txt", ROOT / "requirements" / "pip.txt"

    def reference(self, tag: str) -> str:
        """The image's full name."""
        return f"{REFERENCE_PREFIX}/{self.name}:{tag}"


ROLES = {name: Role(name=name) for name in ("operator", "origin", "encoder")}


def project_version() -> str:
    """The version in pyproject.toml."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return version


def image_key(role: Role, base: str) -> str:
    """A checksum of all that ends in the role's image, with `base` naming what it stands on."""
    digest = hashlib.sha256(f"{base} {platform.machine()} {_packaging()}".encode())
    shared = (IMAGES / "Containerfile.project", IMAGES / "check_imports.py", ROOT / "LICENSE")
    player = (PLAYER_LOCK,) if role.has_page else ()
    for path in (*role.locks, role.containerfile, *shared, *player, *_source_files(role)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def wheels_key() -> str:
    """A checksum of all the lock files, which name every wheel by its own."""
    digest = hashlib.sha256(platform.machine().encode())
    for lock in _all_locks():
        digest.update(lock.read_bytes())
    return digest.hexdigest()[:12]


def _all_locks() -> list[Path]:
    return sorted({lock for role in ROLES.values() for lock in role.locks})


def _packaging() -> str:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tables = []
    for keys in PACKAGING_TABLES:
        table = pyproject
        for key in keys:
            table = table[key]
        tables.append(table)
    return repr(tables)


def _source_files(role: Role) -> Iterator[Path]:
    for source in role.sources:
        for folder, folders, files in os.walk(source):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            yield from (Path(folder) / name for name in sorted(files) if not name.endswith(".pyc"))


def download_wheels(*, to: Path, work: Path, commands: Commands) -> None:
    """Download all roles' wheels and pip's, each checked by its hash, to the folder `to`."""
    arriving = work / "wheels"
    pip: list[str | Path] = [PYTHON, "-m", "pip", "download", "--disable-pip-version-check"]
    checked = ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
    for lock in _all_locks():
        checked += ["--requirement", str(lock)]
    commands.run([*pip, *checked, "--dest", arriving], log="wheels", deadline_s=DOWNLOAD_DEADLINE_S)
    arriving.rename(to)


def _wheels_of(role: Role, wheels: Path) -> list[Path]:
    """Those of `wheels` that the role's locks name."""
    pins = {
        _distribution(*line.split()[0].split("=="))
        for lock in role.locks
        for line in lock.read_text().splitlines()
        if "==" in line
    }
    return [path for path in wheels.iterdir() if _distribution(*path.name.split("-")[:2]) in pins]


def _distribution(name: str, version: str) -> tuple[str, str]:
    return re.sub(r"[-_.]+", "-", name).lower(), version


def lay_out_context(role: Role, *, wheels: Path, work: Path, commands: Commands) -> Path:
    """Make the folder that Containerfile.project is built in; return it."""
    context = work / f"context-{role.name}"
    remove(context)
    (context / "wheels").mkdir(parents=True)
    for wheel in _wheels_of(role, wheels):
        os.link(wheel, context / "wheels" / wheel.name)
    shutil.copy(role.locks[0], context / "requirements.txt")
    shutil.copy(IMAGES / "check_imports.py", context)
    _build_project_wheel(role, to=context / "app", work=work, commands=commands)
    return context


def _build_project_wheel(role: Role, *, to: Path, work: Path, commands: Commands) -> None:
    # From a copy with the role's own folders only: what isn't there isn't in the wheel.
    checkout = work / f"checkout-{role.name}"
    remove(checkout)
    checkout.mkdir()
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    # Not the real one: a change in the documentation is none in the image.
    (checkout / "README.md").write_text("Hitless, as one of its images holds it.\n")
    for source in role.sources:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(source, checkout / source.name, ignore=ignored)
    if role.has_page:
        for name, page_name in PLAYER_FILES.items():
            shutil.copy(PLAYER / name, checkout / PAGE / page_name)
    commands.run(
        [PYTHON, "-m", "hatchling", "build", "--target", "wheel", "--directory", to],
        log=f"project-{role.name}",
        deadline_s=WHEEL_DEADLINE_S,
        cwd=checkout,
    )
