"""What the gate says of segments that are spoiled in each way that it knows, and of good ones."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from hack.stand_ins import bad_encoder
from tests.component.encoder.studio import Recording, make_config, record

from hitless_encoder import audio, session
from hitless_encoder.mux import media_chunk
from hitless_encoder.verify import Arrival, Encoded, Reason, Verdict, judge, judge_pace, samples
from hitless_handover.messages import Criteria
from hitless_handover.timeline import AAC_FRAME_SAMPLES
from hitless_wire.media_resources import AudioTrack

SIZES = ((256, 144, 300), (192, 108, 200))
SEGMENTS = 2
CRITERIA = Criteria(lead_segments=1, verify_segments=1, psnr_min_db=26)


@pytest.fixture(scope="module")
def made() -> Recording:
    return asyncio.run(record(make_config(sizes=SIZES), segments=SEGMENTS))


def verdict(
    made: Recording, other: Recording, criteria: Criteria = CRITERIA, **tracks: bytes
) -> Verdict:
    """Of the second segment: what needs the pictures before it has them there."""
    number = max(made.segments)
    own = Encoded(media=made.segments[number], inits=made.inits)
    theirs = Encoded(media=other.segments[number] | tracks, inits=other.inits)
    return judge(own, theirs, made.timeline, number, criteria)


SPOILED = {
    "green": (Reason.PICTURE_FROZEN, "v144: the picture stands still from frame "),
    "frozen": (Reason.PICTURE_FROZEN, "v144: the picture stands still from frame "),
    "early": (Reason.PICTURE_SHIFTED, "v144: one frame early: the picture of frame "),
    "late": (Reason.PICTURE_SHIFTED, "v144: one frame late: the picture of frame "),
    "range": (Reason.LEVELS_DIFFER, "v144: luma levels from frame "),
    "swapped": (Reason.COLOURS_SWAPPED, "v144: Cb and Cr are swapped from frame "),
    "corrupted": (Reason.PICTURE_DIFFERS, "v144: luma PSNR of frame "),
    "silent": (Reason.SOUND_DIFFERS, "audio: loudness from frame "),
    "sound-late": (Reason.SOUND_SHIFTED, "audio: sound from frame "),
}


@pytest.mark.parametrize("fault", bad_encoder.SPOILS)
def test_what_is_spoiled_is_named(
    made: Recording, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(session, "Ladder", bad_encoder.spoiled_ladder(fault))
    bad = asyncio.run(record(make_config(sizes=SIZES), segments=SEGMENTS))
    said = verdict(made, bad)
    reason, message = SPOILED[fault]
    assert said.reason is reason, said
    assert said.message.startswith(message)


def test_how_far_the_sound_is_off_is_measured(
    made: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "Ladder", bad_encoder.spoiled_ladder("sound-late"))
    bad = asyncio.run(record(make_config(sizes=SIZES), segments=SEGMENTS))
    assert verdict(made, bad).message.endswith("expected within 20 ms of ours, got 100 ms late")
    assert verdict(bad, made).message.endswith("expected within 20 ms of ours, got 100 ms early")
    assert verdict(made, bad, replace(CRITERIA, av_offset_max_ms=101)).ok


def test_a_hole_in_the_sound_is_found(made: Recording) -> None:
    number = max(made.segments)
    own = samples(made.inits["audio"] + made.segments[number]["audio"])
    own[:, 48_000:55_200] = 0
    sound = audio.SegmentSound(AudioTrack(), made.timeline, number)
    origin = made.timeline.first_audio_frame(number) * AAC_FRAME_SAMPLES
    padded = np.pad(own, ((0, 0), (8 * AAC_FRAME_SAMPLES, 8 * AAC_FRAME_SAMPLES)))
    while (span := sound.next_samples) is not None:
        start, stop = (at - origin + 8 * AAC_FRAME_SAMPLES for at in span)
        sound.add(padded[:, start:stop])
    spoiled = media_chunk(
        sound.samples, segment=number, decode_ticks=origin, duration_ticks=AAC_FRAME_SAMPLES
    )
    said = verdict(made, made, audio=spoiled)
    assert said.reason is Reason.SOUND_DIFFERS
    assert said.message.startswith("audio: loudness at frame ")
    assert "(1.00 s into the segment)" in said.message or "(1.05 s into" in said.message


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
@pytest.mark.parametrize("crf", [18, 36])
def test_other_presets_and_qualities_pass(made: Recording, preset: str, crf: int) -> None:
    config = make_config(sizes=SIZES)
    profiles = [profile.model_copy(update={"crf": crf}) for profile in config.profiles]
    told = config.model_copy(update={"profiles": profiles})
    said = verdict(made, asyncio.run(record(told, segments=SEGMENTS, preset=preset)))
    assert (said.ok, said.reason) == (True, Reason.EQUIVALENT), said


def test_thresholds_decide(made: Recording) -> None:
    other = asyncio.run(record(make_config(sizes=SIZES), segments=SEGMENTS, preset="ultrafast"))
    assert verdict(made, other).ok
    said = verdict(made, other, replace(CRITERIA, ssim_min_permille=999))
    assert said.message.startswith("v144: SSIM of frame "), said
    assert " expected at least 999/1000, got " in said.message


def test_an_init_segment_is_told_apart_by_its_box(made: Recording) -> None:
    init = made.inits["v144"]
    at = init.index(b"avcC") + 7
    other = replace(made, inits={**made.inits, "v144": init[:at] + b"\xff" + init[at + 1 :]})
    said = verdict(made, other)
    assert said.reason is Reason.INIT_DIFFERS
    path = "moov/trak/mdia/minf/stbl/stsd/avc1/avcC.AVCLevelIndication"
    assert said.message.startswith(f"v144: init segment: {path} expected ")
    assert said.message.endswith(", got ff")


PACES = [
    ([(0, 1_000_000), (-500_000, 1_000_000)], Reason.IN_TIME, "speed 200 %, 0 ms after ours"),
    ([(0, 2_222_222), (0, 2_222_222)], Reason.TOO_SLOW, "at least 100 % of real time, got 90 %"),
    ([(0, None), (4_100_000, None)], Reason.TOO_LATE, "at most 4000 ms after ours, got 4100 ms"),
    ([(0, None), (3_900_000, None)], Reason.IN_TIME, "speed unknown, 3900 ms after ours"),
    ([], Reason.IN_TIME, "speed unknown"),
]


@pytest.mark.parametrize(("times", "reason", "says"), PACES)
def test_pace(
    made: Recording, times: list[tuple[int, int | None]], reason: Reason, says: str
) -> None:
    arrivals = [
        Arrival(segment=number, late_us=late, encode_us=taken)
        for number, (late, taken) in enumerate(times, start=7)
    ]
    said = judge_pace(arrivals, made.timeline, CRITERIA)
    assert said.reason is reason
    assert says in said.message
