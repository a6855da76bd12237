from __future__ import annotations

import struct

import pytest

from hitless_cli.probe.boxes import TrackKind, boxes, read_header, read_segment
from hitless_cli.probe.errors import BoxError


def box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def full(name: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(name, struct.pack(">I", version << 24 | flags), *parts)


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def trak(track_id: int, handler: bytes, entry: bytes, *, version: int = 0) -> bytes:
    times = bytes(16 if version else 8)
    return box(
        b"trak",
        full(b"tkhd", version, 0, times, words(track_id), bytes(64)),
        box(
            b"mdia",
            full(b"mdhd", version, 0, times, words(30_000), bytes(12)),
            full(b"hdlr", 0, 0, bytes(4), handler, bytes(13)),
            box(b"minf", box(b"stbl", full(b"stsd", 0, 0, words(1), entry))),
        ),
    )


AVC = box(b"avc1", bytes(24), struct.pack(">HH", 640, 360), bytes(50))
AAC = box(b"mp4a", bytes(16), struct.pack(">HH", 2, 16), bytes(4), words(48_000 << 16))
TREX = box(b"mvex", full(b"trex", 0, 0, words(7, 1, 1000, 0, 0x02000000)))


def header(*traks: bytes) -> bytes:
    return box(b"ftyp", b"cmfc") + box(b"moov", *traks, TREX)


@pytest.mark.parametrize("version", [0, 1])
def test_a_header(version: int) -> None:
    track = read_header(header(trak(7, b"vide", AVC, version=version)))
    assert (track.track_id, track.kind, track.codec) == (7, TrackKind.VIDEO, "avc1")
    assert (track.timescale, track.width, track.height) == (30_000, 640, 360)
    assert (track.default_duration_ticks, track.edit_ticks) == (1000, 0)


def test_video_comes_first_and_others_are_passed_over() -> None:
    data = header(trak(1, b"subt", AVC), trak(2, b"soun", AAC), trak(3, b"vide", AVC))
    assert read_header(data).track_id == 3
    assert read_header(header(trak(2, b"soun", AAC))).sample_rate == 48_000


@pytest.mark.parametrize(
    ("version", "entries", "want"),
    [(0, words(5, 0, 1 << 16), 0), (0, words(5, 2000, 1 << 16), 2000)],
)
def test_an_edit_list(version: int, entries: bytes, want: int) -> None:
    edit = box(b"edts", full(b"elst", version, 0, words(1), entries))
    data = trak(7, b"vide", AVC)
    longer = struct.pack(">I", len(data) + len(edit)) + data[4:] + edit
    assert read_header(header(longer)).edit_ticks == want


def segment(trun: bytes, *, tfhd: bytes = b"", tfhd_flags: int = 0x20000, track: int = 7) -> bytes:
    traf = box(
        b"traf",
        full(b"tfhd", 0, tfhd_flags, words(track), tfhd),
        full(b"tfdt", 1, 0, struct.pack(">Q", 1 << 40)),
        trun,
    )
    return box(b"moof", full(b"mfhd", 0, 0, words(42)), traf) + box(b"mdat", b"aabbb")


def offset_of(data: bytes) -> int:
    return data.index(b"aabbb")


def with_offset(flags: int, count: int, entries: bytes, **options: bytes | int) -> bytes:
    def build(offset: int) -> bytes:
        trun = full(b"trun", 1, flags | 1, struct.pack(">Ii", count, offset), entries)
        return segment(trun, **options)  # type: ignore[arg-type]

    return build(offset_of(build(0)))


VIDEO = read_header(header(trak(7, b"vide", AVC)))


def test_samples_with_everything_said() -> None:
    entries = struct.pack(">IIIi", 1000, 2, 0x02000000, 1000)
    entries += struct.pack(">IIIi", 1000, 3, 0x01010000, -1000)
    found = read_segment(with_offset(0xF00, 2, entries), VIDEO)
    first, second = found.samples
    assert found.fragment_numbers == (42,)
    assert found.duration_ticks == 2000
    assert (first.dts_ticks, first.pts_ticks, first.key, first.data) == (
        1 << 40,
        (1 << 40) + 1000,
        True,
        b"aa",
    )
    assert (second.dts_ticks, second.pts_ticks) == ((1 << 40) + 1000, 1 << 40)
    assert (second.key, second.data) == (False, b"bbb")


def test_defaults_come_from_tfhd_then_from_trex() -> None:
    sizes = words(2, 3)
    found = read_segment(with_offset(0x200, 2, sizes), VIDEO)
    assert [s.duration_ticks for s in found.samples] == [1000, 1000]
    tfhd = words(500, 0x01010000)
    found = read_segment(with_offset(0x200, 2, sizes, tfhd=tfhd, tfhd_flags=0x20028), VIDEO)
    assert [s.duration_ticks for s in found.samples] == [500, 500]
    assert [s.key for s in found.samples] == [False, False]


def test_first_sample_flags() -> None:
    entries = words(0x02000000, 2, 3)
    tfhd = words(0x01010000)
    data = with_offset(0x204, 2, entries, tfhd=tfhd, tfhd_flags=0x20020)
    assert [sample.key for sample in read_segment(data, VIDEO).samples] == [True, False]


def test_fragments_follow_each_other() -> None:
    chunk = with_offset(0x200, 2, words(2, 3))
    found = read_segment(chunk + chunk, VIDEO)
    assert [s.data for s in found.samples] == [b"aa", b"bbb"] * 2


def test_a_box_of_64_bit_size_and_one_to_the_end() -> None:
    data = struct.pack(">I4sQ", 1, b"free", 20) + b"abcd" + struct.pack(">I4s", 0, b"mdat") + b"xy"
    assert [(b.name, bytes(b.payload)) for b in boxes(memoryview(data))] == [
        ("free", b"abcd"),
        ("mdat", b"xy"),
    ]


GOOD = with_offset(0x200, 2, words(2, 3))
BROKEN = [
    (GOOD[:-1], "outside the segment"),
    (GOOD[:40], "truncated"),
    (GOOD + b"xyz", "stray"),
    (b"", "no sample"),
    (with_offset(0x200, 2, words(2, 3), track=8), "no sample of track 7"),
    (with_offset(0x200, 2, words(2, 4)), "outside the segment"),
    (with_offset(0x200, 3, words(2, 3)), "too short"),
    (with_offset(0x200, 1 << 30, words(2, 3)), "claims"),
    (GOOD.replace(b"tfdt", b"free"), "no tfdt"),
    (GOOD.replace(b"mfhd", b"free"), "no mfhd"),
]


@pytest.mark.parametrize(("data", "match"), BROKEN)
def test_broken_segments_are_named(data: bytes, match: str) -> None:
    with pytest.raises(BoxError, match=match):
        read_segment(data, VIDEO)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "no moov"),
        (box(b"moov", TREX), "no video or audio"),
        (header(trak(7, b"vide", b"")), "no sample entry"),
        (b"<html><body>", "truncated"),
    ],
)
def test_broken_headers_are_named(data: bytes, match: str) -> None:
    with pytest.raises(BoxError, match=match):
        read_header(data)
