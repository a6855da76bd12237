"""Box trees and figures of init and media segments."""

from __future__ import annotations

import struct

import pytest

from hitless_encoder.boxes import box, child, tree, walk
from hitless_encoder.errors import BoxError
from hitless_encoder.mux import (
    AudioHeader,
    Sample,
    SampleEntry,
    VideoHeader,
    audio_init,
    media_chunk,
    video_init,
)
from hitless_encoder.verify import is_video, structure

CONTAINERS = frozenset(
    (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"mvex", b"moof", b"traf")
)
CODED = SampleEntry(kind=b"avc1", configuration=((b"avcC", b"\1avcc"),))
VIDEO = VideoHeader(width=640, height=360, timescale=30_000, frame_ticks=1001, entry=CODED)
AUDIO = AudioHeader(rate=48_000, channels=2, frame_samples=1024, config=b"\x11\x90", language="deu")
TRACK = [
    "moov/trak",
    "moov/trak/tkhd",
    "moov/trak/mdia",
    "moov/trak/mdia/mdhd",
    "moov/trak/mdia/hdlr",
    "moov/trak/mdia/minf",
    "moov/trak/mdia/minf/{header}",
    "moov/trak/mdia/minf/dinf",
    "moov/trak/mdia/minf/dinf/dref",
    "moov/trak/mdia/minf/stbl",
    *(f"moov/trak/mdia/minf/stbl/{name}" for name in ("stsd", "stts", "stsc", "stsz", "stco")),
]


@pytest.mark.parametrize(
    ("init", "header"), [(video_init(VIDEO), "vmhd"), (audio_init(AUDIO), "smhd")]
)
def test_init_segments_hold_the_boxes_of_a_cmaf_header(init: bytes, header: str) -> None:
    expected = ["ftyp", "moov", "moov/mvhd", *TRACK, "moov/mvex", "moov/mvex/trex"]
    assert tree(init, CONTAINERS) == [path.format(header=header) for path in expected]
    assert is_video(init) == (header == "vmhd")


def test_init_segments_say_timescale_and_size() -> None:
    media = child(video_init(VIDEO), b"moov", b"trak", b"mdia", b"mdhd")
    assert struct.unpack_from(">I", media, 12) == (30_000,)
    track = child(video_init(VIDEO), b"moov", b"trak", b"tkhd")
    assert struct.unpack_from(">II", track, 76) == (640 << 16, 360 << 16)
    sound = child(audio_init(AUDIO), b"moov", b"trak", b"mdia", b"mdhd")
    assert struct.unpack_from(">I", sound, 12) == (48_000,)


def test_a_media_segment_is_one_fragment_with_absolute_times() -> None:
    samples = [
        Sample(data=b"key"),
        Sample(data=b"other", sync=False),
        Sample(data=b"x", sync=False),
    ]
    segment = (1 << 32) + 7
    data = media_chunk(samples, segment=segment, decode_ticks=1 << 45, duration_ticks=1001)
    assert tree(data, CONTAINERS) == [
        "styp",
        "moof",
        "moof/mfhd",
        "moof/traf",
        "moof/traf/tfhd",
        "moof/traf/tfdt",
        "moof/traf/trun",
        "mdat",
    ]
    found = structure(data)
    assert found.sequence == 7, "modulo 2**32"
    assert found.decode_ticks == 1 << 45
    assert found.durations == (1001, 1001, 1001)
    assert found.syncs == (True, False, False)


def test_the_data_offset_points_at_the_first_sample() -> None:
    data = media_chunk([Sample(data=b"first")], segment=1, decode_ticks=0, duration_ticks=1)
    run = child(data, b"moof", b"traf", b"trun")
    offset = struct.unpack_from(">i", run, 8)[0]
    assert data[data.index(b"moof") - 4 + offset :] == b"first"


@pytest.mark.parametrize(
    "data", [b"\0\0\0\x09free", b"\0\0\0\x04free", box(b"free") + b"\0\0", b"\xff" * 64]
)
def test_broken_boxes_are_errors(data: bytes) -> None:
    with pytest.raises(BoxError):
        list(walk(data))


def test_a_missing_box_is_named() -> None:
    with pytest.raises(BoxError, match="moov: no box trak"):
        child(box(b"moov", box(b"free")), b"moov", b"trak")


@pytest.mark.parametrize(
    ("decode_ticks", "seconds", "fraction"),
    [
        (0, 2_208_988_800, 0),
        (30_000 + 15_000, 2_208_988_801, 1 << 31),
        (1001, 2_208_988_800, (1001 << 32) // 30_000),
        (30_000 * 2_085_978_496, 0, 0),  # NTP's second era begins, 2036
    ],
)
def test_a_chunk_says_the_utc_time_of_its_first_sample(
    decode_ticks: int, seconds: int, fraction: int
) -> None:
    data = media_chunk(
        [Sample(data=b"x")],
        segment=1,
        decode_ticks=decode_ticks,
        duration_ticks=1001,
        timescale=30_000,
    )
    assert [kind for kind, _ in walk(data)] == [b"styp", b"prft", b"moof", b"mdat"]
    fields = struct.unpack(">IIIIQ", child(data, b"prft"))
    assert fields == (1 << 24 | 24, 1, seconds, fraction, decode_ticks)
