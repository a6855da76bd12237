"""Channels in each codec, from encoder to eye: origin, probe, ffmpeg, Chromium, over a handover."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.component.local.browser import watching
from tests.component.local.driver import DEADLINE_S, POLL_S, LocalRun, local_run, until

CHANNEL = """\
apiVersion: hitless.video/v1alpha1
kind: EncoderDeployment
metadata:
  name: demo
spec:
  image: example.org/encoder:v1
  source: {{url: "testpattern:"}}
  timeline: {{frameRate: "25", segmentFrames: 25}}
  profiles:
{profiles}
  audio:
    - {{name: sound, language: en, codec: {sounds[0]}}}
    - {{name: ton, language: de, codec: {sounds[1]}}}
  handover:
    leadSegments: 2
    holdSegments: 2
    verify: {{segments: 1, speedMinPercent: 0, lateMaxMs: 60000}}
  output: {{windowSeconds: 3600}}
"""
SECONDS_BEFORE, SECONDS_AFTER = 2, 2
FPS = 25
MANIFESTS = {"hls": "master.m3u8", "shaka": "manifest.mpd"}
MPD = MANIFESTS["shaka"]
VIEWERS = {"hls": "en", "shaka": "de"}  # the language that each asks for
LANGUAGES = ["en", "de"]
SOUNDS = {"aac": "mp4a.40.2", "opus": "opus"}


@dataclass(frozen=True, slots=True)
class Case:
    """videos: from a profile's codec to what the playlists call it; Chromium plays the last.

    sounds: of the two tracks.
    """

    videos: dict[str, str]
    sounds: tuple[str, str]

    def __str__(self) -> str:
        return "-".join((*self.videos, *self.sounds))

    @property
    def codecs(self) -> list[str]:
        """Of the sounds, as the playlists call them, each once."""
        return list(dict.fromkeys(SOUNDS[sound] for sound in self.sounds))

    def channel(self) -> str:
        line = "    - {{name: {0}, width: 320, height: 180, maxKbps: 300, codec: {0}}}"
        profiles = "\n".join(line.format(codec) for codec in self.videos)
        return CHANNEL.format(profiles=profiles, sounds=self.sounds)


CASES = [
    # Debian's Chromium has no HEVC
    Case({"hevc": "hvc1.1.6.L60.90", "av1": "av01.0.00M.08"}, ("opus", "opus")),
    Case({"vp9": "vp09.00.11.08"}, ("aac", "opus")),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_an_update_is_seen_and_heard_by_nobody(
    case: Case, tmp_path: Path, data: Path
) -> None:
    channel = tmp_path / "channel.yaml"
    channel.write_text(case.channel())
    async with local_run(channel, data, programs=()) as run, AsyncExitStack() as stack:
        await run.until_notice("OnAir")
        live = f"http://127.0.0.1:{run.port}/live/default/demo"
        viewers = [
            await stack.enter_async_context(
                watching(
                    f"{live}/{MANIFESTS[name]}",
                    folder(tmp_path, name),
                    player=name,
                    language=language,
                )
            )
            for name, language in VIEWERS.items()
        ]
        await until(lambda: all(one.has_shown(1) for one in viewers), "both play")
        await until_second(run, await newest(run) + SECONDS_BEFORE)
        updated = tmp_path / "updated.yaml"
        updated.write_text(case.channel().replace("encoder:v1", "encoder:v2"))
        updated.replace(channel)
        await run.until_notice("HandoverCompleted")
        last = run.record()["handover"]["segment"] + SECONDS_AFTER
        await until_second(run, last)
        await until(lambda: all(one.has_shown(last) for one in viewers), "both are past it")
        stories = [viewer.story for viewer in viewers]
        await stack.aclose()
        report = await probed(f"{live}/master.m3u8", last)
        master, manifest = await text_of(f"{live}/master.m3u8"), await text_of(f"{live}/{MPD}")
        shown = await decoded(f"{live}/master.m3u8", seconds=len_of(report))
        assert await run.stop() == 0
    check_stories(case, stories)
    check_report(report, before=last - SECONDS_AFTER)
    check_manifests(case, master, manifest)
    assert shown == FPS * len_of(report) * len(case.videos)


def check_stories(case: Case, stories: list[dict[str, Any]]) -> None:
    for story, language in zip(stories, VIEWERS.values(), strict=True):
        assert (story["errors"], story["stalls"]) == ([], 0), story
        played = list(case.videos.values())[-1]
        assert story["video"].startswith(played)  # hls.js adds what the header says of colour
        assert story["audio"] == SOUNDS[case.sounds[LANGUAGES.index(language)]]
        assert (story["width"], story["languages"]) == (320, LANGUAGES)
        assert story["pictures"] > 0, story
        assert story["soundBytes"] > 0, story


def check_report(report: dict[str, Any], *, before: int) -> None:
    """No fault, the picture of every frame and the tone under it read, in every track."""
    assert report["ok"], report["fault_counts"]
    assert report["frames"]["lost"] == 0
    for track in report["renditions"]:
        assert track["first_segment"] < before < track["last_segment"]
        if track["kind"] == "Video":
            assert track["picture_marks"] == right(track["frames"]["seen"])
        else:
            assert track["tone_marks"] == right(track["tone_marks"]["checked"])
            assert track["tone_marks"]["checked"] >= report["frames"]["seen"] - 3  # the start


def right(count: int) -> dict[str, int]:
    return {"checked": count, "wrong": 0, "unreadable": 0}


def check_manifests(case: Case, master: str, manifest: str) -> None:
    for video in case.videos.values():
        assert f'CODECS="{",".join((video, *case.codecs))}"' in master
    assert manifest.count("<AdaptationSet ") == len(case.videos) + len(case.sounds)
    for name, language in (("sound", "en"), ("ton", "de")):
        assert f'NAME="{name}",LANGUAGE="{language}"' in master
        assert f'lang="{language}"' in manifest
    for codec in (*case.videos.values(), *case.codecs):
        assert f'codecs="{codec}"' in manifest


def folder(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.mkdir()
    return path


async def newest(run: LocalRun) -> int:
    """The last segment published: its number is its second since 1970, for it lasts one."""
    segment: int = (await run.report())["lastSegment"]
    return segment


async def until_second(run: LocalRun, second: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await newest(run) >= second:
                return
            await asyncio.sleep(POLL_S)


def len_of(report: dict[str, Any]) -> int:
    """Seconds, which are segments, that the probe played."""
    picture = report["renditions"][0]
    seconds: int = picture["last_segment"] + 1 - picture["first_segment"]
    return seconds


async def probed(url: str, last: int) -> dict[str, Any]:
    """The probe's report on all that is published, up to a segment."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hitless_cli", "probe", url, "--json", "--from-start"),
        *("--rendition", "all"),
        *("--until-segment", str(last), "--seconds", str(DEADLINE_S)),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    report: dict[str, Any] = json.loads(out)
    return report


async def decoded(url: str, *, seconds: int) -> int:
    """How many pictures ffmpeg decodes of so many seconds from the start, of all tracks."""
    program = shutil.which("ffmpeg")
    assert program, "no ffmpeg: hack/setup players"
    process = await asyncio.create_subprocess_exec(
        *(program, "-v", "error", "-live_start_index", "0", "-i", url, "-t", str(seconds)),
        *("-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "pipe:1"),
        *("-map", "0:a", "-t", str(seconds), "-f", "null", "-"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert (process.returncode, errors.decode()) == (0, "")
    return sum(1 for line in out.decode().splitlines() if not line.startswith("#"))


async def text_of(url: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return await response.text()
