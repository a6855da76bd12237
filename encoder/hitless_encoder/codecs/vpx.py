"""VP9 by libvpx in real-time mode, as `vp09`: no look-ahead, no hidden pictures."""

from __future__ import annotations

from av.video.codeccontext import VideoCodecContext

from hitless_encoder import vp9
from hitless_encoder.codecs.base import Header, VideoSettings, new_context
from hitless_encoder.codecs.svtav1 import crf_of_63
from hitless_encoder.mux import SampleEntry
from hitless_wire.video_codecs import RateControl

_SPEED = {
    "ultrafast": 8,
    "superfast": 8,
    "veryfast": 8,
    "faster": 7,
    "fast": 7,
    "medium": 6,
    "slow": 5,
}


class Vpx:
    """See the module."""

    def open(self, settings: VideoSettings) -> VideoCodecContext:
        """See Codec."""
        rate = settings.rate
        context = new_context("libvpx-vp9", settings)
        context.options = {
            "deadline": "realtime",
            "cpu-used": str(_SPEED[settings.preset]),
            "lag-in-frames": "0",
            "auto-alt-ref": "0",
            "row-mt": "0",
            "tile-columns": "0",
            "frame-parallel": "0",
            **_rate_options(settings),
        }
        context.bit_rate = (rate.target_kbps or rate.max_kbps) * 1000
        context.open()
        return context

    def header(self, settings: VideoSettings, context: VideoCodecContext) -> Header:  # noqa: ARG002
        """See Codec: libvpx writes none, the level follows from the settings."""
        profile, line = settings.profile, settings.timeline
        level = vp9.level_of(
            width=profile.width,
            height=profile.height,
            rate_num=line.rate_num,
            rate_den=line.rate_den,
            kbps=settings.rate.max_kbps,
        )
        if level is None:
            raise settings.refusal("codec", "size, frame rate and maxKbps are beyond VP9 level 6.2")
        vpcc = vp9.decoder_configuration(level)
        return Header(
            entry=SampleEntry(kind=b"vp09", configuration=((b"vpcC", vpcc),)),
            codecs=vp9.codec_string(level),
        )

    def sample(self, packet: bytes) -> bytes:
        """See Codec."""
        return packet

    def is_sync(self, packet: bytes, *, keyframe: bool) -> bool:  # noqa: ARG002
        """See Codec."""
        return keyframe


def _rate_options(settings: VideoSettings) -> dict[str, str]:
    """Constrained quality: the bit rate is the cap of crf. VBR; or CBR with its buffer."""
    rate = settings.rate
    if rate.control is RateControl.CAPPED_CRF:
        return {"crf": str(crf_of_63(rate.crf))}
    if rate.control is RateControl.ABR:
        return {"maxrate": f"{rate.max_kbps}k"}
    cap = f"{rate.max_kbps}k"
    return {"minrate": cap, "maxrate": cap, "bufsize": f"{rate.buffer_kbits}k"}
