"""What a configuration fixes before any picture is seen: settings, description, init segments.

Opens each codec once to read the headers it will write. Called by session.py at its start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hitless_encoder import audio, video
from hitless_handover.parts import PartGrid
from hitless_handover.timeline import Timeline
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.ingest import ChannelDescription, TrackDescription
from hitless_wire.media_resources import AudioTrack


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """The plan. inits: the init segment of each track; its names are all tracks there are.

    parts: None where segments are made whole.
    """

    timeline: Timeline
    parts: PartGrid | None
    video: tuple[video.VideoSettings, ...]
    description: ChannelDescription
    inits: Mapping[str, bytes]


def plan_media(config: EncoderConfig, preset: str) -> Media:
    """The plan of a configuration. Raises ConfigurationError, CodecError, TimelineError."""
    timeline, parts = config.timeline.resolve(), config.timeline.parts()
    settings = tuple(
        video.VideoSettings(
            profile=profile, timeline=timeline, preset=preset, in_parts=parts is not None
        )
        for profile in config.profiles
    )
    rates = config.bit_rate_box
    pictures = {one.profile.name: video.describe(one, with_rates=rates) for one in settings}
    sounds = {
        track.name: audio.describe(track, timeline, with_rates=rates) for track in config.audio
    }
    tracks = (
        *(_video_track(one, pictures[one.profile.name].codecs) for one in settings),
        *(_audio_track(one, sounds[one.name].codecs, timeline) for one in config.audio),
    )
    inits = {name: track.init for name, track in pictures.items()}
    inits |= {name: track.init for name, track in sounds.items()}
    description = ChannelDescription(
        rate_num=timeline.rate_num,
        rate_den=timeline.rate_den,
        segment_frames=timeline.segment_frames,
        gop_frames=timeline.gop_frames,
        part_frames=config.timeline.part_frames,
        audio_rate=timeline.audio_rate,
        window_seconds=config.window_seconds,
        tracks=tracks,
    )
    return Media(
        timeline=timeline,
        parts=parts,
        video=settings,
        description=description,
        inits=inits,
    )


def _video_track(settings: video.VideoSettings, codecs: str) -> TrackDescription:
    return TrackDescription(
        name=settings.profile.name,
        type="video",
        codecs=codecs,
        bandwidth=settings.peak_bps,
        timescale=settings.timeline.timescale,
        width=settings.profile.width,
        height=settings.profile.height,
    )


def _audio_track(track: AudioTrack, codecs: str, timeline: Timeline) -> TrackDescription:
    return TrackDescription(
        name=track.name,
        type="audio",
        codecs=codecs,
        bandwidth=track.kbps * 1000,
        timescale=timeline.audio_rate,
        sample_rate=timeline.audio_rate,
        channels=track.channels,
        language=track.language,
    )
