"""The `testpattern:` source: frame n is a pure function of n and the picture size, on any machine.

A detailed picture that glides, a box that moves, the number cells of hitless_handover.pattern in
the top strip, the frame number and UTC time in digits for people; the tone of a frame as sound.
All integer arithmetic and tables: drawing costs little more than copying the picture.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

import av
import numpy as np
import numpy.typing as npt

from hitless_encoder.pcm import CHANNELS, Pcm
from hitless_encoder.sources import digits
from hitless_handover.pattern import (
    BLACK_LUMA,
    NUMBER_CELLS,
    WHITE_LUMA,
    cells,
    strip_lines,
    tone_hz,
)
from hitless_handover.timeline import Timeline

_GLIDE_X, _GLIDE_Y = 256, 128  # pixels that the picture glides over, to and fro
_TONE_PEAK = 0.25  # of full scale
_TONE_EDGE_SAMPLES = 96  # raised cosine at each end of a frame's tone: 2 ms
_PCM16_SCALE = 32768
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Plane = npt.NDArray[np.uint8]


def _hash(seed: int, shape: tuple[int, int]) -> npt.NDArray[np.uint32]:
    """Noise by integer arithmetic, the same on every machine and numpy version."""
    word = np.arange(shape[0] * shape[1], dtype=np.uint32).reshape(shape) + np.uint32(seed * 7919)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        word = (word ^ (word >> np.uint32(shift))) * np.uint32(factor)
    return np.asarray(word ^ (word >> np.uint32(16)))


def _clouds(seed: int, height: int, width: int, layers: tuple[tuple[int, int], ...]) -> Plane:
    """Noise at several scales around mid-grey: (size in pixels, amplitude) a layer."""
    total = np.full((height, width), 118, np.int32)
    for index, (size, amplitude) in enumerate(layers):
        coarse = _hash(seed + index, (height // size + 1, width // size + 1)).astype(np.int64)
        level = (coarse % (2 * amplitude + 1) - amplitude).astype(np.int32)
        total += np.repeat(np.repeat(level, size, 0), size, 1)[:height, :width]
    soft = (total + np.roll(total, 1, 0) + np.roll(total, 1, 1) + np.roll(total, 1, (0, 1))) // 4
    return np.asarray(np.clip(soft, 16, 235), np.uint8)


def _to_and_fro(step: int, span: int) -> int:
    """A triangle wave between 0 and span (even), one unit a step; even, for 4:2:0 chroma."""
    place = step % (2 * span)
    return min(place, 2 * span - place) & ~1


class TestPattern:
    """A Rendering at a picture size (pixels, even)."""

    __test__ = False  # not a test class, whatever its name

    def __init__(self, *, timeline: Timeline, width: int, height: int) -> None:
        self._line = timeline
        self._width, self._height = width, height
        tall, wide = height + _GLIDE_Y, width + _GLIDE_X
        self._luma = _clouds(1, tall, wide, ((64, 44), (16, 20), (4, 5)))
        self._blue = _clouds(11, tall // 2, wide // 2, ((32, 40),))
        self._red = _clouds(21, tall // 2, wide // 2, ((32, 40),))
        self._column_of_cell = np.arange(width) * NUMBER_CELLS // width
        self._strip = strip_lines(height)
        self._box = height // 6 & ~1

    def picture(self, frame: int) -> av.VideoFrame:
        """The picture of a frame."""
        width, height = self._width, self._height
        planes = np.empty((height * 3 // 2, width), np.uint8)
        x, y = _to_and_fro(frame * 2, _GLIDE_X), _to_and_fro(frame, _GLIDE_Y)
        luma = planes[:height]
        luma[:] = self._luma[y : y + height, x : x + width]
        chroma = planes[height:].reshape(2, height // 2, width // 2)
        window = slice(y // 2, (y + height) // 2), slice(x // 2, (x + width) // 2)
        chroma[0], chroma[1] = self._blue[window], self._red[window]
        self._draw_box(luma, frame)
        self._draw_number(luma, chroma, frame)
        self._draw_text(luma, frame)
        return av.VideoFrame.from_numpy_buffer(planes, format="yuv420p")

    def pcm(self, frame: int) -> Pcm:
        """The tone of a frame."""
        samples = self._line.first_sample(frame + 1) - self._line.first_sample(frame)
        return tone(tone_hz(frame), samples, self._line.audio_rate)

    def close(self) -> None:
        """Nothing to give back."""

    def _draw_box(self, luma: Plane, frame: int) -> None:
        side = self._box
        x = frame * 4 % max(self._width - side, 1)
        y = self._strip + (frame * 2) % max(self._height - side - self._strip, 1)
        area = luma[y : y + side, x : x + side]
        np.subtract(251, area, out=area)  # 16 and 235 change places

    def _draw_number(self, luma: Plane, chroma: Plane, frame: int) -> None:
        levels = np.where(np.array(cells(frame)) == 1, WHITE_LUMA, BLACK_LUMA).astype(np.uint8)
        luma[: self._strip] = levels[self._column_of_cell]
        chroma[:, : self._strip // 2] = 128

    def _draw_text(self, luma: Plane, frame: int) -> None:
        scale = max(1, self._width // (digits.GLYPH_COLUMNS * 32))
        line = digits.GLYPH_ROWS * scale
        moment = _EPOCH + timedelta(microseconds=self._line.wall_us(frame))
        top = self._height - 3 * line
        digits.write(luma, f"{frame:,}".replace(",", " "), top=top, scale=scale)
        text = moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03}"
        digits.write(luma, text, top=top + line, scale=scale)


@functools.lru_cache(maxsize=256)
def tone(hz: int, samples: int, rate: int) -> Pcm:
    """A sine with soft edges, stereo; rounded to 16 bits: the same on every machine."""
    wave = _TONE_PEAK * np.sin(2 * np.pi * hz * np.arange(samples) / rate)
    edge = min(_TONE_EDGE_SAMPLES, samples // 4)
    rise = (1 - np.cos(np.pi * (np.arange(edge) + 0.5) / edge)) / 2
    wave[:edge] *= rise
    wave[samples - edge :] *= rise[::-1]
    line = (np.round(wave * _PCM16_SCALE) / _PCM16_SCALE).astype(np.float32)
    table = np.tile(line, (CHANNELS, 1))
    table.flags.writeable = False
    return table
