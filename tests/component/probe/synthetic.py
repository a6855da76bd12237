"""Makes the segments of a synthetic live stream: x264 with burnt-in cells, AAC with marked tones.

Encoded with PyAV, a fresh encoder a segment; moof and mdat are written by hand, so that a test can
write any time and number it wants.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from hitless_handover import pattern
from hitless_handover.timeline import AAC_FRAME_SAMPLES, Timeline

TIMELINE = Timeline(rate_num=25, rate_den=1, segment_frames=25, gop_frames=25)
FIRST_SEGMENT = 1_764_000_000  # frame numbers beyond 2**32, as on the epoch's timeline
LARGEST = (640, 360)
_PREROLL_FRAMES = 4
_MUXER = {
    "movflags": "+cmaf+empty_moov+default_base_moof+frag_discont+skip_trailer+frag_keyframe",
    "use_editlist": "0",
    "fflags": "+bitexact",
}

Plane = npt.NDArray[np.uint8]
Coded = tuple[int, int, bool, bytes]  # pts, dts, key, data


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Pixels of a rendition."""

    width: int
    height: int


def draw(number: int, *, marked: bool = True) -> av.VideoFrame:
    """A picture of the largest size with a number burnt in."""
    width, height = LARGEST
    rows, columns = np.mgrid[0:height, 0:width]
    luma = ((rows * 2 + columns + number * 5) % 180 + 30).astype(np.uint8)
    if marked:
        cells = np.array(pattern.cells(number), np.uint8)
        row = np.where(cells == 1, pattern.WHITE_LUMA, pattern.BLACK_LUMA).astype(np.uint8)
        lines = pattern.strip_lines(height)
        luma[:lines] = row[np.arange(width) * pattern.NUMBER_CELLS // width]
    planes = np.concatenate((luma, np.full((height // 2, width), 128, np.uint8)))
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


class _Sink:
    """Takes what a muxer writes."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += bytes(data)
        return len(data)


class VideoMaker:
    """Header and segments of one video rendition."""

    def __init__(self, size: Size, *, b_frames: bool = False) -> None:
        self._size = size
        self._b_frames = b_frames
        self._scaler = VideoReformatter()
        self.init = self._header()

    def coded(self, numbers: Sequence[int], *, marked: bool = True) -> list[Coded]:
        """Pictures with these numbers drawn, coded; times count frames from 0."""
        codec = av.CodecContext.create("libx264", "w")
        assert isinstance(codec, av.VideoCodecContext)
        self._configure(codec)
        packets = []
        for index, number in enumerate(numbers):
            frame = self._scaler.reformat(
                draw(number, marked=marked), width=self._size.width, height=self._size.height
            )
            frame.pts, frame.time_base = index, Fraction(1, 25)
            frame.pict_type = PictureType.I if index == 0 else PictureType.NONE
            packets += codec.encode(frame)
        packets += codec.encode(None)
        return [(p.pts or 0, p.dts or 0, p.is_keyframe, _mp4_nals(bytes(p))) for p in packets]

    def segment(
        self,
        k: int,
        numbers: Sequence[int] | None = None,
        *,
        marked: bool = True,
        shift_ticks: int = 0,
    ) -> bytes:
        """Segment k; by default with the right numbers at the right times."""
        first = TIMELINE.first_frame(k)
        right = range(first, first + TIMELINE.segment_frames)
        ticks = TIMELINE.frame_ticks
        coded = [
            ((first + pts) * ticks + shift_ticks, (first + dts) * ticks + shift_ticks, key, data)
            for pts, dts, key, data in self.coded(numbers or right, marked=marked)
        ]
        return moof_mdat(k, coded, ticks, video=True)

    def _configure(self, codec: av.VideoCodecContext) -> None:
        codec.width, codec.height, codec.pix_fmt = self._size.width, self._size.height, "yuv420p"
        codec.framerate, codec.time_base = Fraction(25), Fraction(1, 25)
        codec.thread_count = 1
        codec.options = {"preset": "ultrafast", "crf": "26", "forced-idr": "1"}
        if self._b_frames:
            codec.options |= {"x264-params": "bframes=2:b-adapt=0:keyint=25:scenecut=0"}
        else:
            codec.options |= {"tune": "zerolatency"}

    def _header(self) -> bytes:
        sink = _Sink()
        with av.open(
            sink, "w", format="mp4", options=_MUXER | {"video_track_timescale": "25000"}
        ) as muxer:
            stream = muxer.add_stream("libx264", rate=25)
            self._configure(stream.codec_context)
            stream.codec_context.open()
            stream.time_base = Fraction(1, TIMELINE.timescale)
            muxer.start_encoding()
            return bytes(sink.data)


def tone(first: int, count: int, *, frame_shift: int = 0) -> npt.NDArray[np.float32]:
    """Stereo samples [first, first + count) of the marked sound."""
    samples = np.arange(first, first + count)
    frames = samples * TIMELINE.rate_num // (TIMELINE.rate_den * TIMELINE.audio_rate)
    hz = pattern.TONE_BASE_HZ + pattern.TONE_STEP_HZ * ((frames + frame_shift) % pattern.TONES)
    wave = 0.4 * np.sin(2 * np.pi * hz * (samples % TIMELINE.audio_rate) / TIMELINE.audio_rate)
    return np.stack((wave, wave)).astype(np.float32)


class AudioMaker:
    """Header and segments of the audio rendition."""

    def __init__(self) -> None:
        sink = _Sink()
        with av.open(sink, "w", format="mp4", options=_MUXER) as muxer:
            stream = muxer.add_stream("aac", rate=TIMELINE.audio_rate)
            stream.codec_context.layout = "stereo"
            stream.codec_context.open()
            muxer.start_encoding()
            self.init = bytes(sink.data)

    def segment(self, k: int, *, frame_shift: int = 0, shift_samples: int = 0) -> bytes:
        """Segment k; frame_shift: sounds the tones of so many frames later."""
        first, end = TIMELINE.first_audio_frame(k), TIMELINE.first_audio_frame(k + 1)
        codec = av.CodecContext.create("aac", "w")
        assert isinstance(codec, av.AudioCodecContext)
        codec.sample_rate, codec.layout = TIMELINE.audio_rate, "stereo"
        codec.format, codec.time_base = "fltp", Fraction(1, TIMELINE.audio_rate)
        packets = []
        for number in range(first - _PREROLL_FRAMES, end + 1):
            start = number * AAC_FRAME_SAMPLES
            sound = tone(start, AAC_FRAME_SAMPLES, frame_shift=frame_shift)
            frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = TIMELINE.audio_rate, start
            packets += codec.encode(frame)
        packets += codec.encode(None)
        coded = [
            (p.pts + shift_samples, p.pts + shift_samples, True, bytes(p))
            for p in packets
            if p.pts is not None and first * AAC_FRAME_SAMPLES <= p.pts < end * AAC_FRAME_SAMPLES
        ]
        return moof_mdat(k, coded, AAC_FRAME_SAMPLES, video=False)


def moof_mdat(number: int, samples: Sequence[Coded], ticks: int, *, video: bool) -> bytes:
    """A CMAF chunk: every sample lasts `ticks`."""
    size = len(_moof(number, samples, ticks, 0, video=video))
    moof = _moof(number, samples, ticks, size + 8, video=video)
    return moof + _box(b"mdat", *(data for *_, data in samples))


def _moof(
    number: int, samples: Sequence[Coded], ticks: int, data_offset: int, *, video: bool
) -> bytes:
    entries = b"".join(
        struct.pack(">IIIi", ticks, len(data), 0x02000000 if key else 0x01010000, pts - dts)
        for pts, dts, key, data in samples
    )
    head = struct.pack(">Ii", len(samples), data_offset)
    return _box(
        b"moof",
        _full(b"mfhd", 0, 0, struct.pack(">I", number & 0xFFFFFFFF)),
        _box(
            b"traf",
            _full(b"tfhd", 0, 0x020000, struct.pack(">I", 1)),
            _full(b"tfdt", 1, 0, struct.pack(">Q", samples[0][1])),
            _full(b"trun", 1, 0x000F01, head, entries),
        ),
    )


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def _full(name: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(name, struct.pack(">I", version << 24 | flags), *parts)


def _mp4_nals(data: bytes) -> bytes:
    """Annex B or length-prefixed NAL units, as length-prefixed ones without SEI and parameters."""
    if data.startswith((b"\0\0\0\1", b"\0\0\1")):
        units = [u for u in data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if u]
    else:
        units = list(_prefixed(data))
    kept = [unit for unit in units if unit[0] & 31 not in (6, 7, 8, 9)]
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in kept)


def _prefixed(data: bytes) -> Any:
    offset = 0
    while offset < len(data):
        (size,) = struct.unpack_from(">I", data, offset)
        yield data[offset + 4 : offset + 4 + size]
        offset += 4 + size
