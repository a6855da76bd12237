"""The base system: Debian with Python and nothing more, made on this machine from its own mirror.

Owns the base's recipe. It stands in for a public image where no registry can be reached. build.py
calls it.
"""

import hashlib
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

from hack.images.commands import CommandFailed, Commands, ImageError, contained

SUITE = "bookworm"
PUBLIC_BASE = "python:3.11-slim-bookworm"

# usr-is-merged keeps out usrmerge, and with it all of Perl (47 MB); wheels expect libstdc++6.
PACKAGES = ("python3", "ca-certificates", "libstdc++6", "usr-is-merged")
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
LEFT_IN = ("/usr/share/doc/*/copyright",)
HOOKS = "/usr/share/mmdebstrap/hooks/merged-usr"
# What this machine's apt is told of mirrors and proxies is none of the image's business.
TOLD = ("etc/apt/sources.list*", "etc/apt/apt.conf.d/99mmdebstrap", "etc/resolv.conf", "var/log/*")
CLEAN_UP = " ".join(["rm -rf", *(f'"$1"/{path}' for path in TOLD)])

BOOTSTRAP_DEADLINE_S = 1200.0
APT_DEADLINE_S = 300.0


def can_be_made_here() -> bool:
    """Whether this machine's mirror has the base's release."""
    try:
        return f"VERSION_CODENAME={SUITE}" in Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return False


def base_key() -> str:
    """A checksum of the recipe."""
    recipe = repr((SUITE, PACKAGES, LEFT_OUT, LEFT_IN, HOOKS, CLEAN_UP, platform.machine()))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def make_rootfs(*, to: Path, work: Path, commands: Commands) -> None:
    """Write the base's file system to the tar file `to`."""
    arriving = work / "rootfs.tar"
    commands.run(
        contained("mmdebstrap", *_options(), SUITE, arriving, *_sources(commands)),
        log="base",
        deadline_s=BOOTSTRAP_DEADLINE_S,
        env={"TMPDIR": str(work)},
    )
    arriving.rename(to)


def _options() -> Iterator[str]:
    yield "--variant=essential"
    yield f"--include={','.join(PACKAGES)}"
    yield f"--hook-dir={HOOKS}"
    yield f"--customize-hook={CLEAN_UP}"
    yield from (f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT)
    yield from (f"--dpkgopt=path-include={path}" for path in LEFT_IN)
    yield from (f"--aptopt={option}" for option in _connection_options())


def _connection_options() -> list[str]:
    """How this machine's apt reaches its mirror: proxies, certificates, time limits."""
    return _output(
        "apt-config", "dump", "--format", '%F "%v";%n', "Acquire::http", "Acquire::https"
    )


def _sources(commands: Commands) -> list[str]:
    """This machine's own sources of the release, one line each as in sources.list."""
    if not (found := _configured_sources()):
        # apt names its sources only once it has their lists, which a fresh container lacks.
        commands.run(["apt-get", "update"], log="apt-update", deadline_s=APT_DEADLINE_S)
        found = _configured_sources()
    if not found:
        raise ImageError(
            f"apt has no source of Debian {SUITE}, component main, to make the base image from. "
            f"Add one to /etc/apt/sources.list, or name a base: --base {PUBLIC_BASE}"
        )
    return found


def _configured_sources() -> list[str]:
    targets = _output(
        "apt-get", "indextargets",
        "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages",
    )  # fmt: skip
    releases = {SUITE, f"{SUITE}-updates", f"{SUITE}-security"}
    split = (target.split() for target in targets)
    return [
        f"deb {uri} {release} main"
        for uri, release, part in split
        if part == "main" and release in releases
    ]


def _output(*args: str) -> list[str]:
    done = subprocess.run(args, capture_output=True, text=True, timeout=APT_DEADLINE_S, check=False)
    if done.returncode:
        raise CommandFailed(f"{' '.join(args)}: exit status {done.returncode}\n{done.stderr}")
    return [line for line in done.stdout.splitlines() if line.strip()]
