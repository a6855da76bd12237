"""Child processes: started on a leash, their output bounded, stopped within a deadline.

Owns process groups, signals and log files. It must not know what the programs are for. Each child
leads a session of its own, so that Ctrl-C in the terminal reaches only `hitless local`, which then
stops the children in its order; leash.py sees to it that none survives it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hitless_cli.local.errors import StartError

LOG_BYTES_MAX = 4 << 20  # a file; with its predecessor twice that for each child
LAST_LINE_MAX = 300
DRAIN_S = 2.0  # for what is left in the pipe after the exit
KILL_S = 5.0  # from SIGKILL to the exit
_CHUNK_BYTES = 64 << 10
_LEASH = Path(__file__).with_name("leash.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run. env: on top of this process's environment. log: where its output goes."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    log: Path


class BoundedLog:
    """A log file that starts over when it is full, keeping one predecessor (`.1`)."""

    def __init__(self, path: Path, *, bytes_max: int = LOG_BYTES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._file: BinaryIO = path.open("ab")
        self._tail = b""

    def write(self, chunk: bytes) -> None:
        """Append, and remember the last line."""
        if self._file.tell() + len(chunk) > self._bytes_max:
            self._file.close()
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._file = self._path.open("ab")
        self._file.write(chunk)
        self._file.flush()
        lines = [line for line in (self._tail + chunk).splitlines(keepends=True) if line.strip()]
        self._tail = lines[-1][-4 * LAST_LINE_MAX :] if lines else b""

    @property
    def last_line(self) -> str:
        """The last line that is not empty, shortened."""
        return self._tail.decode(errors="replace").strip()[:LAST_LINE_MAX]

    def close(self) -> None:
        """No more writes."""
        self._file.close()


def exit_text(code: int) -> str:
    """An exit code in words: `exit code 3`, `killed by SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


class Child:
    """One child process. `exit_code` is None while it runs; `on_exit` is called at its end."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        log: BoundedLog,
        on_exit: Callable[[], None],
    ) -> None:
        self._process = process
        self._log = log
        self._on_exit = on_exit
        self.exit_code: int | None = None
        self._watch = asyncio.create_task(self._until_exit())

    @classmethod
    async def start(cls, program: Program, on_exit: Callable[[], None]) -> Child:
        """Start it. Raises StartError."""
        leash = (sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()))
        try:
            log = BoundedLog(program.log)
        except OSError as error:
            raise StartError(f"{program.name}: {program.log}: {error.strerror}") from error
        try:
            process = await asyncio.create_subprocess_exec(
                *leash,
                *program.command,
                env={**os.environ, **program.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            log.close()
            raise StartError(f"{program.name}: {error.strerror}") from error
        return cls(process, log, on_exit)

    @property
    def pid(self) -> int:
        """Process id, and process group id."""
        return self._process.pid

    @property
    def last_line(self) -> str:
        """The last line of its output."""
        return self._log.last_line

    def kill(self) -> None:
        """End it at once; the exit is seen like any other."""
        self._signal(signal.SIGKILL)

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, insist after grace_s, and return when it has ended."""
        self._signal(signal.SIGTERM)
        await asyncio.wait({self._watch}, timeout=grace_s)
        if not self._watch.done():
            self.kill()
            await asyncio.wait({self._watch}, timeout=KILL_S)
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        self._log.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is not None:
            return  # the pid may be somebody else's by now
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def _until_exit(self) -> None:
        pump = asyncio.create_task(self._pump())
        try:
            code = await self._process.wait()
            await asyncio.wait({pump}, timeout=DRAIN_S)
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
        self.exit_code = code
        self._on_exit()

    async def _pump(self) -> None:
        assert self._process.stdout is not None
        while chunk := await self._process.stdout.read(_CHUNK_BYTES):
            self._log.write(chunk)
