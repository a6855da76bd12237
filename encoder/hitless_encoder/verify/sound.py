"""Compares the sound of one track with ours: loudness, lip sync, holes.

Loudness is the RMS over a span, dB of full scale. Lip sync is where the cross-correlation of the
two sounds, at 6 kHz, is highest: a shift is only told where it explains the sound much better than
none does, so a steady tone passes at any phase.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hitless_encoder.pcm import Pcm
from hitless_encoder.verify.decoding import DECODING_ERRORS, samples
from hitless_encoder.verify.picture import Pair
from hitless_encoder.verify.verdict import Reason, Rejection
from hitless_handover.messages import Criteria
from hitless_handover.timeline import Timeline

WINDOW_MS = 50  # a hole of three of them is found wherever it begins
WINDOWS_RUN = 2
WINDOW_APART_DB = 20.0  # codecs smear an onset, but not by so much for two windows
SHIFT_MS_MAX = 500  # looked for in both directions
SAME_SOUND_MIN = 0.3  # correlation below which it is not the same sound at all

_QUIET_DB = -50.0  # below this, sound counts as silence
_DECIMATION = 8
_CLEARLY_BETTER = 0.1  # of correlation, that a shift must gain
_MILLISECONDS = 1000


def judge_sound(pair: Pair, timeline: Timeline, segment: int, criteria: Criteria) -> None:
    """Raises Rejection unless the sound is ours, as loud and at the same time."""
    try:
        mine, its = samples(pair.own), samples(pair.other)
    except DECODING_ERRORS as error:
        raise Rejection(Reason.UNDECODABLE, f"{pair.track}: {error}") from error
    if its.shape != mine.shape:
        raise Rejection(
            Reason.COUNT_DIFFERS,
            f"{pair.track}: decoded samples expected {mine.shape[1]}, got {its.shape[1]}",
        )
    first = timeline.first_frame(segment)
    _check_loudness(pair.track, mine, its, first, criteria.loudness_max_db)
    if min(loudness_db(mine), loudness_db(its)) > _QUIET_DB:
        measured = offset(mine, its, timeline.audio_rate)
        _check_sync(pair.track, measured, first, criteria.av_offset_max_ms)
    _check_holes(pair.track, mine, its, timeline, first)


def loudness_db(pcm: Pcm) -> float:
    """RMS over everything, dB of full scale, not below the level that counts as silence."""
    return float(_decibels(np.mean(np.square(pcm, dtype=np.float64)))) if pcm.size else _QUIET_DB


def _decibels(power: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (_QUIET_DB / 10))))


def _check_loudness(track: str, mine: Pcm, its: Pcm, first: int, apart_max_db: int) -> None:
    expected, got = loudness_db(mine), loudness_db(its)
    if abs(expected - got) > apart_max_db:
        missing = ": there is no sound" if got <= _QUIET_DB else ""
        raise Rejection(
            Reason.SOUND_DIFFERS,
            f"{track}: loudness from frame {first} on expected {expected:.1f} dBFS within "
            f"{apart_max_db} dB, got {got:.1f} dBFS{missing}",
        )


def _check_sync(
    track: str, measured: tuple[float, float, float], first: int, offset_max_ms: int
) -> None:
    late_ms, best, unshifted = measured
    if best < SAME_SOUND_MIN:
        raise Rejection(
            Reason.SOUND_DIFFERS,
            f"{track}: correlation with our sound from frame {first} on expected at least "
            f"{SAME_SOUND_MIN}, got {best:.2f}: another sound",
        )
    if abs(late_ms) > offset_max_ms and best - unshifted > _CLEARLY_BETTER:
        raise Rejection(
            Reason.SOUND_SHIFTED,
            f"{track}: sound from frame {first} on expected within {offset_max_ms} ms of ours, got "
            f"{abs(late_ms):.0f} ms {'late' if late_ms > 0 else 'early'}",
        )


def offset(mine: Pcm, its: Pcm, rate: int) -> tuple[float, float, float]:
    """How late theirs is in ms, the correlation there, and the correlation without a shift."""
    ours, theirs = _narrowed(mine), _narrowed(its)
    reach = min(SHIFT_MS_MAX * rate // _DECIMATION // _MILLISECONDS, len(ours) - 1)
    size = 1 << (len(ours) + reach).bit_length()
    spectrum = np.fft.rfft(theirs, size) * np.conj(np.fft.rfft(ours, size))
    correlation = np.fft.irfft(spectrum, size)
    near = (
        np.concatenate((correlation[-reach:], correlation[: reach + 1]))
        if reach
        else (correlation[:1])
    )
    power = math.sqrt(float(np.dot(ours, ours)) * float(np.dot(theirs, theirs)))
    if power == 0:
        return 0.0, 1.0, 1.0
    best = int(np.argmax(near))
    late_ms = (best - reach) * _DECIMATION * _MILLISECONDS / rate
    return late_ms, float(near[best]) / power, float(near[reach]) / power


def _narrowed(pcm: Pcm) -> npt.NDArray[np.float64]:
    """All channels in one, at an eighth of the rate. Weighed unlike: opposite phases stay heard."""
    weights = 1 / np.arange(1, len(pcm) + 1)
    length = pcm.shape[1] // _DECIMATION * _DECIMATION
    mixed = weights @ pcm[:, :length]
    return np.asarray(mixed.reshape(-1, _DECIMATION).mean(axis=1))


def _check_holes(track: str, mine: Pcm, its: Pcm, timeline: Timeline, first: int) -> None:
    """Short spans that are much quieter or louder than ours."""
    size = WINDOW_MS * timeline.audio_rate // _MILLISECONDS
    ours, theirs = _levels(mine, size), _levels(its, size)
    apart = np.abs(ours - theirs) > WINDOW_APART_DB
    run = 0
    for index, differs in enumerate(apart):
        run = run + 1 if differs else 0
        if run >= WINDOWS_RUN:
            start = index - run + 1
            seconds = start * WINDOW_MS / _MILLISECONDS
            frame = first + start * size * timeline.rate_num // (
                timeline.rate_den * timeline.audio_rate
            )
            raise Rejection(
                Reason.SOUND_DIFFERS,
                f"{track}: loudness at frame {frame} ({seconds:.2f} s into the segment) expected "
                f"{ours[start]:.1f} dBFS within {WINDOW_APART_DB:.0f} dB, got "
                f"{theirs[start]:.1f} dBFS",
            )


def _levels(pcm: Pcm, size: int) -> npt.NDArray[np.float64]:
    """Loudness of each window, dB."""
    length = pcm.shape[1] // size * size
    power = np.square(pcm[:, :length], dtype=np.float64).mean(axis=0)
    return _decibels(power.reshape(-1, size).mean(axis=1))
