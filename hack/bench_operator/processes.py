"""Processes of the benchmark: started, looked at from outside by /proc, ended.

Owns the operator under test and the stand-in for nodes and origin. Each dies with this process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
END_S_MAX = 20.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of a process: CPU seconds since its start, resident memory now and at most, MB."""

    cpu_s: float
    rss_mb: float
    rss_mb_max: float


class Child:
    """A Python module of this project as a process. log: what it prints is appended there."""

    def __init__(self, module: str, *arguments: str, log: Path, env: Mapping[str, str]) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env={"PATH": os.environ.get("PATH", ""), **env},
            )

    @property
    def pid(self) -> int:
        """Of the module's process: setpriv becomes it."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process.poll() is None

    def end(self, number: int = signal.SIGTERM) -> None:
        """End it if it runs."""
        if self.is_running():
            self._process.send_signal(number)
        try:
            self._process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def usage(pid: int) -> Usage:
    """What a live process uses, by /proc (proc(5)): utime and stime, VmRSS and VmHWM."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Usage(
        cpu_s=(int(fields[11]) + int(fields[12])) / TICKS_PER_S,
        rss_mb=int(rows["VmRSS"].split()[0]) / 1024,
        rss_mb_max=int(rows["VmHWM"].split()[0]) / 1024,
    )
