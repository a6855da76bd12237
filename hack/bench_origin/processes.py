"""Servers under measurement: started on one core, and what the kernel says of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.commands import ROOT

_TICKS = os.sysconf("SC_CLK_TCK")
END_S_MAX = 20.0
WRK_S_MAX = 120.0


class RunError(Exception):
    """What was measured did not do its work."""


def cores() -> tuple[int, int]:
    """The servers' core, and the load's; the same one where there is but one."""
    own = sorted(os.sched_getaffinity(0))
    return own[0], own[-1]


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """What is started within runs on this core alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A process and where it serves."""

    pid: int
    url: str


@contextmanager
def origin(data: Path, *arguments: str) -> Iterator[Server]:
    """An origin on the servers' core."""
    log = data.parent / f"{data.name}.log"
    with _python("hitless_origin", "--port", "0", "--data", str(data), *arguments, log=log) as ours:
        yield ours


@contextmanager
def bare(folder: Path, answer: bytes) -> Iterator[Server]:
    """A loop on the servers' core that does nothing but send this."""
    (folder / "answer").write_bytes(answer)
    arguments = "hack.bench_origin.bare", str(folder / "answer")
    with _python(*arguments, log=folder / "bare.log") as server:
        yield server


@contextmanager
def _python(module: str, *arguments: str, log: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", module, *arguments]
    with log.open("w") as out, pinned(cores()[0]):
        process = subprocess.Popen(command, cwd=ROOT, stderr=out)
    try:
        yield Server(pid=process.pid, url=_listening(process, log))
    finally:
        process.terminate()
        try:
            process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    until_s = time.monotonic() + END_S_MAX
    while time.monotonic() < until_s and process.poll() is None:
        found = re.search(r"listening on (http://127\.0\.0\.1:[0-9]+)", log.read_text())
        if found:
            return found[1]
        time.sleep(0.05)
    raise RunError(f"a server does not listen: {log.read_text()[-1000:]}")


def cpu_s(*pids: int) -> float:
    """CPU seconds so far of these processes and all that they started, ended or not."""
    return sum(_ticks(each) for pid in pids for each in _family(pid)) / _TICKS


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _family(int(child)))]


def _ticks(pid: int) -> int:
    """A process's own, and those of its children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15])


def rss_kb(pid: int) -> int:
    """Resident memory, KiB."""
    found = re.search(r"VmRSS:\s+([0-9]+)", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise RunError(f"process {pid} has ended")
    return int(found[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What wrk saw, and what the servers' processes took for it."""

    per_s: float
    p99_ms: float
    cpu_us: float  # a request


def wrk(url: str, *, seconds: int, connections: int, pids: list[int]) -> Load:
    """Load on one URL. Raises RunError when an answer is not 2xx, or a connection fails."""
    before_s = cpu_s(*pids)
    with pinned(cores()[1]):
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url],
            capture_output=True,
            text=True,
            timeout=WRK_S_MAX,
            check=True,
        )
    used_s = cpu_s(*pids) - before_s
    text = done.stdout
    count, rate = _found(text, r"(\d+) requests in"), _found(text, r"Requests/sec:\s+([0-9.]+)")
    if "Non-2xx" in text or "Socket errors" in text or not count:
        raise RunError(f"{url}: {text}")
    p99 = re.search(r"99%\s+([0-9.]+)(us|ms|s)\b", text)
    if p99 is None:
        raise RunError(text)
    unit_ms = {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]
    return Load(per_s=rate, p99_ms=float(p99[1]) * unit_ms, cpu_us=used_s * 1e6 / count)


def _found(text: str, pattern: str) -> float:
    match = re.search(pattern, text)
    if match is None:
        raise RunError(f"wrk said: {text}")
    return float(match[1])
