"""A film with the test pattern's numbers and tones, lap after lap without a seam, in MPEG-TS.

A lap of FRAMES is a whole number of tones (16) and of AAC frames (16 pictures are 25 of them), and
its sound is cut from the middle of three, so that the last sample is followed by the first. The
file holds LAPS of them: ffmpeg's `-stream_loop` loses a lap's first key picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container.output import OutputContainer
from av.packet import Packet

from hitless_encoder.sources.testpattern import TestPattern
from hitless_handover.timeline import AAC_FRAME_SAMPLES, Timeline

WIDTH, HEIGHT, RATE, AUDIO_RATE = 320, 180, 30, 48_000
FRAMES = 480
LAPS = 40  # 640 s
LINE = Timeline(rate_num=RATE, rate_den=1, segment_frames=RATE, gop_frames=RATE)
_LAP_SAMPLES = FRAMES * AUDIO_RATE // RATE
_NOISE_RMS = 0.02  # noise makes AAC use what decoders fill in by chance
_X264 = f"keyint={RATE}:min-keyint={RATE}:scenecut=0:open-gop=0:bframes=2:pic-struct=1"


def write(path: Path) -> None:
    """Code the film."""
    pattern = TestPattern(timeline=LINE, width=WIDTH, height=HEIGHT)
    with av.open(str(path), "w", format="mpegts") as container:
        video = container.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.thread_count = 1
        video.options = {"preset": "superfast", "crf": "18", "x264-params": _X264}
        audio = container.add_stream("aac", rate=AUDIO_RATE, layout="stereo")
        audio.bit_rate = 192_000
        lap: list[Packet[Any]] = [*_pictures(video, pattern), *_sounds(audio, pattern)]
        lap.sort(key=lambda packet: Fraction(packet.dts or 0) * packet.time_base)
        _mux(container, lap)


def _mux(container: OutputContainer, lap: Sequence[Packet[Any]]) -> None:
    for number in range(LAPS):
        for coded in lap:
            assert coded.pts is not None
            assert coded.dts is not None
            passed = round(Fraction(number * FRAMES, RATE) / coded.time_base)
            packet: Packet[Any] = Packet(bytes(coded))
            packet.stream, packet.time_base = coded.stream, coded.time_base
            packet.is_keyframe = coded.is_keyframe
            packet.pts, packet.dts = coded.pts + passed, coded.dts + passed
            container.mux(packet)


def _pictures(video: av.VideoStream, pattern: TestPattern) -> Iterator[Packet[Any]]:
    for number in range(FRAMES):
        picture = pattern.picture(number)
        picture.pts, picture.time_base = number, Fraction(1, RATE)
        yield from video.encode(picture)
    yield from video.encode(None)


def _sounds(audio: av.AudioStream, pattern: TestPattern) -> Iterator[Packet[Any]]:
    """The middle one of three laps."""
    noise = np.random.default_rng(5).standard_normal((2, _LAP_SAMPLES)) * _NOISE_RMS
    for number in range(3 * FRAMES):
        start, stop = LINE.first_sample(number % FRAMES), LINE.first_sample(number % FRAMES + 1)
        wave = np.asarray(pattern.pcm(number) + noise[:, start:stop], np.float32)
        sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
        sound.sample_rate, sound.time_base = AUDIO_RATE, Fraction(1, AUDIO_RATE)
        sound.pts = LINE.first_sample(number)
        for packet in audio.encode(sound):
            assert packet.pts is not None
            if _LAP_SAMPLES <= packet.pts < 2 * _LAP_SAMPLES:
                assert packet.pts % AAC_FRAME_SAMPLES == 0
                packet.pts = packet.dts = packet.pts - _LAP_SAMPLES
                yield packet
