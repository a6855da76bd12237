#!/usr/bin/env python3
"""Builds the container images into a cache; an image whose inputs are unchanged costs nothing.

    build.py build [--base IMAGE] [--tool auto|docker|buildah] [operator|origin|encoder ...]
    build.py encoder --version v7 [v8 ...] [--preset superfast]
    build.py bad --fault green [frozen ...]
    build.py list

Prints a JSON object of reference to archive, or with --paths each archive once; progress goes to
standard error. The composition root: it plans the steps and runs them; the modules beside it know
how. The Makefile, the demo and the end-to-end tests call it, all of them at once if need be.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the checkout, for hack.images

from hack.images import base, roles
from hack.images.archive import Listing, Variant, prune, write_variants
from hack.images.commands import Commands, ImageError, answers, remove
from hack.images.engine import Buildah, Engine, buildah_storage, choose
from hack.images.roles import IMAGES, ROLES, ROOT, Role

ENCODER_PRESETS = {"v1": "superfast", "v2": "veryfast"}
BAD_ENCODER = roles.ROOT / "hack" / "stand_ins" / "bad_encoder.py"
BAD_ENCODER_PATH = "/opt/hitless/bad_encoder.py"  # in the image
BAD_PREFIX = "bad-"  # of the tag; the rest is the fault

KEPT_ARCHIVES = 4  # of each role; the demo may still be loading the last but one
KEPT_INPUTS = 2  # base systems, and sets of wheels

LOCK_DEADLINE_S = 1800.0
LOCK_POLL_S = 0.2
SETUP_DEADLINE_S = 1200.0
PYTHON_ANSWER_S = 30.0
IS_PYTHON_3_11 = "import sys; sys.exit(sys.version_info[:2] != (3, 11))"
COPY_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The folder that holds everything this program keeps."""

    folder: Path

    @classmethod
    def of_user(cls) -> "Cache":
        """The cache that HITLESS_CACHE, or else the XDG convention, names."""
        xdg = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        hitless = Path(os.environ.get("HITLESS_CACHE") or f"{xdg}/hitless")
        return cls(folder=hitless.absolute() / "images")

    @property
    def work(self) -> Path:
        """What is being made; emptied by the next build, however this one ended."""
        return self.folder / "work"

    @property
    def storage(self) -> Path:
        """buildah's layers."""
        return self.folder / "storage"

    def rootfs(self, key: str) -> Path:
        """The base system of that recipe."""
        return self.folder / "base" / f"{key}.tar"

    @property
    def wheels(self) -> Path:
        """The wheels that the roles' lock files name."""
        return self.folder / "wheels" / roles.wheels_key()

    @contextmanager
    def locked(self) -> Iterator[Commands]:
        """Hold the cache alone, with an empty work folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            _wait_for(lock.fileno())
            remove(self.work)
            for folder in ("work", "log", "base", "wheels"):
                (self.folder / folder).mkdir(exist_ok=True)
            yield Commands(log_dir=self.folder / "log", lock_fd=lock.fileno())
            remove(self.work)


def _wait_for(lock_fd: int) -> None:
    deadline = time.monotonic() + LOCK_DEADLINE_S
    told = False
    while True:
        try:
            return fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise ImageError(
                    f"another build has held the lock for {LOCK_DEADLINE_S:.0f} s. "
                    "Look for a hanging `build.py` and end it."
                ) from error
        if not told:
            say("another build is running; waiting for it")
            told = True
        time.sleep(LOCK_POLL_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do: what it is, about how long it takes on two cores, how to do it."""

    what: str
    about_s: int
    do: Callable[[], None]


def say(text: str) -> None:
    """Tell whoever waits."""
    print(f"images: {text}", file=sys.stderr, flush=True)


def run_steps(steps: Sequence[Step]) -> None:
    """Do `steps` in order, and say so."""
    for number, step in enumerate(steps, start=1):
        say(f"[{number}/{len(steps)}] {step.what} (about {step.about_s} s)")
        started = time.monotonic()
        step.do()
        say(f"[{number}/{len(steps)}] done in {time.monotonic() - started:.1f} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One run: the images it stands on, the program that builds, where the results go."""

    cache: Cache
    commands: Commands
    base: str | None  # an image's name, or None: the one we make ourselves

    @property
    def base_reference(self) -> str:
        """The name of the image that all of ours stand on."""
        return self.base or f"{roles.REFERENCE_PREFIX}/base:{base.base_key()}"

    def archive(self, role: Role) -> Path:
        """Where the role's image is, or will be."""
        key = roles.image_key(role, self.base_reference)
        return self.cache.folder / f"{role.name}-{key}.tar"

    def ensure(self, wanted: Sequence[Role], tool: str) -> dict[Role, Path]:
        """Build those of the roles' images whose archives aren't there; return all archives."""
        archives = {role: self.archive(role) for role in wanted}
        missing = [role for role, archive in archives.items() if not archive.exists()]
        if missing:
            self._build(missing, tool, archives)
        return archives

    def _build(self, missing: Sequence[Role], tool: str, archives: dict[Role, Path]) -> None:
        cache = self.cache
        engine = choose(tool, commands=self.commands, storage=cache.storage, work=cache.work)
        self._set_up(engine, with_page=any(role.has_page for role in missing))
        say(f"building with {engine.name} on {self.base_reference}")
        storage = buildah_storage(cache.storage) if isinstance(engine, Buildah) else nullcontext()
        with storage:
            role_steps = self._role_steps(engine, missing, archives)
            run_steps([*self._base_steps(engine), *role_steps])

    def _set_up(self, engine: Engine, *, with_page: bool) -> None:
        packages = list(engine.packages)
        if self.base is None and not self.cache.rootfs(base.base_key()).exists():
            packages.append("mmdebstrap")
        setup = ROOT / "hack" / "setup"
        self.commands.show([setup, "page" if with_page else "dev"], deadline_s=SETUP_DEADLINE_S)
        if any(shutil.which(package) is None for package in packages):
            self.commands.show([setup, "apt", *packages], deadline_s=SETUP_DEADLINE_S)
        if not answers([roles.PYTHON, "-c", IS_PYTHON_3_11], deadline_s=PYTHON_ANSWER_S):
            raise ImageError(
                "the images hold Python 3.11, and .venv downloads packages for another version. "
                "Remove .venv and run: PYTHON=/path/to/python3.11 hack/setup dev"
            )

    def _base_steps(self, engine: Engine) -> Iterator[Step]:
        if self.base is not None or engine.has(self.base_reference):
            return
        rootfs = self.cache.rootfs(base.base_key())
        if not rootfs.exists():
            make = partial(base.make_rootfs, to=rootfs, work=self.cache.work)
            yield Step(
                what=f"base system: Debian {base.SUITE} with Python",
                about_s=45,
                do=partial(make, commands=self.commands),
            )
        yield Step(what="base image", about_s=10, do=partial(self._build_base, engine, rootfs))

    def _build_base(self, engine: Engine, rootfs: Path) -> None:
        context = self.cache.work / "context-base"
        context.mkdir()
        os.link(rootfs, context / "rootfs.tar")
        engine.build(
            self.base_reference,
            containerfile=IMAGES / "Containerfile.base",
            context=context,
            args={},
        )

    def _role_steps(
        self, engine: Engine, missing: Sequence[Role], archives: dict[Role, Path]
    ) -> Iterator[Step]:
        wheels = self.cache.wheels
        if not wheels.exists():
            download = partial(roles.download_wheels, to=wheels, work=self.cache.work)
            do = partial(download, commands=self.commands)
            yield Step(what="Python packages", about_s=25, do=do)
        for role in missing:
            do = partial(self._build_role, engine, role, archives)
            yield Step(what=f"{role.name} image", about_s=40, do=do)

    def _build_role(self, engine: Engine, role: Role, archives: dict[Role, Path]) -> None:
        context = self._lay_out_context(role)
        archives[role] = self.archive(role)
        project = role.reference("project")
        engine.build(
            project,
            containerfile=IMAGES / "Containerfile.project",
            context=context,
            args={"BASE": self.base_reference, "ROLE": role.name},
        )
        reference = role.reference("built")
        engine.build(
            reference,
            containerfile=role.containerfile,
            context=IMAGES,
            args={"PROJECT": project, "VERSION": roles.project_version()},
        )
        built = self.cache.work / f"{role.name}.tar"
        engine.save(reference, to=built)
        self.write(default_variants(role), built, archives[role])
        built.unlink()

    def _lay_out_context(self, role: Role) -> Path:
        """Copy what the image is made from, while nobody changes it: its archive is named by it."""
        lay_out = partial(roles.lay_out_context, role, wheels=self.cache.wheels)
        for _ in range(COPY_ATTEMPTS):
            before = self.archive(role)
            context = lay_out(work=self.cache.work, commands=self.commands)
            if self.archive(role) == before:
                return context
        raise ImageError(f"{role.name}: its sources keep changing as they are copied. Try again.")

    def write(self, variants: Sequence[Variant], source: Path, target: Path) -> None:
        """Write `variants` of the image in `source` to `target`, whole or not at all."""
        arriving = self.cache.work / target.name
        write_variants(source, arriving, variants)
        arriving.replace(target)

    def keep(self, archives: Sequence[Path]) -> None:
        """Note that `archives` are in use; drop what is long out of use."""
        for archive in archives:
            archive.touch()
        for name in ROLES:
            prune(self.cache.folder, f"{name}-*.tar", keep=KEPT_ARCHIVES)
        prune(self.cache.folder / "wheels", "*", keep=KEPT_INPUTS)
        prune(self.cache.folder / "base", "*.tar", keep=KEPT_INPUTS)


def default_variants(role: Role) -> list[Variant]:
    """The images that a role's archive holds: two versions of the encoder, one of the others."""
    if role.name != "encoder":
        return [Variant(reference=role.reference(roles.project_version()), env={})]
    return [encoder_variant(version, preset) for version, preset in ENCODER_PRESETS.items()]


def encoder_variant(version: str, preset: str) -> Variant:
    """An encoder of its own version: the same code, another preset."""
    env = {"HITLESS_VERSION": version, "HITLESS_PRESET": preset}
    return Variant(reference=ROLES["encoder"].reference(version), env=env)


def build_roles(build: Build, args: argparse.Namespace) -> dict[str, Path]:
    """`build`: the roles' images."""
    wanted = [ROLES[name] for name in args.roles or ROLES]
    archives = build.ensure(wanted, args.tool)
    build.keep(list(archives.values()))
    found = {
        variant.reference: archive
        for role, archive in archives.items()
        for variant in default_variants(role)
    }
    Listing(build.cache.folder).add(found)
    return found


def build_encoder(build: Build, args: argparse.Namespace) -> dict[str, Path]:
    """`encoder`: more versions of the encoder, all in one archive."""
    variants = [encoder_variant(version, args.preset) for version in args.version]
    return _build_variants(build, args.tool, variants)


def _build_variants(build: Build, tool: str, variants: Sequence[Variant]) -> dict[str, Path]:
    role = ROLES["encoder"]
    source = build.ensure([role], tool)[role]
    name = hashlib.sha256(repr(variants).encode()).hexdigest()[:8]
    target = source.with_name(f"{source.stem}-{name}.tar")
    if not target.exists():
        build.write(variants, source, target)
    build.keep([source, target])
    return {variant.reference: target for variant in variants}


def bad_variant(fault: str) -> Variant:
    """An encoder that is wrong on purpose, for tests: the product's image and one file."""
    version = f"{BAD_PREFIX}{fault}"
    return Variant(
        reference=ROLES["encoder"].reference(version),
        env={"HITLESS_VERSION": version, "HITLESS_PRESET": "superfast", "HITLESS_FAULT": fault},
        files={BAD_ENCODER_PATH: BAD_ENCODER.read_bytes()},
        entrypoint=("python3", BAD_ENCODER_PATH),
    )


def build_bad(build: Build, args: argparse.Namespace) -> dict[str, Path]:
    """`bad`: one image for each fault, all in one archive."""
    return _build_variants(build, args.tool, [bad_variant(fault) for fault in args.fault])


def list_images(cache: Cache) -> dict[str, Path]:
    """`list`: what `build` built last, by reference."""
    found = Listing(cache.folder).read()
    if not found:
        raise ImageError("no images yet. Build them: make images")
    return found


VERBS = {"build": build_roles, "encoder": build_encoder, "bad": build_bad}


def find_base(args: argparse.Namespace) -> str | None:
    """The image to stand on, or None: make one from this machine's Debian mirror."""
    if args.base:
        return str(args.base)
    return None if base.can_be_made_here() else base.PUBLIC_BASE


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    output = argparse.ArgumentParser(add_help=False)
    output.add_argument(
        "--paths", action="store_true", help="print each archive once, without JSON"
    )
    how = argparse.ArgumentParser(add_help=False)
    how.add_argument(
        "--base",
        default=os.environ.get("BASE"),
        help="an image with python3.11 to stand on (or the variable BASE); without it, on Debian "
        f"{base.SUITE} one is made from the machine's own mirror, elsewhere {base.PUBLIC_BASE}",
    )
    how.add_argument("--tool", choices=("auto", "docker", "buildah"), default="auto")
    parser = argparse.ArgumentParser(prog="build.py", description=(__doc__ or "").splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build", parents=[how, output], help="build the roles' images")
    build.add_argument("roles", nargs="*", metavar="ROLE", help=f"of {', '.join(ROLES)}; else all")
    encoder = verbs.add_parser("encoder", parents=[how, output], help="more encoder versions")
    encoder.add_argument("--version", nargs="+", required=True, help="their tags, e.g. v7 v8")
    encoder.add_argument("--preset", default="superfast", help="x264's speed (superfast)")
    bad = verbs.add_parser("bad", parents=[how, output], help="encoders that are wrong on purpose")
    bad.add_argument("--fault", nargs="+", required=True, help=f"as {BAD_ENCODER.name} has them")
    verbs.add_parser("list", parents=[output], help="what `build` built last")
    args = parser.parse_args(argv)
    if unknown := set(getattr(args, "roles", ())) - set(ROLES):
        parser.error(f"no such role: {', '.join(sorted(unknown))}; there are {', '.join(ROLES)}")
    return args


def run(args: argparse.Namespace) -> dict[str, Path]:
    """Do what the command line says; return archives by reference."""
    cache = Cache.of_user()
    if args.verb == "list":
        return list_images(cache)
    with cache.locked() as commands:
        build = Build(cache=cache, commands=commands, base=find_base(args))
        return VERBS[args.verb](build, args)


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit status."""
    args = parse(argv)
    try:
        found = run(args)
    except ImageError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next build takes up from here")
        return 130
    if args.paths:
        print(*dict.fromkeys(found.values()), sep="\n")
    else:
        print(json.dumps({name: str(archive) for name, archive in found.items()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
