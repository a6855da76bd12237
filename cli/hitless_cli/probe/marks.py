"""Reads the test pattern's marks from decoded media: the number in a picture, the tone in sound.

Pure, with numpy. The layout is hitless_handover.pattern's. The cells are drawn at the largest
rendition and scaled with the picture; the middle of each cell survives that down to 256x144.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hitless_cli.probe.checks import ToneReading
from hitless_handover import pattern
from hitless_handover.timeline import Timeline

Luma = npt.NDArray[np.uint8]
Sound = npt.NDArray[np.float32]

_STRIP_SHARE_MIN = 0.05  # pattern.strip_lines(h) / h is never less, whatever the rounding
_CONTRAST_MIN = 30  # luma steps between the guard cells' black and white
_TONE_FFT_SAMPLES = 8192
_SILENCE_RMS = 1e-3  # of full scale
_WARM_UP_SAMPLES = 1024  # the first codec frame after a start lacks what came before it
_SOUND_HELD_SAMPLES_MAX = 1 << 20


def read_number(luma: Luma) -> int | None:
    """The number (modulo 2**32) in a picture of any size; None when its check fails.

    Reads the middle of the least strip there can be, so it need not know how large the picture was
    when the cells were drawn.
    """
    height, width = luma.shape
    strip = height * _STRIP_SHARE_MIN
    top = int(strip * 0.25)
    bottom = max(top + 1, int(strip * 0.75))
    line = luma[top:bottom].mean(axis=0)
    level = _cell_levels(line, width)
    black, white = (level[0] + level[-1]) / 2, (level[1] + level[-2]) / 2
    if white - black < _CONTRAST_MIN:
        return None
    return pattern.number(tuple(int(cell > (black + white) / 2) for cell in level))


def _cell_levels(line: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """The mean luma of the middle half of each cell."""
    total = np.concatenate(([0.0], np.cumsum(line)))
    cell = width / pattern.NUMBER_CELLS
    left = np.arange(pattern.NUMBER_CELLS) * cell
    columns = np.arange(width + 1)
    upto = np.interp(left + 0.75 * cell, columns, total)
    levels = (upto - np.interp(left + 0.25 * cell, columns, total)) / (cell / 2)
    return np.asarray(levels, np.float64)


def loudest_hz(sound: Sound, sample_rate: int) -> float | None:
    """The frequency of the highest spectral peak, Hz; None for silence."""
    if len(sound) == 0 or float(np.sqrt(np.mean(np.square(sound)))) < _SILENCE_RMS:
        return None
    size = max(_TONE_FFT_SAMPLES, len(sound))
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), size))
    spectrum[0] = 0
    return float(np.argmax(spectrum)) * sample_rate / size


class ToneReader:
    """Cuts decoded sound at the video frames' boundaries and reads the tone of each."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._held: Sound = np.zeros(0, np.float32)
        self._start = 0  # the sample number of the first held sample
        self._next = 0  # the sample number that follows what was pushed
        self._frame: int | None = None  # the next frame to read

    def push(self, start: int, sound: Sound) -> Iterator[ToneReading]:
        """Mono sound from sample number `start` on; gives the frames it completes."""
        if self._frame is None or start != self._next:
            self._restart(start + _WARM_UP_SAMPLES)
        self._next = start + len(sound)
        early = max(0, self._start - start)
        self._held = np.concatenate((self._held, sound[early:]))[-_SOUND_HELD_SAMPLES_MAX:]
        yield from self._complete()

    def _restart(self, start: int) -> None:
        timeline = self._timeline
        self._held, self._start = np.zeros(0, np.float32), start
        frame = start * timeline.rate_num // (timeline.rate_den * timeline.audio_rate)
        while timeline.first_sample(frame) < start:
            frame += 1
        self._frame = frame

    def _complete(self) -> Iterator[ToneReading]:
        assert self._frame is not None
        end = self._start + len(self._held)
        while (stop := self._timeline.first_sample(self._frame + 1)) <= end:
            first = self._timeline.first_sample(self._frame)
            quarter = (stop - first) // 4
            middle = self._held[first - self._start + quarter : stop - self._start - quarter]
            hz = loudest_hz(middle, self._timeline.audio_rate)
            yield ToneReading(frame=self._frame, hz=hz)
            self._frame += 1
        drop = min(self._timeline.first_sample(self._frame), end) - self._start
        self._held, self._start = self._held[drop:], self._start + drop
