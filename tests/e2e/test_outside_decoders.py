"""Decoders that nobody here wrote read the live streams across two handovers."""

from __future__ import annotations

import subprocess
from itertools import pairwise

from tests.e2e.channel import ENCODER, Channel

FRAME_S = 1 / 30
SECONDS = 75  # two handovers take about 50


def ffprobe(url: str) -> subprocess.Popen[str]:
    """Every packet's DTS of the first video and the audio stream, for SECONDS of media."""
    return subprocess.Popen(
        [
            "ffprobe", "-v", "warning", "-read_intervals", f"%+{SECONDS}",
            "-show_entries", "packet=stream_index,dts_time,codec_type", "-of", "csv=p=0", url,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ffmpeg(url: str) -> subprocess.Popen[str]:
    """Decode every stream; warnings go to stderr, one CRC of a frame a line to stdout."""
    return subprocess.Popen(
        [
            "ffmpeg", "-v", "warning", "-t", str(SECONDS), "-i", url,
            "-map", "0:v:0", "-map", "0:a:0", "-f", "framecrc", "-",
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_ffmpeg_reads_hls_and_dash_across_two_handovers(channel: Channel) -> None:
    channel.apply(f"{ENCODER}:v1")
    endpoints = channel.until_phase("Live")["endpoints"]
    channel.until_segment(channel.report()["lastSegment"] + 4)
    readers = {
        "ffmpeg hls": ffmpeg(endpoints["hls"]),
        "ffmpeg dash": ffmpeg(endpoints["dash"]),
        "ffprobe hls": ffprobe(endpoints["hls"]),
        "ffprobe dash": ffprobe(endpoints["dash"]),
    }
    try:
        first = channel.update(f"{ENCODER}:v2")
        second = channel.update(f"{ENCODER}:v1")
        outputs = {name: r.communicate(timeout=300) for name, r in readers.items()}
    finally:
        for reader in readers.values():
            reader.kill()
    assert {name: err for name, (_, err) in outputs.items() if err} == {}
    assert {name: r.returncode for name, r in readers.items() if r.returncode} == {}
    for name in ("ffmpeg hls", "ffmpeg dash"):
        check_frames(outputs[name][0])
    for name in ("ffprobe hls", "ffprobe dash"):
        stop = check_packets(outputs[name][0])
        assert stop > 0
    assert second["event"]["frame"] > first["event"]["frame"]


def check_frames(text: str) -> None:
    """Decoded pictures are one frame apart, without exception."""
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
    video = [int(row[2]) for row in rows if row[0].strip() == "0"]
    assert len(video) > SECONDS * 25
    assert {b - a for a, b in pairwise(video)} == {1}


def check_packets(text: str) -> float:
    """DTS of the video goes up by a frame; of the sound by 1024 samples. The span in seconds."""
    times: dict[str, list[float]] = {}
    for line in text.splitlines():
        kind, stream, dts = line.split(",")[:3]
        times.setdefault(f"{kind} {stream}", []).append(float(dts))
    for stream, values in times.items():
        step = FRAME_S if stream.startswith("video") else 1024 / 48000
        jumps = [(a, b) for a, b in pairwise(values) if abs(b - a - step) > 0.001]
        assert jumps == [], stream
    return max(values[-1] - values[0] for values in times.values())
