"""Rate control of one segment: what an encoder is told, so that the stream has the rate asked for.

Each segment has a context of its own, and rate control starts anew in it. What a codec then misses
of its target, or overshoots, is much the same in every segment, so a fixed factor corrects it. A
factor and not a loop: the bytes of a segment stay a pure function of its own pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from hitless_wire.media_resources import Profile
from hitless_wire.video_codecs import AV1, H264, HEVC, MPEG2, MPEG4, VP9, RateControl, family

VBV_SECONDS = 1  # size of the VBV buffer, in seconds at the cap
_VBV_START = Fraction(9, 10)  # x264 and x265 start a context with the buffer this full

# Percent of the target that the encoder is told; measured by `hack/bench_rates.py`, docs/codecs.md.
CORRECTION_PERCENT: Mapping[tuple[str, RateControl], int] = {
    (H264, RateControl.ABR): 118,
    (H264, RateControl.CBR): 100,
    (HEVC, RateControl.ABR): 135,
    (HEVC, RateControl.CBR): 104,
    (AV1, RateControl.ABR): 130,
    (AV1, RateControl.CBR): 96,
    (VP9, RateControl.ABR): 105,
    (VP9, RateControl.CBR): 103,
    (MPEG2, RateControl.ABR): 70,
    (MPEG2, RateControl.CBR): 86,
    (MPEG4, RateControl.ABR): 72,
    (MPEG4, RateControl.CBR): 86,
}
# The same without a look-ahead, which channels in parts do without.
_CORRECTION_IN_PARTS: Mapping[tuple[str, RateControl], int] = {
    (H264, RateControl.ABR): 102,
    (HEVC, RateControl.ABR): 98,
    (HEVC, RateControl.CBR): 100,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What an encoder is told. kbit/s, and kbit for the buffer. target_kbps: None with crf."""

    control: RateControl
    crf: int
    target_kbps: int | None
    max_kbps: int

    @property
    def buffer_kbits(self) -> int:
        """The VBV buffer."""
        return self.max_kbps * VBV_SECONDS

    def peak_bps(self, seconds: Fraction) -> int:
        """The highest rate of a segment of this length: the cap, and the buffer spent once."""
        return int(self.max_kbps * 1000 * (1 + _VBV_START * VBV_SECONDS / seconds)) + 1


def rate_of(profile: Profile, *, in_parts: bool) -> Rate:
    """The corrected rate of a profile."""
    control = profile.rate_control
    key = (family(profile.codec), control)
    percent = CORRECTION_PERCENT.get(key, 100)
    if in_parts:
        percent = _CORRECTION_IN_PARTS.get(key, percent)
    wanted = {
        RateControl.CAPPED_CRF: None,
        RateControl.ABR: profile.target_kbps,
        RateControl.CBR: profile.max_kbps,
    }[control]
    target = None if wanted is None else wanted * percent // 100
    return Rate(
        control=control,
        crf=profile.crf,
        target_kbps=target,
        max_kbps=max(profile.max_kbps, target or 0),
    )
