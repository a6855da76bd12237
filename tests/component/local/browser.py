"""A headless Chromium that plays a channel with a web player and tells how it goes.

The page is served, and its reports are taken, by the test's own process; Chromium needs no driver.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from hack.chromium import chromium

PLAYERS = Path(__file__).parents[3] / ".venv" / "players" / "node_modules"
FILES = {
    "/": Path(__file__).with_name("player.html"),
    "/hls.min.js": PLAYERS / "hls.js" / "dist" / "hls.min.js",
    "/shaka.js": PLAYERS / "shaka-player" / "dist" / "shaka-player.compiled.js",
}


class Viewer:
    """One page that plays. story: what it said last, as player.html makes it."""

    def __init__(self) -> None:
        self.story: dict[str, Any] = {}

    def has_shown(self, second: float) -> bool:
        """Whether it plays what belongs to a time after this, seconds since 1970, or has failed."""
        return bool(self.story.get("errors")) or float(self.story.get("at", 0)) > second

    async def served(self, request: web.Request) -> web.StreamResponse:
        """A file of the page."""
        return web.FileResponse(FILES[request.path])

    async def told(self, request: web.Request) -> web.Response:
        """The page's report."""
        self.story = json.loads(await request.text())
        return web.Response()


@asynccontextmanager
async def watching(url: str, folder: Path, *, player: str, language: str) -> AsyncIterator[Viewer]:
    """A browser that plays a URL for as long as the context. player: hls or shaka.

    language: of the sound track that the viewer has chosen.
    """
    viewer = Viewer()
    application = web.Application()
    application.router.add_post("/story", viewer.told)
    for path in FILES:
        application.router.add_get(path, viewer.served)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    asked = urlencode({"url": url, "player": player, "language": language})
    try:
        async with chromium(f"http://127.0.0.1:{port}/?{asked}", folder):
            yield viewer
    finally:
        await runner.cleanup()
