"""A segment's bytes depend on its pictures, and not on what the process's memory held before."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Widths that are no multiple of 64: there x264's fastest code once read beyond what it had written.
ENCODE = """
import hashlib
from hitless_encoder.sources.testpattern import TestPattern
from hitless_encoder.video import SegmentEncoder, VideoSettings
from hitless_handover.timeline import Timeline
from hitless_wire.media_resources import Profile

line = Timeline(rate_num=30, rate_den=1, segment_frames=30, gop_frames=30)
for width, height in ((426, 240), (424, 240), (416, 234), (854, 480)):
    profile = Profile(name="v", width=width, height=height, max_kbps=600)
    pattern = TestPattern(timeline=line, width=width, height=height)
    encoder = SegmentEncoder(VideoSettings(profile=profile, timeline=line, preset="veryfast"))
    for frame in range(30):
        picture = pattern.picture(frame)
        encoder.stamp(picture)
        encoder.add(picture)
    encoder.finish()
    print(width, hashlib.sha256(b"".join(s.data for s in encoder.samples)).hexdigest())
"""


def encoded(filled_with: str) -> str:
    """What a process prints whose new memory is filled (glibc's mallopt, M_PERTURB)."""
    environment = {**os.environ, "MALLOC_PERTURB_": filled_with}
    done = subprocess.run(
        [sys.executable, "-c", ENCODE], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("filled_with", ["1", "170"])
def test_what_memory_held_before_does_not_matter(filled_with: str) -> None:
    assert encoded(filled_with) == encoded("0")
