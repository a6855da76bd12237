"""What is shown while a source is lost: when it begins and ends, and that two decide alike."""

from __future__ import annotations

import av
import numpy as np

from hitless_encoder.pcm import silence
from hitless_encoder.sources.base import Block
from hitless_encoder.sources.slate import Slate, still
from hitless_handover.timeline import Timeline

THIRTY = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60)
START_US = 1_790_000_000_000_000
FIRST = THIRTY.frame_at(START_US)
SIZE = (256, 144)


def block(frame: int) -> Block:
    picture = np.full((SIZE[1] * 3 // 2, SIZE[0]), 100, np.uint8)
    return Block(
        frame=frame, picture=av.VideoFrame.from_ndarray(picture, "yuv420p"), pcm=silence(1600)
    )


def wall(frame: int) -> int:
    return THIRTY.wall_us(frame)


def kinds(blocks: list[Block]) -> list[tuple[int, str]]:
    slate = np.asarray(still(*SIZE).to_ndarray())
    return [
        (b.frame, "slate" if np.array_equal(b.picture.to_ndarray(), slate) else "picture")
        for b in blocks
    ]


class Scene:
    """One encoder's slate, driven frame by frame; late_us: how late it hears of everything."""

    def __init__(self, after_s: int | None, late_us: int = 0) -> None:
        self._late_us = late_us
        self.slate = Slate(THIRTY, size=SIZE, after_s=after_s, now_us=START_US + late_us)
        self.shown: list[tuple[int, str]] = []

    def run(self, first: int, last: int, *, source: bool) -> None:
        for frame in range(first, last):
            now_us = wall(frame) + self._late_us
            given = [block(frame)] if source else []
            self.shown += kinds([*self.slate.admit(given, now_us), *self.slate.due(now_us)])


def outage(late_us: int) -> list[tuple[int, str]]:
    scene = Scene(3, late_us)
    scene.run(FIRST, FIRST + 100, source=True)
    scene.run(FIRST + 100, FIRST + 400, source=False)
    scene.run(FIRST + 400, FIRST + 600, source=True)
    return scene.shown


def test_slate_and_return_are_at_segment_starts_and_no_frame_is_missing() -> None:
    shown = outage(0)
    assert [frame for frame, _ in shown] == list(range(FIRST, FIRST + 600))
    slate = [frame for frame, kind in shown if kind == "slate"]
    assert slate == list(range(slate[0], slate[-1] + 1))
    assert slate[0] % 60 == 0
    assert (slate[-1] + 1) % 60 == 0
    assert 0 < slate[0] - (FIRST + 99 + 90) <= 60
    assert 0 <= slate[-1] + 1 - (FIRST + 400) < 60


def test_two_encoders_that_saw_the_same_decide_alike() -> None:
    assert outage(0) == outage(700_000)


def test_without_it_nothing_is_made_up() -> None:
    scene = Scene(None)
    scene.run(FIRST, FIRST + 10, source=True)
    scene.run(FIRST + 10, FIRST + 900, source=False)
    assert len(scene.shown) == 10


def test_a_gap_that_a_new_connection_leaves_repeats_the_newest_picture() -> None:
    scene = Scene(None)
    scene.run(FIRST, FIRST + 10, source=True)
    scene.run(FIRST + 10, FIRST + 300, source=False)
    scene.run(FIRST + 300, FIRST + 310, source=True)
    assert [frame for frame, _ in scene.shown] == list(range(FIRST, FIRST + 310))
    assert {kind for _, kind in scene.shown} == {"picture"}
    assert scene.slate.repeated == 290


def test_a_wide_gap_is_left_open() -> None:
    scene = Scene(None)
    scene.run(FIRST, FIRST + 10, source=True)
    scene.run(FIRST + 10, FIRST + 311, source=False)
    scene.run(FIRST + 311, FIRST + 320, source=True)
    assert len(scene.shown) == 19


def test_a_source_that_was_never_there_is_replaced_by_the_wall_clock() -> None:
    scene = Scene(2)
    scene.run(FIRST, FIRST + 300, source=False)
    frames = [frame for frame, _ in scene.shown]
    assert {kind for _, kind in scene.shown} == {"slate"}
    assert frames == list(range(frames[0], FIRST + 300))
    assert 0 < frames[0] - (FIRST + 60) <= 60


def test_a_source_that_returns_behind_the_slate_is_waited_for() -> None:
    scene = Scene(3)
    scene.run(FIRST, FIRST + 100, source=True)
    scene.run(FIRST + 100, FIRST + 400, source=False)
    for frame in range(FIRST + 330, FIRST + 600):  # 70 frames behind
        now_us = wall(frame + 70)
        shown = [*scene.slate.admit([block(frame)], now_us), *scene.slate.due(now_us)]
        scene.shown += kinds(shown)
    frames = [frame for frame, _ in scene.shown]
    assert frames == list(range(FIRST, FIRST + 600))
    assert scene.shown[-1][1] == "picture"


def test_the_slate_is_dark_with_a_line_of_text() -> None:
    luma = np.asarray(still(640, 360).to_ndarray())[:360]
    assert luma.mean() < 40
    assert luma.max() > 200
