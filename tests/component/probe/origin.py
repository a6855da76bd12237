"""A small live origin under a test's control: each load of a playlist publishes one segment more.

No clock drives it, so how fast the machine is changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.component.probe.synthetic import FIRST_SEGMENT, LARGEST

from hitless_wire.ingest import HEADER_ENCODER

LISTED_AT_FIRST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A segment of a playlist. body None: answers 404."""

    name: str
    body: bytes | None
    duration: str = "1.000"
    gap: bool = False
    discontinuity: bool = False
    encoder: str | None = None
    later: bytes | None = None  # what it is when it is fetched again


@dataclass(slots=True, kw_only=True)
class TrackFeed:
    """One rendition as the origin publishes it."""

    init: bytes
    entries: list[Entry]
    first: Callable[[int], int] = lambda _: FIRST_SEGMENT
    listed: Callable[[int], int] = lambda load: LISTED_AT_FIRST + load
    tail: Callable[[int], str] = lambda _: ""
    on_load: Callable[[int], None] = lambda _: None
    on_get: Callable[[str], None] = lambda _: None
    loads: int = 0
    gets: Counter[str] = field(default_factory=Counter)

    def change(self, index: int, **what: object) -> None:
        """Change one entry."""
        self.entries[index] = replace(self.entries[index], **what)  # type: ignore[arg-type]

    def playlist(self) -> str:
        """The next version. `first` moves its number, and with it what it lists."""
        load, self.loads = self.loads, self.loads + 1
        self.on_load(load)
        sequence = self.first(load)
        begin = max(0, sequence - FIRST_SEGMENT)
        lines = [
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1",
            f"#EXT-X-MEDIA-SEQUENCE:{sequence}",
            '#EXT-X-MAP:URI="init.mp4"',
        ]
        for entry in self.entries[begin : self.listed(load)]:
            lines += ["#EXT-X-DISCONTINUITY"] * entry.discontinuity
            lines += ["#EXT-X-GAP"] * entry.gap
            lines += [f"#EXTINF:{entry.duration},", entry.name]
        return "\n".join(lines) + "\n" + self.tail(load)


class Origin:
    """Serves a channel's tracks at /live/{track}/…."""

    def __init__(self, video: dict[str, TrackFeed], audio: dict[str, TrackFeed]) -> None:
        self.video, self.audio = video, audio
        self.tracks = MappingProxyType({**video, **audio})
        self.url = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Origin]:
        """Listen on a free port for the time of a `with`."""
        app = web.Application()
        app.router.add_get("/live/master.m3u8", self._master)
        app.router.add_get("/live/{track}/{name}", self._file)
        async with TestServer(app) as server:
            self.url = str(server.make_url("/live/master.m3u8"))
            yield self

    async def _master(self, _request: web.Request) -> web.Response:
        lines = ["#EXTM3U"]
        lines += [
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="{name}",DEFAULT=YES,'
            f'URI="{name}/media.m3u8"'
            for name in self.audio
        ]
        for name in self.video:
            width, height = (256, 144) if name == "small" else LARGEST
            lines += [
                f'#EXT-X-STREAM-INF:BANDWIDTH={width * height},CODECS="avc1.42c00c,mp4a.40.2",'
                f'RESOLUTION={width}x{height},AUDIO="audio"',
                f"{name}/media.m3u8",
            ]
        return web.Response(text="\n".join(lines), content_type="application/vnd.apple.mpegurl")

    async def _file(self, request: web.Request) -> web.Response:
        feed = self.tracks[request.match_info["track"]]
        name = request.match_info["name"]
        if name == "media.m3u8":
            return web.Response(text=feed.playlist())
        if name == "init.mp4":
            return web.Response(body=feed.init)
        feed.gets[name] += 1
        feed.on_get(name)
        entry = next((entry for entry in feed.entries if entry.name == name), None)
        if entry is None or entry.body is None:
            raise web.HTTPNotFound
        again = feed.gets[name] > 1 and entry.later is not None
        headers = {HEADER_ENCODER: entry.encoder} if entry.encoder else {}
        return web.Response(body=entry.later if again else entry.body, headers=headers)
