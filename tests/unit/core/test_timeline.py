from __future__ import annotations

import pytest

from hitless_handover.timeline import Anchor, Timeline, TimelineError, frame_of_source

NTSC = Timeline(rate_num=30_000, rate_den=1001, segment_frames=60, gop_frames=60)
PAL = Timeline(rate_num=25, rate_den=1, segment_frames=50, gop_frames=25)
NOW_US = 1_795_000_000_000_000


@pytest.mark.parametrize(
    ("timeline", "timescale", "frame_ticks"),
    [(NTSC, 30_000, 1001), (PAL, 25_000, 1000)],
)
def test_ticks_are_exact(timeline: Timeline, timescale: int, frame_ticks: int) -> None:
    assert (timeline.timescale, timeline.frame_ticks) == (timescale, frame_ticks)
    assert timeline.pts_ticks(7) == 7 * frame_ticks
    assert timeline.segment_ticks == timeline.segment_frames * frame_ticks


@pytest.mark.parametrize("timeline", [NTSC, PAL])
def test_audio_frames_tile_the_segments(timeline: Timeline) -> None:
    """Every AAC frame belongs to exactly one segment: the one in whose span it starts."""
    k = timeline.segment_of(timeline.frame_at(NOW_US))
    for segment in range(k, k + 200):
        first, after = timeline.first_audio_frame(segment), timeline.first_audio_frame(segment + 1)
        assert after - first > 0
        start = timeline.first_frame(segment) * timeline.rate_den * timeline.audio_rate
        assert first * 1024 * timeline.rate_num >= start
        assert (first - 1) * 1024 * timeline.rate_num < start


def test_audio_counts_vary_by_one_when_spans_do_not_match() -> None:
    counts = {NTSC.first_audio_frame(k + 1) - NTSC.first_audio_frame(k) for k in range(1000)}
    assert counts == {93, 94}


@pytest.mark.parametrize("timeline", [NTSC, PAL])
def test_wall_time_and_frames_agree(timeline: Timeline) -> None:
    for frame in range(timeline.frame_at(NOW_US), timeline.frame_at(NOW_US) + 100):
        assert timeline.frame_at(timeline.wall_us(frame)) == frame
        assert timeline.frame_at(timeline.wall_us(frame) - 1) == frame - 1


def test_samples_of_a_frame_follow_each_other() -> None:
    assert [NTSC.first_sample(n + 1) - NTSC.first_sample(n) for n in range(5)] == [
        1602,
        1602,
        1601,
        1602,
        1601,
    ]


def test_timecode_counts_frames_of_the_nominal_rate() -> None:
    assert PAL.timecode(25 * 3661 + 7) == "01:01:01:07"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gop_frames": 40}, "choose gopFrames that divides segmentFrames"),
        ({"segment_frames": 6, "gop_frames": 6}, "change segmentFrames"),
        ({"segment_frames": 600, "gop_frames": 60}, "change segmentFrames"),
        ({"rate_num": 0}, "must be positive"),
    ],
)
def test_impossible_grids_are_refused(change: dict[str, int], says: str) -> None:
    grid = {"rate_num": 30, "rate_den": 1, "segment_frames": 60, "gop_frames": 60}
    with pytest.raises(TimelineError, match=says):
        Timeline(**(grid | change))


def test_source_ticks_map_to_frames_over_any_number_of_laps() -> None:
    """A joiner knows the wall time only roughly; the lap (26.5 h for MPEG-TS) still comes out."""
    wrap = 2**33
    anchor = Anchor(
        source_ticks=wrap - 90_000,
        source_timescale=90_000,
        wrap_ticks=wrap,
        frame=1_000_000,
        wall_us=0,
    )
    for after in range(0, 10_000_000, 99_991):
        ticks = anchor.source_ticks + after * 3003
        for guess_error in (-900_000, 0, 900_000):
            frame, since = frame_of_source(
                NTSC, anchor, ticks % wrap, near_ticks=after * 3003 + guess_error
            )
            assert (frame, since) == (anchor.frame + after, after * 3003)


def test_jitter_of_less_than_half_a_frame_is_absorbed() -> None:
    anchor = Anchor(source_ticks=500, source_timescale=90_000, wrap_ticks=2**33, frame=0, wall_us=0)
    for jitter in (-1400, 1400):
        frame, _ = frame_of_source(NTSC, anchor, 500 + 10 * 3003 + jitter, near_ticks=30_000)
        assert frame == 10


def test_a_source_before_its_anchor_maps_backwards() -> None:
    anchor = Anchor(
        source_ticks=10, source_timescale=90_000, wrap_ticks=2**33, frame=100, wall_us=0
    )
    frame, since = frame_of_source(NTSC, anchor, (10 - 3003) % 2**33, near_ticks=0)
    assert (frame, since) == (99, -3003)
