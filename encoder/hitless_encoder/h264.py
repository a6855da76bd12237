"""H.264 byte syntax and levels: parameter sets, sample format, codec string.

Pure functions (ITU-T H.264 Annex A and B, ISO/IEC 14496-15). Knows nothing of any encoder.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from hitless_encoder.errors import CodecError, ConfigurationError

NAL_IDR = 5
NAL_SPS = 7
NAL_PPS = 8
_NAL_SLICES = frozenset({1, 2, 3, 4, NAL_IDR})
_NAL_TYPE_MASK = 0x1F
_START_CODE = re.compile(rb"\x00\x00\x00?\x01")
_CHROMA_420_8_BIT = bytes((0xFC | 1, 0xF8, 0xF8, 0))  # avcC tail of the High profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A row of table A-1. idc: ten times the level; rates in macroblocks; kbps: High profile."""

    idc: int
    blocks_per_second: int
    frame_blocks: int
    max_kbps: int


def _level(idc: int, blocks_per_second: int, frame_blocks: int, baseline_kbps: int) -> Level:
    return Level(
        idc=idc,
        blocks_per_second=blocks_per_second,
        frame_blocks=frame_blocks,
        max_kbps=baseline_kbps * 5 // 4,
    )


LEVELS = (
    _level(11, 3_000, 396, 192),
    _level(12, 6_000, 396, 384),
    _level(13, 11_880, 396, 768),
    _level(20, 11_880, 396, 2_000),
    _level(21, 19_800, 792, 4_000),
    _level(22, 20_250, 1_620, 4_000),
    _level(30, 40_500, 1_620, 10_000),
    _level(31, 108_000, 3_600, 14_000),
    _level(32, 216_000, 5_120, 20_000),
    _level(40, 245_760, 8_192, 20_000),
    _level(41, 245_760, 8_192, 50_000),
    _level(42, 522_240, 8_704, 50_000),
    _level(50, 589_824, 22_080, 135_000),
    _level(51, 983_040, 36_864, 240_000),
    _level(52, 2_073_600, 36_864, 240_000),
    _level(60, 4_177_920, 139_264, 240_000),
    _level(61, 8_355_840, 139_264, 480_000),
    _level(62, 16_711_680, 139_264, 800_000),
)


def level_idc(*, width: int, height: int, rate_num: int, rate_den: int, max_kbps: int) -> int:
    """The lowest level that allows a picture size (pixels), rate (frames/s) and cap (kbit/s).

    A function of the configuration alone, so that every version of the encoder writes the same
    SPS. Raises ConfigurationError when it is beyond every level.
    """
    columns, rows = -(-width // 16), -(-height // 16)
    blocks = columns * rows
    for level in LEVELS:
        fits = blocks <= level.frame_blocks and max(columns, rows) ** 2 <= 8 * level.frame_blocks
        fast = blocks * rate_num <= level.blocks_per_second * rate_den
        if fits and fast and max_kbps <= level.max_kbps:
            return level.idc
    raise ConfigurationError(
        f"{width}x{height} at {rate_num}/{rate_den} fps and {max_kbps} kbit/s "
        "is beyond H.264 level 6.2"
    )


def nal_units(stream: bytes) -> list[bytes]:
    """The NAL units of an Annex B byte stream, without start codes."""
    return [unit for unit in _START_CODE.split(stream) if unit]


def is_idr(stream: bytes) -> bool:
    """Whether an Annex B access unit is an IDR picture."""
    return any(unit[0] & _NAL_TYPE_MASK == NAL_IDR for unit in nal_units(stream))


def length_prefixed(stream: bytes) -> bytes:
    """An Annex B access unit as an `avc1` sample: slices only, 4-byte lengths.

    SEI is left out: x264 writes its version and settings there, which would make two versions'
    output differ where the pictures do not. Parameter sets live in the init segment.
    """
    return b"".join(
        struct.pack(">I", len(unit)) + unit
        for unit in nal_units(stream)
        if unit[0] & _NAL_TYPE_MASK in _NAL_SLICES
    )


def decoder_configuration(extradata: bytes) -> bytes:
    """The avcC content for an Annex B extradata with one SPS (High profile, 4:2:0) and one PPS."""
    units = nal_units(extradata)
    sps = [unit for unit in units if unit[0] & _NAL_TYPE_MASK == NAL_SPS]
    pps = [unit for unit in units if unit[0] & _NAL_TYPE_MASK == NAL_PPS]
    if len(sps) != 1 or len(pps) != 1:
        raise CodecError(f"expected one SPS and one PPS, got {len(sps)} and {len(pps)}")
    return b"".join(
        (
            bytes((1, *sps[0][1:4], 0xFF, 0xE1)),
            struct.pack(">H", len(sps[0])) + sps[0],
            bytes((1,)),
            struct.pack(">H", len(pps[0])) + pps[0],
            _CHROMA_420_8_BIT,
        )
    )


def codec_string(avcc: bytes) -> str:
    """The RFC 6381 name, e.g. avc1.64001E, from an avcC content."""
    return f"avc1.{avcc[1:4].hex().upper()}"
