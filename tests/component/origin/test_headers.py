"""Every kind of URL that players fetch: what it is, how long it may be kept, and in what forms."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from tests.component.origin.cmaf_maker import FIRST, SHORT_GOPS, describe
from tests.component.origin.studio import Answer, Studio, running

from hitless_wire.ingest import live_path

HLS, DASH = "application/vnd.apple.mpegurl", "application/dash+xml"
FOREVER, SHORT, NEVER = "public, max-age=31536000, immutable", "public, max-age=1", "no-store"
VIDEO, AUDIO = "video/mp4", "audio/mp4"
T, TICKS = FIRST * 2, FIRST * 50_000
PIECE = f"start={T}&end={T + 4}"


@dataclass(frozen=True, slots=True)
class Kind:
    """name: below the channel. media: it has ranges; else it is text that is compressed."""

    name: str
    content_type: str
    cache: str
    media: bool = False

    def __str__(self) -> str:
        return self.name


TEXTS = [
    Kind("master.m3u8", HLS, SHORT),
    Kind(f"master.m3u8?{PIECE}", HLS, SHORT),
    Kind("v0/media.m3u8", HLS, SHORT),
    Kind("audio/media.m3u8", HLS, SHORT),
    Kind(f"v0/media.m3u8?{PIECE}", HLS, SHORT),
    Kind(f"v0/media.m3u8?_HLS_msn={FIRST + 2}&_HLS_part=0", HLS, "public, max-age=12"),
    Kind("manifest.mpd", DASH, SHORT),
    Kind(f"manifest.mpd?{PIECE}", DASH, SHORT),
    Kind("numbered.mpd", DASH, SHORT),
]
MEDIA = [
    Kind("v0/init.mp4", VIDEO, SHORT, media=True),
    Kind("v0/init.mp4?v={revision}", VIDEO, FOREVER, media=True),
    Kind("audio/init.mp4?v={revision}", AUDIO, FOREVER, media=True),
    Kind(f"v0/{FIRST}.m4s", VIDEO, FOREVER, media=True),
    Kind(f"audio/{FIRST}.m4s", AUDIO, FOREVER, media=True),
    Kind(f"v0/{FIRST}.m4s?v={{revision}}", VIDEO, FOREVER, media=True),
    Kind(f"v0/t{TICKS}.m4s", VIDEO, FOREVER, media=True),
    Kind(f"v0/{FIRST + 2}.0.m4s", VIDEO, FOREVER, media=True),
    Kind(f"audio/{FIRST + 2}.0.m4s", AUDIO, FOREVER, media=True),
]
ABSENT = {
    "v0/media.m3u8?start=x": 400,
    f"master.m3u8?start={T - 9}&end={T - 5}": 410,
    f"master.m3u8?start={T + 60}": 404,
    "v0/media.m3u8?_HLS_part=1": 400,
    "v9/media.m3u8": 404,
    "v9/init.mp4": 404,
    "v0/init.mp4?v=0": 404,
    f"v0/{FIRST - 1}.m4s": 404,
    f"v0/{FIRST + 5}.m4s": 404,
    f"v0/{FIRST}.m4s?v=0": 404,
    f"v0/t{TICKS + 1}.m4s": 404,
    f"v0/{FIRST + 2}.7.m4s": 404,
    "nothing": 404,
    "v0/../v0/media.m3u8": 404,
}


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    """Two segments, and the first part of the next."""
    async with running(tmp_path / "data") as studio:
        studio.description = describe(SHORT_GOPS, part_frames=5)
        [a] = await studio.ready("a")
        await a.push(FIRST, 1)
        await a.push(FIRST + 1, 1)
        await a.part(FIRST + 2, 0, 1)
        yield studio


async def _name(studio: Studio, kind: Kind) -> str:
    playlist = await studio.playlist()
    return kind.name.replace("{revision}", playlist.segments[0].init_section.uri.partition("=")[2])


async def _head(studio: Studio, name: str) -> Answer:
    return await studio.call("HEAD", f"{live_path('demo', 'news')}/{name}")


def _is_for_everybody(answer: Answer) -> bool:
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    wanted = {"Age", "Content-Length", "Content-Range", "Date", "ETag", "Retry-After"}
    return answer.headers["Access-Control-Allow-Origin"] == "*" and wanted <= set(exposed)


@pytest.mark.parametrize("kind", [*TEXTS, *MEDIA], ids=str)
async def test_what_is_there(studio: Studio, kind: Kind) -> None:
    name = await _name(studio, kind)
    answer = await studio.get(name)
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == kind.content_type
    assert answer.headers["Cache-Control"] == kind.cache
    assert int(answer.headers["Content-Length"]) == len(answer.body) > 0
    assert parsedate_to_datetime(answer.headers["Date"]).tzinfo
    assert _is_for_everybody(answer)
    head = await _head(studio, name)
    assert (head.status, head.body) == (200, b"")
    told = ("Content-Type", "Content-Length", "Cache-Control", "ETag", "Vary", "Accept-Ranges")
    assert [head.headers.get(each) for each in told] == [answer.headers.get(each) for each in told]


@pytest.mark.parametrize("kind", [*TEXTS, *MEDIA], ids=str)
async def test_what_a_cache_has_is_not_sent_again(studio: Studio, kind: Kind) -> None:
    name = await _name(studio, kind)
    tag = (await studio.get(name)).headers["ETag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}"):
        again = await studio.get(name, If_None_Match=known)
        assert (again.status, again.body) == (304, b""), known
        assert (again.headers["ETag"], again.headers["Cache-Control"]) == (tag, kind.cache)
        assert _is_for_everybody(again)
    assert (await studio.get(name, If_None_Match='"other"')).status == 200


@pytest.mark.parametrize("kind", TEXTS, ids=str)
async def test_texts_are_compressed(studio: Studio, kind: Kind) -> None:
    plain = await studio.get(kind.name)
    packed = await studio.get(kind.name, Accept_Encoding="gzip, deflate, br")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["ETag"] != packed.headers["ETag"]
    again = await studio.get(
        kind.name, Accept_Encoding="gzip", If_None_Match=packed.headers["ETag"]
    )
    assert (again.status, again.headers["Vary"]) == (304, "Accept-Encoding")


@pytest.mark.parametrize("kind", MEDIA, ids=str)
async def test_media_comes_in_ranges(studio: Studio, kind: Kind) -> None:
    name = await _name(studio, kind)
    whole = (await studio.get(name)).body
    size = len(whole)
    for asked, first, last in (
        ("bytes=0-0", 0, 0),
        ("bytes=4-7", 4, 7),
        ("bytes=4-", 4, size - 1),
        ("bytes=-5", size - 5, size - 1),
        (f"bytes=4-{size + 99}", 4, size - 1),
    ):
        part = await studio.get(name, Range=asked)
        assert (part.status, part.body) == (206, whole[first : last + 1]), asked
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert part.headers["Cache-Control"] == kind.cache
        assert part.headers["Content-Type"] == kind.content_type
        assert _is_for_everybody(part)
    beyond = await studio.get(name, Range=f"bytes={size}-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize(("name", "status"), ABSENT.items())
async def test_what_is_not_there(studio: Studio, name: str, status: int) -> None:
    answer = await studio.get(name)
    assert (answer.status, answer.headers["Cache-Control"]) == (status, NEVER), answer.text
    assert _is_for_everybody(answer)
    head = await _head(studio, name)
    assert (head.status, head.body) == (status, b"")


async def test_the_time_is_never_kept(studio: Studio) -> None:
    answer = await studio.get("utc")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, NEVER)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text == "2025-11-24T16:00:00.000Z"
    head = await _head(studio, "utc")
    assert (head.status, "Date" in head.headers) == (200, True)
    assert _is_for_everybody(head)


@pytest.mark.parametrize("name", ["master.m3u8", "utc", f"v0/{FIRST}.m4s"])
async def test_browsers_may_ask_and_nobody_may_change(studio: Studio, name: str) -> None:
    path = f"{live_path('demo', 'news')}/{name}"
    asked = await studio.call("OPTIONS", path, headers={"Origin": "http://elsewhere"})
    assert asked.status == 204
    assert asked.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    assert _is_for_everybody(asked)
    for method in ("POST", "PUT", "DELETE"):
        assert (await studio.call(method, path)).status == 405
