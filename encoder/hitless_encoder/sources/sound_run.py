"""Decoding sound so that the samples do not depend on where a process began to decode.

Decoders carry state (noise substitution, dither, overlap), so a late joiner's samples differ from
those of one that has been running. Here a fresh decoder is started at fixed places (a file
position, a multiple of GROUP_SAMPLES of source time), fed a few packets of run-in, and the rest of
the group is a pure function of the packets alone.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream

from hitless_encoder.pcm import Pcm, silence

RUN_IN_PACKETS = 12  # fed to a fresh decoder before its samples count: MP3 needs up to 10
STEADY_PACKETS = 48  # a second of AAC; a multiple of 3, the period of 1024 samples in ms at 48 kHz
CONTINUITY_MS = 20  # time stamps that jitter by less are taken as continuous

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFormat:
    """What a decoder must be told. rate: samples per second. packet_samples: 0 where they vary."""

    codec: str
    rate: int
    layout: str
    extradata: bytes | None
    packet_samples: int = 0

    @classmethod
    def of(cls, stream: AudioStream) -> SoundFormat:
        """From a demuxer's stream."""
        context = stream.codec_context
        return cls(
            codec=context.name,
            rate=context.sample_rate,
            layout=context.layout.name,
            extradata=context.extradata,
            packet_samples=context.frame_size or 0,
        )

    def decoder(self) -> AudioCodecContext:
        """A fresh decoder."""
        context = av.CodecContext.create(self.codec, "r")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate, context.layout = self.rate, self.layout
        context.extradata = self.extradata
        context.thread_count = 1
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundPacket:
    """A coded packet whose first sample is at `position`, counted at the format's rate."""

    position: int
    data: bytes


class SoundRun:
    """One decoder's life: packets in, samples with their positions out."""

    def __init__(self, sound: SoundFormat) -> None:
        self._rate = sound.rate
        self._decoder = sound.decoder()
        self._to_stereo = AudioResampler(format="fltp", layout="stereo", rate=sound.rate)
        self._end: int | None = None

    def feed(self, packet: SoundPacket) -> list[tuple[int, Pcm]]:
        """Decode a packet into (position, samples); a damaged one gives nothing."""
        coded = av.Packet(packet.data)
        coded.pts = coded.dts = packet.position
        coded.time_base = Fraction(1, self._rate)
        try:
            frames = self._decoder.decode(coded)
        except av.FFmpegError as error:
            _log.debug("sound packet at %d: %s", packet.position, error)
            return []
        return [self._placed(frame, packet.position) for frame in frames if frame.samples]

    def _placed(self, frame: av.AudioFrame, fallback: int) -> tuple[int, Pcm]:
        position = fallback if frame.pts is None else frame.pts
        if self._end is not None:
            jitter = abs(position - self._end)
            if jitter * 1000 < CONTINUITY_MS * self._rate:
                position = self._end
        pcm = self._stereo(frame)
        self._end = position + pcm.shape[1]
        return position, pcm

    def _stereo(self, frame: av.AudioFrame) -> Pcm:
        try:
            parts = self._to_stereo.resample(frame)
        except ValueError:  # the stream has changed its layout or rate
            self._to_stereo = AudioResampler(format="fltp", layout="stereo", rate=self._rate)
            parts = self._to_stereo.resample(frame)
        arrays = [np.asarray(part.to_ndarray(), np.float32) for part in parts]
        return np.concatenate(arrays, axis=1) if arrays else silence(0)


class SteadyPositions:
    """Packet positions out of time stamps that are rounded to more than a sample.

    A packet's position is the mean of what the last STEADY_PACKETS time stamps say of it, so it
    depends on these packets alone and its error is far below their rounding.
    """

    def __init__(self, packet_samples: int, rate: int) -> None:
        self._samples = packet_samples
        self._apart = CONTINUITY_MS * rate // 1000
        self._origins: deque[int] = deque(maxlen=STEADY_PACKETS)
        self._count = 0

    def of(self, position: int) -> int | None:
        """The steady position of the next packet; None until enough have come."""
        if not self._samples:
            return position
        origin = position - self._count * self._samples
        if self._origins and abs(origin - self._origins[-1]) > self._apart:
            self._origins.clear()  # the sound has a gap
        self._origins.append(origin)
        self._count += 1
        if len(self._origins) < STEADY_PACKETS:
            return None
        mean = (2 * sum(self._origins) + STEADY_PACKETS) // (2 * STEADY_PACKETS)
        return mean + (self._count - 1) * self._samples


class GroupedSound:
    """A stream of packets decoded in groups: a fresh SoundRun at each multiple of group_samples.

    A packet's group follows from its position alone, so two processes that join the stream at
    different times give the same samples from the first whole group on. clean_from: the first
    position that is free of joining, None while unknown.
    """

    def __init__(self, sound: SoundFormat, group_samples: int) -> None:
        self._sound = sound
        self._group_samples = group_samples
        self._group: int | None = None
        self._run: SoundRun | None = None
        self._run_in: deque[SoundPacket] = deque(maxlen=RUN_IN_PACKETS)
        self.clean_from: int | None = None

    def feed(self, packet: SoundPacket) -> list[tuple[int, Pcm]]:
        """Samples that this packet completes."""
        group = packet.position // self._group_samples
        if group != self._group or self._run is None:
            self._begin(group, packet.position)
        self._run_in.append(packet)
        assert self._run is not None
        return self._run.feed(packet)

    def _begin(self, group: int, position: int) -> None:
        joined = self._group is not None and len(self._run_in) == RUN_IN_PACKETS
        if joined and self.clean_from is None:
            self.clean_from = position
        self._group = group
        self._run = SoundRun(self._sound)
        for earlier in self._run_in:
            self._run.feed(earlier)
