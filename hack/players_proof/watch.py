"""The page on which players play, and what it tells."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from aiohttp import web
from hack.chromium import chromium
from hack.players_proof.channel import FPS, PLAYERS
from hack.players_proof.judge import Watched

FILES = {
    "/": Path(__file__).with_name("pictures.html"),
    "/hls.min.js": PLAYERS / "hls.js" / "dist" / "hls.min.js",
    "/shaka.js": PLAYERS / "shaka-player" / "dist" / "shaka-player.compiled.js",
}
BODY_MAX = 16 << 20  # bytes, of a report


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """player: hls or shaka. manifest: what it plays of the channel."""

    name: str
    player: str
    manifest: str
    low_latency: bool


ALL = (
    Player(name="hls.js, HLS", player="hls", manifest="master.m3u8", low_latency=False),
    Player(name="hls.js, LL-HLS", player="hls", manifest="master.m3u8", low_latency=True),
    Player(name="Shaka, HLS", player="shaka", manifest="master.m3u8", low_latency=False),
    Player(name="Shaka, LL-HLS", player="shaka", manifest="master.m3u8", low_latency=True),
    Player(name="Shaka, DASH", player="shaka", manifest="manifest.mpd", low_latency=False),
    Player(name="Shaka, LL-DASH", player="shaka", manifest="numbered.mpd", low_latency=True),
)


class Stage:
    """Takes the page's reports."""

    def __init__(self, names: list[str]) -> None:
        self.watched = {name: Watched(name=name, fps=FPS) for name in names}

    async def told(self, request: web.Request) -> web.Response:
        """All players' stories since the last."""
        for story in json.loads(await request.text()):
            self.watched[story["name"]].take(story)
        return web.Response()

    async def served(self, request: web.Request) -> web.StreamResponse:
        """A file of the page."""
        return web.FileResponse(FILES[request.path])

    def all_have_drawn(self, pictures: int) -> bool:
        """Whether each has drawn so many."""
        return all(each.read >= pictures for each in self.watched.values())

    def all_are_past(self, number: int) -> bool:
        """Whether each has drawn this picture, or a later one."""
        return all(each.last is not None and each.last >= number for each in self.watched.values())


@asynccontextmanager
async def watching(
    port: int, players: tuple[Player, ...], folder: Path, *, catch_up: bool = False
) -> AsyncIterator[Stage]:
    """A browser that plays a channel with all of these, side by side.

    catch_up: low-latency players play faster where they are behind the latency they aim at.

    Each has a name of its own for the origin at this port, as a browser has six connections at most
    to one name, and requests that wait for a part take one each.
    """
    stage = Stage([player.name for player in players])
    application = web.Application(client_max_size=BODY_MAX)
    application.router.add_post("/story", stage.told)
    for path in FILES:
        application.router.add_get(path, stage.served)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    page_port = runner.addresses[0][1]
    asked = [
        {
            "name": player.name,
            "player": player.player,
            "url": f"http://p{number}.localhost:{port}/live/default/demo/{player.manifest}",
            "lowLatency": player.low_latency,
            "catchUp": catch_up and player.low_latency,
        }
        for number, player in enumerate(players)
    ]
    query = urlencode({"players": json.dumps(asked)})
    try:
        async with chromium(
            f"http://127.0.0.1:{page_port}/?{query}", folder, "--window-size=1100,700"
        ):
            yield stage
    finally:
        await runner.cleanup()
