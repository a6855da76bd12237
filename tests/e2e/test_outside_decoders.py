"""Decoders that nobody here wrote read the live streams across two handovers.

Debian's ffmpeg reads the init segment again at every reload of a live HLS playlist, and its mp4
demuxer says so ("duplicated MOOV"), handover or not. So each reader is run once before the first
handover, too: across the handovers it may say nothing that it did not say then.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from itertools import pairwise

from tests.e2e.channel import ENCODER, Channel

QUIET_SECONDS = 12
SECONDS = 75  # two handovers take about 50
DEADLINE_S = 400
BEHIND_SEGMENTS = (
    15  # ffmpeg's DASH reader asks for segments that are not there yet at the live edge
)
FPS_MIN = 25

Reader = subprocess.Popen[str]


def ffprobe(url: str, seconds: int) -> Reader:
    """Kind, stream and DTS of every packet."""
    return _start(
        "ffprobe", "-v", "repeat+warning", "-read_intervals", f"%+{seconds}",
        "-show_entries", "packet=stream_index,dts,codec_type", "-of", "csv=p=0", url,
    )  # fmt: skip


def ffmpeg(url: str, seconds: int, *codec: str) -> Reader:
    """A line for each frame decoded (or, with `-c copy`, packet read): stream, DTS, PTS, …"""
    return _start(
        "ffmpeg", "-v", "repeat+warning", "-re", "-t", str(seconds), "-i", url,
        "-map", "0:v:0", "-map", "0:a:0", *codec, "-f", "framecrc", "-",
    )  # fmt: skip


def _start(*command: str) -> Reader:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def readers(endpoints: Mapping[str, str], seconds: int) -> dict[str, Reader]:
    """Every reader of this test, started."""
    return {
        "ffprobe HLS packets": ffprobe(endpoints["hls"], seconds),
        "ffmpeg HLS frames": ffmpeg(endpoints["hls"], seconds),
        "ffmpeg DASH packets": ffmpeg(endpoints["dash"], seconds, "-c", "copy"),
        "ffmpeg DASH frames": ffmpeg(endpoints["dash"], seconds),
    }


def results(running: Mapping[str, Reader]) -> dict[str, tuple[str, frozenset[str]]]:
    """What each reader printed, and the kinds of its warnings, when all have ended well."""
    found = {}
    try:
        for name, reader in running.items():
            out, err = reader.communicate(timeout=DEADLINE_S)
            assert reader.returncode == 0, (name, err)
            kinds = frozenset(re.sub(r"@ 0x[0-9a-f]+|\d+", "", line) for line in err.splitlines())
            found[name] = (out, kinds)
    finally:
        for reader in running.values():
            reader.kill()
    return found


def test_ffmpeg_reads_hls_and_dash_across_two_handovers(channel: Channel) -> None:
    channel.apply(f"{ENCODER}:v1")
    endpoints = channel.until_phase("Live")["endpoints"]
    channel.until_segment(channel.report()["lastSegment"] + BEHIND_SEGMENTS)
    before = results(readers(endpoints, QUIET_SECONDS))
    running = readers(endpoints, SECONDS)
    first = channel.update(f"{ENCODER}:v2")
    second = channel.update(f"{ENCODER}:v1")
    across = results(running)
    for name, (text, kinds) in across.items():
        assert kinds <= before[name][1], name
        check_steps(name, text)
    probed = [
        int(line.split(",")[2]) for line in across["ffprobe HLS packets"][0].split() if "v" in line
    ]
    event = first["event"]["frame"] * 1000
    assert min(probed) < event < max(probed), "the handover was not within what was read"
    assert second["event"]["frame"] > first["event"]["frame"]


def check_steps(name: str, text: str) -> None:
    """DTS goes up by exactly one frame, in every stream, from the first line to the last."""
    streams = dts_of_ffprobe(text) if name.startswith("ffprobe") else dts_of_framecrc(text)
    assert len(streams) >= 2, name
    for stream, dts in streams.items():
        steps = {b - a for a, b in pairwise(dts)}
        assert len(steps) == 1, (name, stream, steps)
    assert max(len(dts) for dts in streams.values()) > SECONDS * FPS_MIN, name


def dts_of_ffprobe(text: str) -> dict[str, list[int]]:
    streams: dict[str, list[int]] = {}
    for line in text.split():
        kind, stream, dts = line.split(",")[:3]
        streams.setdefault(f"{kind} {stream}", []).append(int(dts))
    return streams


def dts_of_framecrc(text: str) -> dict[str, list[int]]:
    """The last audio frame may be cut short by -t, which does not change where it starts."""
    streams: dict[str, list[int]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            stream, dts = line.split(",")[:2]
            streams.setdefault(stream.strip(), []).append(int(dts))
    return streams
