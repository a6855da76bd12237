"""What a video codec is to the ladder: a fresh context a segment, and how its bytes are kept.

A codec is a value without state. The bytes of a segment must be a pure function of its pictures,
the settings and the library's version; the header (so the init segment) one of the settings alone,
not of the preset. Where hardware can't promise that, its segments are only interchangeable.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
from av.video.codeccontext import VideoCodecContext

from hitless_encoder.codecs.rate import Rate, rate_of
from hitless_encoder.errors import ConfigurationError
from hitless_encoder.mux import SampleEntry
from hitless_handover.timeline import Timeline
from hitless_wire.media_resources import Profile

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow")
_GLOBAL_HEADER = 1 << 22
_BITEXACT = 1 << 23


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSettings:
    """All that decides the bytes of a rendition, given its pictures.

    in_parts: its viewers get it while it is made, so each picture is to come out at once.
    """

    profile: Profile
    timeline: Timeline
    preset: str
    in_parts: bool = False

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ConfigurationError(
                f"preset {self.preset!r} is unknown: choose one of {', '.join(PRESETS)}"
            )

    @property
    def rate(self) -> Rate:
        """What rate control is told."""
        return rate_of(self.profile, in_parts=self.in_parts)

    @property
    def peak_bps(self) -> int:
        """The highest bit rate of a segment, bit/s: the cap, and the VBV buffer spent once."""
        line = self.timeline
        seconds = Fraction(line.segment_frames * line.rate_den, line.rate_num)
        return self.rate.peak_bps(seconds)

    def refusal(self, field: str, message: str) -> ConfigurationError:
        """An error about a field of this profile."""
        return ConfigurationError(f"profiles.{self.profile.name}.{field}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the init segment says of a track: its sample entry, and the RFC 6381 codec string."""

    entry: SampleEntry
    codecs: str


class Codec(Protocol):
    """One way to code pictures. Packets must come in presentation order."""

    def open(self, settings: VideoSettings) -> VideoCodecContext:
        """A fresh context for one segment. Raises ConfigurationError, which names the field."""
        ...

    def header(self, settings: VideoSettings, context: VideoCodecContext) -> Header:
        """Read it from a context that was just opened. Raises CodecError, ConfigurationError."""
        ...

    def sample(self, packet: bytes) -> bytes:
        """An encoder's packet as a CMAF sample."""
        ...

    def is_sync(self, packet: bytes, *, keyframe: bool) -> bool:
        """Whether a decoder can start at a packet. keyframe: what the encoder says of it."""
        ...


def new_context(encoder: str, settings: VideoSettings) -> VideoCodecContext:
    """A context of an encoder with what all codecs have in common, not opened yet."""
    profile, line = settings.profile, settings.timeline
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, VideoCodecContext), "video encoders only"
    context.width, context.height, context.pix_fmt = profile.width, profile.height, "yuv420p"
    context.time_base = Fraction(line.rate_den, line.rate_num)
    context.framerate = Fraction(line.rate_num, line.rate_den)
    context.gop_size = line.gop_frames
    context.max_b_frames = 0
    context.thread_count = 1
    context.flags |= _GLOBAL_HEADER | _BITEXACT
    return context


def parameters(values: dict[str, int | str]) -> str:
    """Options as x264, x265 and SVT-AV1 read them: name=value:name=value."""
    return ":".join(f"{name}={value}" for name, value in values.items())
