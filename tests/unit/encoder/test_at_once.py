"""Viewers get a rendition in parts while it is made: then no encoder may hold pictures back."""

from __future__ import annotations

from itertools import product

import av
import numpy as np
import pytest
from tests.unit.encoder.test_codec_headers import LINE, settings

from hitless_encoder.codecs.base import VideoSettings
from hitless_encoder.video import SegmentEncoder, describe
from hitless_wire.video_codecs import AV1, MPEG2, SOFTWARE, RateControl

LOOKS_AHEAD = [(AV1, RateControl.CAPPED_CRF), (AV1, RateControl.ABR)]  # refused with partFrames
PRESETS = ("superfast", "veryfast", "slow")  # of x264 alone: 0, 10 and 50 pictures
# FFmpeg's own keeps one picture until it knows that no picture before it in time follows.
KEPT = {MPEG2: 1}


def in_parts(codec: str, control: str, preset: str) -> VideoSettings:
    base = settings(codec, control, preset)
    return VideoSettings(profile=base.profile, timeline=LINE, preset=preset, in_parts=True)


def kept_back(encoder: SegmentEncoder) -> int:
    """The most pictures that went in and had not come out."""
    most, planes = 0, np.full((144 * 3 // 2, 256), 128, np.uint8)
    for number in range(LINE.segment_frames):
        picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        encoder.stamp(picture)
        encoder.add(picture)
        most = max(most, number + 1 - len(encoder.samples))
    encoder.finish()
    return most


@pytest.mark.parametrize(
    ("codec", "control"),
    [one for one in product(SOFTWARE, RateControl) if one not in LOOKS_AHEAD],
)
def test_a_picture_comes_out_as_it_goes_in(codec: str, control: RateControl) -> None:
    kept = {kept_back(SegmentEncoder(in_parts(codec, control, preset))) for preset in PRESETS}
    assert kept == {KEPT.get(codec, 0)}


@pytest.mark.parametrize("codec", SOFTWARE)
def test_the_init_segment_is_that_of_whole_segments(codec: str) -> None:
    whole, parts = settings(codec, "CBR"), in_parts(codec, "CBR", "veryfast")
    assert describe(whole).init == describe(parts).init
