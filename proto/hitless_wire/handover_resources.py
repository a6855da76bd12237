"""The `handover` of an EncoderDeployment: when, how, and what the successor has to be like."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hitless_handover.messages import (
    ATTEMPTS_MAX,
    AV_OFFSET_MAX_MS,
    CALL_S,
    LATE_MAX_MS,
    LOUDNESS_MAX_DB,
    ROUNDS_MAX,
    SPEED_MIN_PERCENT,
    SSIM_MIN_PERMILLE,
    HandoverMode,
)
from hitless_wire.model import Instant, Model


class Verify(Model):
    """What the incumbent demands of the successor's output before it agrees."""

    segments: Annotated[int, Field(ge=1, le=10, description="Segments to judge.")] = 2
    psnr_min_db: Annotated[
        int,
        Field(
            ge=0,
            le=60,
            description="Least PSNR of luma, Cb and Cr against the incumbent's picture, dB.",
        ),
    ] = 26
    ssim_min_permille: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="Least luma SSIM against the incumbent's picture, thousandths.",
        ),
    ] = SSIM_MIN_PERMILLE
    loudness_max_db: Annotated[
        int,
        Field(
            ge=1, le=60, description="How much louder or quieter the sound of a segment may be, dB."
        ),
    ] = LOUDNESS_MAX_DB
    av_offset_max_ms: Annotated[
        int,
        Field(
            ge=1,
            le=500,
            description="How early or late the sound may be against the incumbent's, milliseconds.",
        ),
    ] = AV_OFFSET_MAX_MS
    speed_min_percent: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="Least speed over the judged segments; 100 is real time, 0: any.",
        ),
    ] = SPEED_MIN_PERCENT
    late_max_ms: Annotated[
        int,
        Field(
            ge=100,
            le=60_000,
            description="How long after the incumbent's own each segment may come, milliseconds.",
        ),
    ] = LATE_MAX_MS


class Deadlines(Model):
    """How long a step may take, in seconds, before the update is abandoned."""

    start_seconds: Annotated[
        int,
        Field(ge=5, le=3600, description="Successor scheduled, pulled, started and encoding."),
    ] = 120
    negotiate_seconds: Annotated[
        int, Field(ge=5, le=600, description="Announce to armed, verification included.")
    ] = 60
    confirm_seconds: Annotated[
        int, Field(ge=5, le=600, description="From the handover frame to the last confirmation.")
    ] = 30
    call_seconds: Annotated[
        int, Field(ge=1, le=30, description="For the answer to one call between two encoders.")
    ] = CALL_S


class Negotiation(Model):
    """How often the two encoders try before the update is abandoned."""

    rounds_max: Annotated[
        int, Field(ge=1, le=50, description="Proposals of a frame, counter-proposals included.")
    ] = ROUNDS_MAX
    attempts_max: Annotated[
        int, Field(ge=1, le=50, description="Times that an unanswered call is made.")
    ] = ATTEMPTS_MAX


class HandoverEvent(Model):
    """When the successor takes over. Empty: as soon as the lead allows."""

    at_frame: Annotated[
        int | None, Field(ge=0, description="At this frame since 1970, or the segment after it.")
    ] = None
    at_timestamp: Annotated[
        Instant | None, Field(description="At this time, or the segment that starts after it.")
    ] = None
    at_timecode: Annotated[
        str | None,
        Field(
            pattern=r"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d:\d{2,3}$",
            description="At the first HH:MM:SS:FF (non-drop) after the update begins.",
        ),
    ] = None
    not_before: Annotated[Instant | None, Field(description="Not earlier than this time.")] = None
    not_after: Annotated[
        Instant | None, Field(description="Not later than this time: refused when it has passed.")
    ] = None

    @model_validator(mode="after")
    def _one_of(self) -> HandoverEvent:
        exact = [self.at_frame, self.at_timestamp, self.at_timecode]
        given = sum(value is not None for value in exact)
        if given > 1:
            raise ValueError("give one of atFrame, atTimestamp and atTimecode")
        if given and (self.not_before is not None or self.not_after is not None):
            raise ValueError("notBefore and notAfter say nothing beside an exact event: drop them")
        if self.not_before and self.not_after and self.not_after < self.not_before:
            raise ValueError("notAfter is before notBefore: nothing lies between")
        return self


class Handover(Model):
    """How an update is carried out."""

    mode: Annotated[
        HandoverMode,
        Field(
            description="Priority: both encoders send, the origin selects. Cease: the incumbent "
            "stops sending at the event. SilentStandby: and the successor sends nothing before it."
        ),
    ] = HandoverMode.PRIORITY
    event: HandoverEvent = HandoverEvent()
    lead_segments: Annotated[
        int, Field(ge=1, le=30, description="Least notice of the event, whole segments.")
    ] = 2
    hold_segments: Annotated[
        int, Field(ge=1, le=300, description="Segments that the incumbent stays as fallback.")
    ] = 3
    verify: Verify = Verify()
    negotiation: Negotiation = Negotiation()
    deadlines: Deadlines = Deadlines()
    allow_discontinuity: Annotated[
        bool,
        Field(
            description="Whether an update may change tracks, codecs, sizes or GOPs: the origin "
            "declares a discontinuity at the frame, and players go on there with new decoders. "
            "Frame rate and segmentFrames can't change."
        ),
    ] = False
