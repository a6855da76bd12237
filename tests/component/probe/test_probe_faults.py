"""Faults put into a live stream, one at a time: each is found, named and counted."""

from __future__ import annotations

import pytest
from tests.component.probe.conftest import SEGMENTS, Studio, VirtualClock
from tests.component.probe.origin import Origin
from tests.component.probe.synthetic import FIRST_SEGMENT, TIMELINE, Size, VideoMaker

from hitless_cli.probe.report import Ending, ProbeReport, report_json, report_text
from hitless_cli.probe.session import probe
from hitless_cli.probe.settings import ProbeSettings, StartAt

FRAMES = TIMELINE.segment_frames
FIRST_FRAME = TIMELINE.first_frame(FIRST_SEGMENT)
BAD = 3  # the segment that a fault is put into


async def play(origin: Origin, clock: VirtualClock, **settings: object) -> ProbeReport:
    chosen = {
        "start_at": StartAt.FIRST,
        "until_segment": FIRST_SEGMENT + SEGMENTS - 1,
        "sweep_s": 60.0,
        "fetch_timeout_s": 60.0,
        **settings,
    }
    async with origin.serve():
        return await probe(
            ProbeSettings(url=origin.url, **chosen),  # type: ignore[arg-type]
            clock=clock,
        )


async def test_a_clean_stream_has_no_fault(studio: Studio, clock: VirtualClock) -> None:
    report = await play(studio.origin(), clock)
    assert report.fault_counts == {}, report_text(report)
    assert report.ok
    assert report.pattern
    assert report.ending is Ending.SEGMENT
    assert report.frame_rate == "25"
    small, large, sound = report.renditions
    assert (small.name, large.name, sound.name) == ("small", "large", "sound")
    assert small.frames.seen == large.frames.seen == small.frames_decoded == SEGMENTS * FRAMES
    assert small.first_frame == FIRST_FRAME
    assert small.picture_marks is not None
    assert small.picture_marks.checked == SEGMENTS * FRAMES
    assert not large.decoded
    assert sound.tone_marks is not None
    assert sound.tone_marks.checked >= SEGMENTS * FRAMES - 4
    assert small.rechecked >= SEGMENTS - 1


async def test_all_renditions_can_be_decoded(studio: Studio, clock: VirtualClock) -> None:
    report = await play(studio.origin(), clock, rendition="all")
    assert report.fault_counts == {}
    marks = [r.picture_marks.checked for r in report.renditions if r.picture_marks]
    assert marks == [SEGMENTS * FRAMES] * 2


async def test_a_segment_that_is_left_out(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    for feed in origin.tracks.values():
        del feed.entries[BAD]
    report = await play(origin, clock, until_segment=FIRST_SEGMENT + SEGMENTS - 2)
    small, large, sound = report.renditions
    assert report.frames.lost == small.frames.lost == large.frames.lost == FRAMES
    assert sound.samples_lost == sound.frames.lost * 1024
    assert sound.frames.lost in (46, 47)
    assert report.fault_counts == {
        "FrameLost": 2 * FRAMES + sound.frames.lost,
        "PictureLost": FRAMES,
    }
    lost = next(fault for fault in report.faults if fault.rendition == "small")
    assert (lost.frame, lost.count) == (FIRST_FRAME + BAD * FRAMES, FRAMES)


@pytest.mark.parametrize("index", [BAD, SEGMENTS - 1])
async def test_a_declared_gap(studio: Studio, clock: VirtualClock, index: int) -> None:
    origin = studio.origin()
    origin.video["small"].change(index, gap=True, body=None)
    report = await play(origin, clock)
    assert report.fault_counts.pop("PictureLost", FRAMES) == FRAMES
    assert report.fault_counts == {"FrameLost": FRAMES, "GapPublished": 1}
    assert report.renditions[0].playlist.gaps == 1


async def test_a_listed_segment_that_is_not_there(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    origin.video["large"].change(BAD, body=None)
    report = await play(origin, clock)
    assert report.fault_counts == {"FrameLost": FRAMES, "SegmentUnavailable": 1}
    assert report.faults[0].rendition == "large"


async def test_a_segment_published_again_under_the_next_number(
    studio: Studio, clock: VirtualClock
) -> None:
    origin = studio.origin()
    origin.video["large"].change(BAD, body=studio.large_segments[BAD - 1])
    report = await play(origin, clock)
    assert report.fault_counts == {"FrameLost": FRAMES, "FrameRepeated": FRAMES}
    assert report.frames.repeated == FRAMES


async def test_two_segments_in_the_wrong_order(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    origin.video["large"].change(BAD, body=studio.large_segments[BAD + 1])
    origin.video["large"].change(BAD + 1, body=studio.large_segments[BAD])
    report = await play(origin, clock)
    assert report.fault_counts == {"FrameOutOfOrder": FRAMES}


async def drawn_with(
    studio: Studio, clock: VirtualClock, numbers: list[int], **settings: object
) -> ProbeReport:
    origin = studio.origin()
    body = studio.small.segment(FIRST_SEGMENT + BAD, numbers)
    origin.video["small"].change(BAD, body=body)
    return await play(origin, clock, **settings)


def right_numbers() -> list[int]:
    first = TIMELINE.first_frame(FIRST_SEGMENT + BAD)
    return list(range(first, first + FRAMES))


async def test_a_repeated_picture(studio: Studio, clock: VirtualClock) -> None:
    numbers = right_numbers()
    numbers[10] = numbers[9]
    report = await drawn_with(studio, clock, numbers)
    assert report.fault_counts == {"PictureWrong": 1, "PictureLost": 1, "PictureRepeated": 1}
    assert (report.frames.lost, report.frames.repeated) == (1, 1)
    wrong = next(fault for fault in report.faults if fault.kind.value == "PictureWrong")
    assert (wrong.segment, wrong.frame) == (FIRST_SEGMENT + BAD, numbers[9] + 1)


async def test_swapped_pictures(studio: Studio, clock: VirtualClock) -> None:
    numbers = right_numbers()
    numbers[10], numbers[11] = numbers[11], numbers[10]
    report = await drawn_with(studio, clock, numbers)
    assert report.fault_counts == {"PictureWrong": 2, "PictureOutOfOrder": 1}


async def test_pictures_one_off_while_the_times_are_right(
    studio: Studio, clock: VirtualClock
) -> None:
    numbers = [number + 1 for number in right_numbers()]
    report = await drawn_with(studio, clock, numbers)
    assert report.fault_counts == {"PictureWrong": FRAMES, "PictureLost": 1, "PictureRepeated": 1}


async def test_marks_are_not_looked_at_when_told_so(studio: Studio, clock: VirtualClock) -> None:
    numbers = [number + 1 for number in right_numbers()]
    report = await drawn_with(studio, clock, numbers, pattern="no")
    assert report.ok
    assert not report.pattern
    assert report.renditions[2].tone_marks is None


async def test_a_source_without_marks(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    for index in range(SEGMENTS):
        body = studio.small.segment(FIRST_SEGMENT + index, marked=False)
        origin.video["small"].change(index, body=body)
    report = await play(origin, clock)
    assert report.ok, report_text(report)
    assert not report.pattern


async def test_unreadable_pictures(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    body = studio.small.segment(FIRST_SEGMENT + BAD, marked=False)
    origin.video["small"].change(BAD, body=body)
    report = await play(origin, clock)
    assert report.fault_counts == {"PictureUnreadable": FRAMES}


@pytest.mark.parametrize("name", ["small", "large"])
async def test_times_off_the_grid(studio: Studio, clock: VirtualClock, name: str) -> None:
    origin = studio.origin()
    maker = studio.small if name == "small" else studio.large
    body = maker.segment(FIRST_SEGMENT + BAD, shift_ticks=100)
    origin.video[name].change(BAD, body=body)
    report = await play(origin, clock)
    assert report.fault_counts == {"TimestampWrong": FRAMES}
    assert f"want a multiple of {TIMELINE.frame_ticks}" in report.faults[0].message


async def test_misplaced_sound(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    body = studio.audio.segment(FIRST_SEGMENT + BAD, shift_samples=7)
    origin.audio["sound"].change(BAD, body=body)
    report = await play(origin, clock)
    assert set(report.fault_counts) == {"TimestampWrong"}
    assert report.faults[0].rendition == "sound"


async def test_the_wrong_tone(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    body = studio.audio.segment(FIRST_SEGMENT + BAD, frame_shift=1)
    origin.audio["sound"].change(BAD, body=body)
    report = await play(origin, clock)
    assert set(report.fault_counts) == {"ToneWrong"}
    # the first and last frame lie partly in the neighbours
    assert FRAMES - 2 <= report.fault_counts["ToneWrong"] <= FRAMES + 1


async def test_bytes_that_change_after_publication(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    origin.video["large"].change(BAD, later=studio.large.segment(FIRST_SEGMENT + BAD, marked=False))
    report = await play(origin, clock)
    assert report.fault_counts == {"BytesChanged": 1}
    assert (report.faults[0].rendition, report.faults[0].segment) == ("large", FIRST_SEGMENT + BAD)


async def test_a_media_sequence_that_goes_back(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    feed = origin.video["small"]
    feed.first = lambda load: FIRST_SEGMENT + (0, 0, 1, 0)[min(load, 3)]
    report = await play(origin, clock)
    assert report.fault_counts == {"MediaSequenceBack": 1}
    assert report.renditions[0].frames.seen == SEGMENTS * FRAMES


async def test_a_declared_discontinuity(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    origin.video["small"].change(BAD, discontinuity=True)
    report = await play(origin, clock)
    assert report.fault_counts == {"Discontinuity": 1}
    assert report.renditions[0].frames_decoded == SEGMENTS * FRAMES


async def test_a_declared_discontinuity_that_is_expected(
    studio: Studio, clock: VirtualClock
) -> None:
    origin = studio.origin()
    origin.video["small"].change(BAD, discontinuity=True)
    report = await play(origin, clock, allow_discontinuity=True)
    assert report.fault_counts == {}
    assert report.renditions[0].playlist.discontinuities == 1


async def test_a_stream_that_ends(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    for feed in origin.tracks.values():
        feed.tail = lambda load: "#EXT-X-ENDLIST\n" if load >= SEGMENTS - 3 else ""
    report = await play(origin, clock, until_segment=None)
    assert report.fault_counts == {"StreamEnded": 3}
    assert report.ending is Ending.ENDED


async def test_a_wrong_duration(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    origin.video["small"].change(BAD, duration="1.200")
    report = await play(origin, clock)
    assert report.fault_counts == {"DurationWrong": 1}


@pytest.mark.parametrize(("start", "end"), [(0, 200), (-2000, None)])
async def test_broken_bytes(
    studio: Studio, clock: VirtualClock, start: int, end: int | None
) -> None:
    origin = studio.origin()
    good = studio.small_segments[BAD]
    broken = bytearray(good)
    broken[slice(start, end)] = b"\xff" * len(good[start:end])
    origin.video["small"].change(BAD, body=bytes(broken))
    report = await play(origin, clock)
    named = {"SegmentMalformed", "DecodeFailed", "PictureUnreadable", "PictureWrong"}
    assert named & set(report.fault_counts), report_text(report)


async def test_the_encoder_of_each_segment(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    for index in range(SEGMENTS):
        encoder = "enc-a" if index < BAD else "enc-b"
        origin.video["large"].change(index, encoder=encoder)
    report = await play(origin, clock)
    assert report.ok
    (change,) = report.renditions[1].encoder_changes
    assert (change.from_encoder, change.to_encoder) == ("enc-a", "enc-b")
    assert change.segment == FIRST_SEGMENT + BAD
    assert change.frame == TIMELINE.first_frame(FIRST_SEGMENT + BAD)
    assert '"to_encoder": "enc-b"' in report_json(report)


async def test_b_frames(studio: Studio, clock: VirtualClock) -> None:
    origin = studio.origin()
    maker = VideoMaker(Size(width=256, height=144), b_frames=True)
    feed = origin.video["small"]
    feed.init = maker.init
    for index in range(SEGMENTS):
        feed.change(index, body=maker.segment(FIRST_SEGMENT + index))
    report = await play(origin, clock)
    assert report.ok, report_text(report)
    assert report.renditions[0].frames_decoded == SEGMENTS * FRAMES
