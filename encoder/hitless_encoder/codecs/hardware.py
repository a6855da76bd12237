"""FFmpeg's hardware encoders by name, where this FFmpeg has them and the device is there.

Two drivers or cards need not give the same bytes: such segments are interchangeable, not identical.
Headers are the driver's. Nothing of this has been run on such a device by us (docs/codecs.md).
"""

from __future__ import annotations

import av
from av.codec.codec import UnknownCodecError
from av.video.codeccontext import VideoCodecContext

from hitless_encoder import av1, h264, hevc
from hitless_encoder.codecs.base import Header, VideoSettings, new_context
from hitless_encoder.codecs.svtav1 import av1_header, crf_of_63
from hitless_encoder.codecs.x264 import avc_header
from hitless_encoder.codecs.x265 import hvc_header
from hitless_wire.video_codecs import AV1, H264, RateControl, family

_HEADERS = {"h264": avc_header, "hevc": hvc_header, "av1": av1_header}
_SAMPLES = {"h264": h264.length_prefixed, "hevc": hevc.length_prefixed, "av1": av1.sample}
# Each maker's words for: no reordering, no delay, key frames where we say
_OPTIONS = {
    "nvenc": {"forced-idr": "1", "delay": "0", "zerolatency": "1", "b_ref_mode": "disabled"},
    "qsv": {"forced_idr": "1", "async_depth": "1", "look_ahead": "0"},
    "amf": {"usage": "lowlatency"},
}
_QUALITY = {"nvenc": "cq", "qsv": "global_quality", "amf": "qp_i"}


class Hardware:
    """See the module. name: FFmpeg's, e.g. h264_nvenc."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._family = family(name)
        self._maker = name.rsplit("_", 1)[1]

    def open(self, settings: VideoSettings) -> VideoCodecContext:
        """See Codec."""
        rate = settings.rate
        try:
            formats = av.Codec(self._name, "w").video_formats or []
            context = new_context(self._name, settings)
            if formats and all(one.name != "yuv420p" for one in formats):
                context.pix_fmt = "nv12"
            context.bit_rate = (rate.target_kbps or rate.max_kbps) * 1000
            options = {
                "maxrate": f"{rate.max_kbps}k",
                "bufsize": f"{rate.buffer_kbits}k",
                **_OPTIONS.get(self._maker, {}),
            }
            if rate.control is RateControl.CAPPED_CRF and self._maker in _QUALITY:
                crf = crf_of_63(rate.crf) if self._family == AV1 else rate.crf
                options[_QUALITY[self._maker]] = str(crf)
            context.options = options
            context.open()
        except UnknownCodecError as error:
            raise settings.refusal(
                "codec",
                f"this image's FFmpeg has no {self._name}: use an image that has, or set codec to "
                f"{self._family}",
            ) from error
        except (av.FFmpegError, ValueError) as error:
            raise settings.refusal(
                "codec",
                f"{self._name} can't be opened ({_reason(error)}): give the pod the device "
                f"(spec.template), or set codec to {self._family}",
            ) from error
        return context

    def header(self, settings: VideoSettings, context: VideoCodecContext) -> Header:  # noqa: ARG002
        """See Codec."""
        return _HEADERS[self._family](context.extradata or b"")

    def sample(self, packet: bytes) -> bytes:
        """See Codec."""
        return _SAMPLES[self._family](packet)

    def is_sync(self, packet: bytes, *, keyframe: bool) -> bool:
        """See Codec."""
        if self._family == AV1:
            return keyframe
        return h264.is_idr(packet) if self._family == H264 else hevc.is_idr(packet)


def _reason(error: Exception) -> str:
    """FFmpeg's words, on one line."""
    return " ".join(str(error).split())
