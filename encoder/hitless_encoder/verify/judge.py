"""Judges a segment of another encoder, all tracks: may it take over from us?

The order is what it costs: bytes, tracks, boxes, then decoding. Equal bytes need no decoder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from hitless_encoder.errors import BoxError
from hitless_encoder.verify.decoding import DECODING_ERRORS, pictures
from hitless_encoder.verify.picture import Pair, judge_pictures
from hitless_encoder.verify.sound import judge_sound
from hitless_encoder.verify.structure import check_structure, first_difference, is_video
from hitless_encoder.verify.verdict import Figures, Reason, Rejection, Verdict
from hitless_handover.messages import Criteria
from hitless_handover.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One encoder's segment: media and init segment of each track."""

    media: Mapping[str, bytes]
    inits: Mapping[str, bytes]

    def of_kind(self, *, video: bool) -> list[str]:
        """The names of the tracks with pictures, or with sound. Raises Rejection."""
        return [track for track in self.media if _is_video(track, self.inits[track]) is video]


def judge(
    own: Encoded, other: Encoded, timeline: Timeline, segment: int, criteria: Criteria
) -> Verdict:
    """Compare segment `segment` of two encoders of the same tracks.

    Never raises, whatever the other encoder sent.
    """
    figures: list[Figures] = []
    try:
        _check_tracks(own.media, other)
        _check_inits(own.inits, other.inits)
        for track, media in other.media.items():
            if _digest(own.media[track]) == _digest(media):
                continue
            init = own.inits[track]
            pair = Pair(track=track, own=init + own.media[track], other=init + media)
            video = _is_video(track, init)
            _require_structure(track, media, video=video, timeline=timeline, segment=segment)
            if video:
                figures.append(judge_pictures(pair, timeline, segment, criteria))
            else:
                judge_sound(pair, timeline, segment, criteria)
    except Rejection as rejection:
        return rejection.verdict(tuple(figures))
    if all(_digest(own.media[track]) == _digest(other.media[track]) for track in own.media):
        return Verdict(ok=True, reason=Reason.IDENTICAL, message="same bytes in every track")
    return _equivalent(figures)


def judge_other_tracks(
    own: Encoded, other: Encoded, timeline: Timeline, segment: int, criteria: Criteria
) -> Verdict:
    """Judge a segment whose tracks need not be ours: for a declared discontinuity.

    Each track with pictures is compared with ours of the nearest height, both scaled to the smaller
    of the two, each with sound with our first. Never raises, whatever the other encoder sent.
    """
    figures: list[Figures] = []
    try:
        _check_tracks(other.media, other)
        if not other.of_kind(video=True):
            raise Rejection(Reason.TRACKS_DIFFER, "tracks expected one with pictures, got none")
        for track, media in other.media.items():
            video = _is_video(track, other.inits[track])
            _require_structure(track, media, video=video, timeline=timeline, segment=segment)
        heights = {track: _height(own, track) for track in own.of_kind(video=True)}
        for track in other.of_kind(video=True):
            height = _height(other, track)
            nearest = min(heights, key=lambda name: abs(heights[name] - height))
            pair = _unlike(own, nearest, other, track)
            figures.append(judge_pictures(pair, timeline, segment, criteria))
        sound = own.of_kind(video=False)
        for track in other.of_kind(video=False):
            # with no sound of ours it is only decoded: nothing is as loud as itself
            pair = _unlike(own if sound else other, sound[0] if sound else track, other, track)
            judge_sound(pair, timeline, segment, criteria)
    except Rejection as rejection:
        return rejection.verdict(tuple(figures))
    return _equivalent(figures)


def _unlike(own: Encoded, ours: str, other: Encoded, track: str) -> Pair:
    return Pair(
        track=track,
        own=own.inits[ours] + own.media[ours],
        other=other.inits[track] + other.media[track],
        same_size=False,
    )


def _height(encoded: Encoded, track: str) -> int:
    """Of the first picture. Raises Rejection."""
    try:
        return next(pictures(encoded.inits[track] + encoded.media[track])).height
    except (*DECODING_ERRORS, StopIteration) as error:
        raise Rejection(Reason.UNDECODABLE, f"{track}: {error}") from error


def _equivalent(figures: list[Figures]) -> Verdict:
    texts = (
        f"{one.track} {one.lowest_db:.1f} dB least, {one.mean_db:.1f} dB mean, "
        f"SSIM {one.ssim_permille}/1000 least"
        for one in figures
    )
    message = ", ".join(texts) or "only the sound's bytes differ"
    return Verdict(ok=True, reason=Reason.EQUIVALENT, message=message, figures=tuple(figures))


def _check_tracks(own: Mapping[str, bytes], other: Encoded) -> None:
    for what, names in (("tracks", other.media), ("init segments", other.inits)):
        if set(own) != set(names):
            expected, got = ", ".join(sorted(own)), ", ".join(sorted(names))
            raise Rejection(Reason.TRACKS_DIFFER, f"{what} expected {expected}, got {got}")


def _check_inits(own: Mapping[str, bytes], other: Mapping[str, bytes]) -> None:
    for track in own:
        try:
            found = first_difference(own[track], other[track])
        except BoxError as error:
            raise Rejection(Reason.INIT_DIFFERS, f"{track}: init segment: {error}") from error
        if found is not None:
            raise Rejection(
                Reason.INIT_DIFFERS,
                f"{track}: init segment: {found.path} expected {found.own}, got {found.other}",
            )


def _is_video(track: str, init: bytes) -> bool:
    try:
        return is_video(init)
    except BoxError as error:
        raise Rejection(Reason.BROKEN, f"{track}: init segment: {error}") from error


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _require_structure(
    track: str, data: bytes, *, video: bool, timeline: Timeline, segment: int
) -> None:
    wrong = check_structure(track, data, video=video, timeline=timeline, segment=segment)
    if wrong is not None:
        raise Rejection(*wrong)
