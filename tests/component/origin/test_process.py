"""`python -m hitless_origin` as a process: it says where it listens, and closes when told to."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import aiohttp


async def test_it_serves_and_closes_in_order(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hitless_origin", "--port", "0", "--data", str(tmp_path)),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        line = (await process.stderr.readline()).decode()
        found = re.search(r"listening on (http://127\.0\.0\.1:[0-9]+)", line)
        assert found, line
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{found[1]}/healthz") as answer,
        ):
            assert await answer.json() == {"status": "ok"}
        process.send_signal(signal.SIGTERM)
        rest = (await process.stderr.read()).decode()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "closing" in rest
    assert "Traceback" not in rest
