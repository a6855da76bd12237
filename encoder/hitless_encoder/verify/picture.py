"""Compares the pictures of one rendition with ours.

Every picture is decoded and its luma PSNR taken; of every SAMPLED_EVERY-th also chroma PSNR and
luma SSIM. Thumbnails of all pictures then show what a PSNR can't explain: pictures that stand
still, that are ours of another frame, that have other levels or swapped colours. These are told
first, because they say what is wrong. Decoding is most of the cost.

SSIM as in Wang et al., IEEE Trans. Image Processing 13(4), 2004, with K1 = 0.01, K2 = 0.03 and L =
255, over luma windows of 8x8 that don't overlap and are weighed alike, averaged over a picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice

import av
import numpy as np
import numpy.typing as npt

from hitless_encoder.verify.decoding import DECODING_ERRORS, pictures, plane
from hitless_encoder.verify.verdict import Figures, Reason, Rejection
from hitless_handover.messages import Criteria
from hitless_handover.timeline import Timeline

PSNR_EQUAL_DB = 100.0  # reported for identical pictures
SAMPLED_EVERY = 4  # pictures
FROZEN_FRAMES = 10  # standing still for so long while ours moves is no skipped macroblock
SHIFT_FRAMES_MAX = 3  # looked for in both directions
LEVEL_APART_MAX = 0.08  # of 1; full instead of video range is 255/219, the other way 219/255

_WINDOW = 8
_PEAK = 255
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2
_PLANES = ("luma", "Cb", "Cr")
# Mean square differences of thumbnails, levels squared. Coding noise stays below, motion above.
_MOTION_MIN = 0.5
_STILL = 0.02  # of our motion; less than that is none. Grain that a codec smooths is above it
_THUMBNAIL_LINES = (2, 6)  # of a window's 8: two are enough to see motion, and cheap
_CLEARLY_BETTER = 0.5  # an explanation must halve the difference
_FIT_MIN = 0.95  # share of the variance that another scale of levels has to explain
_CONTRAST_MIN = 25.0  # variance of a thumbnail below which levels say nothing

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A track of the other encoder and ours to judge it by; both with the init segment in front."""

    track: str
    own: bytes
    other: bytes
    same_size: bool = True


@dataclass(slots=True)
class _Seen:
    """What was measured so far, by picture. psnr, own and other: for each plane.

    own, other: thumbnails of our pictures and of theirs.
    """

    psnr: tuple[dict[int, float], ...] = field(default_factory=lambda: ({}, {}, {}))
    ssim: dict[int, float] = field(default_factory=dict)
    own: tuple[list[Floats], ...] = field(default_factory=lambda: ([], [], []))
    other: tuple[list[Floats], ...] = field(default_factory=lambda: ([], [], []))


def judge_pictures(pair: Pair, timeline: Timeline, segment: int, criteria: Criteria) -> Figures:
    """The figures of a track whose pictures are good enough. Raises Rejection."""
    seen, first = _Seen(), timeline.first_frame(segment)
    for index, mine, its in _both(pair, timeline.segment_frames, first):
        _measure(seen, index, mine, its)
    own, other = (tuple(np.stack(rows) for rows in side) for side in (seen.own, seen.other))
    _check_frozen(pair.track, own[0], other[0], first)
    _check_shift(pair.track, own[0], other[0], first)
    _check_levels(pair.track, own[0], other[0], first)
    _check_colours(pair.track, own, other, first)
    _check_psnr(pair.track, seen.psnr, first, criteria.psnr_min_db)
    return _check_ssim(pair.track, seen, first, criteria.ssim_min_permille)


def _both(
    pair: Pair, expected: int, first_frame: int
) -> Iterator[tuple[int, av.VideoFrame, av.VideoFrame]]:
    """Index, our picture and theirs, of one size. Raises Rejection unless all of theirs decode."""
    ours, theirs = pictures(pair.own), pictures(pair.other)
    index = 0
    try:
        for index in count():
            both = [*islice(ours, 1), *islice(theirs, 1)]
            if len(both) < 2:
                break
            mine, its = both if pair.same_size else _to_one_size(*both)
            _check_size(pair.track, first_frame + index, mine, its)
            yield index, mine, its
    except DECODING_ERRORS as error:
        raise Rejection(
            Reason.UNDECODABLE, f"{pair.track}: frame {first_frame + index} or later: {error}"
        ) from error
    if index != expected:
        raise Rejection(
            Reason.COUNT_DIFFERS,
            f"{pair.track}: decoded pictures expected {expected}, got {index}",
        )


def _check_size(track: str, frame: int, mine: av.VideoFrame, its: av.VideoFrame) -> None:
    expected = f"{mine.width}x{mine.height} {mine.format.name}"
    got = f"{its.width}x{its.height} {its.format.name}"
    if expected != got:
        raise Rejection(
            Reason.PICTURE_DIFFERS, f"{track}: frame {frame} expected {expected}, got {got}"
        )
    if its.is_corrupt:
        raise Rejection(Reason.UNDECODABLE, f"{track}: frame {frame} is damaged")


def _to_one_size(one: av.VideoFrame, two: av.VideoFrame) -> tuple[av.VideoFrame, av.VideoFrame]:
    """Both scaled to the smaller of the two."""
    small = min(one, two, key=lambda picture: picture.height)
    width, height = small.width, small.height
    return (
        one.reformat(width=width, height=height, interpolation="AREA"),
        two.reformat(width=width, height=height, interpolation="AREA"),
    )


def _measure(seen: _Seen, index: int, mine: av.VideoFrame, its: av.VideoFrame) -> None:
    sampled = index % SAMPLED_EVERY == 0
    for number in range(len(_PLANES) if sampled else 1):
        ours = plane(mine, number).astype(np.float32)
        theirs = plane(its, number).astype(np.float32)
        seen.psnr[number][index] = psnr_db(ours, theirs)
        seen.own[number].append(thumbnail(ours))
        seen.other[number].append(thumbnail(theirs))
        if sampled and number == 0:
            seen.ssim[index] = ssim(ours, theirs)


def psnr_db(one: Floats, two: Floats) -> float:
    """PSNR of two planes, dB; PSNR_EQUAL_DB when they are equal."""
    difference = (one - two).ravel()
    error = float(np.einsum("i,i", difference, difference)) / difference.size
    return 10 * math.log10(_PEAK**2 / error) if error else PSNR_EQUAL_DB


def block_means(values: Floats) -> Floats:
    """The mean of each 8x8 block that lies wholly inside, shape (height // 8, width // 8)."""
    height, width = (size // _WINDOW * _WINDOW for size in values.shape)
    rows = values[:height, :width].reshape(-1, _WINDOW, width).sum(axis=1)
    means = rows.reshape(-1, width // _WINDOW, _WINDOW).sum(axis=2) / _WINDOW**2
    return np.asarray(means, np.float32)


def thumbnail(values: Floats) -> Floats:
    """As block_means, but of a few lines of each block only."""
    height, width = (size // _WINDOW * _WINDOW for size in values.shape)
    total = sum(values[line:height:_WINDOW, :width] for line in _THUMBNAIL_LINES)
    weights = np.full(_WINDOW, 1 / (_WINDOW * len(_THUMBNAIL_LINES)), np.float32)
    small = np.asarray(total).reshape(-1, _WINDOW) @ weights
    return np.asarray(small.reshape(-1, width // _WINDOW))


def ssim(one: Floats, two: Floats) -> float:
    """Structural similarity of two planes, 1 when they are equal."""
    mean_one, mean_two = block_means(one), block_means(two)
    both = mean_one * mean_two
    squares = mean_one * mean_one + mean_two * mean_two
    variances = block_means(one * one + two * two) - squares
    covariance = block_means(one * two) - both
    above = (2 * both + _C1) * (2 * covariance + _C2)
    return float(np.mean(above / ((squares + _C1) * (variances + _C2))))


def _apart(one: Floats, two: Floats) -> npt.NDArray[np.float64]:
    """Mean square difference of each picture."""
    return np.asarray(np.mean(np.square(one - two), axis=(1, 2), dtype=np.float64))


def _check_frozen(track: str, own: Floats, other: Floats, first: int) -> None:
    """Pictures that don't change for FROZEN_FRAMES while ours do."""
    if len(own) < 2:
        return
    ours, theirs = _apart(own[1:], own[:-1]), _apart(other[1:], other[:-1])
    still = (ours > _MOTION_MIN) & (theirs < _STILL * ours)
    run, longest, end = 0, 0, 0
    for index, stands in enumerate(still, start=1):
        run = run + 1 if stands else 0
        if run > longest:
            longest, end = run, index
    allowed = min(FROZEN_FRAMES, len(own) - 1)
    if longest >= allowed:
        raise Rejection(
            Reason.PICTURE_FROZEN,
            f"{track}: the picture stands still from frame {first + end - longest} to "
            f"{first + end}, ours moves: expected fewer than {allowed} such frames, got {longest}",
        )


def _check_shift(track: str, own: Floats, other: Floats, first: int) -> None:
    """Pictures that are ours of some frames before or after."""
    reach = min(SHIFT_FRAMES_MAX, (len(own) - 1) // 2)
    middle = slice(reach, len(own) - reach)
    apart = {
        shift: float(
            np.mean(_apart(own[middle.start + shift : middle.stop + shift], other[middle]))
        )
        for shift in range(-reach, reach + 1)
    }
    best = min(apart, key=apart.__getitem__)
    clearly = apart[best] < _CLEARLY_BETTER * apart[0]
    if best and clearly and apart[0] - apart[best] > _MOTION_MIN:
        frames = "one frame" if abs(best) == 1 else f"{abs(best)} frames"
        raise Rejection(
            Reason.PICTURE_SHIFTED,
            f"{track}: {frames} {'early' if best > 0 else 'late'}: the picture of frame "
            f"{first + reach} is ours of frame {first + reach + best} (differs by "
            f"{_rms(apart[best])} levels; by {_rms(apart[0])} from ours of the same frame)",
        )


def _rms(square: float) -> str:
    return f"{math.sqrt(square):.1f}"


def _check_levels(track: str, own: Floats, other: Floats, first: int) -> None:
    """Luma that is ours by another scale, as full range in place of video range is."""
    ours, theirs = own.ravel() - own.mean(), other.ravel() - other.mean()
    power = float(np.dot(ours, ours))
    if power / ours.size < _CONTRAST_MIN:
        return
    common, other_power = float(np.dot(ours, theirs)), float(np.dot(theirs, theirs))
    scale = common / power
    explained = common * common / (power * other_power) if other_power else 0.0
    if abs(scale - 1) > LEVEL_APART_MAX and explained > _FIT_MIN:
        raise Rejection(
            Reason.LEVELS_DIFFER,
            f"{track}: luma levels from frame {first} on expected ours within "
            f"{LEVEL_APART_MAX * 100:.0f} %, got {scale * 100:.0f} % of them: another colour range",
        )


def _check_colours(track: str, own: Sequence[Floats], other: Sequence[Floats], first: int) -> None:
    """Cb and Cr of equal size that are in each other's place."""
    straight = sum(float(np.mean(_apart(own[n], other[n]))) for n in (1, 2))
    swapped = sum(float(np.mean(_apart(own[n], other[3 - n]))) for n in (1, 2))
    if swapped < _CLEARLY_BETTER * straight and straight - swapped > _MOTION_MIN:
        raise Rejection(
            Reason.COLOURS_SWAPPED,
            f"{track}: Cb and Cr are swapped from frame {first} on: the planes differ by "
            f"{_rms(straight)} levels, by {_rms(swapped)} the other way round",
        )


def _check_psnr(track: str, psnr: Sequence[dict[int, float]], first: int, least_db: int) -> None:
    for name, values in zip(_PLANES, psnr, strict=True):
        lowest = min(values, key=values.__getitem__)
        if values[lowest] < least_db:
            raise Rejection(
                Reason.PICTURE_DIFFERS,
                f"{track}: {name} PSNR of frame {first + lowest} expected at least "
                f"{least_db} dB, got {values[lowest]:.1f} dB",
            )


def _check_ssim(track: str, seen: _Seen, first: int, least_permille: int) -> Figures:
    worst = min(seen.ssim, key=seen.ssim.__getitem__)
    permille = int(seen.ssim[worst] * 1000)
    if permille < least_permille:
        raise Rejection(
            Reason.PICTURE_DIFFERS,
            f"{track}: SSIM of frame {first + worst} expected at least {least_permille}/1000, "
            f"got {permille}/1000",
        )
    values = seen.psnr[0]
    lowest = min(values, key=values.__getitem__)
    return Figures(
        track=track,
        lowest_db=values[lowest],
        mean_db=sum(values.values()) / len(values),
        lowest_frame=first + lowest,
        ssim_permille=permille,
    )
