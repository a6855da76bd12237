"""A standby's grid goes over to the anchor of the encoder on air: when, and how."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hitless_encoder.sources.grid import (
    FILL_SECONDS_MAX,
    JUMP_PICTURES,
    LEADER_BEHIND_SECONDS_MAX,
    Grid,
    Placing,
)
from hitless_handover.timeline import MICROSECONDS, Anchor, Timeline

LINE = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60)
START_US = 1_790_000_000_000_000
TICKS = 3000  # of a frame
JUMPED = 77_777_777  # the source's clock after the jump


def wall(frames: int) -> int:
    return START_US + frames * MICROSECONDS // 30


def begun() -> Grid:
    """A grid that has placed two seconds of pictures and one more."""
    made = Grid(LINE, None)
    for n in range(61):
        made.place(n * TICKS, wall(n))
    return made


def after_the_jump(made: Grid, first: int, last: int) -> list[int | None]:
    """Frames of the pictures first to last after the jump, which came 61 pictures after START_US.

    None: dropped.
    """
    placed = [made.place(JUMPED + n * TICKS, wall(61 + n)) for n in range(first, last)]
    return [None if one.placing is Placing.DROP else one.frame for one in placed]


def jumped(lost: int) -> tuple[Grid, Anchor]:
    """The encoder on air, which lost so many pictures after the jump, and its anchor."""
    made = begun()
    after_the_jump(made, lost, lost + JUMP_PICTURES)
    assert made.anchor is not None
    return made, made.anchor


@pytest.mark.parametrize(("leader_lost", "own_lost"), [(0, 20), (20, 0)])
def test_a_standby_goes_over_at_the_start_of_a_segment(leader_lost: int, own_lost: int) -> None:
    leader, anchor = jumped(leader_lost)
    own, before = jumped(own_lost)
    assert before.line != anchor.line
    ours = after_the_jump(own, own_lost + 3, 40)
    theirs = after_the_jump(leader, leader_lost + 3, 200)
    own.follow(anchor, theirs[0] or 0)
    ours += after_the_jump(own, 40, 200)
    assert own.anchor == anchor
    shown = [frame for frame in ours if frame is not None]
    assert shown == sorted(set(shown)), "no frame comes twice"
    first = min(frame for frame in shown if frame in theirs[-100:])
    changed = next(
        i for i, (a, b) in enumerate(zip(ours[::-1], theirs[::-1], strict=False)) if a != b
    )
    went_over = ours[len(ours) - changed]
    assert went_over is not None
    assert went_over <= first
    assert went_over % LINE.segment_frames == 0
    assert ours[-changed:] == theirs[-changed:]


def test_frames_up_to_the_segment_repeat_the_last_picture() -> None:
    own, _ = jumped(20)
    _, anchor = jumped(0)
    after_the_jump(own, 23, 30)
    own.follow(anchor, anchor.frame)
    last = own.newest_frame
    assert last is not None
    for n in range(30, 200):
        placed = own.place(JUMPED + n * TICKS, wall(61 + n))
        if placed.placing is Placing.JUMP:
            break
        assert placed.placing is Placing.SHOW
        last = placed.frame
    assert own.anchor == anchor
    assert placed.missing == placed.frame - last - 1 <= FILL_SECONDS_MAX * 30


def test_before_the_jump_reaches_it_a_standby_stays_as_it_is() -> None:
    _, anchor = jumped(0)
    late = begun()
    late.follow(anchor, anchor.frame)
    before = late.anchor
    assert late.place(61 * TICKS, wall(61)).placing is Placing.SHOW
    assert late.anchor == before


def test_an_anchor_that_was_given_up_is_not_taken_back_at_once() -> None:
    made = begun()
    old = made.anchor
    assert old is not None
    after_the_jump(made, 0, 10)
    new = made.anchor
    assert new is not None
    made.follow(old, new.frame + 1)  # the encoder on air has not come to the jump
    after_the_jump(made, 10, 200)
    assert made.anchor == new


def test_a_jump_that_the_encoder_on_air_did_not_follow_is_taken_back() -> None:
    made = begun()
    old = made.anchor
    assert old is not None
    after_the_jump(made, 0, 10)  # only the standby's clock jumped
    new = made.anchor
    assert new is not None
    far = new.frame + LEADER_BEHIND_SECONDS_MAX * 30 + 1
    made.follow(old, far)
    for n in range(71, 400):
        made.place(n * TICKS, wall(n))  # and jumps back
    made.follow(old, far + 100)
    for n in range(400, 600):
        made.place(n * TICKS, wall(n))
    assert made.anchor == old


def test_an_anchor_of_another_clock_is_none() -> None:
    made = begun()
    before = made.anchor
    assert before is not None
    made.follow(replace(before, source_timescale=1000, frame=before.frame + 5), before.frame)
    for n in range(61, 200):
        made.place(n * TICKS, wall(n))
    assert made.anchor == before
