"""Sound as numbers: stereo float32 at absolute sample positions, and joining-time-free resampling.

Pcm is an array of shape (2, samples), full scale ±1. Positions count samples at 48 kHz since the
epoch (or since a file's start). Nothing here depends on when a process began to listen.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.float32]
CHANNELS = 2
RATE = 48_000
_TAPS = 32  # of the resampling filter; half on each side
RESAMPLE_MARGIN = _TAPS // 2 + 1  # input samples needed on each side of an output position
_KAISER_BETA = 8.0


def silence(samples: int) -> Pcm:
    """Nothing, for a number of samples."""
    return np.zeros((CHANNELS, samples), np.float32)


class PcmRing:
    """The last `capacity` samples by absolute position; what was never written is silence.

    end: one past the highest position written so far (0 before anything is).
    """

    def __init__(self, capacity: int) -> None:
        self._data = silence(capacity)
        self._capacity = capacity
        self.end = 0

    def write(self, start: int, pcm: Pcm) -> None:
        """Put samples at [start, start + n), over what was there; too old ones are dropped."""
        stop = start + pcm.shape[1]
        if stop > self.end:
            self._clear(max(self.end, stop - self._capacity), stop)
            self.end = stop
        oldest = max(start, self.end - self._capacity)
        if oldest < stop:
            places = np.arange(oldest, stop) % self._capacity
            self._data[:, places] = pcm[:, oldest - start :]

    def read(self, start: int, stop: int) -> Pcm:
        """A copy of [start, stop), silence where it was never written or is too old."""
        out = silence(stop - start)
        first, last = max(start, self.end - self._capacity), min(stop, self.end)
        if first < last:
            out[:, first - start : last - start] = self._data[
                :, np.arange(first, last) % self._capacity
            ]
        return out

    def _clear(self, start: int, stop: int) -> None:
        self._data[:, np.arange(start, stop) % self._capacity] = 0.0


@functools.lru_cache(maxsize=8)
def _filter_bank(rate: int) -> npt.NDArray[np.float64]:
    """Windowed-sinc taps for each phase of rate -> RATE, shape (phases, _TAPS); rows sum to 1."""
    common = int(np.gcd(rate, RATE))
    phases = RATE // common
    cutoff = min(1.0, RATE / rate)
    offsets = np.arange(_TAPS) - (_TAPS // 2 - 1)
    distance = offsets[None, :] - (np.arange(phases) / phases)[:, None]
    inside = np.clip(1 - (distance / (_TAPS // 2)) ** 2, 0, None)
    window = np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA)
    taps = np.sinc(distance * cutoff) * window
    return np.asarray(taps / taps.sum(axis=1, keepdims=True))


def source_span(start: int, stop: int, rate: int) -> tuple[int, int]:
    """The input samples, at `rate`, that resample() needs for output [start, stop)."""
    return start * rate // RATE - RESAMPLE_MARGIN, -(-stop * rate // RATE) + RESAMPLE_MARGIN


def resample(pcm: Pcm, first: int, start: int, stop: int, rate: int) -> Pcm:
    """Output samples [start, stop) at RATE from input whose column 0 is sample `first` at `rate`.

    A pure function of absolute positions: output s reads the input around s * rate / RATE. The
    input must cover source_span(start, stop, rate).
    """
    if rate == RATE:
        return np.ascontiguousarray(pcm[:, start - first : stop - first])
    common = int(np.gcd(rate, RATE))
    up, down = RATE // common, rate // common
    position = np.arange(start, stop, dtype=np.int64) * down
    base, phase = position // up - (_TAPS // 2 - 1) - first, position % up
    taps = _filter_bank(rate)[phase]
    columns = base[:, None] + np.arange(_TAPS)[None, :]
    return np.asarray(np.einsum("cst,st->cs", pcm[:, columns], taps), np.float32)
