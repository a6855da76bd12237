"""A track in one long push, by ffmpeg, and broken in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientError
from tests.component.origin.cmaf_maker import FIRST
from tests.component.origin.studio import Studio
from tests.component.origin.test_plain_input import (
    FRAMES,
    MUXER,
    RATE,
    studio,  # noqa: F401 a fixture
)

from hitless_origin.boxes import read_boxes
from hitless_origin.settings import PlainInput

PATH = "/ingest/demo/news/Streams(v0.cmfv)"


async def encode(segments: int, gop: int, *output: str) -> None:
    """ffmpeg makes several segments, a fragment for each GOP, with fragments numbered from 1."""
    process = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=s=320x180:r={RATE}"),
        *("-frames:v", str(segments * FRAMES), "-c:v", "libx264", "-preset", "ultrafast"),
        *("-g", str(gop), "-sc_threshold", "0", "-bf", "0", "-flags", "+cgop", "-threads", "1"),
        *("-output_ts_offset", str(FIRST * FRAMES // RATE), *MUXER, *output),
    )
    assert await process.wait() == 0


async def encoded(folder: Path, segments: int, gop: int = FRAMES // 2) -> bytes:
    await encode(segments, gop, str(folder / "whole.mp4"))
    return await asyncio.to_thread((folder / "whole.mp4").read_bytes)


async def introduce(studio: Studio) -> None:  # noqa: F811
    said = studio.description.model_dump_json(by_alias=True).encode()
    answer = await studio.call("POST", "/ingest/demo/news/description.json", body=said)
    assert answer.status == 201


async def published(studio: Studio, segments: int) -> None:  # noqa: F811
    """Wait until so many are on air."""
    async with asyncio.timeout(120):
        last = FIRST + segments - 1
        while (await studio.call("GET", f"/live/demo/news/v0/{last}.m4s")).status != 200:
            pass  # the answer of a push comes at its end
    assert await studio.numbers() == [*range(FIRST, FIRST + segments)]


@pytest.mark.parametrize("gop", [FRAMES, FRAMES // 2])
async def test_ffmpeg_pushes_a_track_at_once(studio: Studio, gop: int) -> None:  # noqa: F811
    await introduce(studio)
    await encode(4, gop, "-method", "POST", f"{studio.url}{PATH}")
    await published(studio, 4)
    report = await studio.report()
    assert (report.selected_encoder, report.gaps) == ("ff", 0)
    assert (await studio.comparison()).newest_mismatch == ""


async def test_a_push_that_breaks_off_in_bytes(studio: Studio, tmp_path: Path) -> None:  # noqa: F811
    await introduce(studio)
    whole = await encoded(tmp_path, 4)
    moofs = [box.start - 8 for box in read_boxes(whole) if box.type == "moof"]
    assert len(moofs) == 8
    may_break = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(2000):
            yield whole[at : at + 1]
        for at in range(2000, moofs[5], 997):
            yield whole[at : min(at + 997, moofs[5])]
        yield whole[moofs[5] : moofs[5] + 30]  # in the third segment
        await may_break.wait()
        raise ConnectionResetError

    pushing = asyncio.create_task(studio.call("POST", PATH, body=pieces()))
    await published(studio, 2)  # while the push goes on
    assert not pushing.done()
    may_break.set()
    with pytest.raises((ClientError, ConnectionError)):
        await pushing
    assert await studio.numbers() == [FIRST, FIRST + 1]
    again = await studio.call("PUT", PATH, body=whole)
    assert again.status == 201
    await published(studio, 4)
    assert (await studio.call("POST", PATH, body=whole)).status == 200
    assert (await studio.comparison()).newest_mismatch == ""


async def test_what_begins_within_a_segment_begins_with_the_next(
    studio: Studio,  # noqa: F811
    tmp_path: Path,
) -> None:
    await introduce(studio)
    whole = await encoded(tmp_path, 3)
    boxes = list(read_boxes(whole))
    header = whole[: next(box.end for box in boxes if box.type == "moov")]
    second = [box.start - 8 for box in boxes if box.type == "moof"][1]
    answer = await studio.call("POST", PATH, body=header + whole[second:])
    assert answer.status == 201
    assert await studio.numbers() == [FIRST + 1, FIRST + 2]


async def test_what_is_no_track_is_refused(studio: Studio, tmp_path: Path) -> None:  # noqa: F811
    await introduce(studio)
    whole = await encoded(tmp_path, 1)
    typed = await studio.call("POST", PATH, body=whole, headers={"Content-Type": "text/html"})
    assert typed.status == 415
    assert "video/mp4" in typed.text
    for body, status in (
        (b"\0\0\0\x04moov", 400),
        (b"\x7f\0\0\0ftyp", 413),
        (whole[200 + whole.index(b"moov") :], 413),
        (b"\0\0\0\x08mdat", 400),
    ):
        assert (await studio.call("POST", PATH, body=body)).status in (status, 400)
    unknown = await studio.call("POST", PATH.replace("v0", "v9"), body=whole)
    assert unknown.status == 404


async def test_manifests_and_removals_are_passed_over(studio: Studio) -> None:  # noqa: F811
    await introduce(studio)
    for name in ("manifest.mpd", "v0/media_0.m3u8"):
        answer = await studio.call("PUT", f"/ingest/demo/news/{name}", body=b"anything")
        assert (answer.status, answer.body) == (204, b"")
    assert (await studio.call("DELETE", "/ingest/demo/news/v0/7.m4s")).status == 204
    assert (await studio.call("PUT", "/ingest/demo/news/x.txt", body=b"")).status == 403


async def test_an_origin_that_closes_ends_it(studio: Studio, tmp_path: Path) -> None:  # noqa: F811
    await introduce(studio)
    whole = await encoded(tmp_path, 2)

    async def pieces() -> AsyncIterator[bytes]:
        yield whole[:-1]
        await asyncio.Event().wait()

    pushing = asyncio.create_task(studio.call("POST", PATH, body=pieces()))
    await published(studio, 1)
    async with asyncio.timeout(60):
        await studio.stop()
    pushing.cancel()
    await asyncio.wait([pushing])


async def test_without_the_setting_it_is_refused(studio: Studio) -> None:  # noqa: F811
    assert studio.settings.plain == PlainInput(encoder="ff", priority=2)
    headers = {"Hitless-Encoder": "ff", "Hitless-Priority": "2"}
    assert (await studio.call("POST", PATH, body=b"x", headers=headers)).status == 403
    assert (await studio.call("DELETE", PATH, headers=headers)).status == 403
