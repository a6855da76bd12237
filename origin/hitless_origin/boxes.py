"""A small reader of ISO BMFF boxes: just what the origin checks of a CMAF header and segment.

Pure: bytes in, values out. It reads sizes before it follows them, so that no body, however broken,
makes it loop or allocate more than the body's own size allows. ISO/IEC 14496-12 (the boxes named in
each function), ISO/IEC 23000-19 (CMAF).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

FRAGMENTS_MAX = 1200  # one chunk a frame in the longest segment
SAMPLES_MAX = 4096  # in one trun
_NON_SYNC = 0x0001_0000  # sample_is_non_sync_sample


class BoxError(ValueError):
    """The bytes are not what their boxes say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A box's four-letter type, and where its payload starts and ends in the body."""

    type: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InitFacts:
    """What a CMAF header says. timescale: ticks per second. handler: `vide` or `soun`."""

    track_id: int
    timescale: int
    handler: str
    default_duration: int
    default_size: int
    default_flags: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """One moof and its mdat. decode_ticks: tfdt. Each tuple has one value a sample."""

    sequence: int
    track_id: int
    decode_ticks: int
    durations: tuple[int, ...]
    sizes: tuple[int, ...]
    offsets: tuple[int, ...]  # presentation minus decode time, ticks
    sync_first: bool
    media_bytes: int  # payload of the mdat
    end: int  # where the mdat ends in the body


def read_boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes in a range. Raises BoxError when one does not fit in it."""
    end = len(data) if end is None else end
    while start < end:
        if end - start < 8:
            raise BoxError(f"{end - start} bytes after the last box")
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1 and end - start >= 16:
            size, header = struct.unpack_from(">Q", data, start + 8)[0], 16
        name = kind.decode("latin-1")
        if size < header or size > end - start:
            raise BoxError(f"box {name!r} of {size} bytes in {end - start}")
        yield Box(type=name, start=start + header, end=start + size)
        start += size


def read_init(data: bytes) -> InitFacts:
    """A CMAF header: `moov` with one `trak`. Raises BoxError."""
    moov = _one(data, "moov", 0, len(data))
    mdia = _one(data, "mdia", *_one(data, "trak", *moov))
    mdhd, hdlr = _one(data, "mdhd", *mdia), _one(data, "hdlr", *mdia)
    trex = _one(data, "trex", *_one(data, "mvex", *moov))
    version = _u32(data, mdhd[0], mdhd[1]) >> 24
    track, _, duration, size, flags = (_u32(data, trex[0] + 4 * i, trex[1]) for i in range(1, 6))
    return InitFacts(
        track_id=track,
        timescale=_u32(data, mdhd[0] + (20 if version else 12), mdhd[1]),
        handler=struct.pack(">I", _u32(data, hdlr[0] + 8, hdlr[1])).decode("latin-1"),
        default_duration=duration,
        default_size=size,
        default_flags=flags,
    )


def read_fragments(data: bytes, init: InitFacts) -> tuple[Fragment, ...]:
    """A CMAF segment: one or more `moof` + `mdat`; other boxes are passed over. Raises BoxError."""
    fragments: list[Fragment] = []
    moof: Box | None = None
    for box in read_boxes(data):
        if box.type == "moof":
            if moof is not None:
                raise BoxError("moof without mdat")
            moof = box
        elif box.type == "mdat":
            if moof is None:
                raise BoxError("mdat without moof")
            fragments.append(_fragment(data, moof, box, init))
            moof = None
        if len(fragments) > FRAGMENTS_MAX:
            raise BoxError(f"more than {FRAGMENTS_MAX} fragments")
    if moof is not None or not fragments:
        raise BoxError("moof without mdat" if moof else "no moof")
    return tuple(fragments)


def walk(data: bytes, _context: str) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of each box, as `init_difference` takes them. Raises BoxError."""
    for found in read_boxes(data):
        yield found.type.encode("latin-1"), data[found.start : found.end]


def _fragment(data: bytes, moof: Box, mdat: Box, init: InitFacts) -> Fragment:
    mfhd = _one(data, "mfhd", moof.start, moof.end)
    traf = _one(data, "traf", moof.start, moof.end)
    tfdt = _one(data, "tfdt", *traf)
    tfhd = _one(data, "tfhd", *traf)
    defaults = _track_defaults(data, *tfhd, init)
    truns = [b for b in read_boxes(data, *traf) if b.type == "trun"]
    if not truns:
        raise BoxError("traf without trun")
    durations, sizes, offsets, first_flags = zip(
        *(_run(data, trun, defaults) for trun in truns), strict=True
    )
    wide = _u32(data, *tfdt) >> 24
    return Fragment(
        sequence=_u32(data, mfhd[0] + 4, mfhd[1]),
        track_id=_u32(data, tfhd[0] + 4, tfhd[1]),
        decode_ticks=_uint(data, tfdt[0] + 4, tfdt[1], 8 if wide else 4),
        durations=_flat(durations),
        sizes=_flat(sizes),
        offsets=_flat(offsets),
        sync_first=not first_flags[0] & _NON_SYNC,
        media_bytes=mdat.end - mdat.start,
        end=mdat.end,
    )


def _track_defaults(data: bytes, start: int, end: int, init: InitFacts) -> tuple[int, int, int]:
    """`tfhd` over `trex`: default duration, size and flags of a sample."""
    flags = _u32(data, start, end) & 0xFF_FFFF
    at = start + 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
    values = [init.default_duration, init.default_size, init.default_flags]
    for i, bit in enumerate((0x8, 0x10, 0x20)):
        if flags & bit:
            values[i] = _u32(data, at, end)
            at += 4
    return values[0], values[1], values[2]


def _run(
    data: bytes, trun: Box, defaults: tuple[int, int, int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]:
    """`trun`: durations, sizes, composition offsets, and the flags of the first sample."""
    head = _u32(data, trun.start, trun.end)
    flags, count = head & 0xFF_FFFF, _u32(data, trun.start + 4, trun.end)
    if not 0 < count <= SAMPLES_MAX:
        raise BoxError(f"trun of {count} samples, allowed 1 to {SAMPLES_MAX}")
    at = trun.start + 8 + (4 if flags & 0x1 else 0)
    first_flags = _u32(data, at, trun.end) if flags & 0x4 else None
    at += 4 if flags & 0x4 else 0
    columns = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
    if at + 4 * len(columns) * count > trun.end:
        raise BoxError(f"trun too short for {count} samples")
    values = struct.unpack_from(f">{len(columns) * count}I", data, at)
    table = {bit: values[i :: len(columns)] for i, bit in enumerate(columns)}
    offsets = table.get(0x800, (0,) * count)
    if head >> 24:  # version 1: signed
        offsets = tuple(v - (1 << 32) if v >> 31 else v for v in offsets)
    if first_flags is None:
        first_flags = table.get(0x400, (defaults[2],))[0]
    durations = table.get(0x100, (defaults[0],) * count)
    return durations, table.get(0x200, (defaults[1],) * count), offsets, first_flags


def _flat(parts: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    return parts[0] if len(parts) == 1 else tuple(value for part in parts for value in part)


def _one(data: bytes, kind: str, start: int, end: int) -> tuple[int, int]:
    """Payload range of the only box of a type in a range."""
    found = [box for box in read_boxes(data, start, end) if box.type == kind]
    if len(found) != 1:
        raise BoxError(f"{len(found)} boxes {kind!r}, expected one")
    return found[0].start, found[0].end


def _uint(data: bytes, at: int, end: int, width: int) -> int:
    if at + width > end:
        raise BoxError("box too short for its fields")
    return int.from_bytes(data[at : at + width], "big")


def _u32(data: bytes, at: int, end: int) -> int:
    return _uint(data, at, end, 4)
