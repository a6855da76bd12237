"""The `EncoderDeployment` spec as users write it: pydantic models at the edge.

Owns names, defaults, units and limits of the custom resource. The operator makes the CRD from these
models; `hitless local` reads the same file with them. `encoder_config` derives what one encoder
process needs to know, and nothing else does.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

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
from hitless_handover.parts import PartGrid
from hitless_handover.timeline import Anchor, Timeline
from hitless_wire.model import Model, without_none
from hitless_wire.pod_template import PodTemplate
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

GROUP = "hitless.video"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "EncoderDeployment"
PLURAL = "encoderdeployments"

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$")]


_HLS = ("http", "https")
LIVE_SCHEMES = ("udp", "rtp", "tcp", "rtmp", "rtmps", "rtsp", "http", "https")

SOURCE_URLS = (
    "source.url must be testpattern:, file:///path, file:///folder/, udp://host:port, "
    "rtp://host:port, tcp://host:port, rtmp://, rtmps://, rtsp:// or, for HLS, http:// or https://"
)

SOURCE_PUSHED = (
    "source.url: srt://, rist:// and pushed sources need an ingest that fans them out, which is "
    "not there yet: send MPEG-TS to a multicast group and use udp:// or rtp://"
)

TIMECODE_LIVE = (
    "source.timecode is for live sources: testpattern: and file:// always go by the wall clock; "
    "drop it"
)

TIMECODE_OF_HLS = (
    "source.timecode ProgramDateTime is in HLS playlists: use an http:// or https:// source, or "
    "PictureTiming"
)

TIMECODE_OF_SENDER = (
    "source.timecode ProducerReferenceTime is in the fMP4 segments of HLS (http://, https://) and "
    "in the sender reports of rtsp://: use one of these, or PictureTiming"
)

_PUSHED_URL = "^(srt|rist|whip|whips)://"
_SOURCE_URL = "^(testpattern:|file:///|(udp|rtp|tcp)://[^/]+:[0-9]+|(rtmps?|rtsp|https?)://[^/])"


class SourceTimecode(StrEnum):
    """What of a live source says its absolute time."""

    PROGRAM_DATE_TIME = "ProgramDateTime"  # EXT-X-PROGRAM-DATE-TIME of an HLS playlist
    PICTURE_TIMING = "PictureTiming"  # time codes in the SEI of H.264 and HEVC
    PRODUCER_REFERENCE_TIME = "ProducerReferenceTime"  # `prft` boxes; RTCP sender reports


class Source(Model):
    """Where the pictures and the sound come from."""

    url: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2048,
            description=(
                "testpattern: (numbered picture, marked tone); file:///path or file:///folder/ "
                "(looped against the wall clock); MPEG-TS by udp://host:port, rtp://host:port "
                "(both unicast or multicast) or tcp://host:port (connects); rtmp://, rtmps:// and "
                "rtsp:// (pulled); http:// or https:// (HLS, pulled)."
            ),
            json_schema_extra={
                "x-kubernetes-validations": [
                    {"rule": f"!self.matches('{_PUSHED_URL}')", "message": SOURCE_PUSHED},
                    {
                        "rule": f"self.matches('{_PUSHED_URL}') || self.matches('{_SOURCE_URL}')",
                        "message": SOURCE_URLS,
                    },
                ]
            },
        ),
    ]
    slate_seconds: Annotated[
        int | None,
        Field(
            ge=1,
            le=10,
            description=(
                "Live sources: after so many seconds without a picture, repeat the last one up to "
                "the next segment, then show a slate and silence until pictures come in again. "
                "Default: send nothing, so that the origin can publish another encoder's "
                "segments; with a HotSpare that receives by another path, leave it so."
            ),
        ),
    ] = None
    timecode: Annotated[
        SourceTimecode | None,
        Field(
            description=(
                "Live sources: where the source says its absolute time, which then is a picture's "
                "frame number: ProgramDateTime (HLS), PictureTiming (time codes in the SEI of "
                "H.264 and HEVC) or ProducerReferenceTime (prft boxes of HLS in fMP4, sender "
                "reports of RTSP). Default: the first picture is the frame on air by the wall "
                "clock. On a running channel it can't change hitlessly."
            ),
        ),
    ] = None

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        if re.match(_PUSHED_URL, url):
            raise ValueError(SOURCE_PUSHED)
        if not re.match(_SOURCE_URL, url):
            raise ValueError(SOURCE_URLS)
        return url

    @model_validator(mode="after")
    def _has_that_timecode(self) -> Source:
        scheme = self.url.partition(":")[0]
        if self.timecode is None:
            return self
        if scheme not in LIVE_SCHEMES:
            raise ValueError(TIMECODE_LIVE)
        if self.timecode is SourceTimecode.PROGRAM_DATE_TIME and scheme not in _HLS:
            raise ValueError(TIMECODE_OF_HLS)
        sender = (*_HLS, "rtsp")
        if self.timecode is SourceTimecode.PRODUCER_REFERENCE_TIME and scheme not in sender:
            raise ValueError(TIMECODE_OF_SENDER)
        return self

    @model_serializer(mode="wrap")
    def _without_newer(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is not asked for is left out: digests stay what they were before there was it."""
        return without_none(dump(self), "slate_seconds", "slateSeconds", "timecode")


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


class Output(Model):
    """Where the encoders push to, and how long the origin keeps it."""

    ingest_url: Annotated[
        str | None,
        Field(
            max_length=2048,
            pattern=r"^https?://",
            description="Base URL of the receiving origin; default: the installed Hitless origin.",
        ),
    ] = None
    window_seconds: Annotated[
        int, Field(ge=10, le=86_400, description="DVR window that the origin publishes, seconds.")
    ] = 120
    producer_reference_time: Annotated[
        bool,
        Field(
            description="Write a prft box before each CMAF chunk: the timeline's own UTC time.",
            exclude_if=lambda value: not value,
        ),
    ] = False
    bit_rate_box: Annotated[
        bool,
        Field(
            description="Write a btrt box into the init segments. Then they, and so the edition, "
            "change with the bit rates.",
            exclude_if=lambda value: not value,
        ),
    ] = False


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


Instant = Annotated[AwareDatetime, Field(json_schema_extra={"format": "date-time"})]


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


SPARE_CEASES = (
    "a hot spare sends all the time, and the downstream of mode Cease knows no priorities: set "
    "handover.mode to Priority or SilentStandby, or redundancy to None"
)


DISCONTINUITY_IN_PARTS = (
    "tracks can't change in a channel with parts, which are on air before it is known whose "
    "segment it becomes: drop handover.allowDiscontinuity or timeline.partFrames"
)


class Redundancy(StrEnum):
    """What stands by when no update is under way."""

    NONE = "None"
    HOT_SPARE = "HotSpare"


class EvictionStrategy(StrEnum):
    """What happens when the encoder on air is to be evicted, or its node emptied."""

    HANDOVER = "Handover"
    NONE = "None"


class EncoderDeploymentSpec(Model):
    """One live channel and the encoder that makes it."""

    image: Annotated[
        str,
        Field(min_length=1, max_length=512, description="Encoder image. Changing it hands over."),
    ]
    type: Annotated[
        str, Field(pattern=r"^[a-z0-9-]{1,63}$", description="A label for selecting channels.")
    ] = "live"
    source: Source
    timeline: TimelineSpec = TimelineSpec()
    profiles: Annotated[
        tuple[Profile, ...],
        Field(
            min_length=1,
            max_length=12,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ]
    audio: Annotated[
        tuple[AudioTrack, ...],
        Field(
            max_length=4,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = (AudioTrack(),)
    output: Output = Output()
    handover: Handover = Handover()
    redundancy: Annotated[
        Redundancy,
        Field(
            description="HotSpare: a second encoder runs all the time and takes over at once when "
            "the one on air is lost."
        ),
    ] = Redundancy.NONE
    eviction_strategy: Annotated[
        EvictionStrategy,
        Field(
            description="Handover: when its node is drained, or (with the chart's evictionWebhook) "
            "its eviction is asked for, the encoder on air hands over to another one, on another "
            "node where there is one, and is kept from eviction until then. None: it is evicted."
        ),
    ] = EvictionStrategy.HANDOVER
    template: PodTemplate = PodTemplate()
    paused: Annotated[
        bool, Field(description="While true no handover starts; the channel plays on.")
    ] = False

    @model_validator(mode="after")
    def _fits_together(self) -> EncoderDeploymentSpec:
        names = [p.name for p in self.profiles] + [a.name for a in self.audio]
        if len(set(names)) != len(names):
            raise ValueError(f"names of profiles and audio must differ, got {', '.join(names)}")
        if self.redundancy is Redundancy.HOT_SPARE and self.handover.mode is HandoverMode.CEASE:
            raise ValueError(SPARE_CEASES)
        if self.handover.allow_discontinuity and self.timeline.part_frames is not None:
            raise ValueError(DISCONTINUITY_IN_PARTS)
        timeline, timecode = self.timeline.resolve(), self.handover.event.at_timecode
        self.timeline.parts()
        check_profiles(self.profiles, self.timeline)
        if timecode is not None:
            timeline.frame_of_timecode(timecode, 0)
        return self


class AnchorModel(Model):
    """`Anchor` as it is written to the CR status and the encoder's configuration."""

    source_ticks: int
    source_timescale: int
    wrap_ticks: int
    frame: int
    wall_us: int

    def value(self) -> Anchor:
        """The core value."""
        return Anchor(**self.model_dump())

    @classmethod
    def of(cls, anchor: Anchor) -> AnchorModel:
        """From the core value."""
        return cls(
            source_ticks=anchor.source_ticks,
            source_timescale=anchor.source_timescale,
            wrap_ticks=anchor.wrap_ticks,
            frame=anchor.frame,
            wall_us=anchor.wall_us,
        )


_NEWER = ("silent_standby", "allow_discontinuity", "producer_reference_time", "bit_rate_box")


class EncoderConfig(Model):
    """All that one encoder process is told: HITLESS_ENCODER_CONFIG (JSON) or --config FILE."""

    schema_version: Literal[1] = 1
    namespace: str
    channel: str
    encoder_id: str
    source: Source
    timeline: TimelineSpec
    profiles: tuple[Profile, ...]
    audio: tuple[AudioTrack, ...]
    ingest_url: str
    window_seconds: int
    anchor: AnchorModel | None = None
    silent_standby: bool = False
    allow_discontinuity: bool = False
    producer_reference_time: bool = False
    bit_rate_box: bool = False

    def to_json(self) -> str:
        """Compact JSON with sorted keys: the same configuration is the same text.

        What only newer encoders know is left out unless it is asked for: an older one refuses
        fields that it does not know.
        """
        newer = {name for name in _NEWER if not getattr(self, name)}
        body = self.model_dump(mode="json", by_alias=True, exclude=newer)
        return json.dumps(body, sort_keys=True, separators=(",", ":"))


def encoder_config(
    spec: EncoderDeploymentSpec,
    *,
    namespace: str,
    channel: str,
    encoder_id: str,
    default_ingest_url: str,
    anchor: Anchor | None,
) -> EncoderConfig:
    """The configuration of one encoder of a channel."""
    return EncoderConfig(
        namespace=namespace,
        channel=channel,
        encoder_id=encoder_id,
        source=spec.source,
        timeline=spec.timeline,
        profiles=spec.profiles,
        audio=spec.audio,
        ingest_url=(spec.output.ingest_url or default_ingest_url).rstrip("/"),
        window_seconds=spec.output.window_seconds,
        anchor=None if anchor is None else AnchorModel.of(anchor),
        silent_standby=spec.handover.mode is HandoverMode.SILENT_STANDBY,
        allow_discontinuity=spec.handover.allow_discontinuity,
        producer_reference_time=spec.output.producer_reference_time,
        bit_rate_box=spec.output.bit_rate_box,
    )


def spec_digest(spec: EncoderDeploymentSpec) -> str:
    """16 hex digits over everything an encoder process is made from: image and settings.

    Two specs with the same digest need no handover between them. Handover settings and `paused` are
    left out: they say how to update, not what runs.
    """
    body: dict[str, Any] = spec.model_dump(
        mode="json", include={"image", "source", "timeline", "profiles", "audio", "output"}
    )
    if spec.template != PodTemplate():
        body["template"] = spec.template.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
