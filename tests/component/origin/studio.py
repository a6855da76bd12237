"""A real origin on a loopback port with a virtual clock, and encoders that push to it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import aiohttp
import m3u8
from aiohttp import web
from tests.component.origin.cmaf_maker import FIRST, PAL, describe, init_segment, recipe
from yarl import URL

from hitless_handover.timeline import MICROSECONDS
from hitless_origin.__main__ import storage_of
from hitless_origin.origin import Origin
from hitless_origin.server import make_runner
from hitless_origin.settings import Settings
from hitless_wire.ingest import (
    COMPARISON_QUERY,
    HEADER_DIGEST,
    HEADER_ENCODER,
    HEADER_PRIORITY,
    ChannelDescription,
    ChannelReport,
    Comparison,
    ingest_path,
    live_path,
    report_path,
)

NAMESPACE, CHANNEL = "demo", "news"
SEGMENT_US = 2 * MICROSECONDS
DEADLINE_US = 3 * MICROSECONDS
CLOSE_S_MAX = 10


class ManualClock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_us = FIRST * SEGMENT_US
        self._moved: set[asyncio.Event] = set()

    def wall_us(self) -> int:
        return self.now_us

    def monotonic_us(self) -> int:
        return self.now_us

    async def wait(self, event: asyncio.Event, until_us: int | None) -> None:
        while not event.is_set() and (until_us is None or self.now_us < until_us):
            moved = asyncio.Event()
            self._moved.add(moved)
            either = [asyncio.ensure_future(e.wait()) for e in (event, moved)]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._moved.discard(moved)
                for each in either:
                    each.cancel()

    def move(self, us: int) -> None:
        self.now_us += us
        for event in self._moved:
            event.set()


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self) -> str:
        return self.body.decode()


class Studio:
    """One origin that may be restarted, and a client."""

    def __init__(self, data: Path, bucket: str | None = None) -> None:
        self.clock = ManualClock()
        self.settings = Settings(data=data, bucket=bucket)
        self.description = describe(PAL)
        self.origin: Origin
        self.url = ""
        self.runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self.origin = Origin(self.settings, self.clock, storage_of(self.settings))
        await self.origin.open()
        self.runner = make_runner(self.origin, CLOSE_S_MAX)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"
        self._http = aiohttp.ClientSession(auto_decompress=False)

    async def stop(self) -> None:
        assert self._http is not None
        assert self.runner is not None
        await self._http.close()
        await self.runner.cleanup()
        await self.origin.close()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[None]:
        """Speak to an origin at `url` that another process runs."""
        async with aiohttp.ClientSession(auto_decompress=False) as self._http:
            yield

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def wait(self, us: int) -> None:
        """Let time pass, and everything happen that is due by then."""
        self.clock.move(us)
        await self.origin.settle()

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | BinaryIO | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        assert self._http is not None
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        async with self._http.request(
            method, URL(self.url + path, encoded=True), data=body, headers=sent
        ) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def get(self, name: str, **headers: str) -> Answer:
        """Something below the channel's live path. Headers with _ for -."""
        sent = {header.replace("_", "-"): value for header, value in headers.items()}
        return await self.call("GET", f"{live_path(NAMESPACE, CHANNEL)}/{name}", headers=sent)

    async def playlist(self, track: str = "v0") -> m3u8.M3U8:
        answer = await self.get(f"{track}/media.m3u8")
        assert answer.status == 200, answer.text
        return m3u8.loads(answer.text)

    async def numbers(self, track: str = "v0") -> list[int]:
        """The segments that the playlist names and has."""
        playlist = await self.playlist(track)
        listed = [s for s in playlist.segments if s.uri and not s.gap_tag]
        return [int(s.uri.removesuffix(".m4s")) for s in listed]

    async def report(self) -> ChannelReport:
        answer = await self.call("GET", report_path(NAMESPACE, CHANNEL))
        assert answer.status == 200, answer.text
        return ChannelReport.model_validate_json(answer.body)

    async def comparison(self) -> Comparison:
        """How its encoders are to each other."""
        answer = await self.call("GET", f"{report_path(NAMESPACE, CHANNEL)}?{COMPARISON_QUERY}=1")
        found = ChannelReport.model_validate_json(answer.body).comparison
        assert found is not None, answer.text
        return found

    def encoder(self, name: str) -> Encoder:
        return Encoder(self, name)

    async def ready(self, *names: str) -> list[Encoder]:
        """Encoders that have introduced themselves."""
        encoders = [self.encoder(name) for name in names]
        for encoder in encoders:
            await encoder.introduce()
        return encoders


class Encoder:
    """Pushes to the studio's origin."""

    def __init__(self, studio: Studio, name: str) -> None:
        self.studio = studio
        self.name = name
        self.salt = b""
        self.token = ""
        self.filler = name.encode()  # what tells its media from other encoders'

    @property
    def description(self) -> ChannelDescription:
        return self.studio.description

    async def put(
        self,
        path: str,
        body: bytes,
        *,
        priority: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {
            HEADER_ENCODER: self.name,
            HEADER_PRIORITY: str(priority),
            HEADER_DIGEST: hashlib.sha256(body).hexdigest(),
            **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
            **(headers or {}),
        }
        url = path if path.startswith("/") else f"{ingest_path(NAMESPACE, CHANNEL)}/{path}"
        return await self.studio.call("PUT", url, body=body, headers=sent)

    async def describe(self, description: ChannelDescription | None = None) -> Answer:
        described = description or self.description
        body = described.model_dump_json(by_alias=True).encode()
        return await self.put("description.json", body)

    async def init(self, track: str) -> Answer:
        [found] = [t for t in self.description.tracks if t.name == track]
        return await self.put(f"{track}/init.mp4", init_segment(found, salt=self.salt))

    async def introduce(self) -> None:
        answers = [await self.describe()]
        answers += [await self.init(track.name) for track in self.description.tracks]
        assert {a.status for a in answers} <= {200, 201}, [a.text for a in answers]

    def media(self, track: str, segment: int, **changed: int | bool) -> bytes:
        """The segment's bytes, which differ from encoder to encoder."""
        [found] = [t for t in self.description.tracks if t.name == track]
        right = recipe(self.description, found, segment, self.filler)
        return replace(right, **changed).make()  # type: ignore[arg-type]  # tests' own fields

    def part_bytes(self, track: str, segment: int, part: int) -> bytes:
        [found] = [t for t in self.description.tracks if t.name == track]
        return recipe(self.description, found, segment, self.filler).parts()[part]

    async def part_track(self, track: str, segment: int, part: int, priority: int = 0) -> Answer:
        body = self.part_bytes(track, segment, part)
        return await self.put(f"{track}/{segment}.{part}.m4s", body, priority=priority)

    async def part(self, segment: int, part: int, priority: int = 0) -> list[int]:
        """A part of every track; gives the answers' status codes."""
        names = [track.name for track in self.description.tracks]
        return [(await self.part_track(name, segment, part, priority)).status for name in names]

    async def track(self, track: str, segment: int, priority: int = 0) -> Answer:
        body = self.media(track, segment)
        return await self.put(f"{track}/{segment}.m4s", body, priority=priority)

    async def push(self, segment: int, priority: int = 0) -> list[int]:
        """A whole segment; gives the answers' status codes."""
        names = [track.name for track in self.description.tracks]
        return [(await self.track(name, segment, priority)).status for name in names]


@asynccontextmanager
async def running(data: Path, bucket: str | None = None) -> AsyncIterator[Studio]:
    studio = Studio(data, bucket)
    await studio.start()
    try:
        yield studio
    finally:
        await studio.stop()
