"""Encoders of another edition than the studio's, that may differ from what is on air."""

from __future__ import annotations

from tests.component.origin.cmaf_maker import PAL, describe
from tests.component.origin.studio import Answer, Encoder, Studio

from hitless_wire.ingest import (
    DISCONTINUITY_ALLOWED,
    HEADER_DISCONTINUITY,
    ChannelDescription,
    TrackDescription,
)


class Differing(Encoder):
    """An encoder of an edition of its own, that says so with its description."""

    def __init__(
        self, studio: Studio, name: str, edition: ChannelDescription, *, allowed: bool = True
    ) -> None:
        super().__init__(studio, name)
        self.edition = edition
        self.allowed = allowed

    @property
    def description(self) -> ChannelDescription:
        return self.edition

    async def describe(self, description: ChannelDescription | None = None) -> Answer:
        body = (description or self.edition).model_dump_json(by_alias=True).encode()
        headers = {HEADER_DISCONTINUITY: DISCONTINUITY_ALLOWED} if self.allowed else {}
        return await self.put("description.json", body, headers=headers)


def changed(track: TrackDescription, **fields: object) -> TrackDescription:
    return track.model_copy(update=fields)


def other_ladder(kept: ChannelDescription | None = None) -> ChannelDescription:
    """hd, v0 and sound at 44.1 kHz, on the grid of the studio's v0, v1 and audio at 48 kHz."""
    kept = kept or describe(PAL)
    v0, _, audio = kept.tracks
    hd = changed(v0, name="hd", width=1280, height=720, bandwidth=2_000_000, codecs="avc1.64001f")
    sound = changed(audio, name="sound", timescale=44_100, sample_rate=44_100)
    return kept.model_copy(update={"audio_rate": 44_100, "tracks": (hd, v0, sound)})
