"""`python -m hitless_origin` as a process: it says where it listens, and closes when told to."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from tests.component.origin.cmaf_maker import FIRST, SHORT_GOPS, describe
from tests.component.origin.studio import Studio


@asynccontextmanager
async def origin_process(
    data: Path | str, *options: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """An origin of its own, and its address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hitless_origin", "--port", "0", "--data", str(data)),
        *options,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        line = (await process.stderr.readline()).decode()
        found = re.search(r"listening on (http://127\.0\.0\.1:[0-9]+)", line)
        assert found, line
        yield process, found[1]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_serves_and_closes_in_order(tmp_path: Path) -> None:
    async with origin_process(tmp_path) as (process, url):
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{url}/healthz") as answer,
        ):
            assert await answer.json() == {"status": "ok"}
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        rest = (await process.stderr.read()).decode()
        assert await process.wait() == 0
    assert "closing" in rest
    assert "Traceback" not in rest


async def test_it_lets_nobody_wait_when_it_closes(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.description = describe(SHORT_GOPS, part_frames=5)
    async with origin_process(tmp_path) as (process, studio.url), studio.client():
        [a] = await studio.ready("a")
        await a.push(FIRST, 1)
        asked = [
            asyncio.create_task(studio.get(f"v0/media.m3u8?_HLS_msn={FIRST + 1}&_HLS_part={p}"))
            for p in range(2)
        ]
        while "reloads 2" not in (await studio.call("GET", "/metrics")).text:
            pass
        await a.part(FIRST + 1, 0, 1)
        assert (await asked[0]).status == 200
        process.send_signal(signal.SIGTERM)
        assert (await asked[1]).status == 503
        assert process.stderr is not None
        rest = (await process.stderr.read()).decode()
        assert await process.wait() == 0
    assert "Traceback" not in rest
