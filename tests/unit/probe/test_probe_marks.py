"""The readers of picture numbers and tones: drawn, scaled, and coded with x264 and AAC."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from hitless_cli.probe.checks import ToneReading
from hitless_cli.probe.marks import Luma, Sound, ToneReader, loudest_hz, read_number
from hitless_handover import pattern
from hitless_handover.timeline import Timeline

N = 52_912_345_678
SIZES = [(256, 144), (320, 180), (426, 240), (480, 270), (640, 360), (854, 480), (1280, 720)]
NTSC = Timeline(rate_num=30_000, rate_den=1001, segment_frames=60, gop_frames=60)


def picture(number: int, width: int, height: int) -> av.VideoFrame:
    noise = np.random.default_rng(number % 1000).integers(16, 235, (height * 3 // 2, width))
    planes = noise.astype(np.uint8)
    planes[height:] = 128
    cells = np.array(pattern.cells(number))
    row = np.where(cells == 1, pattern.WHITE_LUMA, pattern.BLACK_LUMA).astype(np.uint8)
    planes[: pattern.strip_lines(height)] = row[np.arange(width) * pattern.NUMBER_CELLS // width]
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def luma(frame: av.VideoFrame) -> Luma:
    return frame.to_ndarray(format="yuv420p")[: frame.height].astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("drawn", [(640, 360), (1280, 720), (1920, 1080)])
def test_a_number_survives_scaling(drawn: tuple[int, int], size: tuple[int, int]) -> None:
    for number in (0, 1, 0xFFFFFFFF, N):
        scaled = picture(number, *drawn).reformat(width=size[0], height=size[1])
        assert read_number(luma(scaled)) == number & 0xFFFFFFFF


@pytest.mark.parametrize("size", SIZES)
def test_a_number_drawn_at_the_size_itself(size: tuple[int, int]) -> None:
    assert read_number(luma(picture(N, *size))) == N & 0xFFFFFFFF


def test_what_is_read_lies_within_the_strip() -> None:
    assert all(pattern.strip_lines(height) / height >= 0.05 for height in range(64, 4322, 2))


@pytest.mark.parametrize("size", [(256, 144), (640, 360)])
def test_numbers_survive_x264_at_a_low_rate(size: tuple[int, int]) -> None:
    numbers = range(N, N + 30)
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = *size, "yuv420p"
    codec.framerate, codec.time_base, codec.thread_count = Fraction(30), Fraction(1, 30), 1
    codec.options = {"preset": "veryfast", "crf": "40", "tune": "zerolatency"}
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    read = []
    for index, number in enumerate(numbers):
        frame = picture(number, 640, 360).reformat(width=size[0], height=size[1])
        frame.pts = index
        for packet in codec.encode(frame):
            read += [read_number(luma(out)) for out in decoder.decode(packet)]
    read += [read_number(luma(out)) for out in decoder.decode(None)]
    assert read == [number & 0xFFFFFFFF for number in numbers]


def test_a_picture_without_cells() -> None:
    rows, columns = np.mgrid[0:360, 0:640]
    assert read_number(((rows + columns) % 200).astype(np.uint8)) is None
    assert read_number(np.full((360, 640), 128, np.uint8)) is None


def sound(first: int, count: int) -> Sound:
    """The marked sound of NTSC from a sample number on, mono."""
    samples = np.arange(first, first + count)
    frames = samples * NTSC.rate_num // (NTSC.rate_den * NTSC.audio_rate)
    hz = pattern.TONE_BASE_HZ + pattern.TONE_STEP_HZ * (frames % pattern.TONES)
    wave = 0.4 * np.sin(2 * np.pi * hz * (samples % NTSC.audio_rate) / NTSC.audio_rate)
    return wave.astype(np.float32)


def assert_right(readings: list[ToneReading]) -> None:
    for reading in readings:
        assert reading.hz is not None
        assert abs(reading.hz - pattern.tone_hz(reading.frame)) < pattern.TONE_STEP_HZ / 4


@pytest.mark.parametrize("frame", range(pattern.TONES))
@pytest.mark.parametrize("count", [400, 800, 1600])
def test_the_loudest_tone(frame: int, count: int) -> None:
    hz = pattern.tone_hz(frame)
    wave = np.sin(2 * np.pi * hz * np.arange(count) / 48_000).astype(np.float32)
    found = loudest_hz(wave, 48_000)
    assert found is not None
    assert abs(found - hz) < pattern.TONE_STEP_HZ / 8


def test_silence() -> None:
    assert loudest_hz(np.zeros(800, np.float32), 48_000) is None
    assert loudest_hz(np.zeros(0, np.float32), 48_000) is None


START = NTSC.first_sample(N) // 1024


def test_tones_frame_by_frame_and_after_a_gap() -> None:
    reader = ToneReader(NTSC)
    numbers = [n for n in range(START, START + 100) if n != START + 50]
    readings = [r for n in numbers for r in reader.push(n * 1024, sound(n * 1024, 1024))]
    assert_right(readings)
    frames = [reading.frame for reading in readings]
    assert frames == sorted(set(frames))
    # at the start one AAC frame is left out, at the gap two; a video frame holds about 1602 samples
    assert 61 - 5 <= len(frames) <= 63


@pytest.mark.parametrize("size", [960, 120, 1601])
def test_tones_in_frames_of_any_size(size: int) -> None:
    reader = ToneReader(NTSC)
    start = START * 1024
    blocks = range(start, start + 48_000, size)
    readings = [r for at in blocks for r in reader.push(at, sound(at, size))]
    assert_right(readings)
    assert 28 <= len(readings) <= 30


def test_tones_survive_aac() -> None:
    codec = av.CodecContext.create("aac", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = 48_000, "stereo", "fltp"
    codec.time_base, codec.bit_rate = Fraction(1, 48_000), 64_000
    decoder, reader, readings = None, ToneReader(NTSC), []
    for number in range(START, START + 100):
        mono = sound(number * 1024, 1024)
        frame = av.AudioFrame.from_ndarray(np.stack((mono, mono)), "fltp", "stereo")
        frame.sample_rate, frame.pts = 48_000, number * 1024
        for packet in codec.encode(frame):
            if decoder is None:
                decoder = av.CodecContext.create("aac", "r")
                decoder.extradata = codec.extradata
            assert isinstance(decoder, av.AudioCodecContext)
            for out in decoder.decode(packet):
                mean = out.to_ndarray().mean(axis=0).astype(np.float32)
                readings += list(reader.push(out.pts or 0, mean))
    # the first frames of a stream hold the encoder's priming
    assert_right(readings[2:])
    assert len(readings) > 50
