"""What the judge says of segments that are equal, close, shifted, damaged or missing."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.component.encoder.studio import START_US, Recording, make_config, record

from hitless_encoder import audio
from hitless_encoder.boxes import walk
from hitless_encoder.mux import media_chunk
from hitless_encoder.verify import Encoded, Reason, Verdict, judge, judge_other_tracks
from hitless_handover.messages import Criteria
from hitless_wire.media_resources import AudioTrack

SIZES = ((256, 144, 300), (192, 108, 200))


@pytest.fixture(scope="module")
def made() -> Recording:
    return asyncio.run(record(make_config(sizes=SIZES), segments=2))


@pytest.fixture(scope="module")
def later() -> Recording:
    return asyncio.run(record(make_config(sizes=SIZES), segments=2, start_us=START_US + 40_000_000))


CRITERIA = Criteria(lead_segments=1, verify_segments=1, psnr_min_db=26)


def verdict(made: Recording, other: dict[str, bytes], criteria: Criteria = CRITERIA) -> Verdict:
    number = min(made.segments)
    own = Encoded(media=made.segments[number], inits=made.inits)
    theirs = Encoded(media=other, inits=made.inits)
    return judge(own, theirs, made.timeline, number, criteria)


def first(made: Recording) -> dict[str, bytes]:
    return dict(made.segments[min(made.segments)])


def patched(data: bytes, name: bytes, offset: int, value: bytes) -> bytes:
    """Bytes with a field of a box overwritten; offset: from the box's content."""
    at = data.index(name) + 4 + offset
    return data[:at] + value + data[at + len(value) :]


def test_the_same_bytes_are_identical(made: Recording) -> None:
    assert verdict(made, first(made)) == Verdict(
        ok=True, reason=Reason.IDENTICAL, message="same bytes in every track"
    )


def test_another_segment_is_named_by_its_number(made: Recording) -> None:
    said = verdict(made, dict(made.segments[max(made.segments)]))
    number = min(made.segments)
    assert not said.ok
    assert said.reason is Reason.NUMBER_DIFFERS
    assert said.message == f"v144: mfhd sequence expected {number}, got {number + 1}"


def test_other_pictures_at_the_right_place_are_found(made: Recording, later: Recording) -> None:
    """The shift that counts and time stamps can't show."""
    number = min(made.segments)
    other = first(later)
    ticks = made.timeline.pts_ticks(made.timeline.first_frame(number))
    for track in ("v144", "v108"):
        moved = patched(other[track], b"mfhd", 4, struct.pack(">I", number))
        other[track] = patched(moved, b"tfdt", 4, struct.pack(">Q", ticks))
    other["audio"] = first(made)["audio"]
    said = verdict(made, other)
    assert said.reason is Reason.PICTURE_DIFFERS
    assert said.message.startswith("v144: luma PSNR of frame ")
    assert "expected at least 26 dB, got " in said.message


FAULTS: list[tuple[str, Reason, Callable[[bytes], bytes]]] = [
    ("v144", Reason.TIME_DIFFERS, lambda d: patched(d, b"tfdt", 4, bytes(8))),
    ("audio", Reason.TIME_DIFFERS, lambda d: patched(d, b"tfdt", 11, b"\x01")),
    ("v144", Reason.DURATION_DIFFERS, lambda d: patched(d, b"tfhd", 8, b"\0\0\0\7")),
    ("v144", Reason.SYNC_DIFFERS, lambda d: patched(d, b"trun", 16, b"\1\1\0\0")),
    ("v144", Reason.BROKEN, lambda d: patched(d, b"trun", 4, b"\0\0\0\1")),
    ("v144", Reason.BROKEN, lambda d: d[:-1]),
    ("v144", Reason.BROKEN, lambda _: b""),
    ("audio", Reason.BROKEN, lambda _: b"<html>"),
    ("v144", Reason.UNDECODABLE, lambda d: d[: -len(mdat(d))] + b"\xff" * len(mdat(d))),
]


def mdat(data: bytes) -> bytes:
    return next(body for kind, body in walk(data) if kind == b"mdat")


@pytest.mark.parametrize(("track", "reason", "spoil"), FAULTS)
def test_faults_are_named(
    made: Recording, track: str, reason: Reason, spoil: Callable[[bytes], bytes]
) -> None:
    other = first(made)
    other[track] = spoil(other[track])
    said = verdict(made, other)
    assert not said.ok
    assert said.reason is reason, said.message
    assert said.message.startswith(f"{track}: ")


def test_a_damaged_picture_is_not_accepted(made: Recording) -> None:
    other = first(made)
    body = mdat(other["v144"])
    at = len(other["v144"]) - len(body) // 2
    spoiled = bytes(byte ^ 0x5A for byte in other["v144"][at : at + 200])
    other["v144"] = other["v144"][:at] + spoiled + other["v144"][at + 200 :]
    assert not verdict(made, other).ok


def test_missing_and_additional_tracks_are_named(made: Recording) -> None:
    other = first(made)
    del other["v108"]
    said = verdict(made, other)
    assert said.reason is Reason.TRACKS_DIFFER
    assert said.message == "tracks expected audio, v108, v144, got audio, v144"
    said = verdict(made, first(made) | {"v72": b""})
    assert said.reason is Reason.TRACKS_DIFFER


def test_silence_in_place_of_sound_is_found(made: Recording) -> None:
    number = min(made.segments)
    sound = audio.SegmentSound(AudioTrack(), made.timeline, number)
    while sound.next_samples is not None:
        sound.add(np.zeros((2, 1024), np.float32))
    other = first(made)
    other["audio"] = media_chunk(
        sound.samples,
        segment=number,
        decode_ticks=made.timeline.first_audio_frame(number) * 1024,
        duration_ticks=1024,
    )
    said = verdict(made, other)
    assert said.reason is Reason.SOUND_DIFFERS
    assert said.message.endswith("got -50.0 dBFS: there is no sound")


def test_the_threshold_decides(made: Recording) -> None:
    other = asyncio.run(record(make_config(sizes=SIZES), segments=1, preset="superfast"))
    assert verdict(made, first(other)).reason is Reason.EQUIVALENT
    strict = verdict(made, first(other), replace(CRITERIA, psnr_min_db=99))
    assert strict.reason is Reason.PICTURE_DIFFERS


# --- other tracks, for a declared discontinuity ---------------------------------------------------


@pytest.fixture(scope="module")
def other_ladder() -> Recording:
    return asyncio.run(record(make_config(sizes=((256, 144, 400), (128, 72, 150))), segments=2))


def of_other_tracks(made: Recording, other: dict[str, bytes], inits: dict[str, bytes]) -> Verdict:
    number = min(made.segments)
    own = Encoded(media=made.segments[number], inits=made.inits)
    return judge_other_tracks(
        own, Encoded(media=other, inits=inits), made.timeline, number, CRITERIA
    )


def test_another_ladder_shows_the_same_pictures(made: Recording, other_ladder: Recording) -> None:
    said = of_other_tracks(made, first(other_ladder), dict(other_ladder.inits))
    assert (said.ok, said.reason) == (True, Reason.EQUIVALENT), said
    assert [figures.track for figures in said.figures] == ["v144", "v72"]


def test_another_ladder_with_other_pictures_is_found(
    made: Recording, other_ladder: Recording
) -> None:
    """One frame too early is enough: numbers and times are right, the pictures are not."""
    number = min(made.segments)
    early = asyncio.run(
        record(
            make_config(sizes=((256, 144, 400), (128, 72, 150))),
            segments=2,
            start_us=START_US + 40_000_000,
        )
    )
    other = first(other_ladder)
    ticks = made.timeline.pts_ticks(made.timeline.first_frame(number))
    for track in ("v144", "v72"):
        moved = patched(first(early)[track], b"mfhd", 4, struct.pack(">I", number))
        other[track] = patched(moved, b"tfdt", 4, struct.pack(">Q", ticks))
    said = of_other_tracks(made, other, dict(other_ladder.inits))
    assert said.reason is Reason.PICTURE_DIFFERS
    assert said.message.startswith("v144: luma PSNR of frame ")


def test_sound_may_go_or_come_and_pictures_must_stay(
    made: Recording, other_ladder: Recording
) -> None:
    silent = {track: data for track, data in first(other_ladder).items() if track != "audio"}
    inits = {track: data for track, data in other_ladder.inits.items() if track != "audio"}
    assert of_other_tracks(made, silent, inits).ok
    only_sound = {"audio": first(other_ladder)["audio"]}
    said = of_other_tracks(made, only_sound, {"audio": other_ladder.inits["audio"]})
    assert said.reason is Reason.TRACKS_DIFFER


@pytest.mark.parametrize(("track", "reason", "damage"), FAULTS, ids=lambda value: str(value)[:24])
def test_damage_is_found_in_other_tracks_too(
    made: Recording,
    other_ladder: Recording,
    track: str,
    reason: Reason,
    damage: Callable[[bytes], bytes],
) -> None:
    other = first(other_ladder)
    name = {"v108": "v72"}.get(track, track)
    other[name] = damage(other[name])
    said = of_other_tracks(made, other, dict(other_ladder.inits))
    assert said.reason is reason
    assert said.message.startswith(f"{name}: ")
