"""Runs other programs for the image build: with a deadline, their output in a log, errors typed.

Owns subprocesses and their end. It decides nothing; base.py, engine.py and roles.py call it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOG_TAIL_LINES = 25


class ImageError(Exception):
    """Something the caller has to know; the text says what came and what to do next."""


class CommandFailed(ImageError):
    """A program ended by itself with an error. What it kept on disk is in order."""


class DeadlineExpired(ImageError):
    """A program was killed for taking too long. What it kept on disk may be in any state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Runs programs; `lock_fd` is handed on, so that the lock outlives a killed parent."""

    log_dir: Path
    lock_fd: int

    def run(
        self,
        args: Sequence[str | Path],
        *,
        log: str,
        deadline_s: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Run `args` to their end, their output in `<log_dir>/<log>.log`."""
        path = self.log_dir / f"{log}.log"
        with path.open("wb") as output:
            output.write(f"{_line(args)}\n".encode())
            output.flush()
            try:
                status = subprocess.run(
                    args,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=deadline_s,
                    env={**os.environ, **(env or {})},
                    cwd=cwd,
                    pass_fds=(self.lock_fd,),
                    check=False,
                ).returncode
            except FileNotFoundError as error:
                raise CommandFailed(f"{args[0]}: not found. Install it and try again.") from error
            except subprocess.TimeoutExpired as error:
                raise DeadlineExpired(_story(f"not done in {deadline_s:.0f} s", path)) from error
        if status:
            raise CommandFailed(_story(f"exit status {status}", path))

    def show(self, args: Sequence[str | Path], *, deadline_s: float) -> None:
        """Run `args` to their end; what they say goes to our standard error."""
        try:
            done = subprocess.run(
                args,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                timeout=deadline_s,
                pass_fds=(self.lock_fd,),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeadlineExpired(f"{_line(args)}: not done in {deadline_s:.0f} s") from error
        if done.returncode:
            raise CommandFailed(f"{_line(args)}: exit status {done.returncode}")


def _line(args: Sequence[str | Path]) -> str:
    return " ".join(map(str, args))


def _story(outcome: str, log: Path) -> str:
    tail = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    end = f"(the command and all it said: {log})"
    return "\n".join([f"{log.stem}: {outcome}. It said:", *tail, end])


def answers(
    args: Sequence[str | Path], *, deadline_s: float, env: Mapping[str, str] | None = None
) -> bool:
    """Whether a program is there, ends well, and does so in time."""
    try:
        done = subprocess.run(
            args,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=deadline_s,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def contained(*args: str | Path) -> list[str | Path]:
    """`args` such that they end with us, however we end, and their mounts with them."""
    prefix = "setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc"
    return [*prefix.split(), *args]


def remove(path: Path) -> None:
    """Remove a folder and all in it; it need not be there."""
    if path.is_dir():
        shutil.rmtree(path)
