"""H.264 for one segment: a fresh single-threaded x264 context, and settings that pin the headers.

The bytes of a segment are a pure function of its pictures, the profile, the preset and x264's
version, whichever process started when. SPS and PPS (so the init segment) depend on neither the
preset, the CRF nor the cap within a level: two versions of the encoder stay interchangeable.
Called by ladder.py, one thread a rendition.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from hitless_encoder.errors import CodecError, ConfigurationError
from hitless_encoder.h264 import (
    codec_string,
    decoder_configuration,
    is_idr,
    length_prefixed,
    level_idc,
)
from hitless_encoder.mux import Sample, VideoHeader, video_init
from hitless_handover.timeline import Timeline
from hitless_wire.resources import Profile

DEFAULT_PRESET = "veryfast"
VBV_SECONDS = 1  # size of the VBV buffer, in seconds at the cap
_VBV_START_NUM, _VBV_START_DEN = 9, 10  # x264 starts a context with the buffer this full
_GLOBAL_HEADER = 1 << 22
_BITEXACT = 1 << 23

# From subme 6 on x264 lowers the chroma QP offset in the PPS by 2 for psycho-visual optimisation.
# The offset given here takes that back, so that every preset writes the same PPS.
_CHROMA_OFFSET_OF_PRESET = {
    "ultrafast": 0,
    "superfast": 0,
    "veryfast": 0,
    "faster": 0,
    "fast": 2,
    "medium": 2,
    "slow": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSettings:
    """All that decides the bytes of a rendition, given its pictures."""

    profile: Profile
    timeline: Timeline
    preset: str

    def __post_init__(self) -> None:
        if self.preset not in _CHROMA_OFFSET_OF_PRESET:
            raise ConfigurationError(
                f"preset {self.preset!r} is unknown: "
                f"choose one of {', '.join(_CHROMA_OFFSET_OF_PRESET)}"
            )

    @property
    def peak_bps(self) -> int:
        """The highest bit rate of a segment, bit/s: the cap, and the VBV buffer spent once."""
        line = self.timeline
        spare = Fraction(_VBV_START_NUM * VBV_SECONDS, _VBV_START_DEN)
        seconds = Fraction(line.segment_frames * line.rate_den, line.rate_num)
        return int(self.profile.max_kbps * 1000 * (1 + spare / seconds)) + 1

    def x264_parameters(self) -> str:
        """The `x264-params` text."""
        profile, line = self.profile, self.timeline
        level = level_idc(
            width=profile.width,
            height=profile.height,
            rate_num=line.rate_num,
            rate_den=line.rate_den,
            max_kbps=profile.max_kbps,
        )
        values: dict[str, int | str] = {
            # what stands in SPS and PPS
            "level": level,
            "ref": 1,
            "bframes": 0,
            "cabac": 1,
            "8x8dct": 1,
            "weightp": 1,
            "weightb": 0,
            "stitchable": 1,
            "force-cfr": 1,
            "nal-hrd": "none",
            "chroma-qp-offset": _CHROMA_OFFSET_OF_PRESET[self.preset],
            # the grid
            "keyint": line.gop_frames,
            "min-keyint": line.gop_frames,
            "scenecut": 0,
            "open-gop": 0,
            # capped CRF
            "vbv-maxrate": profile.max_kbps,
            "vbv-bufsize": profile.max_kbps * VBV_SECONDS,
            # one thread: more would make the bytes depend on timing
            "threads": 1,
            "lookahead-threads": 1,
            "sync-lookahead": 0,
            **_assembly(),
        }
        return ":".join(f"{name}={value}" for name, value in values.items())


@functools.cache
def _assembly() -> dict[str, str]:
    """Without AVX-512, with which x264 (core 165) weighs macroblocks by memory nobody wrote.

    Seen at widths such as 424, 426 and 854: then a segment's bytes depend on what its process did
    before. x264 takes this as an order, so it is given only where the processor has more.
    """
    try:
        cpu = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    return {"asm": "avx2"} if "avx512" in cpu else {}


def _open(settings: VideoSettings) -> VideoCodecContext:
    profile, line = settings.profile, settings.timeline
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = profile.width, profile.height, "yuv420p"
    context.time_base = Fraction(line.rate_den, line.rate_num)
    context.framerate = Fraction(line.rate_num, line.rate_den)
    context.gop_size = line.gop_frames
    context.max_b_frames = 0
    context.thread_count = 1
    context.flags |= _GLOBAL_HEADER | _BITEXACT
    context.options = {
        "preset": settings.preset,
        "profile": "high",
        "crf": str(profile.crf),
        "forced-idr": "1",
        "x264-params": settings.x264_parameters(),
    }
    context.open()
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoTrack:
    """What is fixed for a rendition: its init segment and codec string."""

    init: bytes
    codecs: str


def describe(settings: VideoSettings) -> VideoTrack:
    """Open x264 once and read what it will write into every segment's parameter sets."""
    context = _open(settings)
    avcc = decoder_configuration(context.extradata or b"")
    header = VideoHeader(
        width=settings.profile.width,
        height=settings.profile.height,
        timescale=settings.timeline.timescale,
        frame_ticks=settings.timeline.frame_ticks,
        avcc=avcc,
    )
    return VideoTrack(init=video_init(header), codecs=codec_string(avcc))


class SegmentEncoder:
    """Encodes the pictures of one segment, in order; `samples` grows as x264 gives them."""

    def __init__(self, settings: VideoSettings) -> None:
        self._line = settings.timeline
        self._context = _open(settings)
        self.samples: list[Sample] = []
        self._fed = 0

    def add(self, picture: av.VideoFrame) -> None:
        """Encode the next picture. It must have the profile's size and belong to this thread."""
        self._take(self._context.encode(picture))
        self._fed += 1

    def stamp(self, picture: av.VideoFrame) -> None:
        """Write time and picture type into the frame that `add` will get next."""
        picture.pts = self._fed
        picture.time_base = Fraction(self._line.rate_den, self._line.rate_num)
        key = self._fed % self._line.gop_frames == 0
        picture.pict_type = PictureType.I if key else PictureType.NONE

    def finish(self) -> None:
        """Flush the encoder. Raises CodecError unless each picture became a sample in its place."""
        self._take(self._context.encode(None))
        if len(self.samples) != self._fed:
            raise CodecError(f"x264 gave {len(self.samples)} samples for {self._fed} pictures")

    def _take(self, packets: Sequence[Packet[Any]]) -> None:
        for packet in packets:
            place = len(self.samples)
            if packet.pts != place or packet.dts != packet.pts:
                raise CodecError(f"x264 gave pts {packet.pts}, dts {packet.dts}: expected {place}")
            data = bytes(packet)
            sample = Sample(data=length_prefixed(data), sync=is_idr(data))
            if sample.sync != (place % self._line.gop_frames == 0):
                raise CodecError(f"x264 gave a wrong kind of picture at {place} of the segment")
            self.samples.append(sample)
