"""The table of docs/codecs.md: which codec gives the same bytes whoever encodes, and what it costs.

    .venv/bin/python -m hack.exactness

Two processes code the test pattern, the second from a later segment on and with its memory filled
otherwise; a third compares the headers that each preset writes. Delay: frames that were fed before
the first sample of a segment came out, at most. Cost: CPU time, H.264 with CappedCRF being 1.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from typing import Any

import av

from hitless_encoder.codecs.base import PRESETS
from hitless_encoder.sources.testpattern import TestPattern
from hitless_encoder.video import DEFAULT_PRESET, SegmentEncoder, VideoSettings, describe
from hitless_handover.timeline import Timeline
from hitless_wire.media_resources import Profile
from hitless_wire.video_codecs import SOFTWARE, RateControl

WIDTH, HEIGHT, KBPS = 256, 144, 400
LINE = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60)
FIRST, SECOND, END = 100, 101, 102  # segments that the processes begin with, and where both end
ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "mpeg2": "mpeg2video",
    "mpeg4": "mpeg4",
}


def settings(codec: str, control: RateControl, preset: str = DEFAULT_PRESET) -> VideoSettings:
    """A rendition of the bench."""
    target = KBPS * 2 // 3 if control is RateControl.ABR else None
    profile = Profile(
        name="v",
        width=WIDTH,
        height=HEIGHT,
        codec=codec,
        rate_control=control,
        max_kbps=KBPS,
        target_kbps=target,
    )
    return VideoSettings(profile=profile, timeline=LINE, preset=preset)


def coded(codec: str, control: RateControl, segment: int) -> dict[str, Any]:
    """A segment's digest, its delay in frames, and the CPU milliseconds it took."""
    pattern = TestPattern(timeline=LINE, width=WIDTH, height=HEIGHT)
    first = LINE.first_frame(segment)
    pictures = [pattern.picture(first + index) for index in range(LINE.segment_frames)]
    started_ns, delay = time.process_time_ns(), 0
    encoder = SegmentEncoder(settings(codec, control))
    for fed, picture in enumerate(pictures, start=1):
        encoder.stamp(picture)
        encoder.add(picture)
        delay = max(delay, fed - len(encoder.samples))
    encoder.finish()
    took_ms = (time.process_time_ns() - started_ns) // 1_000_000
    data = b"".join(sample.data for sample in encoder.samples)
    return {"digest": hashlib.sha256(data).hexdigest(), "delay": delay, "cpu_ms": took_ms}


def child(first: int) -> None:
    """Print what one process makes of the segments from `first` on."""
    made = {
        f"{codec} {control}": {str(k): coded(codec, control, k) for k in range(first, END)}
        for codec in SOFTWARE
        for control in RateControl
    }
    print(json.dumps(made))


def other_process(first: int, filled_with: str) -> dict[str, dict[str, dict[str, Any]]]:
    """What a process of its own makes. filled_with: the byte in its new memory (M_PERTURB)."""
    done = subprocess.run(
        [sys.executable, "-m", "hack.exactness", str(first)],
        env={**os.environ, "MALLOC_PERTURB_": filled_with},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, dict[str, dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    return found


def same_init(codec: str, control: RateControl) -> bool:
    """Whether every preset writes the same init segment."""
    return len({describe(settings(codec, control, preset)).init for preset in PRESETS}) == 1


def table() -> str:
    """The Markdown table."""
    one, two = other_process(FIRST, "1"), other_process(SECOND, "170")
    lines = [
        "| codec | encoder | rate control | identical | init equal across presets | delay, frames "
        "| cost |",
        "|---|---|---|---|---|---|---|",
    ]
    common = [str(k) for k in range(SECOND, END)]
    base = sum(made["cpu_ms"] for made in one[f"h264 {RateControl.CAPPED_CRF}"].values())
    for codec in SOFTWARE:
        for control in RateControl:
            ours, theirs = one[f"{codec} {control}"], two[f"{codec} {control}"]
            equal = all(ours[k]["digest"] == theirs[k]["digest"] for k in common)
            cost = sum(made["cpu_ms"] for made in ours.values()) / base
            cells = (
                codec,
                ENCODERS[codec],
                str(control),
                "yes" if equal else "no",
                "yes" if same_init(codec, control) else "no",
                str(max(made["delay"] for made in ours.values())),
                f"{cost:.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    av.logging.set_level(av.logging.ERROR)
    if len(sys.argv) > 1:
        child(int(sys.argv[1]))
    else:
        print(table())
