"""Video codecs, a module an encoder. base.py: what each must do; docs/codecs.md: what it gives."""

from __future__ import annotations

from collections.abc import Mapping

from hitless_encoder.codecs.base import Codec
from hitless_encoder.codecs.hardware import Hardware
from hitless_encoder.codecs.mpeg import Mpeg
from hitless_encoder.codecs.svtav1 import SvtAv1
from hitless_encoder.codecs.vpx import Vpx
from hitless_encoder.codecs.x264 import X264
from hitless_encoder.codecs.x265 import X265
from hitless_wire.video_codecs import AV1, H264, HEVC, MPEG2, MPEG4, VP9

_SOFTWARE: Mapping[str, Codec] = {
    H264: X264(),
    HEVC: X265(),
    AV1: SvtAv1(),
    VP9: Vpx(),
    MPEG2: Mpeg(),
    MPEG4: Mpeg(),
}


def codec_of(name: str) -> Codec:
    """The codec of a profile's `codec`; what is none of ours is a hardware encoder's name."""
    return _SOFTWARE.get(name) or Hardware(name)
