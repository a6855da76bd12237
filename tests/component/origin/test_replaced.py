"""An origin that is replaced under a running encoder, as an upgrade of the chart does it.

Processes, as in a pod: real origin, encoder and `hitless probe`. A replaced origin either finds its
data folder again (a PersistentVolumeClaim) or has an empty one (an emptyDir).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.component.encoder.studio import make_config

from hitless_wire.ingest import live_path, report_path

AWAY_S = 4  # and what a process takes to end and to start; fifteen segments of 4 s may wait
POLL_S = 0.1
DEADLINE_S = 90
PATIENT = ("--stall-tolerance", "120")  # speed is not what is judged
Process = asyncio.subprocess.Process


@asynccontextmanager
async def process(*command: str, **variables: str) -> AsyncIterator[Process]:
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command),
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield made
    finally:
        if made.returncode is None:
            made.kill()
            await made.wait()


@asynccontextmanager
async def origin(port: int, data: Path) -> AsyncIterator[Process]:
    percent = ("--deadline-percent", "1000")
    command = ("hitless_origin", "--port", str(port), "--data", str(data), *percent)
    async with process(*command) as made:
        yield made


async def end(made: Process) -> str:
    made.send_signal(signal.SIGTERM)
    out, _ = await asyncio.wait_for(made.communicate(), DEADLINE_S)
    return out.decode()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Viewer:
    """Asks the origin what it has published."""

    def __init__(self, url: str) -> None:
        self._url = url + report_path("tests", "channel")

    async def report(self) -> dict[str, Any] | None:
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as http, http.get(self._url) as answer:
                if answer.status == 200:
                    found: dict[str, Any] = await answer.json()
                    return found
        return None

    async def until(self, segment: int) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = await self.report()
                if found is not None and (found["lastSegment"] or 0) >= segment:
                    return found
                await asyncio.sleep(POLL_S)


async def until_recording(folder: Path) -> None:
    """Until the probe has fetched its first media."""
    async with asyncio.timeout(DEADLINE_S):
        while not any(folder.rglob("*.m4s")):  # noqa: ASYNC110, ASYNC240 — another process writes
            await asyncio.sleep(POLL_S)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "emptied"])
async def test_an_origin_that_comes_back_has_everything_again(tmp_path: Path, kept: bool) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    viewer = Viewer(url)
    sizes = ((256, 144, 300),)
    config = make_config(sizes=sizes, segment_frames=120, ingest_url=url).to_json()
    grpc = ("--grpc-host", "127.0.0.1", "--grpc-port", "0")
    stream = f"{url}{live_path('tests', 'channel')}/master.m3u8"
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(
            process("hitless_encoder", *grpc, HITLESS_ENCODER_CONFIG=config)
        )
        first = await stack.enter_async_context(origin(port, tmp_path / "one"))
        start = (await viewer.until(1))["firstSegment"]
        await viewer.until(start + 3)
        watch = [
            *("hitless_cli", "probe", stream, "--json", "--seconds", "240", *PATIENT),
            *("--wait", "60", "--record", str(tmp_path / "seen")),
        ]
        probe = await stack.enter_async_context(process(*watch))
        await until_recording(tmp_path / "seen")
        played = (await viewer.until(1))["lastSegment"]
        before = await viewer.until(played + 1)
        await end(first)
        assert first.returncode == 0
        await asyncio.sleep(AWAY_S)
        folder = tmp_path / ("one" if kept else "two")
        await stack.enter_async_context(origin(port, folder))
        after = await viewer.until(before["lastSegment"] + 4)
        seen = json.loads(await end(probe))
    assert after["gaps"] == 0
    assert after["firstSegment"] <= before["lastSegment"] - 3, "what players may lack is there"
    assert (seen["frames"]["lost"], seen["frames"]["repeated"]) == (0, 0), seen["faults"]
    forgotten = set() if kept else {"SegmentVanished"}  # the window before is gone with its disk
    assert set(seen["fault_counts"]) <= forgotten, seen
