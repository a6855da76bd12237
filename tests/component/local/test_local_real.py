"""`hitless local` with the real origin and encoders: an update loses no frame."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest
from tests.component.local.driver import DEADLINE_S, POLL_S, LocalRun, local_run, until
from tests.component.local.low_latency import PartViewer

CHANNEL = """\
apiVersion: hitless.video/v1alpha1
kind: EncoderDeployment
metadata:
  name: demo
spec:
  image: example.org/encoder:v1
  source: {url: "testpattern:"}
  timeline: {frameRate: "25", segmentFrames: 25}
  profiles:
    - {name: v180, width: 320, height: 180, maxKbps: 300}
  handover:
    leadSegments: 2
    holdSegments: 2
    verify: {segments: 1, speedMinPercent: 0, lateMaxMs: 60000}
  output: {windowSeconds: 3600}  # longer than a busy machine can take
"""
INSTALLED: tuple[str, ...] = ()


@pytest.fixture
def real_channel(tmp_path: Path) -> Path:
    path = tmp_path / "channel.yaml"
    path.write_text(CHANNEL)
    return path


async def published(run: LocalRun) -> list[int]:
    """Segment numbers of the media playlist, in its order."""
    url = f"http://127.0.0.1:{run.port}/live/default/demo/v180/media.m3u8"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.status == 200
        lines = (await response.text()).splitlines()
    names = [line.rpartition("/")[2] for line in lines if line and not line.startswith("#")]
    return [int(name.partition(".")[0]) for name in names]


async def test_update_of_real_encoders_loses_nothing(real_channel: Path, data: Path) -> None:
    async with local_run(real_channel, data, "--update", "v2", programs=INSTALLED) as run:
        await run.until_notice("HandoverCompleted")
        await until(lambda: len(run.encoder_pids()) == 1, "the incumbent is gone")
        report = await run.report()
        segments = await published(run)
        assert await run.stop() == 0
    (summary,) = run.summaries()
    assert summary["outcome"] == "Completed"
    assert summary["lost_frames"] == 0
    assert set(summary["confirmed"]) == {"incumbent", "successor", "origin"}
    assert (report["selectedEncoder"], report["gaps"], report["fallbacks"]) == ("demo-2", 0, 0)
    assert summary["segment"] in segments
    assert segments == list(range(segments[0], segments[0] + len(segments)))


@pytest.fixture
def channel_with_spare(tmp_path: Path) -> Path:
    path = tmp_path / "channel.yaml"
    path.write_text(CHANNEL + "  redundancy: HotSpare\n")
    return path


async def test_hot_spare_takes_over_from_a_killed_encoder_without_a_lost_segment(
    channel_with_spare: Path, data: Path
) -> None:
    async with local_run(channel_with_spare, data, programs=INSTALLED) as run:
        await run.until_notice("OnAir")
        await until_delivering(run, "demo-2")
        (pid,) = [p for p in run.encoder_pids() if '"encoderId":"demo-1"' in environment(p)]
        before = (await run.report())["lastSegment"]
        os.kill(pid, signal.SIGKILL)
        took_over = await run.until_notice("StandbyTookOver")
        assert "demo-1 is gone; demo-2 takes over" in took_over["message"]
        await run.until_notice("OnAir", 2)
        await until_delivering(run, "demo-4")  # 3 is the term that the spare leads with
        report = await run.report()
        segments = await published(run)
        record = run.record()
        assert await run.stop() == 0
    assert (report["selectedEncoder"], report["selectedPriority"]) == ("demo-2", 3)
    assert report["gaps"] == 0
    assert segments == list(range(segments[0], segments[0] + len(segments)))
    assert segments[0] <= before < segments[-1] - 1
    assert record["active"]["name"] == "demo-2"
    assert record["spare"]["name"] == "demo-4"


@pytest.fixture
def low_latency_channel(tmp_path: Path) -> Path:
    path = tmp_path / "channel.yaml"
    text = CHANNEL.replace("segmentFrames: 25", "segmentFrames: 50, gopFrames: 25, partFrames: 5")
    path.write_text(text + "  redundancy: HotSpare\n")
    return path


async def test_viewers_of_parts_miss_none_when_the_encoder_dies_in_the_middle_of_a_segment(
    low_latency_channel: Path, data: Path
) -> None:
    async with (
        local_run(low_latency_channel, data, programs=INSTALLED) as run,
        aiohttp.ClientSession() as http,
    ):
        await run.until_notice("OnAir")
        await until_delivering(run, "demo-2")
        origin = f"http://127.0.0.1:{run.port}"
        viewer = PartViewer(f"{origin}/live/default/demo/v180", PARTS)
        watching = asyncio.create_task(viewer.follow(http))
        try:
            (pid,) = [p for p in run.encoder_pids() if '"encoderId":"demo-1"' in environment(p)]
            await until(lambda: in_the_middle(viewer, watching), "a part inside a GOP")
            killed_after = viewer.seen[-1]
            os.kill(pid, signal.SIGKILL)
            await run.until_notice("StandbyTookOver")
            await run.until_notice("OnAir", 2)
            ahead = viewer.seen[-1][0] + 2
            await until(lambda: is_at(viewer, watching, ahead), "two more segments in parts")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        report = await run.report()
        async with http.get(f"{origin}/metrics") as response:
            metrics = await response.text()
        assert await run.stop() == 0
    assert report["gaps"] == 0
    assert viewer.seen == sorted(set(viewer.seen)), "each part once, in order"
    assert (viewer.missing, viewer.gaps) == ([], []), f"killed after {killed_after}"
    skipped = [line for line in metrics.splitlines() if line.startswith(SKIPPED)]
    assert [float(line.split()[-1]) for line in skipped] == [0]


PARTS = 10
SKIPPED = "hitless_origin_parts_skipped_total{"


def in_the_middle(viewer: PartViewer, watching: asyncio.Task[None]) -> bool:
    """Whether the newest part is inside a GOP of five, in a segment that is not finished."""
    assert not watching.done(), watching
    return len(viewer.seen) > PARTS and viewer.seen[-1][1] in (1, 2)


def is_at(viewer: PartViewer, watching: asyncio.Task[None], segment: int) -> bool:
    assert not watching.done(), watching
    return viewer.seen[-1][0] >= segment


def environment(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text()


async def until_delivering(run: LocalRun, name: str) -> None:
    """Until the origin has a segment from this encoder, and all up to it is published."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            report = await run.report()
            for fed in report["inputs"]:
                if fed["encoder"] == name and (report["lastSegment"] or 0) >= fed["lastSegment"]:
                    return
            await asyncio.sleep(POLL_S)
