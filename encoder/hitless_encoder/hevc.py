"""HEVC byte syntax and levels: parameter sets, sample format, codec string.

Pure functions (ITU-T H.265 Annex A and B, ISO/IEC 14496-15, section 8). No encoder.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hitless_encoder.errors import CodecError
from hitless_encoder.h264 import nal_units

NAL_VPS, NAL_SPS, NAL_PPS = 32, 33, 34
_NAL_IDR = frozenset({19, 20})
_NAL_SLICES = range(32)
_PROFILE_BYTES = slice(3, 15)  # profile_tier_level in an SPS, after its header and ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A row of tables A.8 and A.9, Main tier. idc: thirty times the level; samples are luma's."""

    idc: int
    picture: int
    second: int
    max_kbps: int


LEVELS = tuple(
    Level(idc=idc, picture=picture, second=second, max_kbps=max_kbps)
    for idc, picture, second, max_kbps in (
        (30, 36_864, 552_960, 128),
        (60, 122_880, 3_686_400, 1_500),
        (63, 245_760, 7_372_800, 3_000),
        (90, 552_960, 16_588_800, 6_000),
        (93, 983_040, 33_177_600, 10_000),
        (120, 2_228_224, 66_846_720, 12_000),
        (123, 2_228_224, 133_693_440, 20_000),
        (150, 8_912_896, 267_386_880, 25_000),
        (153, 8_912_896, 534_773_760, 40_000),
        (156, 8_912_896, 1_069_547_520, 60_000),
        (180, 35_651_584, 1_069_547_520, 60_000),
        (183, 35_651_584, 2_139_095_040, 120_000),
        (186, 35_651_584, 4_278_190_080, 240_000),
    )
)


def level_of(*, width: int, height: int, rate_num: int, rate_den: int, kbps: int) -> Level | None:
    """The lowest level for a size (pixels), rate (frames/s) and cap (kbit/s); None: there is none.

    A function of the configuration alone, so that every version writes the same SPS.
    """
    picture = width * height
    for level in LEVELS:
        fits = picture <= level.picture and max(width, height) ** 2 <= 8 * level.picture
        fast = picture * rate_num <= level.second * rate_den
        if fits and fast and kbps <= level.max_kbps:
            return level
    return None


def _kind(unit: bytes) -> int:
    return unit[0] >> 1 & 0x3F


def is_idr(stream: bytes) -> bool:
    """Whether an Annex B access unit is an IDR picture."""
    return any(_kind(unit) in _NAL_IDR for unit in nal_units(stream))


def length_prefixed(stream: bytes) -> bytes:
    """An Annex B access unit as an `hvc1` sample: slices only, 4-byte lengths."""
    return b"".join(
        struct.pack(">I", len(unit)) + unit
        for unit in nal_units(stream)
        if _kind(unit) in _NAL_SLICES
    )


def decoder_configuration(extradata: bytes) -> bytes:
    """The hvcC content for an Annex B extradata with one VPS, SPS (4:2:0, 8 bits) and PPS."""
    units = nal_units(extradata)
    sets = {kind: [u for u in units if _kind(u) == kind] for kind in (NAL_VPS, NAL_SPS, NAL_PPS)}
    counts = [len(found) for found in sets.values()]
    if counts != [1, 1, 1]:
        raise CodecError(f"expected one VPS, SPS and PPS, got {counts}")
    profile = sets[NAL_SPS][0].replace(b"\0\0\3", b"\0\0")[_PROFILE_BYTES]
    return b"".join(
        (
            b"\1" + profile,
            # no segmentation, parallelism unknown, 4:2:0, 8 and 8 bits, frame rate unsaid,
            # one nested temporal layer, 4-byte lengths
            bytes((0xF0, 0, 0xFC, 0xFC | 1, 0xF8, 0xF8, 0, 0, 0x0F, len(sets))),
            *(
                struct.pack(">BHH", 0x80 | kind, 1, len(found[0])) + found[0]
                for kind, found in sets.items()
            ),
        )
    )


def codec_string(hvcc: bytes) -> str:
    """The name by ISO/IEC 14496-15 E.3, e.g. hvc1.1.6.L63.90, from an hvcC content."""
    first, (compatible,) = hvcc[1], struct.unpack(">I", hvcc[2:6])
    space = ("", "A", "B", "C")[first >> 6]
    reversed_bits = int(f"{compatible:032b}"[::-1], 2)
    tier = "H" if first & 0x20 else "L"
    constraints = "".join(f".{byte:02X}" for byte in hvcc[6:12].rstrip(b"\0"))
    return f"hvc1.{space}{first & 0x1F}.{reversed_bits:X}.{tier}{hvcc[12]}{constraints}"
