"""One continuous decoder a rendition, fed sample by sample as a player's is. The only user of av.

Owns the decoders and what they were fed. Blocking: call it in a thread. A picture or a block of
sound is read at once and dropped, so that memory does not grow.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.video.codeccontext import VideoCodecContext

from hitless_cli.probe.boxes import Sample, TrackHeader, TrackKind
from hitless_cli.probe.errors import UnusableStreamError
from hitless_cli.probe.marks import Luma, Sound, read_number

_PENDING_MAX = 4096  # times fed and not yet given back


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A decoded picture: its time in ticks, and the number drawn in it (None: none readable)."""

    pts_ticks: int
    number: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A decoded audio frame: its time in ticks, its length, and the channels' mean."""

    pts_ticks: int
    sound: Sound


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A sample that the decoder refused, spoiled or never gave back."""

    pts_ticks: int
    message: str


class _Pending:
    """Times fed to a decoder: each must come back, once, in order."""

    def __init__(self) -> None:
        self._times: list[int] = []

    def fed(self, pts_ticks: int) -> None:
        heappush(self._times, pts_ticks)
        if len(self._times) > _PENDING_MAX:
            heappop(self._times)

    def refused(self, pts_ticks: int) -> None:
        if pts_ticks in self._times:
            self._times.remove(pts_ticks)
            self._times.sort()

    def came(self, pts_ticks: int) -> Iterator[Failure]:
        while self._times and self._times[0] < pts_ticks:
            yield Failure(
                pts_ticks=heappop(self._times), message="the decoder did not give it back"
            )
        if self._times and self._times[0] == pts_ticks:
            heappop(self._times)
        else:
            yield Failure(pts_ticks=pts_ticks, message="the decoder gave a time it was not fed")

    def left(self) -> Iterator[Failure]:
        while self._times:
            yield Failure(
                pts_ticks=heappop(self._times), message="the decoder did not give it back"
            )


def open_video(header_bytes: bytes) -> VideoCodecContext:
    """A fresh single-threaded decoder for a CMAF header. Raises UnusableStreamError."""
    return cast(VideoCodecContext, _open(header_bytes, TrackKind.VIDEO))


def open_audio(header_bytes: bytes) -> AudioCodecContext:
    """A fresh decoder for a CMAF header. Raises UnusableStreamError."""
    return cast(AudioCodecContext, _open(header_bytes, TrackKind.AUDIO))


def _open(header_bytes: bytes, kind: TrackKind) -> av.CodecContext:
    """FFmpeg reads the codec and its configuration from the header; samples we feed ourselves."""
    try:
        with av.open(io.BytesIO(header_bytes), format="mov") as container:
            streams = container.streams
            source = (streams.video if kind is TrackKind.VIDEO else streams.audio)[0]
            template = source.codec_context
            context = av.CodecContext.create(template.name, "r")
            context.extradata = template.extradata
            if isinstance(context, AudioCodecContext):
                audio = cast(AudioCodecContext, template)
                context.sample_rate, context.layout = audio.sample_rate, audio.layout
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise UnusableStreamError(
            f"no decoder for the {kind.value.lower()} track: {error}; play a stream in a codec "
            "that this build of PyAV decodes"
        ) from error
    context.thread_count = 1
    return context


class VideoDecoder:
    """Decodes a video track and reads the number from each picture."""

    def __init__(self, header: TrackHeader, header_bytes: bytes) -> None:
        self._timescale = header.timescale
        self._codec = open_video(header_bytes)
        self._pending = _Pending()

    def decode(self, samples: Iterable[Sample], read: bool) -> list[Picture | Failure]:
        """Feed samples; what came out. read: whether to read numbers."""
        out: list[Picture | Failure] = []
        for sample in samples:
            out += self._feed(_packet(sample, self._timescale), read)
        return out

    def flush(self, read: bool) -> list[Picture | Failure]:
        """Drain the decoder; it can't be fed again."""
        return [*self._feed(None, read), *self._pending.left()]

    def _feed(self, packet: av.Packet[Any] | None, read: bool) -> Iterator[Picture | Failure]:
        time = None if packet is None else cast(int, packet.pts)
        if time is not None:
            self._pending.fed(time)
        try:
            frames = self._codec.decode(packet)
        except av.error.FFmpegError as error:
            self._pending.refused(time or 0)
            yield Failure(pts_ticks=time or 0, message=f"the decoder refused it: {error}")
            return
        for frame in frames:
            pts = cast(int, frame.pts)
            yield from self._pending.came(pts)
            if frame.is_corrupt:
                yield Failure(pts_ticks=pts, message="the decoder says the picture is corrupt")
            yield Picture(pts_ticks=pts, number=read_number(_luma(frame)) if read else None)


class AudioDecoder:
    """Decodes an audio track to mono sound."""

    def __init__(self, header: TrackHeader, header_bytes: bytes) -> None:
        self._timescale = header.timescale
        self._codec = open_audio(header_bytes)
        self._pending = _Pending()

    def decode(self, samples: Iterable[Sample]) -> list[Block | Failure]:
        """Feed samples; what came out."""
        out: list[Block | Failure] = []
        for sample in samples:
            out += self._feed(_packet(sample, self._timescale))
        return out

    def flush(self) -> list[Block | Failure]:
        """Drain the decoder; it can't be fed again."""
        return [*self._feed(None), *self._pending.left()]

    def _feed(self, packet: av.Packet[Any] | None) -> Iterator[Block | Failure]:
        time = None if packet is None else cast(int, packet.pts)
        if time is not None:
            self._pending.fed(time)
        try:
            frames = self._codec.decode(packet)
        except av.error.FFmpegError as error:
            self._pending.refused(time or 0)
            yield Failure(pts_ticks=time or 0, message=f"the decoder refused it: {error}")
            return
        for frame in frames:
            pts = cast(int, frame.pts)
            yield from self._pending.came(pts)
            yield Block(pts_ticks=pts, sound=_mono(frame))


def _packet(sample: Sample, timescale: int) -> av.Packet[Any]:
    packet: av.Packet[Any] = av.Packet(sample.data)
    packet.pts, packet.dts = sample.pts_ticks, sample.dts_ticks
    packet.time_base = Fraction(1, timescale)
    return packet


def _luma(frame: av.VideoFrame) -> Luma:
    if frame.format.name not in ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "gray"):
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def _mono(frame: av.AudioFrame) -> Sound:
    samples: npt.NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype.kind == "i":
        samples = samples / np.iinfo(samples.dtype).max
    return np.asarray(samples.mean(axis=0), np.float32)
