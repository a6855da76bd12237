"""Runs `hitless local --json` as a user does, and reads what it says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

HERE = Path(__file__).parent
STAND_INS = (
    "--encoder-command",
    f"{sys.executable} {HERE / 'stand_in_encoder.py'}",
    "--origin-command",
    f"{sys.executable} {HERE / 'stand_in_origin.py'}",
)
DEADLINE_S = 180.0
POLL_S = 0.1

Row = dict[str, Any]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def children(data: Path) -> list[int]:
    """Processes whose environment or command line names the run: by its unique data directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if f"HITLESS_TEST_RUN={data}".encode() in text:
            found.append(int(entry.name))
    return found


async def until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll until it holds."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(POLL_S)


class LocalRun:
    """One `hitless local` under way."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, data: Path) -> None:
        self.process = process
        self.port = port
        self.data = data
        self.rows: list[Row] = []
        self.errors = ""

    async def follow(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async for line in self.process.stdout:
            self.rows.append(json.loads(line))
        self.errors = (await self.process.stderr.read()).decode()

    def notices(self, reason: str) -> list[Row]:
        return [r for r in self.rows if r["type"] == "notice" and r["reason"] == reason]

    def summaries(self) -> list[Row]:
        return [r for r in self.rows if r["type"] == "summary"]

    async def until_notice(self, reason: str, count: int = 1) -> Row:
        def there() -> bool:
            ended = self.process.returncode is not None
            assert not ended or self.notices(reason), f"ended: {self.errors}\n{self.rows}"
            return len(self.notices(reason)) >= count

        await until(there, f"{count} notices {reason}; got {self.rows}")
        return self.notices(reason)[count - 1]

    async def report(self) -> Row:
        """The origin's."""
        url = f"http://127.0.0.1:{self.port}/api/v1/channels/default/demo"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            body: Row = await response.json()
            return body

    def record(self) -> Row:
        body: Row = json.loads((self.data / "record.json").read_text())["record"]
        return body

    def encoder_pids(self) -> list[int]:
        return [pid for pid in children(self.data) if _is_encoder(pid)]

    async def end(self) -> int:
        return await asyncio.wait_for(self.process.wait(), DEADLINE_S)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return await self.end()


def _is_encoder(pid: int) -> bool:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return any(b"encoder" in part for part in command[1:3]) and b"local" not in command


@asynccontextmanager
async def local_run(
    channel: Path, data: Path, *options: str, programs: tuple[str, ...] = STAND_INS
) -> AsyncIterator[LocalRun]:
    """Start it; at the end it has been stopped, and has left nobody behind."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hitless_cli", "local", str(channel), "--json"),
        *("--port", str(port), "--data", str(data)),
        *programs,
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HITLESS_TEST_RUN": str(data)},
    )
    run = LocalRun(process, port, data)
    reader = asyncio.create_task(run.follow())
    try:
        yield run
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), DEADLINE_S)
        await asyncio.wait_for(reader, DEADLINE_S)
        await until(lambda: not children(data), "all children gone", 10.0)
