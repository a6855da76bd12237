"""What one encoder process needs to know, derived from its channel's spec here and nowhere else."""

from __future__ import annotations

import json
from typing import Literal

from hitless_handover.messages import HandoverMode
from hitless_handover.timeline import Anchor
from hitless_wire.media_resources import AudioTrack, Profile, TimelineSpec
from hitless_wire.model import Model
from hitless_wire.resources import EncoderDeploymentSpec
from hitless_wire.source_resources import Source


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
