"""Where two init segments differ: path of boxes and field (ISO/IEC 14496-12), for people.

Pure. Encoders use it when they compare each other's, the origin when it refuses one; each brings
its own reader of boxes, and with it its own errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

Walk = Callable[[bytes, str], Iterable[tuple[bytes, bytes]]]

# Bytes before the first child of the boxes that have children.
_CHILDREN_AT = {
    b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"dinf": 0, b"mvex": 0,
    b"dref": 8, b"stsd": 8,
    b"avc1": 78, b"avc3": 78, b"hvc1": 78, b"hev1": 78, b"av01": 78, b"vp09": 78, b"mp4v": 78,
    b"mp4a": 28, b"Opus": 28,
}  # fmt: skip
# Fields that people know by name: box, first byte of its content, bytes. Version 0 where it counts.
_FIELDS = (
    (b"mvhd", 12, 4, "timescale"),
    (b"tkhd", 12, 4, "track_ID"),
    (b"tkhd", 76, 4, "width"),
    (b"tkhd", 80, 4, "height"),
    (b"mdhd", 12, 4, "timescale"),
    (b"mdhd", 20, 2, "language"),
    (b"hdlr", 8, 4, "handler_type"),
    (b"avc1", 24, 2, "width"),
    (b"avc1", 26, 2, "height"),
    (b"avcC", 1, 1, "AVCProfileIndication"),
    (b"avcC", 2, 1, "profile_compatibility"),
    (b"avcC", 3, 1, "AVCLevelIndication"),
    (b"mp4a", 16, 2, "channelcount"),
    (b"mp4a", 24, 4, "samplerate"),
    (b"trex", 12, 4, "default_sample_duration"),
    (b"btrt", 0, 4, "bufferSizeDB"),
    (b"btrt", 4, 4, "maxBitrate"),
    (b"btrt", 8, 4, "avgBitrate"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where two init segments differ first: path of boxes and field, and what each has there."""

    path: str
    own: str
    other: str


def init_difference(own: bytes, other: bytes, walk: Walk) -> Difference | None:
    """Where two init segments differ first, box by box; None where they don't.

    walk: type and content of each box of some bytes; the second argument names them in its errors,
    which pass through.
    """
    return _compare_boxes("", own, other, walk)


def _compare_boxes(path: str, own: bytes, other: bytes, walk: Walk) -> Difference | None:
    ours, theirs = list(walk(own, path or "file")), list(walk(other, path or "file"))
    names = [" ".join(kind.decode("latin-1") for kind, _ in boxes) for boxes in (ours, theirs)]
    if names[0] != names[1]:
        return Difference(path=f"{path or 'file'}: boxes", own=names[0], other=names[1])
    for (kind, mine), (_, its) in zip(ours, theirs, strict=True):
        if mine != its:
            name = kind.decode("latin-1")
            return _compare_content(f"{path}/{name}" if path else name, (kind, mine, its), walk)
    return None


def _compare_content(path: str, boxes: tuple[bytes, bytes, bytes], walk: Walk) -> Difference | None:
    """Where two boxes of a kind differ, which they do. boxes: the kind, own and other content."""
    kind, own, other = boxes
    for name, at, size, field in _FIELDS:
        mine, its = own[at : at + size], other[at : at + size]
        if name == kind and mine != its:
            return Difference(path=f"{path}.{field}", own=mine.hex(), other=its.hex())
    start = _CHILDREN_AT.get(kind)
    if start is not None and own[:start] == other[:start]:
        return _compare_boxes(path, own[start:], other[start:], walk)
    differing = (i for i, (a, b) in enumerate(zip(own, other, strict=False)) if a != b)
    byte = next(differing, min(len(own), len(other)))
    return Difference(
        path=f"{path}: byte {byte}",
        own=own[byte:][:4].hex() or "its end",
        other=other[byte:][:4].hex() or "its end",
    )
