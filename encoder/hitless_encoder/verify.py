"""Judges another encoder's segment against our own: may it take over from us?

Structure first (the boxes say what the timeline says), then decoding, then each picture's luma PSNR
and the loudness of the sound against ours. Pure but for the decoder; takes tens of milliseconds for
a segment, so call it in a thread. The control part asks; this only answers.
"""

from __future__ import annotations

import hashlib
import io
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

import av
import numpy as np

from hitless_encoder.boxes import child, walk
from hitless_encoder.errors import BoxError
from hitless_encoder.pcm import Pcm, silence
from hitless_handover.timeline import AAC_FRAME_SAMPLES, Timeline

PSNR_EQUAL_DB = 100.0  # reported for identical pictures
LOUDNESS_APART_DB_MAX = 6.0
_QUIET_DB = -50.0  # below this, sound counts as silence
_LUMA_PEAK = 255
_SEQUENCE_MASK = 0xFFFFFFFF
_NON_SYNC_FLAG = 0x010000
# IndexError: no stream of the kind; ValueError: planes that are not what the header said
_DECODING_ERRORS = (av.FFmpegError, IndexError, ValueError)


class Reason(StrEnum):
    """Why a verdict is what it is."""

    IDENTICAL = "Identical"  # the same bytes in every track
    EQUIVALENT = "Equivalent"  # same structure, pictures and sound close enough
    TRACKS_DIFFER = "TracksDiffer"  # a track is missing or too many
    BROKEN = "Broken"  # not the boxes of a CMAF segment
    NUMBER_DIFFERS = "NumberDiffers"  # mfhd sequence number is not the segment's
    TIME_DIFFERS = "TimeDiffers"  # tfdt is not the segment's start
    COUNT_DIFFERS = "CountDiffers"  # number of samples, pictures or AAC frames
    DURATION_DIFFERS = "DurationDiffers"  # a sample's duration
    SYNC_DIFFERS = "SyncDiffers"  # does not begin with a sync sample
    UNDECODABLE = "Undecodable"  # a decoder refuses it
    PICTURE_DIFFERS = "PictureDiffers"  # luma PSNR below the threshold
    SOUND_DIFFERS = "SoundDiffers"  # much louder or quieter than ours


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackPsnr:
    """Luma PSNR of a track's pictures against ours, dB. lowest_frame: where it is least."""

    track: str
    lowest_db: float
    mean_db: float
    lowest_frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """ok and why. message names track, field, expected and got. psnr: of the tracks measured."""

    ok: bool
    reason: Reason
    message: str
    psnr: tuple[TrackPsnr, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What the boxes of a media segment say. durations, syncs: one entry a sample."""

    sequence: int
    decode_ticks: int
    durations: tuple[int, ...]
    syncs: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A track of the other encoder, and ours to judge it by: media with and without the header."""

    track: str
    own: bytes
    other: bytes
    media: bytes
    same_size: bool = True


class _Rejection(Exception):
    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def judge(  # noqa: PLR0917 — a contract with the control part
    own: Mapping[str, bytes],
    other: Mapping[str, bytes],
    inits: Mapping[str, bytes],
    timeline: Timeline,
    segment: int,
    psnr_min_db: float,
) -> Verdict:
    """Compare segment `segment` of two encoders, all tracks.

    inits: init segment of each track; the control part has found them equal in both encoders.
    Never raises, whatever the other encoder sent.
    """
    measured: list[TrackPsnr] = []
    try:
        _check_tracks(own, other, inits)
        for track in own:
            if _digest(own[track]) == _digest(other[track]):
                continue
            init = inits[track]
            pair = _Pair(
                track=track, own=init + own[track], other=init + other[track], media=other[track]
            )
            if _is_video(track, init):
                measured.append(_judge_video(pair, timeline, segment, psnr_min_db))
            else:
                _judge_sound(pair, timeline, segment)
    except _Rejection as rejection:
        return _rejected(rejection, measured)
    if all(_digest(own[track]) == _digest(other[track]) for track in own):
        return Verdict(ok=True, reason=Reason.IDENTICAL, message="same bytes in every track")
    return _equivalent(measured)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One encoder's segment: media and init segment of each track."""

    media: Mapping[str, bytes]
    inits: Mapping[str, bytes]

    def of_kind(self, *, video: bool) -> list[str]:
        """The names of the tracks with pictures, or with sound. Raises _Rejection."""
        return [track for track in self.media if _is_video(track, self.inits[track]) is video]


def judge_other_tracks(
    own: Encoded, other: Encoded, timeline: Timeline, segment: int, psnr_min_db: float
) -> Verdict:
    """Judge a segment whose tracks need not be ours: for a declared discontinuity.

    Each track with pictures is compared with ours of the nearest height, both scaled to the smaller
    of the two, each with sound with our first. Never raises, whatever the other encoder sent.
    """
    measured: list[TrackPsnr] = []
    try:
        _check_tracks(other.media, other.inits, other.inits)
        if not other.of_kind(video=True):
            raise _Rejection(Reason.TRACKS_DIFFER, "tracks expected one with pictures, got none")
        for track, media in other.media.items():
            video = _is_video(track, other.inits[track])
            _require_structure(track, media, video=video, timeline=timeline, segment=segment)
        heights = {track: _height(own, track) for track in own.of_kind(video=True)}
        for track in other.of_kind(video=True):
            height = _height(other, track)
            nearest = min(heights, key=lambda name: abs(heights[name] - height))
            pair = _unlike(own, nearest, other, track)
            measured.append(_judge_video(pair, timeline, segment, psnr_min_db))
        sound = own.of_kind(video=False)
        for track in other.of_kind(video=False):
            # with no sound of ours it is only decoded: nothing is as loud as itself
            pair = _unlike(own if sound else other, sound[0] if sound else track, other, track)
            _judge_sound(pair, timeline, segment)
    except _Rejection as rejection:
        return _rejected(rejection, measured)
    return _equivalent(measured)


def _unlike(own: Encoded, ours: str, other: Encoded, track: str) -> _Pair:
    return _Pair(
        track=track,
        own=own.inits[ours] + own.media[ours],
        other=other.inits[track] + other.media[track],
        media=other.media[track],
        same_size=False,
    )


def _height(encoded: Encoded, track: str) -> int:
    """Of the first picture. Raises _Rejection."""
    try:
        return next(pictures(encoded.inits[track] + encoded.media[track])).height
    except (*_DECODING_ERRORS, StopIteration) as error:
        raise _Rejection(Reason.UNDECODABLE, f"{track}: {error}") from error


def _rejected(rejection: _Rejection, measured: list[TrackPsnr]) -> Verdict:
    return Verdict(ok=False, reason=rejection.reason, message=str(rejection), psnr=tuple(measured))


def _equivalent(measured: list[TrackPsnr]) -> Verdict:
    texts = (f"{p.track} {p.lowest_db:.1f} dB least, {p.mean_db:.1f} dB mean" for p in measured)
    message = "equivalent: " + (", ".join(texts) or "only the sound's bytes differ")
    return Verdict(ok=True, reason=Reason.EQUIVALENT, message=message, psnr=tuple(measured))


def is_video(init: bytes) -> bool:
    """Whether an init segment describes pictures. Raises BoxError."""
    return child(init, b"moov", b"trak", b"mdia", b"hdlr")[8:12] == b"vide"


def structure(segment: bytes) -> Structure:
    """Read a segment of one fragment or several (chunks). Raises BoxError."""
    fragments = [body for kind, body in walk(segment) if kind == b"moof"]
    if not fragments or not any(kind == b"mdat" for kind, _ in walk(segment)):
        raise BoxError("no moof or no mdat")
    durations: list[int] = []
    syncs: list[bool] = []
    for moof in fragments:
        duration, flags = _defaults(child(moof, b"traf", b"tfhd"))
        for one in _samples(child(moof, b"traf", b"trun"), duration, flags):
            durations.append(one[0])
            syncs.append(one[1])
    head = fragments[0]
    tfdt = child(head, b"traf", b"tfdt")
    try:
        ticks = struct.unpack_from(">Q" if tfdt[0] == 1 else ">I", tfdt, 4)[0]
        sequence = struct.unpack_from(">I", child(head, b"mfhd"), 4)[0]
    except (struct.error, IndexError) as error:
        raise BoxError("moof: mfhd or tfdt is too short") from error
    return Structure(
        sequence=sequence, decode_ticks=ticks, durations=tuple(durations), syncs=tuple(syncs)
    )


def _defaults(tfhd: bytes) -> tuple[int, int]:
    """Default duration and flags of a track fragment; 0 where it has none."""
    optional = ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4), (0x20, 4))
    present = int.from_bytes(tfhd[1:4], "big")
    offset, values = 8, dict.fromkeys((0x8, 0x20), 0)
    for flag, size in optional:
        if present & flag:
            values[flag] = int.from_bytes(tfhd[offset : offset + size], "big")
            offset += size
    return values[0x8], values[0x20]


def _samples(trun: bytes, duration: int, flags: int) -> Iterator[tuple[int, bool]]:
    """Duration and sync flag of each sample of a run."""
    present = int.from_bytes(trun[1:4], "big")
    count = int.from_bytes(trun[4:8], "big")
    offset = 8 + (4 if present & 0x1 else 0)
    first_flags = flags
    if present & 0x4:
        first_flags = int.from_bytes(trun[offset : offset + 4], "big")
        offset += 4
    width = 4 * sum(1 for flag in (0x100, 0x200, 0x400, 0x800) if present & flag)
    if len(trun) != offset + width * count:
        raise BoxError(f"trun: {len(trun)} bytes for {count} samples")
    for index in range(count):
        at = offset + width * index
        one_duration, one_flags = duration, first_flags if index == 0 else flags
        if present & 0x100:
            one_duration = int.from_bytes(trun[at : at + 4], "big")
            at += 4
        if present & 0x400:
            at += 4 if present & 0x200 else 0
            one_flags = int.from_bytes(trun[at : at + 4], "big")
        yield one_duration, not one_flags & _NON_SYNC_FLAG


def check_structure(
    track: str, segment_bytes: bytes, *, video: bool, timeline: Timeline, segment: int
) -> tuple[Reason, str] | None:
    """What is wrong with a media segment's boxes, or None."""
    try:
        found = structure(segment_bytes)
    except BoxError as error:
        return Reason.BROKEN, f"{track}: {error}"
    first_audio = timeline.first_audio_frame(segment)
    ticks = timeline.pts_ticks(timeline.first_frame(segment))
    count, duration = timeline.segment_frames, timeline.frame_ticks
    if not video:
        ticks = first_audio * AAC_FRAME_SAMPLES
        count, duration = timeline.first_audio_frame(segment + 1) - first_audio, AAC_FRAME_SAMPLES
    wrong = next((d for d in found.durations if d != duration), duration)
    synced = bool(found.syncs) and found.syncs[0]
    checks = (
        (Reason.NUMBER_DIFFERS, "mfhd sequence", segment & _SEQUENCE_MASK, found.sequence),
        (Reason.TIME_DIFFERS, "tfdt", ticks, found.decode_ticks),
        (Reason.COUNT_DIFFERS, "sample count", count, len(found.durations)),
        (Reason.DURATION_DIFFERS, "sample duration", duration, wrong),
        (Reason.SYNC_DIFFERS, "first sample sync", True, synced),
    )
    for reason, field, expected, got in checks:
        if expected != got:
            return reason, f"{track}: {field} expected {expected}, got {got}"
    return None


def _check_tracks(
    own: Mapping[str, bytes], other: Mapping[str, bytes], inits: Mapping[str, bytes]
) -> None:
    for what, names in (("tracks", other), ("init segments", inits)):
        if set(own) != set(names):
            expected, got = ", ".join(sorted(own)), ", ".join(sorted(names))
            raise _Rejection(Reason.TRACKS_DIFFER, f"{what} expected {expected}, got {got}")


def _is_video(track: str, init: bytes) -> bool:
    try:
        return is_video(init)
    except BoxError as error:
        raise _Rejection(Reason.BROKEN, f"{track}: init segment: {error}") from error


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _require_structure(
    track: str, data: bytes, *, video: bool, timeline: Timeline, segment: int
) -> None:
    wrong = check_structure(track, data, video=video, timeline=timeline, segment=segment)
    if wrong is not None:
        raise _Rejection(*wrong)


def _judge_video(pair: _Pair, timeline: Timeline, segment: int, psnr_min_db: float) -> TrackPsnr:
    track = pair.track
    _require_structure(track, pair.media, video=True, timeline=timeline, segment=segment)
    ours, theirs = pictures(pair.own), pictures(pair.other)
    values: list[float] = []
    try:
        for index, both in enumerate(zip_longest(ours, theirs)):
            if None in both:
                break
            mine, its = both if pair.same_size else _to_one_size(*both)
            if (mine.width, mine.height) != (its.width, its.height):
                raise _Rejection(
                    Reason.PICTURE_DIFFERS,
                    f"{track}: picture {index} expected {mine.width}x{mine.height}, "
                    f"got {its.width}x{its.height}",
                )
            values.append(luma_psnr_db(mine, its))
    except _DECODING_ERRORS as error:
        raise _Rejection(Reason.UNDECODABLE, f"{track}: {error}") from error
    if len(values) != timeline.segment_frames:
        raise _Rejection(
            Reason.COUNT_DIFFERS,
            f"{track}: decoded pictures expected {timeline.segment_frames}, got {len(values)}",
        )
    return _threshold(track, values, timeline.first_frame(segment), psnr_min_db)


def _threshold(track: str, values: list[float], first_frame: int, psnr_min_db: float) -> TrackPsnr:
    lowest = min(range(len(values)), key=values.__getitem__)
    figures = TrackPsnr(
        track=track,
        lowest_db=values[lowest],
        mean_db=sum(values) / len(values),
        lowest_frame=first_frame + lowest,
    )
    if figures.lowest_db < psnr_min_db:
        raise _Rejection(
            Reason.PICTURE_DIFFERS,
            f"{track}: luma PSNR of frame {figures.lowest_frame} expected at least "
            f"{psnr_min_db} dB, got {figures.lowest_db:.1f} dB",
        )
    return figures


def pictures(data: bytes) -> Iterator[av.VideoFrame]:
    """Decode init + media bytes. Raises av.FFmpegError; a damaged picture is an error too."""
    options = {"err_detect": "explode"}
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        stream = container.streams.video[0]
        stream.codec_context.options = options
        stream.codec_context.thread_count = 1
        yield from container.decode(stream)


def _to_one_size(one: av.VideoFrame, two: av.VideoFrame) -> tuple[av.VideoFrame, av.VideoFrame]:
    """Both scaled to the smaller of the two."""
    small = min(one, two, key=lambda picture: picture.height)
    width, height = small.width, small.height
    return (
        one.reformat(width=width, height=height, interpolation="AREA"),
        two.reformat(width=width, height=height, interpolation="AREA"),
    )


def luma_psnr_db(one: av.VideoFrame, two: av.VideoFrame) -> float:
    """PSNR of the luma planes, dB; PSNR_EQUAL_DB when they are equal."""
    difference = luma(one).astype(np.int16) - luma(two)
    error = float(np.mean(np.square(difference, dtype=np.int32)))
    if error == 0:
        return PSNR_EQUAL_DB
    return 10 * math.log10(_LUMA_PEAK**2 / error)


def luma(picture: av.VideoFrame) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """The luma plane, shape (height, width), without padding."""
    plane = picture.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return np.asarray(lines[: picture.height, : picture.width])


def _judge_sound(pair: _Pair, timeline: Timeline, segment: int) -> None:
    track = pair.track
    _require_structure(track, pair.media, video=False, timeline=timeline, segment=segment)
    try:
        mine, its = samples(pair.own), samples(pair.other)
    except _DECODING_ERRORS as error:
        raise _Rejection(Reason.UNDECODABLE, f"{track}: {error}") from error
    if its.shape != mine.shape:
        raise _Rejection(
            Reason.COUNT_DIFFERS,
            f"{track}: decoded samples expected {mine.shape[1]}, got {its.shape[1]}",
        )
    expected, got = loudness_db(mine), loudness_db(its)
    if abs(expected - got) > LOUDNESS_APART_DB_MAX:
        raise _Rejection(
            Reason.SOUND_DIFFERS,
            f"{track}: loudness expected {expected:.1f} dBFS within {LOUDNESS_APART_DB_MAX} dB, "
            f"got {got:.1f} dBFS",
        )


def samples(data: bytes) -> Pcm:
    """Decode init + media bytes of an AAC track. Raises av.FFmpegError."""
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        frames = [np.asarray(f.to_ndarray(), np.float32) for f in container.decode(audio=0)]
    return np.concatenate(frames, axis=1) if frames else silence(0)


def loudness_db(pcm: Pcm) -> float:
    """RMS over everything, dB of full scale, not below the level that counts as silence."""
    power = float(np.mean(np.square(pcm, dtype=np.float64))) if pcm.size else 0.0
    return max(_QUIET_DB, 10 * math.log10(power)) if power > 0 else _QUIET_DB
