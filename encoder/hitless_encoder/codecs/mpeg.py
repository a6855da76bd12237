"""MPEG-2 and MPEG-4 Part 2 by FFmpeg's own encoders, as `mp4v`. Few players take them."""

from __future__ import annotations

from dataclasses import dataclass

from av.video.codeccontext import VideoCodecContext

from hitless_encoder.codecs.base import Header, VideoSettings, new_context
from hitless_encoder.mux import SampleEntry, elementary_stream
from hitless_wire.video_codecs import MPEG2, RateControl

_OBJECT_MPEG2_MAIN, _OBJECT_MPEG4 = 0x61, 0x20
_STREAM_VISUAL = 4
_NO_SCENE_CUTS = str(10**9)
_QUANTISER_MAX = 31


@dataclass(frozen=True, slots=True)
class _SimpleLevel:
    """MPEG-4 Part 2 Simple Profile (14496-2 annex N). number: as it is written."""

    number: int
    blocks: int
    blocks_per_second: int
    max_kbps: int


_SIMPLE_LEVELS = (
    _SimpleLevel(1, 99, 1_485, 64),
    _SimpleLevel(2, 396, 5_940, 128),
    _SimpleLevel(3, 396, 11_880, 384),
    _SimpleLevel(4, 1_200, 36_000, 4_000),
    _SimpleLevel(5, 1_620, 40_500, 8_000),
    _SimpleLevel(6, 3_600, 108_000, 12_000),
)


class Mpeg:
    """See the module."""

    def open(self, settings: VideoSettings) -> VideoCodecContext:
        """See Codec."""
        rate, mpeg2 = settings.rate, settings.profile.codec == MPEG2
        context = new_context("mpeg2video" if mpeg2 else "mpeg4", settings)
        context.options = {
            "sc_threshold": _NO_SCENE_CUTS,
            "maxrate": f"{rate.max_kbps}k",
            "bufsize": f"{rate.buffer_kbits}k",
            **({} if mpeg2 else {"profile": "0", "level": str(_simple_level(settings))}),
            **_quality(settings),
        }
        context.bit_rate = (rate.target_kbps or rate.max_kbps) * 1000
        context.open()
        return context

    def header(self, settings: VideoSettings, context: VideoCodecContext) -> Header:
        """See Codec. The sequence header of MPEG-2 is in each I picture, and nowhere else."""
        kind, codecs = _OBJECT_MPEG2_MAIN, f"mp4v.{_OBJECT_MPEG2_MAIN:x}"
        if settings.profile.codec != MPEG2:
            kind = _OBJECT_MPEG4
            codecs = f"mp4v.{_OBJECT_MPEG4:x}.{_simple_level(settings)}"
        esds = elementary_stream(kind, _STREAM_VISUAL, context.extradata or b"")
        return Header(entry=SampleEntry(kind=b"mp4v", boxes=esds), codecs=codecs)

    def sample(self, packet: bytes) -> bytes:
        """See Codec."""
        return packet

    def is_sync(self, packet: bytes, *, keyframe: bool) -> bool:  # noqa: ARG002
        """See Codec."""
        return keyframe


def _quality(settings: VideoSettings) -> dict[str, str]:
    """These know no crf: with CappedCRF the quantiser never gets finer than it asks for."""
    if settings.rate.control is not RateControl.CAPPED_CRF:
        return {}
    return {"qmin": str(quantiser(settings.rate.crf)), "qmax": str(_QUANTISER_MAX)}


def quantiser(crf: int) -> int:
    """H.264's step doubles every 6; these count steps: 24 becomes 6."""
    return max(2, min(_QUANTISER_MAX, round(0.4 * 2 ** (crf / 6))))


def _simple_level(settings: VideoSettings) -> int:
    profile, line = settings.profile, settings.timeline
    blocks = -(-profile.width // 16) * -(-profile.height // 16)
    for level in _SIMPLE_LEVELS:
        fast = blocks * line.rate_num <= level.blocks_per_second * line.rate_den
        if blocks <= level.blocks and fast and settings.rate.max_kbps <= level.max_kbps:
            return level.number
    raise settings.refusal(
        "codec", "size, frame rate and maxKbps are beyond MPEG-4 Part 2 Simple Profile level 6"
    )
