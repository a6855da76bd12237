"""AV1 by SVT-AV1, as `av01`.

CappedCRF and ABR look a segment ahead (random access, hidden pictures inside a temporal unit): few
bits, but all of a segment comes at its end. CBR is low delay: each picture comes at once.
"""

from __future__ import annotations

import os

from av.video.codeccontext import VideoCodecContext

from hitless_encoder import av1
from hitless_encoder.codecs.base import Header, VideoSettings, new_context, parameters
from hitless_encoder.mux import SampleEntry
from hitless_wire.video_codecs import RateControl

# The sequence header says more tools from 8 on: these presets share one.
_PRESET_NUMBER = {
    "ultrafast": 11,
    "superfast": 11,
    "veryfast": 10,
    "faster": 10,
    "fast": 9,
    "medium": 9,
    "slow": 9,
}
_LOW_DELAY, _RANDOM_ACCESS = 1, 2
_RC_CRF, _RC_VBR, _RC_CBR = 0, 1, 2


class SvtAv1:
    """See the module."""

    def open(self, settings: VideoSettings) -> VideoCodecContext:
        """See Codec."""
        os.environ.setdefault("SVT_LOG", "0")  # what fails is raised; closing early is no error
        context = new_context("libsvtav1", settings)
        quality = {}
        if settings.rate.control is RateControl.CAPPED_CRF:
            quality = {"crf": str(crf_of_63(settings.rate.crf))}
        context.options = {
            "preset": str(_PRESET_NUMBER[settings.preset]),
            **quality,
            "svtav1-params": svt_parameters(settings),
        }
        context.open()
        return context

    def header(self, settings: VideoSettings, context: VideoCodecContext) -> Header:  # noqa: ARG002
        """See Codec."""
        return av1_header(context.extradata or b"")

    def sample(self, packet: bytes) -> bytes:
        """See Codec."""
        return av1.sample(packet)

    def is_sync(self, packet: bytes, *, keyframe: bool) -> bool:
        """A key frame brings its sequence header (AV1-ISOBMFF 2.4)."""
        return keyframe and any(kind == av1.OBU_SEQUENCE_HEADER for kind, _, _ in av1.units(packet))


def av1_header(extradata: bytes) -> Header:
    """From a sequence header OBU."""
    av1c = av1.decoder_configuration(extradata)
    return Header(
        entry=SampleEntry(kind=b"av01", configuration=((b"av1C", av1c),), brand=b"av01"),
        codecs=av1.codec_string(av1c),
    )


def crf_of_63(crf: int) -> int:
    """x264's scale of 51 on the scale of 63 that SVT-AV1 and libvpx have; 24 becomes 33."""
    return min(63, crf * 63 // 51 + 4)


def svt_parameters(settings: VideoSettings) -> str:
    """The `svtav1-params` text."""
    rate = settings.rate
    values: dict[str, int | str] = {"lp": 1, "scd": 0, "enable-overlays": 0, "tune": 1}
    if rate.control is RateControl.CBR:
        values |= {"pred-struct": _LOW_DELAY, "rtc": 1, "rc": _RC_CBR, "tbr": rate.target_kbps or 0}
    elif rate.control is RateControl.ABR:
        values |= {"pred-struct": _RANDOM_ACCESS, "rc": _RC_VBR, "tbr": rate.target_kbps or 0}
    else:
        values |= {"pred-struct": _RANDOM_ACCESS, "rc": _RC_CRF, "mbr": rate.max_kbps}
    return parameters(values)
