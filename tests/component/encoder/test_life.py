"""The life of an encoder process: when it delivers first, what it shows of itself, how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from tests.component.encoder.studio import Receiver, make_config, receiver

import hitless_encoder
from hitless_encoder.verify import pictures

SMALL = ((256, 144, 300),)
FRAMES = 30
SEGMENT_S = 1
START_S_MAX = 120  # generous: the machine may be busy; docs/encoder.md has what is usual


@dataclass(kw_only=True)
class Running:
    process: asyncio.subprocess.Process
    metrics_url: str
    started_s: float

    async def metrics(self) -> dict[str, float]:
        async with aiohttp.ClientSession() as http, http.get(self.metrics_url) as answer:
            assert answer.status == 200
            text = await answer.text()
        rows = re.findall(r"^(hitless_\S+|process_\S+) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in rows}


@asynccontextmanager
async def running(end: Receiver) -> AsyncIterator[Running]:
    config = make_config(sizes=SMALL, segment_frames=FRAMES, ingest_url=end.url)
    ports = ("--grpc-host", "127.0.0.1", "--grpc-port", "0", "--metrics-port", "0")
    started_s = time.time()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", hitless_encoder.__name__, *ports,
        env={**os.environ, "HITLESS_ENCODER_CONFIG": config.to_json()},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(START_S_MAX):
        async for line in process.stderr:
            if found := re.search(rb"metrics on port (\d+)", line):
                break
        assert found, "it ended before it served metrics"
    drain = asyncio.create_task(process.stderr.read())
    url = f"http://127.0.0.1:{int(found[1])}/metrics"
    try:
        yield Running(process=process, metrics_url=url, started_s=started_s)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.gather(process.wait(), drain)


def numbers(end: Receiver, track: str) -> list[int]:
    return sorted(
        int(path.split("/")[1].removesuffix(".m4s"))
        for path in end.bodies
        if path.startswith(f"{track}/") and path.endswith(".m4s")
    )


async def test_the_first_segment_is_the_next_that_begins_once_it_runs() -> None:
    async with receiver() as end, running(end) as encoder, asyncio.timeout(START_S_MAX):
        await end.wait_until(lambda: bool(numbers(end, "audio") and numbers(end, "v144")))
        first = numbers(end, "v144")[0]
        shown: dict[str, float] = {}
        while not shown.get("hitless_encoder_segments_total"):
            shown = await encoder.metrics()
    took_s = shown["hitless_encoder_first_segment_seconds"]
    end_s = (first + 1) * SEGMENT_S
    assert 0 < took_s < START_S_MAX
    assert took_s >= end_s - encoder.started_s - 1, "a segment is not whole before it has ended"


async def test_metrics_say_what_the_encoder_does() -> None:
    async with receiver() as end, running(end) as encoder, asyncio.timeout(START_S_MAX):
        await end.wait_until(lambda: len(numbers(end, "audio")) >= 3)
        shown: dict[str, float] = {}
        while not shown.get('hitless_encoder_pushes_total{outcome="Stored"}'):
            shown = await encoder.metrics()
    assert shown["hitless_encoder_frames_total"] > 2 * FRAMES
    assert shown['hitless_encoder_source_state{state="Running"}'] == 1
    assert shown['hitless_encoder_encode_seconds_total{track="v144"}'] > 0
    assert shown['hitless_encoder_encode_seconds_total{track="audio"}'] > 0
    assert shown['hitless_encoder_track_queue_items{track="v144"}'] >= 0
    assert shown["hitless_encoder_push_bytes_total"] > 0
    assert shown['hitless_encoder_push_requests_total{result="Stored"}'] > 0
    assert shown['hitless_encoder_pushes_total{outcome="Refused"}'] == 0
    assert shown['hitless_encoder_handovers_total{result="Aborted",role="Incumbent"}'] == 0
    assert not [name for name in shown if re.search(r"\d{6}", name)], "no segment is a label"


async def test_sigterm_finishes_the_segment_in_hand() -> None:
    async with receiver() as end, running(end) as encoder, asyncio.timeout(START_S_MAX):
        await end.wait_until(lambda: bool(numbers(end, "v144")))
        before = numbers(end, "v144")[-1]
        encoder.process.send_signal(signal.SIGTERM)
        assert await encoder.process.wait() == 0
        video, audio = numbers(end, "v144"), numbers(end, "audio")
        assert video == audio == list(range(video[0], video[-1] + 1)), "whole, and none left out"
        assert video[-1] > before, "what was in hand was delivered"
        media = end.bodies["v144/init.mp4"] + end.bodies[f"v144/{video[-1]}.m4s"]
        assert len(list(pictures(media))) == FRAMES
