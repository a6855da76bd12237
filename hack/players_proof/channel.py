"""The channel that players watch: `hitless local` with its real origin and encoders."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
from hack.commands import END_S_MAX, ROOT, below, free_port

FPS = 10  # on a small machine the browser has time for each picture
PART_FRAMES = 5
POLL_S = 0.05
DEADLINE_S = 180.0
PLAYERS = ROOT / ".venv" / "players" / "node_modules"
HLS_MODULE = PLAYERS / "hls.js" / "dist" / "hls.min.mjs"
TEXT = """\
apiVersion: hitless.video/v1alpha1
kind: EncoderDeployment
metadata:
  name: demo
spec:
  image: example.org/encoder:{version}
  source: {{url: "testpattern:"}}
  timeline: {{frameRate: "10", segmentFrames: 20, gopFrames: 10, partFrames: {parts}}}
  profiles:
    - {{name: v180, width: 320, height: 180, maxKbps: 300}}
  redundancy: {redundancy}
  handover:
    leadSegments: 1
    holdSegments: 3
    verify: {{segments: 1, speedMinPercent: 0, lateMaxMs: 60000}}
"""
Row = dict[str, Any]


class ProofError(Exception):
    """The channel did not do what was asked."""


class Channel:
    """One run. rows: what it has said."""

    def __init__(
        self, process: asyncio.subprocess.Process, port: int, file: Path, parts: int
    ) -> None:
        self.rows: list[Row] = []
        self.version = ""
        self._process = process
        self._file = file
        self._parts = parts
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"

    async def follow(self) -> None:
        """Read what it says, to the end."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.rows.append(json.loads(line))

    def ask(self, version: str, redundancy: str) -> None:
        """Ask for a version: the file is replaced at once, so that it is never read half."""
        write(self._file, version, redundancy, self._parts)
        self.version = version

    async def report(self) -> Row:
        """The origin's."""
        url = f"{self.origin}/api/v1/channels/default/demo"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            if response.status != 200:
                return {}
            found: Row = await response.json()
            return found

    async def metrics(self) -> list[str]:
        """What the origin says of this channel's viewers."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.origin}/metrics") as response:
            lines = (await response.text()).splitlines()
        return [line for line in lines if "viewer" in line and not line.startswith("#")]

    def told(self, kind: str, **fields: str) -> list[Row]:
        """The rows of a type that have these fields."""
        return [
            row
            for row in self.rows
            if row["type"] == kind and all(row.get(name) == v for name, v in fields.items())
        ]

    async def until(
        self, what: str, condition: Callable[[], bool], seconds: float = DEADLINE_S
    ) -> None:
        """Poll until it holds. Raises ProofError."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    if self._process.returncode is not None:
                        raise ProofError(f"hitless local ended with {self._process.returncode}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise ProofError(f"not within {seconds:.0f} s: {what}") from error

    async def until_delivering(self, encoders: int) -> None:
        """Until so many encoders push what is published."""
        await self._until_fed(lambda _, fed: len(fed) >= encoders)

    async def until_a_spare_is_alike(self) -> None:
        """Until one that was started after the encoder on air, so as the same version, delivers.

        After an update the spare of the version before stands in until then: its bytes are others,
        so in low latency it goes on at the next GOP only.
        """

        def met(on_air: str, fed: list[str]) -> bool:
            return any(_number(i) > _number(on_air) and self._pid(i) is not None for i in fed)

        await self._until_fed(met)

    async def _until_fed(self, met: Callable[[str, list[str]], bool]) -> None:
        """met: of the encoder on air, and those that push what is published."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                report = await self.report()
                edge = (report.get("lastSegment") or 0) - 1
                fed = [i["encoder"] for i in report.get("inputs", ()) if i["lastSegment"] >= edge]
                if fed and met(report["selectedEncoder"], fed):
                    return
                await asyncio.sleep(POLL_S)

    async def handover(self, version: str, redundancy: str) -> Row:
        """Update, to the end; its summary."""
        before = len(self.told("summary"))
        self.ask(version, redundancy)
        await self.until(f"a handover to {version}", lambda: len(self.told("summary")) > before)
        return self.told("summary")[-1]

    async def rolled_back(self, version: str, redundancy: str) -> Row:
        """Update, and SIGKILL the successor as soon as it is on air; the summary."""
        before, seen = len(self.told("summary")), len(self.rows)
        self.ask(version, redundancy)

        def holding() -> list[Row]:
            return [row for row in self.rows[seen:] if row.get("phase") == "Holding"]

        await self.until("the successor on air", lambda: bool(holding()))
        self.kill(str(holding()[0]["successor"]).split()[0])  # a name, and its version
        await self.until("the rollback", lambda: len(self.told("summary")) > before)
        return self.told("summary")[-1]

    async def killed_with_a_spare(self) -> Row:
        """SIGKILL the encoder on air as soon as a spare is alike; what the channel says of it."""
        await self.until_a_spare_is_alike()
        before = len(self.told("notice", reason="StandbyTookOver"))
        self.kill((await self.report())["selectedEncoder"])
        await self.until(
            "the spare takes over",
            lambda: len(self.told("notice", reason="StandbyTookOver")) > before,
        )
        return self.told("notice", reason="StandbyTookOver")[-1]

    def kill(self, encoder: str) -> None:
        """SIGKILL one of our encoders."""
        pid = self._pid(encoder)
        if pid is None:
            raise ProofError(f"no process of {encoder}")
        os.kill(pid, signal.SIGKILL)

    def _pid(self, encoder: str) -> int | None:
        for pid in below(self._process.pid):
            with contextlib.suppress(OSError):  # it ends just now
                found = Path(f"/proc/{pid}/environ").read_text(errors="replace")
                if f'"encoderId":"{encoder}"' in found:
                    return pid
        return None


def _number(encoder: str) -> int:
    """They are numbered as they are started."""
    return int(encoder.rsplit("-", 1)[1])


def write(file: Path, version: str, redundancy: str, parts: int) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(TEXT.format(version=version, redundancy=redundancy, parts=parts))
    fresh.replace(file)


@contextlib.asynccontextmanager
async def running(
    folder: Path, version: str, redundancy: str, parts: int = PART_FRAMES
) -> AsyncIterator[Channel]:
    """A channel on the air, in parts of so many frames; it is ended at the end."""
    file, port = folder / "channel.yaml", free_port()
    write(file, version, redundancy, parts)
    with (folder / "local.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hitless_cli", "local", str(file), "--json"),
            *("--port", str(port), "--data", str(folder / "data")),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, "HITLESS_ORIGIN_HLS_JS": str(HLS_MODULE)},
        )
    channel = Channel(process, port, file, parts)
    channel.version = version
    reader = asyncio.create_task(channel.follow())
    try:
        await channel.until("on air", lambda: bool(channel.told("notice", reason="OnAir")))
        yield channel
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), END_S_MAX)
        except TimeoutError:
            process.kill()
            await process.wait()
        await reader
