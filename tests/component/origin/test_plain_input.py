"""An encoder that knows nothing of us: ffmpeg, which pushes with PUT, and no header of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.component.origin.cmaf_maker import FIRST, PAL, describe
from tests.component.origin.studio import Studio, running

from hitless_origin.boxes import read_boxes
from hitless_origin.settings import PlainInput

FRAMES, RATE = PAL.segment_frames, PAL.rate_num
# mfhd and tfdt count since 1970, as on the grid of all encoders of a channel.
MUXER = (
    *("-movflags", "+cmaf+empty_moov+default_base_moof+frag_discont+skip_trailer+frag_keyframe"),
    *("-video_track_timescale", str(PAL.timescale), "-use_editlist", "0", "-f", "mp4"),
)


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    async with running(tmp_path / "data") as studio:
        await studio.stop()
        studio.settings = replace(studio.settings, plain=PlainInput(encoder="ff", priority=2))
        made = describe(PAL)
        studio.description = made.model_copy(update={"tracks": made.tracks[:1]})
        await studio.start()
        yield studio


async def encode(segment: int, *output: str) -> None:
    """ffmpeg makes a segment of the grid."""
    process = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s=320x180:r={RATE}"),
        *("-frames:v", str(FRAMES), "-c:v", "libx264", "-preset", "ultrafast", "-g", str(FRAMES)),
        *("-bf", "0", "-output_ts_offset", str(segment * FRAMES // RATE)),
        *(*MUXER, "-fragment_index", str(segment), *output),
    )
    assert await process.wait() == 0


async def introduce(studio: Studio, folder: Path, headers: Mapping[str, str] | None = None) -> None:
    """The channel's description by POST, and ffmpeg's own CMAF header by PUT."""
    said = studio.description.model_dump_json(by_alias=True).encode()
    path = "/ingest/demo/news"
    answer = await studio.call("POST", f"{path}/description.json", body=said, headers=headers)
    assert answer.status == 201
    await encode(FIRST, str(folder / "whole.mp4"))
    whole = await asyncio.to_thread((folder / "whole.mp4").read_bytes)
    header = whole[: next(box.end for box in read_boxes(whole) if box.type == "moov")]
    answer = await studio.call("PUT", f"{path}/v0/init.mp4", body=header, headers=headers)
    assert answer.status == 201


async def test_ffmpeg_pushes_onto_the_grid(studio: Studio, tmp_path: Path) -> None:
    await introduce(studio, tmp_path)
    for segment in (FIRST, FIRST + 1):
        url = f"{studio.url}/ingest/demo/news/v0/{segment}.m4s"
        await encode(segment, "-method", "PUT", url)
        while (await studio.call("GET", f"/live/demo/news/v0/{segment}.m4s")).status != 200:
            pass  # ffmpeg ends without having read the answer
    report = await studio.report()
    assert (report.selected_encoder, report.selected_priority) == ("ff", 2)
    assert await studio.numbers() == [FIRST, FIRST + 1]
    assert (await studio.comparison()).newest_mismatch == ""


async def test_what_is_off_the_grid_is_refused(studio: Studio, tmp_path: Path) -> None:
    await introduce(studio, tmp_path)
    await encode(FIRST + 1, str(tmp_path / "other.mp4"))
    body = await asyncio.to_thread((tmp_path / "other.mp4").read_bytes)
    refused = await studio.call("PUT", f"/ingest/demo/news/v0/{FIRST}.m4s", body=body)
    assert refused.status == 409
    assert "mfhd" in refused.text


async def test_without_the_setting_our_headers_are_needed(studio: Studio) -> None:
    await studio.stop()
    studio.settings = replace(studio.settings, plain=None)
    await studio.start()
    said = studio.description.model_dump_json(by_alias=True).encode()
    path = "/ingest/demo/news/description.json"
    assert (await studio.call("PUT", path, body=said)).status == 403


async def test_half_of_our_headers_is_not_plain(studio: Studio, tmp_path: Path) -> None:
    await introduce(studio, tmp_path)
    path = f"/ingest/demo/news/v0/{FIRST}.m4s"
    for headers in ({"Hitless-Encoder": "ff"}, {"Hitless-Priority": "9"}):
        assert (await studio.call("PUT", path, body=b"x", headers=headers)).status in (400, 403)
