"""What real encoders push for the same segments, as a real origin process compares it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from tests.component.encoder.studio import START_US, VirtualClock, make_config
from tests.component.origin.test_process import origin_process

from hitless_encoder.session import Session
from hitless_handover.leadership import Lead
from hitless_wire.ingest import COMPARISON_QUERY, ChannelReport, Comparison, report_path

SMALL = ((256, 144, 300),)
TRACKS, SEGMENTS = 2, 3
WAIT_S = 120


async def _push(url: str, encoder: str, preset: str, part_frames: int | None) -> None:
    """The first segments of an encoder that begins at START_US."""
    told = make_config(
        sizes=SMALL,
        segment_frames=60,
        gop_frames=30,
        part_frames=part_frames,
        ingest_url=url,
        encoder_id=encoder,
    ).model_copy(update={"producer_reference_time": True, "bit_rate_box": True})
    line = told.timeline.resolve()
    last = line.segment_of(line.frame_at(START_US)) + SEGMENTS
    clock = VirtualClock(START_US, end_us=line.wall_us(line.first_frame(last + 1) + 6))
    ended = asyncio.Event()
    pushed: dict[int, bool] = {}

    def on_pushed(segment: int, ok: bool) -> None:
        pushed[segment] = ok
        if segment == last:
            ended.set()

    session = Session(told, "test", preset, lambda k: Lead(k, 1), on_pushed=on_pushed, clock=clock)
    await session.start()
    try:
        async with asyncio.timeout(WAIT_S):
            await ended.wait()
    finally:
        await session.close(finish=False)
    assert pushed == dict.fromkeys(range(last + 1 - SEGMENTS, last + 1), True)


async def _report(url: str) -> ChannelReport:
    address = f"{url}{report_path('tests', 'channel')}?{COMPARISON_QUERY}=1"
    async with aiohttp.ClientSession() as http, http.get(address) as answer:
        return ChannelReport.model_validate_json(await answer.read())


@pytest.mark.parametrize("part_frames", [None, 15])
async def test_siblings_are_identical_and_other_presets_interchangeable(
    tmp_path: Path, part_frames: int | None
) -> None:
    async with origin_process(tmp_path) as (_, url):
        for encoder, preset in (("a", "veryfast"), ("b", "veryfast"), ("c", "ultrafast")):
            await _push(url, encoder, preset, part_frames)
        report = await _report(url)
    # the sound knows no preset
    expected = Comparison(identical=SEGMENTS * (TRACKS + 1), interchangeable=SEGMENTS)
    assert report.comparison == expected
    assert (report.mismatches, report.gaps) == (0, 0)
