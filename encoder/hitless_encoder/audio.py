"""The sound of one segment: a fresh encoder with pre-roll: a late starter cuts the same bytes.

The encoder is fed some frames before the segment (and for AAC one after it), and only the segment's
own packets are kept; the seam then sounds like continuous coding. Called by ladder.py.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from hitless_encoder.errors import CodecError, ConfigurationError, not_here
from hitless_encoder.mux import AudioHeader, BitRates, Sample, audio_init
from hitless_encoder.pcm import Pcm
from hitless_handover.timeline import AAC_FRAME_SAMPLES, OPUS_FRAME_SAMPLES, Timeline
from hitless_wire.media_resources import AAC, OPUS, AudioTrack

_GLOBAL_HEADER = 1 << 22
_BITEXACT = 1 << 23
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """An audio codec as FFmpeg has it. frame_samples: samples in a codec frame.

    preroll_frames, trailing_frames: fed before and after a segment. ahead_samples: the encoder is
    fed so much later sound, for its decoder gives it back so much later: what a decoder gives for a
    packet is then the sound at the packet's time, and no player has to skip anything.
    """

    encoder: str
    codecs: str
    sample_format: str
    frame_samples: int
    preroll_frames: int
    trailing_frames: int
    ahead_samples: int
    options: Mapping[str, str]


_KINDS: Mapping[str, Kind] = {
    AAC: Kind(
        encoder="aac",
        codecs="mp4a.40.2",
        sample_format="fltp",
        frame_samples=AAC_FRAME_SAMPLES,
        preroll_frames=4,
        trailing_frames=1,
        ahead_samples=0,
        options={"aac_coder": "fast"},
    ),
    OPUS: Kind(
        encoder="libopus",
        codecs="opus",
        sample_format="flt",
        frame_samples=OPUS_FRAME_SAMPLES,
        preroll_frames=4,  # 80 ms, as RFC 7845 4.2 asks of a decoder that joins
        trailing_frames=0,
        ahead_samples=312,  # libopus' look-ahead at 48 kHz; checked against its header
        options={"frame_duration": "20", "application": "audio"},
    ),
}


def kind_of(codec: str) -> Kind:
    """The codec of an audio track."""
    return _KINDS[codec]


def preroll_samples(timeline: Timeline, segment: int, codec: str = AAC) -> tuple[int, int]:
    """The absolute samples [start, stop) that the encoder needs for an audio segment."""
    kind = kind_of(codec)
    first = timeline.first_audio_frame(segment, kind.frame_samples) - kind.preroll_frames
    stop = timeline.first_audio_frame(segment + 1, kind.frame_samples) + kind.trailing_frames
    ahead = kind.ahead_samples
    return first * kind.frame_samples + ahead, stop * kind.frame_samples + ahead


def preroll_video_frames(timeline: Timeline) -> int:
    """Video frames before a segment whose sound covers its pre-roll, whatever segment and codec.

    AAC's is the longest.
    """
    kind = kind_of(AAC)
    samples = kind.preroll_frames * kind.frame_samples
    return -(-samples * timeline.rate_num // (timeline.rate_den * timeline.audio_rate))


def _open(track: AudioTrack, rate: int) -> AudioCodecContext:
    kind = kind_of(track.codec)
    context = av.CodecContext.create(kind.encoder, "w")
    assert isinstance(context, AudioCodecContext), "audio encoders only"
    context.sample_rate, context.layout = rate, _LAYOUTS[track.channels]
    context.format = kind.sample_format
    context.time_base = Fraction(1, rate)
    context.bit_rate = track.kbps * 1000
    context.thread_count = 1
    context.flags |= _GLOBAL_HEADER | _BITEXACT
    context.options = dict(kind.options)
    context.open()
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundTrack:
    """What is fixed for an audio track: its init segment and codec string."""

    init: bytes
    codecs: str


def describe(track: AudioTrack, timeline: Timeline, *, with_rates: bool = False) -> SoundTrack:
    """Open the encoder once and make the init segment from its header.

    with_rates: it says them (`btrt`). Raises ConfigurationError, which names the field, where this
    build can't.
    """
    kind = kind_of(track.codec)
    try:
        extradata = _open(track, timeline.audio_rate).extradata or b""
    except (av.FFmpegError, ValueError) as error:
        why = not_here(track.codec, error)
        raise ConfigurationError(f"audio.{track.name}.codec: {why}") from error
    header = AudioHeader(
        rate=timeline.audio_rate,
        channels=track.channels,
        frame_samples=kind.frame_samples,
        config=opus_configuration(extradata, kind) if track.codec == OPUS else extradata,
        language=track.language,
        opus=track.codec == OPUS,
        rates=_bit_rates(track) if with_rates else None,
    )
    return SoundTrack(init=audio_init(header), codecs=kind.codecs)


def _bit_rates(track: AudioTrack) -> BitRates:
    """The buffer is what a channel may need: 6144 bits (AAC, 14496-3), or a frame (RFC 6716)."""
    buffer_bytes = (1275 if track.codec == OPUS else 6144 // 8) * track.channels
    bps = track.kbps * 1000
    return BitRates(buffer_bytes=buffer_bytes, max_bps=bps, average_bps=bps)


def opus_configuration(head: bytes, kind: Kind) -> bytes:
    """The `dOps` content (Opus in ISOBMFF 4.3.2) for an OpusHead (RFC 7845 5.1), nothing to skip.

    Raises CodecError where the encoder's delay is not the one that it is fed ahead by.
    """
    channels, delay, rate, gain, family = struct.unpack_from("<BHIhB", head, 9)
    if delay != kind.ahead_samples:
        raise CodecError(f"libopus delays by {delay} samples: expected {kind.ahead_samples}")
    return struct.pack(">BBHIhB", 0, channels, 0, rate, gain, family) + head[19:]


class SegmentSound:
    """Encodes the sound of one segment, a codec frame at a time; `samples` grows in order.

    next_samples: absolute samples [start, stop) to give to `add`; None: the segment is complete.
    """

    def __init__(self, track: AudioTrack, timeline: Timeline, segment: int) -> None:
        self._context = _open(track, timeline.audio_rate)
        self._track = track
        self._kind = kind_of(track.codec)
        self._rate = timeline.audio_rate
        self._start, self._stop = preroll_samples(timeline, segment, track.codec)
        self._fed = 0
        size = self._kind.frame_samples
        first = timeline.first_audio_frame(segment, size)
        self._count = timeline.first_audio_frame(segment + 1, size) - first
        self.segment = segment
        self.samples: list[Sample] = []

    @property
    def next_samples(self) -> tuple[int, int] | None:
        """See the class."""
        size = self._kind.frame_samples
        first = self._start + self._fed * size
        return (first, first + size) if first < self._stop else None

    def add(self, pcm: Pcm) -> None:
        """Encode the next frame; after the last one all samples are there. Raises CodecError."""
        self._take(self._frame(pcm))
        self._fed += 1
        if self.next_samples is None:
            self._take(None)
            if len(self.samples) != self._count:
                got = f"{len(self.samples)} of {self._count} frames of segment {self.segment}"
                raise CodecError(f"{self._track.codec} gave {got}")

    def _take(self, frame: av.AudioFrame | None) -> None:
        kind = self._kind
        for packet in self._context.encode(frame):
            place, rest = divmod((packet.pts or 0) + kind.ahead_samples, kind.frame_samples)
            if rest or not 0 <= place - kind.preroll_frames < self._count:
                continue
            if place - kind.preroll_frames != len(self.samples):
                got = f"frame {place} of segment {self.segment} out of order"
                raise CodecError(f"{self._track.codec} gave {got}")
            self.samples.append(Sample(data=bytes(packet)))

    def _frame(self, pcm: Pcm) -> av.AudioFrame:
        """A codec frame's samples, with the time counted from the start of the pre-roll."""
        kind = self._kind
        sound = np.ascontiguousarray(mixed(pcm, self._track.channels))
        if kind.sample_format == "flt":
            sound = np.ascontiguousarray(sound.T).reshape(1, -1)
        layout = _LAYOUTS[self._track.channels]
        frame = av.AudioFrame.from_ndarray(sound, format=kind.sample_format, layout=layout)
        frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
        frame.pts = self._fed * kind.frame_samples
        return frame


def mixed(pcm: Pcm, channels: int) -> Pcm:
    """Sound as so many channels: the mean of all, as it is, or in front of silent others.

    Order as FFmpeg's 5.1 has it: front left and right first.
    """
    if channels == len(pcm):
        return pcm
    if channels == 1:
        return np.asarray(pcm.mean(axis=0, keepdims=True), np.float32)
    out = np.zeros((channels, pcm.shape[1]), np.float32)
    out[: len(pcm)] = pcm[:channels]
    return out
