"""AAC for one segment: a fresh encoder with pre-roll, so that a late starter cuts the same bytes.

The encoder is fed PREROLL_FRAMES before the segment and TRAILING_FRAMES after it, and only the
segment's own packets are kept; the seam then sounds like continuous coding. Called by ladder.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from hitless_encoder.errors import CodecError
from hitless_encoder.mux import AudioHeader, Sample, audio_init
from hitless_encoder.pcm import CHANNELS, Pcm
from hitless_handover.timeline import AAC_FRAME_SAMPLES, Timeline
from hitless_wire.resources import AudioTrack

CODECS = "mp4a.40.2"
PREROLL_FRAMES = 4
TRAILING_FRAMES = 1
_GLOBAL_HEADER = 1 << 22
_BITEXACT = 1 << 23


def preroll_samples(timeline: Timeline, segment: int) -> tuple[int, int]:
    """The absolute samples [start, stop) that the encoder needs for an audio segment."""
    first = timeline.first_audio_frame(segment) - PREROLL_FRAMES
    stop = timeline.first_audio_frame(segment + 1) + TRAILING_FRAMES
    return first * AAC_FRAME_SAMPLES, stop * AAC_FRAME_SAMPLES


def preroll_video_frames(timeline: Timeline) -> int:
    """Video frames before a segment whose sound covers its pre-roll, whatever the segment."""
    samples = PREROLL_FRAMES * AAC_FRAME_SAMPLES
    return -(-samples * timeline.rate_num // (timeline.rate_den * timeline.audio_rate))


def _open(track: AudioTrack, rate: int) -> AudioCodecContext:
    context = av.CodecContext.create("aac", "w")
    context.sample_rate, context.layout, context.format = rate, "stereo", "fltp"
    context.time_base = Fraction(1, rate)
    context.bit_rate = track.kbps * 1000
    context.thread_count = 1
    context.flags |= _GLOBAL_HEADER | _BITEXACT
    context.options = {"aac_coder": "fast"}
    context.open()
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundTrack:
    """What is fixed for an audio track: its init segment and codec string."""

    init: bytes
    codecs: str


def describe(track: AudioTrack, timeline: Timeline) -> SoundTrack:
    """Open the encoder once and make the init segment from its AudioSpecificConfig."""
    context = _open(track, timeline.audio_rate)
    header = AudioHeader(
        rate=timeline.audio_rate,
        channels=CHANNELS,
        frame_samples=AAC_FRAME_SAMPLES,
        config=context.extradata or b"",
        language=track.language,
    )
    return SoundTrack(init=audio_init(header), codecs=CODECS)


class SegmentSound:
    """Encodes the sound of one segment, an AAC frame at a time; `samples` grows in order.

    next_samples: absolute samples [start, stop) to give to `add`; None: the segment is complete.
    """

    def __init__(self, track: AudioTrack, timeline: Timeline, segment: int) -> None:
        self._context = _open(track, timeline.audio_rate)
        self._rate = timeline.audio_rate
        self._start, self._stop = preroll_samples(timeline, segment)
        self._fed = 0
        self._count = timeline.first_audio_frame(segment + 1) - timeline.first_audio_frame(segment)
        self.segment = segment
        self.samples: list[Sample] = []

    @property
    def next_samples(self) -> tuple[int, int] | None:
        """See the class."""
        first = self._start + self._fed * AAC_FRAME_SAMPLES
        return (first, first + AAC_FRAME_SAMPLES) if first < self._stop else None

    def add(self, pcm: Pcm) -> None:
        """Encode the next frame; after the last one all samples are there. Raises CodecError."""
        self._take(_frame(pcm, self._fed * AAC_FRAME_SAMPLES, self._rate))
        self._fed += 1
        if self.next_samples is None:
            self._take(None)
            if len(self.samples) != self._count:
                got = f"{len(self.samples)} of {self._count} frames of segment {self.segment}"
                raise CodecError(f"AAC gave {got}")

    def _take(self, frame: av.AudioFrame | None) -> None:
        for packet in self._context.encode(frame):
            place, rest = divmod(packet.pts or 0, AAC_FRAME_SAMPLES)
            if rest or not 0 <= place - PREROLL_FRAMES < self._count:
                continue
            if place - PREROLL_FRAMES != len(self.samples):
                raise CodecError(f"AAC gave frame {place} of segment {self.segment} out of order")
            self.samples.append(Sample(data=bytes(packet)))


def _frame(pcm: Pcm, at: int, rate: int) -> av.AudioFrame:
    """An AAC frame's samples, with the time counted from the start of the pre-roll."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
    return frame
