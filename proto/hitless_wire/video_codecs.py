"""Which video codecs and rate controls a profile may ask for, and what they can carry. Values only.

The encoder makes them (`hitless_encoder.codecs`); the resource models refuse what no level of a
codec allows, with the words that the CRD's rules have too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

H264 = "h264"
HEVC = "hevc"
AV1 = "av1"
VP9 = "vp9"
MPEG2 = "mpeg2"
MPEG4 = "mpeg4"
SOFTWARE = (H264, HEVC, AV1, VP9, MPEG2, MPEG4)
HARDWARE = "(h264|hevc|av1)_(nvenc|qsv|vaapi|amf|v4l2m2m|videotoolbox|vulkan|mf)"
CODEC_PATTERN = f"^({'|'.join(SOFTWARE)}|{HARDWARE}|theora|rv40)$"

NOT_MADE = "Theora and RV40 are not made: set codec to h264, which every player takes, or av1, vp9"


class RateControl(StrEnum):
    """How the bits of a profile are shared out."""

    CAPPED_CRF = "CappedCRF"  # even quality (crf) below the cap (maxKbps)
    ABR = "ABR"  # targetKbps on average, maxKbps at most
    CBR = "CBR"  # maxKbps all the time


ABR_TARGET = "rateControl ABR needs targetKbps, at most maxKbps: set it"
TARGET_WITHOUT_ABR = "targetKbps is for rateControl ABR alone: drop it, maxKbps is what counts"
AV1_PARTS = (
    "av1 with rateControl CappedCRF or ABR looks a segment ahead and can't make parts in time: "
    "set rateControl to CBR, or drop timeline.partFrames"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The highest level of a codec: luma samples of a picture and a second, kbit/s."""

    level: str
    picture: int
    second: int
    kbps: int


_MACROBLOCK = 256
LIMITS: Mapping[str, Limits] = {
    H264: Limits(
        level="H.264 level 6.2",
        picture=139_264 * _MACROBLOCK,
        second=16_711_680 * _MACROBLOCK,
        kbps=800_000,
    ),
    HEVC: Limits(level="HEVC level 6.2", picture=35_651_584, second=4_278_190_080, kbps=240_000),
    AV1: Limits(level="AV1 level 6.3", picture=35_651_584, second=4_706_009_088, kbps=160_000),
    VP9: Limits(level="VP9 level 6.2", picture=35_651_584, second=4_706_009_088, kbps=480_000),
    MPEG2: Limits(
        level="MPEG-2 Main Profile at High Level",
        picture=1920 * 1152,
        second=62_668_800,
        kbps=80_000,
    ),
    MPEG4: Limits(
        level="MPEG-4 Part 2 Simple Profile level 6",
        picture=3_600 * _MACROBLOCK,
        second=108_000 * _MACROBLOCK,
        kbps=12_000,
    ),
}
# ISO/IEC 13818-2 table 6-4; no other frame rate can be written
_MPEG2_RATES = frozenset(
    [Fraction(n) for n in (24, 25, 30, 50, 60)]
    + [Fraction(n, 1001) for n in (24_000, 30_000, 60_000)]
)


def family(codec: str) -> str:
    """What a codec, or an FFmpeg encoder's name, makes: one of LIMITS."""
    return codec.split("_", 1)[0]


def is_hardware(codec: str) -> bool:
    """Whether it is an FFmpeg hardware encoder's name."""
    return re.fullmatch(HARDWARE, codec) is not None


def beyond(codec: str, *, width: int, height: int, rate: Fraction, kbps: int) -> str:
    """What of a rendition no level of its codec allows, and what to change; else empty.

    Pixels, frames/s, kbit/s. Sides count in whole macroblocks, as the levels do.
    """
    most = LIMITS[family(codec)]
    picture = -(-width // 16) * -(-height // 16) * _MACROBLOCK
    if codec == MPEG2 and rate not in _MPEG2_RATES:
        return f"codec: MPEG-2 has no {rate} fps: choose another codec or timeline.frameRate"
    if picture > most.picture or picture * rate > most.second:
        return (
            f"codec: {width}x{height} at {rate} fps is beyond {most.level}: "
            "lower width and height, or choose another codec"
        )
    if kbps > most.kbps:
        return f"maxKbps: {kbps} is beyond {most.level}: at most {most.kbps}"
    return ""
