"""HEVC by x265, as `hvc1`, with settings that pin VPS, SPS and PPS against presets."""

from __future__ import annotations

from av.video.codeccontext import VideoCodecContext

from hitless_encoder import hevc
from hitless_encoder.codecs.base import Header, VideoSettings, new_context, parameters
from hitless_encoder.mux import SampleEntry
from hitless_wire.video_codecs import RateControl

CRF_OFFSET = 4  # x265's documentation holds its 28 against x264's 23
LOOKAHEAD_FRAMES = 10


class X265:
    """See the module."""

    def open(self, settings: VideoSettings) -> VideoCodecContext:
        """See Codec."""
        rate = settings.rate
        context = new_context("libx265", settings)
        quality = {"crf": str(min(51, rate.crf + CRF_OFFSET))}
        if rate.control is not RateControl.CAPPED_CRF:
            quality = {"b": f"{rate.target_kbps}k"}
        context.options = {
            "preset": settings.preset,
            **quality,
            "forced-idr": "1",
            "x265-params": x265_parameters(settings),
        }
        context.open()
        return context

    def header(self, settings: VideoSettings, context: VideoCodecContext) -> Header:  # noqa: ARG002
        """See Codec."""
        return hvc_header(context.extradata or b"")

    def sample(self, packet: bytes) -> bytes:
        """See Codec."""
        return hevc.length_prefixed(packet)

    def is_sync(self, packet: bytes, *, keyframe: bool) -> bool:  # noqa: ARG002
        """See Codec."""
        return hevc.is_idr(packet)


def hvc_header(extradata: bytes) -> Header:
    """From Annex B parameter sets."""
    hvcc = hevc.decoder_configuration(extradata)
    return Header(
        entry=SampleEntry(kind=b"hvc1", configuration=((b"hvcC", hvcc),)),
        codecs=hevc.codec_string(hvcc),
    )


def x265_parameters(settings: VideoSettings) -> str:
    """The `x265-params` text."""
    profile, line, rate = settings.profile, settings.timeline, settings.rate
    level = hevc.level_of(
        width=profile.width,
        height=profile.height,
        rate_num=line.rate_num,
        rate_den=line.rate_den,
        kbps=rate.max_kbps,
    )
    if level is None:
        raise settings.refusal("codec", "size, frame rate and maxKbps are beyond HEVC level 6.2")
    return parameters(
        {
            # what stands in VPS, SPS and PPS
            "level-idc": f"{level.idc // 30}.{level.idc % 30 // 3}",
            "high-tier": 0,
            "ref": 1,
            "bframes": 0,
            "ctu": 32,
            "min-cu-size": 8,
            "max-tu-size": 32,
            "tu-intra-depth": 1,
            "tu-inter-depth": 1,
            "amp": 0,
            "sao": 1,
            "strong-intra-smoothing": 1,
            "signhide": 1,
            "tskip": 0,
            "weightp": 0,
            "weightb": 0,
            "constrained-intra": 0,
            "qg-size": 32,
            "aq-mode": 1,
            "slices": 1,
            "wpp": 0,
            "hrd": 0,
            "temporal-layers": 0,
            "open-gop": 0,
            "repeat-headers": 0,
            "info": 0,
            # the grid
            "keyint": line.gop_frames,
            "min-keyint": line.gop_frames,
            "scenecut": 0,
            "rc-lookahead": 0 if settings.in_parts else LOOKAHEAD_FRAMES,
            **({"cutree": 0} if settings.in_parts else {}),
            # rate control
            "vbv-maxrate": rate.max_kbps,
            "vbv-bufsize": rate.buffer_kbits,
            # one thread: more would make the bytes depend on timing
            "pools": "none",
            "frame-threads": 1,
            "lookahead-slices": 0,
            "log-level": "error",
        }
    )
