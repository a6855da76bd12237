"""The ring of samples, and resampling by absolute position."""

from __future__ import annotations

import numpy as np
import pytest

from hitless_encoder.pcm import Pcm, PcmRing, resample, source_span


def ramp(start: int, stop: int) -> Pcm:
    return np.tile(np.arange(start, stop, dtype=np.float32), (2, 1))


def test_a_ring_gives_back_what_was_written_and_silence_elsewhere() -> None:
    ring = PcmRing(100)
    ring.write(1000, ramp(1, 31))
    ring.write(1040, ramp(41, 51))
    assert ring.end == 1050
    got = ring.read(990, 1060)[0]
    assert got[:10].tolist() == [0.0] * 10
    assert got[10:40].tolist() == list(range(1, 31))
    assert got[40:50].tolist() == [0.0] * 10
    assert got[50:60].tolist() == list(range(41, 51))
    assert got[60:].tolist() == [0.0] * 10


def test_a_ring_forgets_what_is_too_old() -> None:
    ring = PcmRing(64)
    ring.write(0, ramp(1, 65))
    ring.write(200, ramp(201, 211))
    assert not ring.read(0, 200).any()
    ring.write(100, ramp(101, 111))
    assert not ring.read(100, 110).any(), "older than the ring holds"
    ring.write(150, ramp(151, 161))
    assert ring.read(150, 160)[0].tolist() == list(range(151, 161))
    assert ring.read(200, 210)[0].tolist() == list(range(201, 211))


def test_a_write_longer_than_the_ring_keeps_its_end() -> None:
    ring = PcmRing(16)
    ring.write(0, ramp(0, 100))
    assert ring.read(84, 100)[0].tolist() == list(range(84, 100))


@pytest.mark.parametrize("rate", [44_100, 32_000, 48_000, 96_000])
def test_resampling_is_the_same_in_any_pieces_and_true(rate: int) -> None:
    start, stop = 48_000, 52_800
    first, last = source_span(start, stop, rate)
    wave = np.sin(2 * np.pi * 997 * np.arange(first, last) / rate).astype(np.float32)
    source = np.tile(wave, (2, 1))
    whole = resample(source, first, start, stop, rate)
    pieces = []
    for begin in range(start, stop, 1601):
        end = min(begin + 1601, stop)
        low, high = source_span(begin, end, rate)
        part = source[:, low - first : high - first]
        pieces.append(resample(part, low, begin, end, rate))
    assert np.array_equal(np.concatenate(pieces, axis=1), whole)
    ideal = np.sin(2 * np.pi * 997 * np.arange(start, stop) / 48_000)
    assert np.max(np.abs(whole[0] - ideal)) < 0.005
