"""The pictures of one segment, coded: a fresh single-threaded context of the profile's codec.

The bytes of a segment are a pure function of its pictures, the profile, the preset and the codec
library's version, whichever process started when. Called by ladder.py, one thread a rendition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.packet import Packet
from av.video.frame import PictureType

from hitless_encoder.codecs import codec_of
from hitless_encoder.codecs.base import VideoSettings
from hitless_encoder.errors import CodecError, not_here
from hitless_encoder.mux import BitRates, Sample, VideoHeader, video_init

__all__ = ["DEFAULT_PRESET", "SegmentEncoder", "VideoSettings", "VideoTrack", "describe"]

DEFAULT_PRESET = "veryfast"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoTrack:
    """What is fixed for a rendition: its init segment and codec string."""

    init: bytes
    codecs: str


def describe(settings: VideoSettings, *, with_rates: bool = False) -> VideoTrack:
    """Open the codec once and read what every segment's decoder needs to know.

    with_rates: the init segment says them (`btrt`); the average of capped CRF is its cap. Raises
    ConfigurationError, which names the field, where this build can't.
    """
    codec = codec_of(settings.profile.codec)
    try:
        context = codec.open(settings)
    except (av.FFmpegError, ValueError) as error:
        raise settings.refusal("codec", not_here(settings.profile.codec, error)) from error
    found = codec.header(settings, context)
    header = VideoHeader(
        width=settings.profile.width,
        height=settings.profile.height,
        timescale=settings.timeline.timescale,
        frame_ticks=settings.timeline.frame_ticks,
        entry=found.entry,
        rates=_bit_rates(settings) if with_rates else None,
    )
    return VideoTrack(init=video_init(header), codecs=found.codecs)


def _bit_rates(settings: VideoSettings) -> BitRates:
    profile, rate = settings.profile, settings.rate
    return BitRates(
        buffer_bytes=rate.buffer_kbits * 1000 // 8,
        max_bps=settings.peak_bps,
        average_bps=1000 * (profile.target_kbps or profile.max_kbps),
    )


class SegmentEncoder:
    """Encodes the pictures of one segment, in order; `samples` grows as the codec gives them."""

    def __init__(self, settings: VideoSettings) -> None:
        self._line = settings.timeline
        self._codec = codec_of(settings.profile.codec)
        self._context = self._codec.open(settings)
        self._name = settings.profile.codec
        self.samples: list[Sample] = []
        self._fed = 0

    def add(self, picture: av.VideoFrame) -> None:
        """Encode the next picture. It must have the profile's size and belong to this thread."""
        self._take(self._context.encode(picture))
        self._fed += 1

    def stamp(self, picture: av.VideoFrame) -> None:
        """Write time and picture type into the frame that `add` will get next."""
        picture.pts = self._fed
        picture.time_base = Fraction(self._line.rate_den, self._line.rate_num)
        key = self._fed % self._line.gop_frames == 0
        picture.pict_type = PictureType.I if key else PictureType.NONE

    def finish(self) -> None:
        """Flush the encoder. Raises CodecError unless each picture became a sample in its place."""
        self._take(self._context.encode(None))
        if len(self.samples) != self._fed:
            got = f"{len(self.samples)} samples for {self._fed} pictures"
            raise CodecError(f"{self._name} gave {got}")

    def _take(self, packets: Sequence[Packet[Any]]) -> None:
        """Packets come in decoding order: with each at its place, that is presentation order."""
        for packet in packets:
            place = len(self.samples)
            if packet.pts != place:
                raise CodecError(f"{self._name} gave pts {packet.pts}: expected {place}")
            data = bytes(packet)
            sync = self._codec.is_sync(data, keyframe=packet.is_keyframe)
            if sync != (place % self._line.gop_frames == 0):
                raise CodecError(f"{self._name} gave a wrong kind of picture at {place}")
            self.samples.append(Sample(data=self._codec.sample(data), sync=sync))
