"""H.264 by x264, with settings that pin SPS and PPS.

They depend on neither the preset, the rate control nor the cap within a level: two versions of the
encoder stay interchangeable.
"""

from __future__ import annotations

import functools
from pathlib import Path

from av.video.codeccontext import VideoCodecContext

from hitless_encoder import h264
from hitless_encoder.codecs.base import Header, VideoSettings, new_context, parameters
from hitless_encoder.mux import SampleEntry
from hitless_wire.video_codecs import RateControl

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
# A look-ahead holds back so many pictures: presets differ in it, so viewers at the live edge would
# wait for those of a slower one, and for the first of them at the update that brings it.
_AT_ONCE: dict[str, int | str] = {"rc-lookahead": 0, "mbtree": 0}


class X264:
    """See the module."""

    def open(self, settings: VideoSettings) -> VideoCodecContext:
        """See Codec."""
        context = new_context("libx264", settings)
        context.options = {
            "preset": settings.preset,
            "profile": "high",
            **_quality(settings),
            "forced-idr": "1",
            "x264-params": x264_parameters(settings),
        }
        context.open()
        return context

    def header(self, settings: VideoSettings, context: VideoCodecContext) -> Header:  # noqa: ARG002
        """See Codec."""
        return avc_header(context.extradata or b"")

    def sample(self, packet: bytes) -> bytes:
        """See Codec."""
        return h264.length_prefixed(packet)

    def is_sync(self, packet: bytes, *, keyframe: bool) -> bool:  # noqa: ARG002
        """See Codec."""
        return h264.is_idr(packet)


def avc_header(extradata: bytes) -> Header:
    """From Annex B parameter sets."""
    avcc = h264.decoder_configuration(extradata)
    return Header(
        entry=SampleEntry(kind=b"avc1", configuration=((b"avcC", avcc),)),
        codecs=h264.codec_string(avcc),
    )


def level(settings: VideoSettings) -> int:
    """Ten times the level. Raises ConfigurationError."""
    profile, line = settings.profile, settings.timeline
    return h264.level_idc(
        width=profile.width,
        height=profile.height,
        rate_num=line.rate_num,
        rate_den=line.rate_den,
        max_kbps=settings.rate.max_kbps,
    )


def x264_parameters(settings: VideoSettings) -> str:
    """The `x264-params` text."""
    line, rate = settings.timeline, settings.rate
    return parameters(
        {
            # what stands in SPS and PPS
            "level": level(settings),
            "ref": 1,
            "bframes": 0,
            "cabac": 1,
            "8x8dct": 1,
            "weightp": 1,
            "weightb": 0,
            "stitchable": 1,
            "force-cfr": 1,
            "nal-hrd": "none",
            "chroma-qp-offset": _CHROMA_OFFSET_OF_PRESET[settings.preset],
            # the grid
            "keyint": line.gop_frames,
            "min-keyint": line.gop_frames,
            "scenecut": 0,
            "open-gop": 0,
            # rate control
            "vbv-maxrate": rate.max_kbps,
            "vbv-bufsize": rate.buffer_kbits,
            # one thread: more would make the bytes depend on timing
            "threads": 1,
            "lookahead-threads": 1,
            "sync-lookahead": 0,
            **(_AT_ONCE if settings.in_parts else {}),
            **_assembly(),
        }
    )


def _quality(settings: VideoSettings) -> dict[str, str]:
    rate = settings.rate
    if rate.control is RateControl.CAPPED_CRF:
        return {"crf": str(rate.crf)}
    return {"b": f"{rate.target_kbps}k"}


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
