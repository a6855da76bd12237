"""Media files and streams made with PyAV: the test pattern again, coded as a source would be."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
from av.container.output import OutputContainer

from hitless_encoder.sources.testpattern import TestPattern
from hitless_handover.timeline import Timeline

WIDTH, HEIGHT = 256, 144
_X264 = "keyint={gop}:min-keyint={gop}:scenecut=0:open-gop={open_gop}:bframes={bframes}"


@dataclass(frozen=True, kw_only=True)
class Film:
    """frames: pictures in it. pts_offset: added to every time, 90 kHz ticks."""

    frames: int
    rate: Fraction = Fraction(30000, 1001)
    gop: int = 24
    open_gop: bool = True
    bframes: int = 3
    audio_rate: int | None = 48_000
    audio_codec: str = "aac"
    pts_offset: int = 0

    @property
    def timeline(self) -> Timeline:
        return Timeline(
            rate_num=self.rate.numerator,
            rate_den=self.rate.denominator,
            segment_frames=round(2 * self.rate),
            gop_frames=round(2 * self.rate),
        )


def write(film: Film, target: str | Path | IO[bytes], form: str) -> None:
    """Code the pattern's frames 0 … frames - 1 into a container."""
    options = {"movflags": "faststart"} if form == "mp4" else {}
    with av.open(target, "w", format=form, options=options) as container:
        _fill(container, film)


def transport_stream(film: Film) -> bytes:
    stream = io.BytesIO()
    write(film, stream, "mpegts")
    return stream.getvalue()


def _fill(container: OutputContainer, film: Film) -> None:
    video = container.add_stream("libx264", rate=film.rate)
    video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    video.codec_context.thread_count = 1
    video.options = {
        "preset": "ultrafast",
        "crf": "18",
        "x264-params": _X264.format(
            gop=film.gop, open_gop=int(film.open_gop), bframes=film.bframes
        ),
    }
    tracks: list[tuple[Any, Any]] = [(video, _pictures(film))]
    if film.audio_rate is not None:
        audio = container.add_stream(film.audio_codec, rate=film.audio_rate, layout="stereo")
        tracks.append((audio, _sounds(film, film.audio_rate)))
    _interleave(container, tracks, film.pts_offset)


def _interleave(container: OutputContainer, tracks: list[tuple[Any, Any]], pts_offset: int) -> None:
    """Encode all, then mux by decode time, as a live encoder's multiplex is."""
    packets = []
    for stream, frames in tracks:
        for frame in [*frames, None]:
            packets += [(stream, packet) for packet in stream.encode(frame)]
    packets.sort(key=lambda one: Fraction(one[1].dts) * one[1].time_base)
    for stream, packet in packets:
        shift = round(Fraction(pts_offset, 90_000) / packet.time_base)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        packet.stream = stream
        container.mux(packet)


def _pictures(film: Film) -> list[av.VideoFrame]:
    pattern = TestPattern(timeline=film.timeline, width=WIDTH, height=HEIGHT)
    frames = []
    for number in range(film.frames):
        frame = pattern.picture(number)
        frame.pts, frame.time_base = number, 1 / film.rate
        frames.append(frame)
    return frames


def _sounds(film: Film, rate: int) -> list[av.AudioFrame]:
    """Noise under tones: noise makes AAC use what decoders fill in by chance."""
    count = int(film.frames / film.rate * rate)
    time = np.arange(count) / rate
    noise = np.random.default_rng(5).standard_normal((2, count)) * 0.05
    wave = (noise + 0.2 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    frames = []
    for start in range(0, count, 1024):
        part = np.ascontiguousarray(wave[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        frames.append(frame)
    return frames
