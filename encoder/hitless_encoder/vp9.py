"""VP9 in CMAF: levels, vpcC, codec string (VP Codec ISO Media File Format Binding 1.0).

Pure functions. Knows nothing of any encoder.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A row of the level table. number: ten times the level; samples are luma's."""

    number: int
    second: int
    picture: int
    max_kbps: int


LEVELS = tuple(
    Level(number=number, second=second, picture=picture, max_kbps=max_kbps)
    for number, second, picture, max_kbps in (
        (10, 829_440, 36_864, 200),
        (11, 2_764_800, 73_728, 800),
        (20, 4_608_000, 122_880, 1_800),
        (21, 9_216_000, 245_760, 3_600),
        (30, 20_736_000, 552_960, 7_200),
        (31, 36_864_000, 983_040, 12_000),
        (40, 83_558_400, 2_228_224, 18_000),
        (41, 160_432_128, 2_228_224, 30_000),
        (50, 311_951_360, 8_912_896, 60_000),
        (51, 588_251_136, 8_912_896, 120_000),
        (52, 1_176_502_272, 8_912_896, 180_000),
        (60, 1_176_502_272, 35_651_584, 180_000),
        (61, 2_353_004_544, 35_651_584, 240_000),
        (62, 4_706_009_088, 35_651_584, 480_000),
    )
)
_BITS = 8
_CHROMA_420 = 1  # sited with the luma sample above left
_UNSPECIFIED = 2  # colour primaries, transfer, matrix: the pictures' own, as in our H.264


def level_of(*, width: int, height: int, rate_num: int, rate_den: int, kbps: int) -> Level | None:
    """The lowest level for a size (pixels), rate (frames/s), cap (kbit/s), or None."""
    picture = width * height
    for level in LEVELS:
        fast = picture * rate_num <= level.second * rate_den
        if picture <= level.picture and fast and kbps <= level.max_kbps:
            return level
    return None


def decoder_configuration(level: Level) -> bytes:
    """The vpcC content for profile 0."""
    depth = _BITS << 4 | _CHROMA_420 << 1
    version_and_flags = bytes((1, 0, 0, 0))
    return version_and_flags + bytes((0, level.number, depth, *[_UNSPECIFIED] * 3, 0, 0))


def codec_string(level: Level) -> str:
    """The name, e.g. vp09.00.21.08."""
    return f"vp09.00.{level.number:02}.{_BITS:02}"
