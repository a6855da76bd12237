"""`hitless local` with the real origin and encoders: an update loses no frame."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from tests.component.local.driver import LocalRun, local_run, until

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
  handover: {leadSegments: 2, holdSegments: 2, verify: {segments: 1}}
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
