"""Real media is read across declared discontinuities, there and back.

The pictures carry their frame numbers, so that nothing lost, repeated or of the wrong decoder goes
unseen. FFmpeg's HLS reader skips every init segment but the first ("duplicated MOOV"), so it reads
the rendition that has the same in both editions; the others are read as browsers do, who give each
init segment to the decoder. FFmpeg's DASH reader knows one Period only: it has no part in this.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from itertools import pairwise

import av
import pytest
from tests.component.encoder.studio import Recording, make_config, read_number, record
from tests.component.origin.editions import Differing
from tests.component.origin.studio import CHANNEL, NAMESPACE, Encoder, Studio

from hitless_encoder.plan import plan_media
from hitless_encoder.verify import luma, pictures
from hitless_wire.ingest import live_path

FRAMES, SEGMENTS = 30, 6
OLD = make_config(sizes=((426, 240, 300), (256, 144, 150)), segment_frames=FRAMES, gop_frames=15)
NEW = make_config(sizes=((640, 360, 500), (256, 144, 150)), segment_frames=FRAMES, gop_frames=10)
PRESET = "ultrafast"
NEW_SEGMENTS = (2, 3)  # of the six
READ_S_MAX = 120


async def _introduce(encoder: Encoder, made: Recording) -> None:
    assert (await encoder.describe()).status == 201
    for track, init in made.inits.items():
        assert (await encoder.put(f"{track}/init.mp4", init)).status == 201


async def _push(encoder: Encoder, made: Recording, segment: int, priority: int) -> None:
    for track, body in made.segments[segment].items():
        answer = await encoder.put(f"{track}/{segment}.m4s", body, priority=priority)
        assert answer.status == 201, answer.text


@pytest.fixture
async def first_frame(studio: Studio) -> int:
    """A channel of six segments: two of the old ladder, two of the new one, two of the old one."""
    before = await record(OLD, segments=SEGMENTS, preset=PRESET)
    after = await record(NEW, segments=SEGMENTS, preset=PRESET)
    studio.description = plan_media(OLD, PRESET).description
    old = studio.encoder("old")
    new = Differing(studio, "new", plan_media(NEW, PRESET).description)
    await _introduce(old, before)
    await _introduce(new, after)
    for i, segment in enumerate(sorted(before.segments)):
        if i in NEW_SEGMENTS:
            await _push(new, after, segment, 2)
        else:
            await _push(old, before, segment, 1 if i < min(NEW_SEGMENTS) else 3)
    assert (await studio.report()).discontinuities == 2
    return before.timeline.first_frame(min(before.segments))


def _url(studio: Studio, track: str) -> str:
    return f"{studio.url}{live_path(NAMESPACE, CHANNEL)}/{track}/media.m3u8"


def _read(url: str, count: int) -> list[int | None]:
    """The numbers of the first pictures that FFmpeg's own reader of playlists gives."""
    found: list[int | None] = []
    with av.open(url, options={"live_start_index": "0"}) as stream:
        for picture in stream.decode(stream.streams.video[0]):
            found.append(read_number(luma(picture), picture.height))
            if len(found) == count:
                break
    return found


async def test_a_player_reads_every_picture_once(studio: Studio, first_frame: int) -> None:
    count = SEGMENTS * FRAMES
    async with asyncio.timeout(READ_S_MAX):
        found = await asyncio.to_thread(_read, _url(studio, "v144"), count)
    assert found == [n & 0xFFFF_FFFF for n in range(first_frame, first_frame + count)]


@pytest.mark.parametrize(
    ("track", "heights"),
    [
        ("v144", (144, 144, 144)),
        ("v240", (240, 144, 240)),  # the new ladder has no v240
        ("v360", (240, 360, 240)),  # nor the old one v360
    ],
)
async def test_every_run_decodes_with_its_init_segment(
    studio: Studio, first_frame: int, track: str, heights: tuple[int, ...]
) -> None:
    runs: list[tuple[bytes, list[bytes]]] = []
    for entry in (await studio.playlist(track)).segments:
        if entry.discontinuity or not runs:
            runs.append((await _fetch(studio, track, entry.init_section.uri), []))
        runs[-1][1].append(await _fetch(studio, track, entry.uri))
    found = [list(pictures(init + b"".join(segments))) for init, segments in runs]
    assert [{picture.height for picture in run} for run in found] == [{h} for h in heights]
    numbers = [read_number(luma(p), p.height) for run in found for p in run]
    last = first_frame + SEGMENTS * FRAMES
    assert numbers == [n & 0xFFFF_FFFF for n in range(first_frame, last)]


async def _fetch(studio: Studio, track: str, uri: str) -> bytes:
    answer = await studio.get(uri.removeprefix("../") if "../" in uri else f"{track}/{uri}")
    assert answer.status == 200
    return answer.body


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="Debian's ffmpeg is not installed")
@pytest.mark.parametrize(("track", "count"), [("v144", SEGMENTS * FRAMES - 5), ("audio", 270)])
async def test_the_command_reads_without_a_word(
    studio: Studio, first_frame: int, track: str, count: int
) -> None:
    """All of six seconds but the last few frames, for which it would wait for what comes next."""
    assert first_frame
    ended = await asyncio.to_thread(
        subprocess.run,
        [
            *("ffmpeg", "-v", "error", "-xerror", "-live_start_index", "0"),
            *("-i", _url(studio, track), "-frames", str(count), "-f", "framehash", "-"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=READ_S_MAX,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = [line.split(",") for line in ended.stdout.splitlines() if not line.startswith("#")]
    times = [int(row[2]) for row in rows]
    assert len(times) == count
    assert len({b - a for a, b in pairwise(times)}) == 1
