"""Reads CMAF headers and segments: ISO/IEC 14496-12 boxes, as far as a player needs them.

Pure: bytes in, values out, one track. Raises BoxError and nothing else. Knows no codec; what is
inside a sample is for decode.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from hitless_cli.probe.errors import BoxError

_BOXES_MAX = 100_000
_SAMPLES_MAX = 100_000
_NOT_SYNC = 0x00010000
_TFHD_BASE_OFFSET, _TFHD_DESCRIPTION = 0x1, 0x2
_TFHD_DURATION, _TFHD_SIZE, _TFHD_FLAGS = 0x8, 0x10, 0x20
_TRUN_OFFSET, _TRUN_FIRST_FLAGS = 0x1, 0x4
_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_COMPOSITION = 0x100, 0x200, 0x400, 0x800


class TrackKind(StrEnum):
    """What a track holds."""

    VIDEO = "Video"
    AUDIO = "Audio"


_HANDLERS = {b"vide": TrackKind.VIDEO, b"soun": TrackKind.AUDIO}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A box: its type, where it starts in the outermost bytes, and its payload."""

    name: str
    start: int
    payload: memoryview

    def full(self) -> tuple[int, int, memoryview]:
        """Version, flags and the rest of a full box."""
        (word,) = _unpack(">I", self, 0)
        return word >> 24, word & 0xFFFFFF, self.payload[4:]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackHeader:
    """What a CMAF header says of its track.

    timescale: ticks a second. default_*: from `trex`. edit_ticks: media time at which presentation
    starts (`elst`), subtracted from every time. width, height: pixels; sample_rate: Hz.
    """

    track_id: int
    kind: TrackKind
    timescale: int
    codec: str
    edit_ticks: int
    default_duration_ticks: int
    default_size: int
    default_flags: int
    width: int | None
    height: int | None
    sample_rate: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One coded frame: times in the track's ticks, and its bytes."""

    pts_ticks: int
    dts_ticks: int
    duration_ticks: int
    key: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSegment:
    """A CMAF segment: the `mfhd` numbers of its fragments, and its samples in decode order."""

    fragment_numbers: tuple[int, ...]
    samples: tuple[Sample, ...]

    @property
    def duration_ticks(self) -> int:
        """The sum of the samples' durations."""
        return sum(sample.duration_ticks for sample in self.samples)


def boxes(data: memoryview, start: int = 0) -> Iterator[Box]:
    """The boxes side by side in `data`, which begins `start` bytes into the outermost bytes."""
    offset = 0
    for _ in range(_BOXES_MAX):
        if offset == len(data):
            return
        if len(data) - offset < 8:
            raise BoxError(f"{len(data) - offset} stray bytes after the box at {start + offset}")
        size, name = struct.unpack_from(">I4s", data, offset)
        header = 8
        if size == 1 and len(data) - offset >= 16:
            (size,) = struct.unpack_from(">Q", data, offset + 8)
            header = 16
        elif size == 0:
            size = len(data) - offset
        if size < header or offset + size > len(data):
            raise BoxError(f"box {name!r} at {start + offset} claims {size} bytes: truncated")
        yield Box(
            name=name.decode("latin-1"),
            start=start + offset,
            payload=data[offset + header : offset + size],
        )
        offset += size
    raise BoxError(f"more than {_BOXES_MAX} boxes side by side")


def read_header(data: bytes) -> TrackHeader:
    """The track of a CMAF header (init segment): its video track, or else its audio track."""
    moov = _only(boxes(memoryview(data)), "moov", "the header")
    tracks = [_track(moov, trak) for trak in boxes(moov.payload) if trak.name == "trak"]
    playable = [track for track in tracks if track is not None]
    if not playable:
        raise BoxError("the header has no video or audio track")
    return next((t for t in playable if t.kind is TrackKind.VIDEO), playable[0])


def read_segment(data: bytes, header: TrackHeader) -> MediaSegment:
    """The samples of the header's track in a CMAF segment of one or more fragments."""
    numbers: list[int] = []
    samples: list[Sample] = []
    for moof in boxes(memoryview(data)):
        if moof.name == "moof":
            number, found = _fragment(data, moof, header)
            numbers.append(number)
            samples.extend(found)
    if not samples:
        raise BoxError(f"no sample of track {header.track_id}: no moof, or an empty trun")
    return MediaSegment(fragment_numbers=tuple(numbers), samples=tuple(samples))


def _unpack(layout: str, box: Box, offset: int) -> tuple[int, ...]:
    return _unpack_view(layout, box.payload, offset, box.name)


def _unpack_view(layout: str, view: memoryview, offset: int, name: str) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, view, offset)
    except struct.error as error:
        raise BoxError(f"box {name} is too short ({len(view)} bytes)") from error


def _find(found: Iterator[Box], name: str) -> Box | None:
    return next((box for box in found if box.name == name), None)


def _only(found: Iterator[Box], name: str, where: str) -> Box:
    box = _find(found, name)
    if box is None:
        raise BoxError(f"{where} has no {name} box")
    return box


def _path(box: Box, *names: str) -> Box:
    for name in names:
        box = _only(boxes(box.payload), name, box.name)
    return box


def _track(moov: Box, trak: Box) -> TrackHeader | None:
    kind = _HANDLERS.get(bytes(_path(trak, "mdia", "hdlr").payload[8:12]))
    if kind is None:
        return None
    version, _, tkhd = _path(trak, "tkhd").full()
    (track_id,) = _unpack_view(">I", tkhd, 16 if version else 8, "tkhd")
    version, _, mdhd = _path(trak, "mdia", "mdhd").full()
    (timescale,) = _unpack_view(">I", mdhd, 16 if version else 8, "mdhd")
    if timescale == 0:
        raise BoxError("mdhd has a timescale of 0")
    duration, size, flags = _defaults(moov, track_id)
    codec, width, height, rate = _sample_entry(_path(trak, "mdia", "minf", "stbl", "stsd"), kind)
    return TrackHeader(
        track_id=track_id,
        kind=kind,
        timescale=timescale,
        codec=codec,
        edit_ticks=_edit_ticks(trak),
        default_duration_ticks=duration,
        default_size=size,
        default_flags=flags,
        width=width,
        height=height,
        sample_rate=rate,
    )


def _defaults(moov: Box, track_id: int) -> tuple[int, int, int]:
    mvex = _find(boxes(moov.payload), "mvex")
    if mvex is None:
        return 0, 0, 0
    for trex in boxes(mvex.payload):
        if trex.name == "trex" and _unpack(">I", trex, 4)[0] == track_id:
            duration, size, flags = _unpack(">III", trex, 12)
            return duration, size, flags
    return 0, 0, 0


def _sample_entry(stsd: Box, kind: TrackKind) -> tuple[str, int | None, int | None, int | None]:
    """Codec four-character code; then width and height, or the sample rate."""
    _, _, rest = stsd.full()
    entry = next(boxes(rest[4:]), None)
    if entry is None:
        raise BoxError("stsd has no sample entry")
    if kind is TrackKind.VIDEO:
        width, height = _unpack(">HH", entry, 24)
        return entry.name, width, height, None
    (rate,) = _unpack(">I", entry, 24)
    return entry.name, None, None, rate >> 16


def _edit_ticks(trak: Box) -> int:
    edts = _find(boxes(trak.payload), "edts")
    if edts is None:
        return 0
    version, _, elst = _path(edts, "elst").full()
    (count,) = _unpack_view(">I", elst, 0, "elst")
    step, layout, skip = (20, ">q", 8) if version else (12, ">i", 4)
    for entry in range(min(count, len(elst) // step)):
        (media_time,) = _unpack_view(layout, elst, 4 + entry * step + skip, "elst")
        if media_time >= 0:
            return media_time
    return 0


def _fragment(data: bytes, moof: Box, header: TrackHeader) -> tuple[int, list[Sample]]:
    (number,) = _unpack(">I", _path(moof, "mfhd"), 4)
    samples: list[Sample] = []
    for traf in boxes(moof.payload):
        if traf.name == "traf" and _unpack(">I", _path(traf, "tfhd"), 4)[0] == header.track_id:
            samples.extend(_track_fragment(data, moof, traf, header))
    return number, samples


@dataclass(frozen=True, slots=True, kw_only=True)
class _Defaults:
    """What a trun's samples take where it does not say: from tfhd, else from trex."""

    base: int
    duration_ticks: int
    size: int
    flags: int


def _tfhd(traf: Box, moof: Box, header: TrackHeader) -> _Defaults:
    _, flags, rest = _path(traf, "tfhd").full()
    offset = 4
    values = {"base": moof.start}
    fields = (
        (_TFHD_BASE_OFFSET, ">Q", "base"),
        (_TFHD_DESCRIPTION, ">I", "description"),
        (_TFHD_DURATION, ">I", "duration"),
        (_TFHD_SIZE, ">I", "size"),
        (_TFHD_FLAGS, ">I", "flags"),
    )
    for bit, layout, name in fields:
        if flags & bit:
            (values[name],) = _unpack_view(layout, rest, offset, "tfhd")
            offset += struct.calcsize(layout)
    return _Defaults(
        base=values["base"],
        duration_ticks=values.get("duration", header.default_duration_ticks),
        size=values.get("size", header.default_size),
        flags=values.get("flags", header.default_flags),
    )


def _track_fragment(data: bytes, moof: Box, traf: Box, header: TrackHeader) -> Iterator[Sample]:
    defaults = _tfhd(traf, moof, header)
    version, _, tfdt = _path(traf, "tfdt").full()
    (dts,) = _unpack_view(">Q" if version else ">I", tfdt, 0, "tfdt")
    offset = defaults.base
    for trun in boxes(traf.payload):
        if trun.name != "trun":
            continue
        for sample, end in _run(data, trun, defaults, dts - header.edit_ticks, offset):
            yield sample
            dts += sample.duration_ticks
            offset = end


def _run(
    data: bytes, trun: Box, defaults: _Defaults, dts: int, offset: int
) -> Iterator[tuple[Sample, int]]:
    """The samples of one trun from `offset`, each with where its bytes end."""
    version, flags, rest = trun.full()
    (count,) = _unpack_view(">I", rest, 0, "trun")
    if count > _SAMPLES_MAX:
        raise BoxError(f"trun claims {count} samples, more than {_SAMPLES_MAX}")
    at = 4
    if flags & _TRUN_OFFSET:
        offset = defaults.base + _unpack_view(">i", rest, at, "trun")[0]
        at += 4
    first_flags = None
    if flags & _TRUN_FIRST_FLAGS:
        (first_flags,) = _unpack_view(">I", rest, at, "trun")
        at += 4
    for index in range(count):
        duration, size, bits, shift, at = _entry(rest, at, flags, version, defaults)
        if index == 0 and first_flags is not None:
            bits = first_flags
        if offset < 0 or offset + size > len(data):
            raise BoxError(f"sample {index} at {offset} ({size} bytes) lies outside the segment")
        sample = Sample(
            pts_ticks=dts + shift,
            dts_ticks=dts,
            duration_ticks=duration,
            key=not bits & _NOT_SYNC,
            data=data[offset : offset + size],
        )
        dts += duration
        offset += size
        yield sample, offset


def _entry(
    rest: memoryview, at: int, flags: int, version: int, defaults: _Defaults
) -> tuple[int, int, int, int, int]:
    """Duration, size, flags and composition offset of one sample; then where the next begins."""
    duration, size, bits, shift = defaults.duration_ticks, defaults.size, defaults.flags, 0
    if flags & _TRUN_DURATION:
        (duration,) = _unpack_view(">I", rest, at, "trun")
        at += 4
    if flags & _TRUN_SIZE:
        (size,) = _unpack_view(">I", rest, at, "trun")
        at += 4
    if flags & _TRUN_FLAGS:
        (bits,) = _unpack_view(">I", rest, at, "trun")
        at += 4
    if flags & _TRUN_COMPOSITION:
        (shift,) = _unpack_view(">i" if version else ">I", rest, at, "trun")
        at += 4
    return duration, size, bits, shift, at
