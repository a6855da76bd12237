"""A headless Chromium, as the tools and tests here use it: no network of its own, no driver."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
END_S = 20.0


@asynccontextmanager
async def chromium(url: str, folder: Path, *options: str) -> AsyncIterator[None]:
    """A browser that shows a page for as long as the context. folder: for its profile and log."""
    program = shutil.which("chromium")
    assert program, "no chromium: hack/setup players"
    with (folder / "chromium.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            *OPTIONS,
            f"--user-data-dir={folder / 'chromium'}",
            *options,
            url,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with its children, which are of its group
        await asyncio.wait_for(process.wait(), END_S)
