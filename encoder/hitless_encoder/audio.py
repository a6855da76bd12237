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


def encode_segment(track: AudioTrack, timeline: Timeline, segment: int, pcm: Pcm) -> list[Sample]:
    """The AAC frames of a segment; pcm holds exactly preroll_samples(timeline, segment).

    Raises CodecError when the encoder does not give each frame once.
    """
    context = _open(track, timeline.audio_rate)
    count = timeline.first_audio_frame(segment + 1) - timeline.first_audio_frame(segment)
    wanted: dict[int, bytes] = {}
    for index in range(pcm.shape[1] // AAC_FRAME_SAMPLES + 1):
        for packet in context.encode(_frame(pcm, index, timeline.audio_rate)):
            place, rest = divmod(packet.pts or 0, AAC_FRAME_SAMPLES)
            if rest == 0 and 0 <= place - PREROLL_FRAMES < count:
                wanted[place - PREROLL_FRAMES] = bytes(packet)
    if sorted(wanted) != list(range(count)):
        raise CodecError(f"AAC gave {len(wanted)} of {count} frames of segment {segment}")
    return [Sample(data=wanted[index]) for index in range(count)]


def _frame(pcm: Pcm, index: int, rate: int) -> av.AudioFrame | None:
    """The AAC frame's samples, with times counted from the start of pcm; None after the last."""
    start = index * AAC_FRAME_SAMPLES
    part = pcm[:, start : start + AAC_FRAME_SAMPLES]
    if part.shape[1] == 0:
        return None
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
    return frame
