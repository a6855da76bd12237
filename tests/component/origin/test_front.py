"""nginx before an origin, as the chart runs it: viewers see no difference."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hack.bench_origin import front
from tests.component.origin.cmaf_maker import FIRST, SHORT_GOPS, describe
from tests.component.origin.studio import Answer, Studio

SAME = (
    *("Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Cache-Control"),
    *("Content-Encoding", "Content-Length", "Content-Range", "Content-Type", "ETag", "Retry-After"),
)
NAMES = (
    *("master.m3u8", "manifest.mpd", "v0/media.m3u8", "v0/init.mp4", "nothing", "v0/nothing.mp4"),
    *(f"{track}/{FIRST}.m4s" for track in ("v0", "audio", "v9")),
    *(f"v0/{FIRST + ahead}.m4s" for ahead in (-1, 4, 900)),
    *(f"v0/t{FIRST * 50_000}.m4s", f"v0/{FIRST + 1}.0.m4s", f"v0/{FIRST + 1}.0.m4s?CMCD=bl%3D1"),
    "v0/init.mp4?v=none",
)


@asynccontextmanager
async def both(studio: Studio, folder: Path) -> AsyncIterator[Studio]:
    """The studio's channel as seen through nginx."""
    await asyncio.to_thread(folder.mkdir)
    with front.before(studio.url, folder) as url:
        through = Studio(folder)
        through.description, through.url = studio.description, url
        async with through.client():
            yield through


def seen(answer: Answer) -> tuple[object, ...]:
    """What a player sees of an answer."""
    return answer.status, answer.body, *(answer.headers.get(name) for name in SAME)


async def low_latency(studio: Studio) -> None:
    studio.description = describe(SHORT_GOPS, part_frames=5)
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await a.part(FIRST + 1, 0, 1)


async def test_every_answer_is_the_same(studio: Studio, tmp_path: Path) -> None:
    await low_latency(studio)
    async with both(studio, tmp_path / "front") as through:
        for name in NAMES:
            for headers in ({}, {"Range": "bytes=4-7"}, {"Accept-Encoding": "gzip"}):
                path = f"/live/demo/news/{name}"
                for method in ("GET", "HEAD", "GET", "OPTIONS"):
                    theirs = await through.call(method, path, headers=headers)
                    ours = await studio.call(method, path, headers=headers)
                    assert seen(theirs) == seen(ours), (method, name, headers)
        tag = (await studio.get(f"v0/{FIRST}.m4s")).headers["ETag"]
        assert (await through.get(f"v0/{FIRST}.m4s", If_None_Match=tag)).status == 304
        assert (await through.get(f"v0/{FIRST}.m4s", Range="bytes=999999-")).status == 416


async def test_a_segment_is_asked_of_the_origin_once(studio: Studio, tmp_path: Path) -> None:
    await low_latency(studio)
    async with both(studio, tmp_path / "front") as through:
        early = await through.get(f"v0/{FIRST + 4}.m4s")
        body = (await through.get(f"v0/{FIRST}.m4s")).body
        making = asyncio.create_task(through.get(f"v0/{FIRST + 1}.m4s"))
        a = studio.encoder("a")
        for ahead in range(1, 5):
            await a.push(FIRST + ahead, 1)
        late = await through.get(f"v0/{FIRST + 4}.m4s")
        assert (early.status, late.status) == (404, 200)
        whole = await studio.get(f"v0/{FIRST + 1}.m4s")
        assert ((await making).status, (await making).body) == (200, whole.body)
        await studio.stop()
        try:
            again = await through.get(f"v0/{FIRST}.m4s?CMCD=sid%3D1")
            assert (again.status, again.body) == (200, body)
            assert (await through.get("v0/media.m3u8")).status == 502
        finally:
            await studio.start()


async def test_a_reload_waits_through_it(studio: Studio, tmp_path: Path) -> None:
    await low_latency(studio)
    async with both(studio, tmp_path / "front") as through:
        asked = [
            asyncio.create_task(through.get(f"v0/media.m3u8?_HLS_msn={FIRST + 1}&_HLS_part=1")),
            asyncio.create_task(through.get(f"v0/{FIRST + 1}.1.m4s")),
        ]
        while "reloads 2" not in (await studio.call("GET", "/metrics")).text:
            pass
        await studio.encoder("a").part(FIRST + 1, 1, 1)
        assert [(await each).status for each in asked] == [200, 200]


async def test_nobody_pushes_through_it(studio: Studio, tmp_path: Path) -> None:
    await low_latency(studio)
    async with both(studio, tmp_path / "front") as through:
        for path in ("/ingest/demo/news/v0/init.mp4", "//ingest/x", "/live/../ingest/x", "/live/x"):
            assert (await through.call("PUT", path, body=b"x")).status == 403, path
        assert (await through.call("GET", "/metrics")).status == 403
        assert (await through.call("GET", "/healthz")).status == 200
