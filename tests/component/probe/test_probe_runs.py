"""How a run begins, waits and ends: live edge, stop, time, stalls, nothing to play, the command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from tests.component.probe.conftest import SEGMENTS, Studio, VirtualClock
from tests.component.probe.origin import Origin
from tests.component.probe.synthetic import FIRST_SEGMENT, TIMELINE

from hitless_cli.probe.errors import UnusableStreamError
from hitless_cli.probe.report import Ending, Progress, report_text
from hitless_cli.probe.session import probe
from hitless_cli.probe.settings import ProbeSettings, StartAt

LAST = FIRST_SEGMENT + SEGMENTS - 1


async def test_it_begins_three_segments_behind_the_live_edge(
    studio: Studio, clock: VirtualClock, tmp_path: Path
) -> None:
    origin = studio.origin()
    for feed in origin.tracks.values():
        feed.listed = lambda load: 5 + load
    async with origin.serve():
        settings = ProbeSettings(url=origin.url, until_segment=LAST, record=tmp_path)
        report = await probe(settings, clock=clock)
    assert report.ok, report_text(report)
    assert {r.first_segment for r in report.renditions} == {FIRST_SEGMENT + 3}
    recorded = (tmp_path / "small" / f"{LAST}.m4s").read_bytes()
    assert recorded == studio.small_segments[-1]


async def test_a_caller_can_stop_it(studio: Studio, clock: VirtualClock) -> None:
    stop = asyncio.Event()
    seen: list[Progress] = []

    def watch(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 2:
            stop.set()

    origin = studio.origin()
    async with origin.serve():
        # the virtual clock runs on while another rendition is being decoded: no limit on stalls
        settings = ProbeSettings(url=origin.url, stall_tolerance_s=1e9)
        report = await probe(settings, on_progress=watch, stop=stop, clock=clock)
    assert report.ok, report_text(report)
    assert report.ending is Ending.STOPPED
    assert report.renditions[0].segments == 2
    assert seen[-1].seen == 2 * TIMELINE.segment_frames
    assert seen[-1].lag_s == SEGMENTS - 3


def one_rendition(origin: Origin) -> str:
    """The small rendition's own playlist: one task, so that the virtual clock is its alone."""
    return origin.url.replace("master.m3u8", "small/media.m3u8")


async def test_a_playlist_that_is_not_renewed_is_late_and_then_stalled(
    studio: Studio, clock: VirtualClock
) -> None:
    origin = studio.origin()
    async with origin.serve():
        settings = ProbeSettings(url=one_rendition(origin), seconds=30, stall_tolerance_s=3)
        report = await probe(settings, clock=clock)
    assert report.fault_counts == {"Stalled": 1}
    assert report.ending is Ending.TIME
    playlist = report.renditions[0].playlist
    assert (playlist.late, playlist.stalls) == (1, 1)
    assert playlist.quiet_ms_max > 20_000


async def test_a_late_playlist_within_the_tolerance_is_no_fault(
    studio: Studio, clock: VirtualClock
) -> None:
    origin = studio.origin()
    origin.video["small"].listed = lambda load: 3 + max(0, load - 12)
    async with origin.serve():
        settings = ProbeSettings(url=one_rendition(origin), until_segment=LAST, stall_tolerance_s=3)
        report = await probe(settings, clock=clock)
    assert report.ok, report_text(report)
    assert report.renditions[0].playlist.late == 1


async def test_a_run_that_played_nothing_is_not_clean(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    async with origin.serve():
        settings = ProbeSettings(url=one_rendition(origin), until_segment=FIRST_SEGMENT - 1)
        report = await probe(settings, clock=clock)
    assert report.fault_counts == {"NothingPlayed": 1}


async def test_a_fetch_that_the_stop_cuts_short_is_no_fault(
    studio: Studio, clock: VirtualClock
) -> None:
    stop = asyncio.Event()
    origin = studio.origin()
    feed = origin.video["small"]
    feed.change(2, body=None)
    feed.on_get = lambda name: stop.set() if name == feed.entries[2].name else None
    async with origin.serve():
        settings = ProbeSettings(url=one_rendition(origin), start_at=StartAt.FIRST)
        report = await probe(settings, stop=stop, clock=clock)
    assert report.ok, report_text(report)
    assert report.ending is Ending.STOPPED
    assert report.renditions[0].segments == 2


async def test_nothing_to_play_says_what_to_do(clock: VirtualClock) -> None:
    with pytest.raises(UnusableStreamError, match=r"check that the URL"):
        await probe(ProbeSettings(url="http://127.0.0.1:9/master.m3u8"), clock=clock)


async def test_an_unknown_rendition_names_those_there_are(
    studio: Studio, clock: VirtualClock
) -> None:
    origin = studio.origin()
    async with origin.serve():
        with pytest.raises(UnusableStreamError, match="small, large"):
            await probe(ProbeSettings(url=origin.url, rendition="huge"), clock=clock)


async def command(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hitless_cli",
        "probe",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONWARNINGS": "error"},
    )


async def test_the_command_gives_json_and_exit_code_0(studio: Studio) -> None:
    origin = studio.origin()
    async with origin.serve():
        process = await command(origin.url, "--from-start", "--until-segment", str(LAST), "--json")
        out, err = await process.communicate()
    assert process.returncode == 0, err
    report = json.loads(out)
    assert report["ok"] is True
    assert report["ending"] == "Segment"
    assert report["renditions"][0]["kind"] == "Video"


async def test_the_command_gives_a_summary_and_exit_code_1(studio: Studio) -> None:
    origin = studio.origin()
    origin.video["small"].change(4, gap=True)
    async with origin.serve():
        process = await command(origin.url, "--until-segment", str(LAST))
        out, _ = await process.communicate()
    assert process.returncode == 1
    assert "GapPublished" in out.decode()
    assert "25 lost" in out.decode()


async def test_a_signal_still_gives_the_report(studio: Studio) -> None:
    origin = studio.origin()
    playing = asyncio.Event()
    origin.video["small"].on_load = lambda load: playing.set() if load > SEGMENTS else None
    async with origin.serve():
        process = await command(origin.url, "--stall-tolerance", "3600", "--json")
        await playing.wait()
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out)["ending"] == "Stopped"


async def test_the_command_says_when_there_is_nothing_to_play() -> None:
    process = await command("http://127.0.0.1:9/master.m3u8", "--wait", "0")
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"nothing to play" in err
