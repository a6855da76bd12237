"""Runs a program on so many cores and takes what the kernel says of it when it has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.bench_encode.contenders import Contender

ROOT = Path(__file__).resolve().parents[2]
RUN_S_MAX = 1800.0


class RunError(Exception):
    """A contender failed; the message ends with its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of a whole process: seconds by the clock and of CPU, resident memory at most in MB."""

    wall_s: float
    cpu_s: float
    rss_mb: float
    output: str


def run(contender: Contender, cores: tuple[int, ...]) -> Usage:
    """Run it to its end on these cores. Raises RunError."""
    where = ",".join(map(str, cores))
    started_s = time.monotonic()
    process = subprocess.Popen(
        ["taskset", "--cpu-list", where, *contender.command],
        cwd=ROOT,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    guard = threading.Timer(RUN_S_MAX, process.send_signal, (signal.SIGKILL,))
    guard.start()
    try:
        assert process.stdout is not None
        with process.stdout as pipe:
            output = pipe.read()
        _, status, used = os.wait4(process.pid, 0)
    finally:
        guard.cancel()
    wall_s = time.monotonic() - started_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RunError(f"{contender.name} ended with {process.returncode}: {output[-2000:]}")
    return Usage(
        wall_s=wall_s,
        cpu_s=used.ru_utime + used.ru_stime,
        rss_mb=used.ru_maxrss / 1024,
        output=output,
    )


def _environment() -> dict[str, str]:
    """As in an image, where all of Python is compiled already: the first round sees to that."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def receiving() -> Iterator[str]:
    """The far end of our pushes, on any core; its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hack.bench_encode.receiver"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdout as out:
            yield out.readline().strip()
    finally:
        process.stdin.close()
        process.wait()
