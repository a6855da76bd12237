"""What the boxes of init and media segments say, and whether that is what the timeline says.

Pure functions over bytes (ISO/IEC 14496-12, 23000-19). Checks answer with what is wrong; nothing is
decoded here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from hitless_encoder.boxes import child, walk
from hitless_encoder.errors import BoxError
from hitless_encoder.verify.verdict import Reason
from hitless_handover.timeline import AAC_FRAME_SAMPLES, OPUS_FRAME_SAMPLES, Timeline
from hitless_wire.init_difference import Difference, init_difference

_SEQUENCE_MASK = 0xFFFFFFFF
_NON_SYNC_FLAG = 0x010000


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What the boxes of a media segment say. durations, syncs: one entry a sample."""

    sequence: int
    decode_ticks: int
    durations: tuple[int, ...]
    syncs: tuple[bool, ...]


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
    opus = OPUS_FRAME_SAMPLES in found.durations
    frame_samples = OPUS_FRAME_SAMPLES if opus else AAC_FRAME_SAMPLES
    first_audio = timeline.first_audio_frame(segment, frame_samples)
    ticks = timeline.pts_ticks(timeline.first_frame(segment))
    count, duration = timeline.segment_frames, timeline.frame_ticks
    if not video:
        ticks, duration = first_audio * frame_samples, frame_samples
        count = timeline.first_audio_frame(segment + 1, frame_samples) - first_audio
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


def first_difference(own: bytes, other: bytes) -> Difference | None:
    """Where two init segments differ first, box by box. Raises BoxError."""
    return init_difference(own, other, walk)
