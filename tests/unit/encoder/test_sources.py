"""URLs, pacing against the clock, and the ladder's order."""

from __future__ import annotations

import threading
from itertools import islice

import av
import pytest

from hitless_encoder.audio import preroll_samples, preroll_video_frames
from hitless_encoder.clock import SystemClock
from hitless_encoder.errors import ConfigurationError, SourceError
from hitless_encoder.ladder import Ladder, parents
from hitless_encoder.pcm import Pcm, silence
from hitless_encoder.sources import SourceState, open_source
from hitless_encoder.sources.paced import LAG_SECONDS_MAX, PacedSource
from hitless_encoder.sources.receiver import parse_socket_url
from hitless_handover.timeline import Timeline
from hitless_wire.media_resources import Profile

THIRTY = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60)
START_US = 1_790_000_000_500_000


class Clock:
    """Stands still but for sleeps."""

    def __init__(self) -> None:
        self.now = START_US

    def now_us(self) -> int:
        return self.now

    def sleep_until(self, wall_us: int, stop: threading.Event) -> None:  # noqa: ARG002
        self.now = max(self.now, wall_us)

    async def pause(self, seconds: float) -> None:  # noqa: ARG002
        return


class Still:
    """A rendering that shows nothing."""

    def picture(self, frame: int) -> av.VideoFrame:  # noqa: ARG002
        return av.VideoFrame(16, 16, "yuv420p")

    def pcm(self, frame: int) -> Pcm:  # noqa: ARG002
        return silence(1600)

    def close(self) -> None:
        return


def test_frames_start_before_the_next_segment_and_none_is_skipped() -> None:
    clock = Clock()
    source = PacedSource(name="still", timeline=THIRTY, clock=clock, opening=Still)
    frames = [block.frame for block in islice(source.blocks(), 200)]
    segment = THIRTY.segment_of(THIRTY.frame_at(START_US)) + 1
    start = THIRTY.first_frame(segment) - preroll_video_frames(THIRTY)
    assert frames == list(range(start, start + 200))
    assert clock.now == THIRTY.wall_us(start + 199)


def test_a_late_encoder_catches_up_until_the_lag_is_too_long() -> None:
    clock = Clock()
    source = PacedSource(name="still", timeline=THIRTY, clock=clock, opening=Still)
    blocks = source.blocks()
    first = next(blocks).frame
    clock.now += (LAG_SECONDS_MAX - 1) * 1_000_000
    assert [next(blocks).frame for _ in range(3)] == [first + 1, first + 2, first + 3]
    clock.now += 3_000_000
    resumed = next(blocks).frame
    on_air = THIRTY.segment_of(THIRTY.frame_at(clock.now))
    assert resumed == THIRTY.first_frame(on_air + 1) - preroll_video_frames(THIRTY)
    assert source.report().dropped == resumed - first - 4
    source.close()
    assert list(blocks) == []


def test_an_unreadable_source_is_reported_and_tried_again() -> None:
    clock = Clock()
    reports = []

    def opening() -> Still:
        reports.append(source.report())
        if len(reports) < 3:
            raise SourceError("file:///x.mp4: no such file")
        return Still()

    source = PacedSource(name="file", timeline=THIRTY, clock=clock, opening=opening)
    next(source.blocks())
    states = [(report.state, report.message) for report in (*reports, source.report())]
    assert states == [
        (SourceState.CONNECTING, ""),
        (SourceState.LOST, "file:///x.mp4: no such file"),
        (SourceState.LOST, "file:///x.mp4: no such file"),
        (SourceState.RUNNING, ""),
    ]
    assert clock.now >= START_US + 4_000_000


@pytest.mark.parametrize("segment", range(895_000_000, 895_000_040))
def test_the_first_whole_segment_has_its_pre_roll(segment: int) -> None:
    line = Timeline(rate_num=30000, rate_den=1001, segment_frames=60, gop_frames=60)
    ladder = Ladder(video=(), sound=(), timeline=line, deliver=lambda _: None, fail=lambda *_: None)
    entry = line.first_frame(segment) - preroll_video_frames(line)
    assert ladder.first_whole_segment(entry) == segment
    assert preroll_samples(line, segment)[0] >= line.first_sample(entry)
    assert ladder.first_whole_segment(line.first_frame(segment) + 1) == segment + 1


def test_each_rendition_is_scaled_from_the_next_larger_one() -> None:
    def profile(name: str, width: int, height: int) -> Profile:
        return Profile(name=name, width=width, height=height, max_kbps=500)

    ladder = (
        profile("low", 426, 240),
        profile("top", 1280, 720),
        profile("tall", 360, 640),
        profile("mid", 640, 360),
        profile("twin", 640, 360),
    )
    assert parents(ladder) == {
        "top": None,
        "tall": "top",
        "mid": "top",
        "twin": "mid",
        "low": "twin",
    }


def test_udp_addresses() -> None:
    group = parse_socket_url("udp://@239.1.2.3:5000?localaddr=127.0.0.1&reuse=1")
    assert (group.host, group.port, group.localaddr) == ("239.1.2.3", 5000, "127.0.0.1")
    assert group.multicast
    assert not parse_socket_url("udp://0.0.0.0:5000").multicast


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("udp://239.1.2.3", "write udp://host:port"),
        ("udp://:5000", "write udp://host:port"),
        ("udp://1.2.3.4:99999", "write udp://host:port"),
        ("udp://1.2.3.4:5000?iface=eth0", "unknown option iface"),
        ("rtp://1.2.3.4", "write rtp://host:port"),
        ("tcp://host", "write tcp://host:port"),
        ("rtmp:///app", "write rtmp://host/path"),
        ("mms://host/app", "source.url must be testpattern:, file:///path"),
    ],
)
def test_urls_that_can_not_work_are_configuration_errors(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_source(url, timeline=THIRTY, size=(64, 64), anchor=None, clock=SystemClock())
