"""Live packets into blocks, without a network: joining late changes nothing, in any sound codec."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from tests.component.encoder.films import HEIGHT, WIDTH, Film, transport_stream
from tests.component.encoder.studio import START_US, read_number

from hitless_encoder.pcm import Pcm
from hitless_encoder.sources.base import ReportBoard, SourceReport
from hitless_encoder.sources.grid import Grid
from hitless_encoder.sources.shape import Shaper
from hitless_encoder.sources.weave import Weaver
from hitless_encoder.verify import luma
from hitless_handover.timeline import Anchor, Timeline

NTSC = Timeline(rate_num=30000, rate_den=1001, segment_frames=60, gop_frames=60)
LATE_US = 3_300_000

Woven = dict[int, tuple[int | None, bytes, Pcm]]


def weave(data: bytes, anchor: Anchor | None, wall_us: int) -> tuple[Woven, Anchor]:
    """Frame -> number in the picture, its luma, its sound."""
    grid = Grid(NTSC, anchor)
    found: Woven = {}
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        video.codec_context.thread_count = 1
        weaver = Weaver(
            NTSC,
            grid,
            pictures=video,
            sound=audio,
            shaper=Shaper(WIDTH, HEIGHT),
            board=ReportBoard(SourceReport()),
        )
        for packet in container.demux(video, audio):
            for block in weaver.feed(packet, wall_us):
                plane = luma(block.picture)
                number = read_number(plane, HEIGHT)
                found[block.frame] = (number, plane.tobytes(), block.pcm)
    assert grid.anchor is not None
    return found, grid.anchor


@pytest.mark.parametrize(
    ("codec", "rate"), [("aac", 48_000), ("aac", 44_100), ("mp2", 48_000), ("ac3", 32_000)]
)
def test_a_late_joiner_gets_the_same_pictures_and_samples(codec: str, rate: int) -> None:
    film = Film(frames=240, gop=24, audio_codec=codec, audio_rate=rate, pts_offset=(1 << 33) - 9**6)
    data = transport_stream(film)
    early, anchor = weave(data, None, START_US)
    cut = len(data) * 2 // 5 // 188 * 188
    late, same = weave(data[cut:], anchor, START_US + LATE_US)
    assert same == anchor
    common = sorted(early.keys() & late.keys())
    assert len(common) > 80
    assert common == list(range(common[0], common[-1] + 1))
    for frame in common:
        assert early[frame][:2] == late[frame][:2]
        assert np.array_equal(early[frame][2], late[frame][2])
    offsets = {frame - (number or 0) for frame, (number, _, _) in early.items()}
    assert len(offsets) == 1


@pytest.mark.parametrize(("codec", "rate"), [("aac", 48_000), ("aac", 44_100)])
def test_the_sound_has_no_seam_where_a_decoder_is_renewed(codec: str, rate: int) -> None:
    film = Film(frames=150, audio_codec=codec, audio_rate=rate, rate=Fraction(30000, 1001))
    woven, _ = weave(transport_stream(film), None, START_US)
    pcm = np.concatenate([woven[frame][2] for frame in sorted(woven)], axis=1)[0]
    pcm = pcm[: 48_000 * 2]
    time = np.arange(len(pcm)) / 48_000
    window = np.hanning(len(pcm))
    tone = abs(np.dot(pcm * window, np.exp(-2j * np.pi * 440 * time))) * 2 / window.sum()
    assert tone == pytest.approx(0.2, rel=0.1)
