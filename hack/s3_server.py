"""An S3 server over a folder, for tests: versitygw, built by hack/cluster's tools and cached there.

It listens on 127.0.0.1 only and is ended with the block, or with this process, however that ends.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hack.control_plane import Program

sys.path.append(str(Path(__file__).resolve().parent / "cluster"))  # modules with bare names

import toolchain

NAME = "versitygw"
ACCESS_KEY, SECRET_KEY, REGION, BUCKET = "hitless", "hitless-secret", "us-east-1", "channels"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A running server with one bucket. program: may be ended and started again."""

    program: Program
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What an S3 client reads."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.program.port}",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    def files(self) -> list[str]:
        """Names of all objects in the bucket."""
        root = self.folder / BUCKET
        names = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
        return sorted(name for name in names if not name.startswith("."))  # it keeps some itself


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Start one in an empty folder; end it with the block."""
    step = _program()
    objects = folder / "objects"
    (objects / BUCKET).mkdir(parents=True)
    (folder / "attributes").mkdir()

    def command(port: int) -> list[str]:
        keys = ["--access", ACCESS_KEY, "--secret", SECRET_KEY, "--region", REGION]
        listens = ["--port", f"127.0.0.1:{port}", "--quiet", "--keep-alive"]
        sidecar = ["--sidecar", str(folder / "attributes")]  # tmpfs has no extended attributes
        return [str(step.folder / NAME), *keys, *listens, "posix", *sidecar, str(objects)]

    program = Program(name=NAME, folder=folder, command=command)
    try:
        program.start()
        yield S3Server(program=program, folder=objects)
    finally:
        program.end(kill=True)  # told to end, it waits for its clients


def _program() -> toolchain.Step:
    """Built first, where the cache has it not."""
    step = toolchain.versitygw_step()
    if not step.done:
        toolchain.ensure([toolchain.go_step(), step])
    return step


def main() -> None:
    """Run one until ^C, to try things out by hand; with --tools only build it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--tools", action="store_true", help="build versitygw only")
    if parser.parse_args().tools:
        _program()
        return
    with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder)) as server:
        for name, value in server.environment.items():
            print(f"export {name}={value}")
        print(f"# python -m hitless_origin --data s3://{BUCKET}/origin", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
