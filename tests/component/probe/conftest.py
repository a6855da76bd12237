from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from tests.component.probe.origin import Entry, Origin, TrackFeed
from tests.component.probe.synthetic import FIRST_SEGMENT, LARGEST, AudioMaker, Size, VideoMaker

SEGMENTS = 6


class VirtualClock:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_us(self) -> int:
        return (FIRST_SEGMENT + SEGMENTS) * 1_000_000

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """The makers, and the clean segments that they made once for all tests."""

    small: VideoMaker
    large: VideoMaker
    audio: AudioMaker
    small_segments: tuple[bytes, ...]
    large_segments: tuple[bytes, ...]
    audio_segments: tuple[bytes, ...]

    def origin(self) -> Origin:
        """A clean channel of two video renditions and sound."""
        return Origin(
            {
                "small": _feed(self.small.init, self.small_segments),
                "large": _feed(self.large.init, self.large_segments),
            },
            {"sound": _feed(self.audio.init, self.audio_segments)},
        )


def _feed(init: bytes, bodies: tuple[bytes, ...]) -> TrackFeed:
    return TrackFeed(
        init=init,
        entries=[Entry(name=f"{FIRST_SEGMENT + i}.m4s", body=b) for i, b in enumerate(bodies)],
    )


@pytest.fixture(scope="session")
def studio() -> Studio:
    small = VideoMaker(Size(width=256, height=144))
    large = VideoMaker(Size(width=LARGEST[0], height=LARGEST[1]))
    audio = AudioMaker()
    numbers = range(FIRST_SEGMENT, FIRST_SEGMENT + SEGMENTS)
    return Studio(
        small=small,
        large=large,
        audio=audio,
        small_segments=tuple(small.segment(k) for k in numbers),
        large_segments=tuple(large.segment(k) for k in numbers),
        audio_segments=tuple(audio.segment(k) for k in numbers),
    )


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()
