"""The `source` of an EncoderDeployment: what can be read, and where it says its time."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from hitless_wire.model import Model, without_none

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
