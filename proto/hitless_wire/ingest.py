"""The HTTP contract between encoders, origin and whoever asks the origin what it did.

Owns paths, headers and JSON bodies. An encoder pushes, in this order: the channel description, an
init segment for each track, then each media segment when it is complete. Both encoders of a channel
use the same URLs (DASH-IF Live Media Ingest v1.2: redundant instances); headers say who pushed and
with which priority.

    PUT  {base}/ingest/{namespace}/{channel}/description.json   ChannelDescription
    PUT  {base}/ingest/{namespace}/{channel}/{track}/init.mp4   CMAF header
    PUT  {base}/ingest/{namespace}/{channel}/{track}/{k}.m4s    CMAF segment k, complete
    PUT  {base}/ingest/{namespace}/{channel}/{track}/{k}.{p}.m4s   its part p, in low latency
    GET  {base}/api/v1/channels                                 list of ChannelReport
    GET  {base}/api/v1/channels/{namespace}/{channel}           ChannelReport; with a Comparison
                                                                where ?comparison=1 asks for it
    GET  {base}/live/{namespace}/{channel}/master.m3u8          HLS multivariant playlist
    GET  {base}/live/{namespace}/{channel}/{track}/media.m3u8   HLS media playlist
    GET  {base}/live/{namespace}/{channel}/manifest.mpd         DASH; numbered.mpd: by number
    GET  {base}/live/{namespace}/{channel}/utc                  the time, for players
    GET  {base}/live/{namespace}/{channel}/{track}/init.mp4, /{k}.m4s and /{k}.{p}.m4s
    GET  {base}/healthz, {base}/metrics, {base}/api/v1/openapi.json

Answers to a push: 201 stored, 200 already held (a resend: same encoder, same bytes), 400 malformed,
401 without the channel's token, where the origin asks for it (hitless_wire.ingest_tokens), 403
path, identity or token not allowed, 404 unknown track, 409 differs from what the channel holds
(body says which field), 412 description or init missing (push them again), 413 too large, 410 older
than the window, 422 not what its digest says (push it again).

Parts (CMAF chunks, `partFrames` of them a part) come ahead of the segment, in order; the bytes of
all parts, one after the other, are the bytes of the segment. A part is answered 202 when others are
missing, however often it comes, 201 when with it the track of the segment is whole, 200 when it was
already: then the segment need not be pushed. Where that answer does not come, the encoder pushes
the segment whole.

What all encoders of a channel push is interchangeable: equal descriptions but for bandwidths and
window, equal init segments. An encoder that sends `Hitless-Discontinuity: allowed` with its
description may push another *edition* of the channel instead: other tracks, codecs, sizes, GOPs,
parts, audio rate or init segments, on the same frame rate and segment length. Terms decide between
editions as between encoders; where segments of two editions meet, viewers get a declared
discontinuity. Only encoders of the edition on air may push parts; others are answered 404 and push
segments whole.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from hitless_handover.parts import PartGrid
from hitless_handover.timeline import AAC_FRAME_SAMPLES, OPUS_FRAME_SAMPLES, Timeline
from hitless_wire.model import Model, Name, without_none

HEADER_ENCODER = "Hitless-Encoder"
HEADER_PRIORITY = "Hitless-Priority"
HEADER_DIGEST = "Hitless-Digest"
HEADER_DISCONTINUITY = "Hitless-Discontinuity"  # with a description; any other value: not allowed
DISCONTINUITY_ALLOWED = "allowed"
COMPARISON_QUERY = "comparison"  # =1, of a ChannelReport
STORAGE_QUERY = "storage"  # =1, likewise
SEGMENT_SUFFIX = ".m4s"
INIT_NAME = "init.mp4"

# Left out where it says nothing new: readers that do not know the field refuse it.
_UNLESS_DEFAULT = Field(exclude_if=lambda value: not value)


class TrackDescription(Model):
    """One CMAF track as the manifests need it. Bandwidths in bit/s, timescale in ticks/s."""

    name: Name
    type: Literal["video", "audio"]
    codecs: str
    bandwidth: Annotated[int, Field(gt=0)]
    timescale: Annotated[int, Field(gt=0)]
    width: int | None = None
    height: int | None = None
    sample_rate: int | None = None
    channels: int | None = None
    language: str | None = None

    @property
    def frame_samples(self) -> int:
        """Audio samples in a codec frame, as its codec has it."""
        return OPUS_FRAME_SAMPLES if self.codecs.lower() == "opus" else AAC_FRAME_SAMPLES


class ChannelDescription(Model):
    """What an edition of a channel is made of. Its encoders push interchangeable ones."""

    rate_num: Annotated[int, Field(gt=0)]
    rate_den: Annotated[int, Field(gt=0)]
    segment_frames: Annotated[int, Field(gt=0)]
    gop_frames: Annotated[int, Field(gt=0)]
    part_frames: Annotated[int | None, Field(gt=0)] = None
    audio_rate: Annotated[int, Field(gt=0)] = 48_000
    window_seconds: Annotated[int, Field(gt=0)]
    tracks: tuple[TrackDescription, ...]

    def timeline(self) -> Timeline:
        """The grid. Raises TimelineError."""
        return Timeline(
            rate_num=self.rate_num,
            rate_den=self.rate_den,
            segment_frames=self.segment_frames,
            gop_frames=self.gop_frames,
            audio_rate=self.audio_rate,
        )

    def parts(self) -> PartGrid | None:
        """The grid of parts, where there are any. Raises TimelineError."""
        if self.part_frames is None:
            return None
        return PartGrid(timeline=self.timeline(), part_frames=self.part_frames)

    @model_serializer(mode="wrap")
    def _without_parts(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without parts it is written as before there were any: older origins take it."""
        return without_none(dump(self), "part_frames", "partFrames")

    def fingerprint(self) -> str:
        """16 hex digits over what must be equal for two outputs to be interchangeable.

        Bandwidth and window are left out: they may change in an update that viewers do not see.
        """
        body = self.model_dump(mode="json", exclude={"window_seconds": True})
        for track in body["tracks"]:
            del track["bandwidth"]
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


class _Report(Model):
    """Readers pass over what newer origins say in addition."""

    model_config = ConfigDict(extra="ignore")


class SwitchReport(_Report):
    """One change of the encoder that the origin selects.

    segment: first segment taken from `to_encoder`. gap_frames: frames of the timeline that were not
    published at the change. overlap_frames: frames that both encoders had delivered there.
    discontinuity: it was to another edition, and viewers got a declared discontinuity.
    """

    segment: int
    frame: int
    from_encoder: str
    to_encoder: str
    from_priority: int
    to_priority: int
    fallback: bool
    gap_frames: int
    overlap_frames: int
    discontinuity: Annotated[bool, _UNLESS_DEFAULT] = False


class EncoderInput(_Report):
    """What the origin last got from one encoder."""

    encoder: str
    priority: int
    last_segment: int
    last_push_us: int


class Comparison(_Report):
    """How the encoders of a channel are to each other, since the origin's process started.

    Of the tracks of segments that a second encoder of an edition delivered whole: identical (the
    same bytes as of another one) or interchangeable (other bytes, the same structure).
    newest_mismatch: encoder, box and field of the newest push that was neither, and was refused.
    damaged: bodies that were not what their digest says.
    """

    identical: int = 0
    interchangeable: int = 0
    damaged: int = 0
    newest_mismatch: str = ""


class StoredReport(_Report):
    """What a channel has stored, and whether there was room for all of its window.

    missing_segments: how many the window is shorter than it should be now. given_up: segments that
    left early since the process started.
    """

    stored_bytes: int
    missing_segments: int
    given_up: int


class ChannelReport(_Report):
    """What the origin did with a channel: facts for operator, CLI and people.

    fingerprint: of the edition on air. discontinuities: declared ones, since the channel began.
    comparison, storage: only where asked for, as older readers refuse fields that they don't know.
    """

    namespace: str
    channel: str
    fingerprint: str
    first_segment: int | None
    last_segment: int | None
    selected_encoder: str | None
    selected_priority: int
    fallbacks: int
    gaps: int
    mismatches: int
    discontinuities: Annotated[int, _UNLESS_DEFAULT] = 0
    inputs: tuple[EncoderInput, ...]
    switches: tuple[SwitchReport, ...]  # the newest last, at most 50
    comparison: Annotated[Comparison | None, _UNLESS_DEFAULT] = None
    storage: Annotated[StoredReport | None, _UNLESS_DEFAULT] = None


def part_name(segment: int, part: int) -> str:
    """The last piece of a part's path."""
    return f"{segment}.{part}{SEGMENT_SUFFIX}"


def ingest_path(namespace: str, channel: str) -> str:
    """Path below the origin's base URL that a channel's encoders push to."""
    return f"/ingest/{namespace}/{channel}"


def live_path(namespace: str, channel: str) -> str:
    """Path below the origin's base URL that viewers read."""
    return f"/live/{namespace}/{channel}"


def report_path(namespace: str, channel: str) -> str:
    """Path of the channel's report."""
    return f"/api/v1/channels/{namespace}/{channel}"
