"""The `timeline`, `profiles` and `audio` of an EncoderDeployment: a grid, and what is on it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from hitless_handover.parts import PartGrid
from hitless_handover.timeline import Timeline
from hitless_wire.model import Model, Name, without_none
from hitless_wire.video_codecs import (
    ABR_TARGET,
    AV1,
    AV1_PARTS,
    CODEC_PATTERN,
    H264,
    NOT_MADE,
    TARGET_WITHOUT_ABR,
    RateControl,
    beyond,
)


class TimelineSpec(Model):
    """The channel's grid. It can't change hitlessly: it says where frames and segments lie."""

    frame_rate: Annotated[
        str,
        Field(
            pattern=r"^[1-9][0-9]{0,5}(/[1-9][0-9]{0,4})?$",
            description="Frames per second, whole or as a ratio: 25, 30, 30000/1001.",
        ),
    ] = "30"
    segment_frames: Annotated[
        int | None,
        Field(ge=1, le=1200, description="Frames in a segment; default: about 2 seconds."),
    ] = None
    gop_frames: Annotated[
        int | None,
        Field(ge=1, le=1200, description="Frames in a GOP; divides segmentFrames, its default."),
    ] = None
    part_frames: Annotated[
        int | None,
        Field(
            ge=1,
            le=1200,
            description="Low latency: frames in a part; divides gopFrames. Default: no parts.",
        ),
    ] = None

    def resolve(self) -> Timeline:
        """The grid in integers. Raises TimelineError when the values do not fit together."""
        rate = Fraction(self.frame_rate)
        segment = self.segment_frames or -(-2 * rate.numerator // rate.denominator)
        return Timeline(
            rate_num=rate.numerator,
            rate_den=rate.denominator,
            segment_frames=segment,
            gop_frames=self.gop_frames or segment,
        )

    def parts(self) -> PartGrid | None:
        """The grid of parts, where there are any. Raises TimelineError."""
        if self.part_frames is None:
            return None
        return PartGrid(timeline=self.resolve(), part_frames=self.part_frames)

    @model_serializer(mode="wrap")
    def _without_parts(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without parts it is written as before there were any: digests stay what they were."""
        return without_none(dump(self), "part_frames", "partFrames")


class Profile(Model):
    """One rendition of the ladder.

    What has a default and is newer than the first release is left out of what is written where it
    is that default: older encoders refuse it, and digests stay what they were.
    """

    name: Name
    width: Annotated[int, Field(ge=64, le=7680, multiple_of=2, description="Pixels, even.")]
    height: Annotated[int, Field(ge=64, le=4320, multiple_of=2, description="Pixels, even.")]
    max_kbps: Annotated[
        int, Field(ge=50, le=100_000, description="Cap of the bit rate, kbit/s (VBV maxrate).")
    ]
    crf: Annotated[
        int,
        Field(
            ge=10,
            le=45,
            description="Constant rate factor below the cap, on x264's scale for every codec.",
        ),
    ] = 24
    codec: Annotated[
        str,
        Field(
            pattern=CODEC_PATTERN,
            max_length=20,
            description="h264, hevc, av1, vp9, mpeg2, mpeg4 (Part 2), or an FFmpeg hardware "
            "encoder by name: h264_nvenc, hevc_qsv, …",
            exclude_if=lambda value: value == H264,
        ),
    ] = H264
    rate_control: Annotated[
        RateControl,
        Field(
            description="CappedCRF: even quality (crf) below maxKbps. ABR: targetKbps on average. "
            "CBR: maxKbps all the time.",
            exclude_if=lambda value: value is RateControl.CAPPED_CRF,
        ),
    ] = RateControl.CAPPED_CRF
    target_kbps: Annotated[
        int | None,
        Field(
            ge=50,
            le=100_000,
            description="Average of the bit rate with rateControl ABR, kbit/s.",
            exclude_if=lambda value: value is None,
        ),
    ] = None

    @field_validator("codec")
    @classmethod
    def _is_made(cls, codec: str) -> str:
        if codec in ("theora", "rv40"):
            raise ValueError(NOT_MADE)
        return codec

    @model_validator(mode="after")
    def _has_its_target(self) -> Profile:
        if self.rate_control is not RateControl.ABR:
            if self.target_kbps is not None:
                raise ValueError(TARGET_WITHOUT_ABR)
        elif self.target_kbps is None or self.target_kbps > self.max_kbps:
            raise ValueError(ABR_TARGET)
        return self


AAC = "aac"
OPUS = "opus"
CHANNEL_KBPS_MAX = 256
CHANNELS_OF_RATE = (
    f"kbps is more than {CHANNEL_KBPS_MAX} kbit/s a channel, which no codec takes: lower kbps, or "
    "raise channels"
)


class AudioTrack(Model):
    """One rendition of the source's sound, 48 kHz."""

    name: Name = "audio"
    kbps: Annotated[int, Field(ge=32, le=512, description="Bit rate, kbit/s.")] = 96
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$", description="ISO 639 code.")] = "und"
    codec: Annotated[
        Literal["aac", "opus"],
        Field(description="aac (AAC-LC) or opus.", exclude_if=lambda value: value == AAC),
    ] = "aac"
    channels: Annotated[
        int,
        Field(
            description="1 (both mixed), 2, or 6 (5.1; the source's two in front left and right).",
            json_schema_extra={"enum": [1, 2, 6]},
            exclude_if=lambda value: value == 2,
        ),
    ] = 2

    @model_validator(mode="after")
    def _can_be_coded(self) -> AudioTrack:
        if self.channels not in (1, 2, 6):
            raise ValueError("channels must be 1, 2 or 6 (5.1)")
        if self.kbps > CHANNEL_KBPS_MAX * self.channels:
            raise ValueError(CHANNELS_OF_RATE)
        return self


def check_profiles(profiles: Sequence[Profile], timeline: TimelineSpec) -> None:
    """Raise ValueError, which names the field, for a profile that can't be on this timeline."""
    for profile in profiles:
        wrong = beyond(
            profile.codec,
            width=profile.width,
            height=profile.height,
            rate=Fraction(timeline.frame_rate),
            kbps=profile.max_kbps,
        )
        if wrong:
            raise ValueError(f"profiles.{profile.name}.{wrong}")
        ahead = profile.codec == AV1 and profile.rate_control is not RateControl.CBR
        if ahead and timeline.part_frames is not None:
            raise ValueError(f"profiles.{profile.name}.codec: {AV1_PARTS}")
