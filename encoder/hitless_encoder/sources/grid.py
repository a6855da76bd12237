"""Which frame a live picture is: anchor, unwrapping, gaps, duplicates and jumps of its clock.

Pure decisions over time stamps; weave.py carries them out. While the source's clock runs on,
every decision depends on the time stamps and the anchor alone, so encoders that joined at different
times agree. A jump of the clock that can't be absorbed gets a new anchor, chosen so that encoders
that both saw it agree: a short stop goes on at the next frame, a long one at a segment's start.
So does a clock that has drifted APART_SECONDS_MAX behind the wall clock. One that is ahead stays
so: frame numbers never go back.

Of several pictures that fall on one frame, the nearest is shown; a frame on which none falls
repeats the one before. So a source of any rate, also a varying one, fills the grid.

Where the source states absolute time (absolute.py), that says the first picture's frame, and the
frame after a jump, so encoders that never met agree. In between its time stamps count: they are
smooth. Statements that contradict them for long enough, and all alike, move the grid; never back
by more than JUMP_SECONDS, and then pictures are dropped until their frames are new ones.

Two encoders that lost different pictures around a jump, or took it on either side of a segment's
start, chose differently. There the anchor of the encoder on air counts: a standby that is told of
it (`follow`) goes over to it at the start of a segment, so that each of its segments is by one
anchor and no frame comes twice.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from math import lcm

from hitless_encoder.sources.absolute import (
    APART_SECONDS_MAX,
    Agreement,
    Stated,
    StepWatch,
    is_believable,
)
from hitless_handover.timeline import MICROSECONDS, Anchor, Timeline, frame_of_source

TS_TIMESCALE = 90_000
TS_WRAP_TICKS = 1 << 33
JUMP_SECONDS = (
    1  # a step back, or one ahead that the wall clock did not take, beyond this is a jump
)
FILL_SECONDS_MAX = 10  # a longer gap is left open
SOUND_APART_SECONDS_MAX = 8  # sound that claims to be further from the pictures is not believed
JUMP_PICTURES = 3  # in a row, before the clock is believed to have jumped
ANCHORS_LEFT_MAX = 8  # that are remembered as given up
LEADER_BEHIND_SECONDS_MAX = 10  # by its frames; further on, it has not followed a jump
DRIFT_PER_MILLE = 1  # of the age of an anchor: more than any clock's, less than a jump
STATEMENT_SECONDS_MAX = 10  # then a source that should state absolute time is taken without


@dataclass(frozen=True, slots=True, kw_only=True)
class TickScale:
    """How a source counts time: ticks a second, and modulo what (0: it never wraps)."""

    timescale: int
    wrap_ticks: int


_EPOCH = Anchor(source_ticks=0, source_timescale=MICROSECONDS, wrap_ticks=0, frame=0, wall_us=0)
TS_SCALE = TickScale(timescale=TS_TIMESCALE, wrap_ticks=TS_WRAP_TICKS)


class Placing(StrEnum):
    """What to do with a picture."""

    SHOW = "Show"  # it is the frame; `missing` frames before it repeat the picture before
    NEARER = "Nearer"  # it is the frame that was placed last, in the place of that picture
    DROP = "Drop"  # a duplicate, or a stray time stamp
    GAP = "Gap"  # it is the frame, and those before it are lost
    JUMP = "Jump"  # as GAP, under a new anchor


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A decision. frame and missing count timeline frames; frame is meaningless for DROP."""

    placing: Placing
    frame: int = 0
    missing: int = 0


class Grid:
    """The mapping of one source; its state is the anchor and the newest picture's place.

    tolerance_us: how far stated absolute time may be from the grid; None: the source states none.
    agreement: what the newest picture's statement was worth.
    """

    def __init__(
        self,
        timeline: Timeline,
        anchor: Anchor | None,
        scale: TickScale = TS_SCALE,
        *,
        tolerance_us: int | None = None,
    ) -> None:
        self._line = timeline
        self.anchor = anchor
        self._left = deque[tuple[int, int, int, int]](maxlen=ANCHORS_LEFT_MAX)
        self._leaders: Anchor | None = None  # to go over to
        self._leaders_fits = False
        self._scale = scale
        self._near_ticks: int | None = None
        self._last_frame: int | None = None
        self._last_off = 0
        self._last_wall_us = 0
        self._strays = 0
        self.agreement = Agreement.ABSENT
        self._expects_statements = tolerance_us is not None
        self._watch = StepWatch(max(1, timeline.frame_at(tolerance_us or 0)))
        self._waits_since_us: int | None = None

    @property
    def newest_frame(self) -> int | None:
        """The newest picture's frame."""
        return self._last_frame

    def count_in(self, scale: TickScale) -> None:
        """Say how the source counts. An anchor of a source that counts otherwise is forgotten."""
        self._scale = scale
        self._watch.clear()  # a connection numbers its statements by itself
        anchor = self.anchor
        if anchor is not None and scale != TickScale(
            timescale=anchor.source_timescale, wrap_ticks=anchor.wrap_ticks
        ):
            self.anchor = self._near_ticks = None

    def follow(self, anchor: Anchor, leader_frame: int) -> None:
        """The encoder on air has this anchor, and has come to this frame: go over to it.

        Not to one that was given up here, as long as the encoder on air may not have seen the jump.
        """
        scale = TickScale(timescale=anchor.source_timescale, wrap_ticks=anchor.wrap_ticks)
        own = self.anchor
        if scale != self._scale or (own is not None and own.line == anchor.line):
            self._leaders = None
            return
        behind = self._frames(LEADER_BEHIND_SECONDS_MAX)
        if own is not None and anchor.line in self._left and leader_frame <= own.frame + behind:
            return
        if self._leaders is None or self._leaders.line != anchor.line:
            self._leaders, self._leaders_fits = anchor, False

    def place(self, ticks: int, wall_us: int, stated: Stated | None = None) -> Placed:
        """Place the next picture in presentation order. wall_us: when it came in.

        stated: what the source says of its absolute time.
        """
        told = self._believed(stated, wall_us)
        if self._leaders is not None:
            placed = self._go_over(self._leaders, ticks, wall_us)
            if placed is not None:
                return placed
        if self.anchor is None:
            if told is None and self._waits(wall_us):
                return Placed(placing=Placing.DROP)
            frame = self._line.frame_at(wall_us) if told is None else told
            self.anchor = self._anchor_at(ticks, frame, wall_us)
        frame, near = frame_of_source(
            self._line, self.anchor, ticks, near_ticks=self._near(wall_us)
        )
        if told is not None and self._is_step(frame, told, stated):
            return self._move(ticks, told, wall_us)
        if self._is_apart(frame, wall_us) or self._begins_apart():
            return self._jump(ticks, told, wall_us)
        if self._last_frame is None:
            return self._accept(Placed(placing=Placing.SHOW, frame=frame), near, wall_us)
        step = frame - self._last_frame
        if self._is_jump(step, wall_us):
            return self._jump(ticks, told, wall_us)
        self._strays = 0
        if step == 0 and self._off(frame, near) < self._last_off:
            return self._accept(Placed(placing=Placing.NEARER, frame=frame), near, wall_us)
        if step <= 0:
            return Placed(placing=Placing.DROP)
        wide = step - 1 > self._frames(FILL_SECONDS_MAX)
        placed = (
            Placed(placing=Placing.GAP, frame=frame)
            if wide
            else Placed(placing=Placing.SHOW, frame=frame, missing=step - 1)
        )
        return self._accept(placed, near, wall_us)

    def sample_of(self, ticks: int, rate: int, timescale: int | None = None) -> int | None:
        """The sample number, at `rate` since the epoch, of a sound time stamp.

        timescale: of the ticks, where it is not that of the pictures. None before the first
        picture, and for a time too far from the newest picture's.
        Exact: round((anchor.frame / frame rate + ticks since the anchor / timescale) * rate).
        """
        if self.anchor is None or self._near_ticks is None:
            return None
        scale = lcm(self.anchor.source_timescale, timescale or self.anchor.source_timescale)
        fine = scale // self.anchor.source_timescale
        anchor = Anchor(
            source_ticks=self.anchor.source_ticks * fine,
            source_timescale=scale,
            wrap_ticks=self.anchor.wrap_ticks * fine,
            frame=self.anchor.frame,
            wall_us=self.anchor.wall_us,
        )
        near = self._near_ticks * fine
        ticks *= scale // (timescale or self.anchor.source_timescale)
        _, since = frame_of_source(self._line, anchor, ticks, near_ticks=near)
        if abs(since - near) > SOUND_APART_SECONDS_MAX * scale:
            return None
        whole = self.anchor.frame * self._line.rate_den * scale + since * self._line.rate_num
        unit = self._line.rate_num * scale
        return (2 * whole * rate + unit) // (2 * unit)

    def _go_over(self, anchor: Anchor, ticks: int, wall_us: int) -> Placed | None:
        """A picture by the anchor of the encoder on air, once that is at the start of a segment.

        None: not yet. What no longer fits into the segment before is dropped.
        """
        last = self._last_frame
        near = _ticks_since(anchor, wall_us)
        frame, since = frame_of_source(self._line, anchor, ticks, near_ticks=near)
        self._leaders_fits = self._leaders_fits or self._fits(anchor, frame, wall_us)
        if not self._leaders_fits:
            return None
        if last is None or self.anchor is None:
            self._change(anchor)
            return None
        first = self._line.first_frame(self._line.segment_of(last) + 1)
        if frame >= first:
            self._change(anchor)
            missing = frame - last - 1
            filled = missing if missing <= self._frames(FILL_SECONDS_MAX) else 0
            placed = Placed(placing=Placing.JUMP, frame=frame, missing=filled)
            return self._accept(placed, since, wall_us)
        own, _ = frame_of_source(self._line, self.anchor, ticks, near_ticks=self._near(wall_us))
        return Placed(placing=Placing.DROP) if own >= first else None

    def _fits(self, anchor: Anchor, frame: int, wall_us: int) -> bool:
        """Whether a picture is of the source's clock as that anchor has it, not before the jump."""
        age = self._line.frame_at(wall_us) - self._line.frame_at(anchor.wall_us)
        allowed = self._frames(JUMP_SECONDS) + abs(age) * DRIFT_PER_MILLE // 1000
        return abs(frame - anchor.frame - age) <= allowed

    def _change(self, anchor: Anchor) -> None:
        """Take another anchor; the one before counts as given up."""
        if self.anchor is not None:
            self._left.append(self.anchor.line)
        self.anchor, self._near_ticks, self._leaders = anchor, None, None

    def _near(self, wall_us: int) -> int:
        if self._near_ticks is not None:
            return self._near_ticks
        assert self.anchor is not None
        return _ticks_since(self.anchor, wall_us)

    def _frames(self, seconds: int) -> int:
        return seconds * self._line.rate_num // self._line.rate_den

    def _is_apart(self, frame: int, wall_us: int) -> bool:
        """Whether the grid has to be put back onto the wall clock. It never steps back for that."""
        ahead = frame - self._line.frame_at(wall_us)
        allowed = self._frames(APART_SECONDS_MAX)
        return ahead < -allowed or (self._last_frame is None and ahead > allowed)

    def _off(self, frame: int, since_ticks: int) -> int:
        """How far a picture is from its frame, in a unit that stays the same."""
        assert self.anchor is not None
        line, scale = self._line, self.anchor.source_timescale
        return abs(
            since_ticks * line.rate_num - (frame - self.anchor.frame) * scale * line.rate_den
        )

    def _is_jump(self, step: int, wall_us: int) -> bool:
        allowed = self._frames(JUMP_SECONDS)
        if -allowed <= step <= allowed:
            return False
        passed = self._line.frame_at(wall_us) - self._line.frame_at(self._last_wall_us)
        return abs(step - passed) > allowed

    def _believed(self, stated: Stated | None, wall_us: int) -> int | None:
        """The frame that a statement says, where it is believed."""
        self.agreement = Agreement.ABSENT
        if stated is None:
            return None
        if stated.us is None or not is_believable(stated.us, wall_us):
            self.agreement = Agreement.UNBELIEVABLE
            return None
        self.agreement = Agreement.FOLLOWED
        return frame_of_source(self._line, _EPOCH, stated.us, near_ticks=0)[0]

    def _waits(self, wall_us: int) -> bool:
        """Whether the first statement may still come."""
        if self._waits_since_us is None:
            self._waits_since_us = wall_us
        waited_us = wall_us - self._waits_since_us
        return self._expects_statements and waited_us < STATEMENT_SECONDS_MAX * MICROSECONDS

    def _is_step(self, frame: int, told: int, stated: Stated | None) -> bool:
        """Whether the grid has to move to what the source states."""
        assert stated is not None
        assert stated.us is not None
        step = self._watch.feed(told - frame, stated.us, stated.number)
        if abs(told - frame) > self._watch.tolerance_frames:
            self.agreement = Agreement.APART
        return step and self._last_frame is not None and self._may_follow(told)

    def _begins_apart(self) -> bool:
        """Whether an anchor that was taken over is not that of the source's absolute time."""
        return self._last_frame is None and self.agreement is Agreement.APART

    def _may_follow(self, frame: int) -> bool:
        """Whether a stated frame is not too far back."""
        last = self._last_frame
        return last is None or frame > last - self._frames(JUMP_SECONDS)

    def _move(self, ticks: int, frame: int, wall_us: int) -> Placed:
        """Take a new anchor; a picture whose frame has been is dropped."""
        self._change(self._anchor_at(ticks, frame, wall_us))
        self._watch.clear()
        if self._last_frame is not None and frame <= self._last_frame:
            self._near_ticks, self._strays, self._last_wall_us = 0, 0, wall_us
            self._last_off = 0  # no later picture is nearer to the last frame
            return Placed(placing=Placing.DROP)
        return self._accept(Placed(placing=Placing.JUMP, frame=frame), 0, wall_us)

    def _jump(self, ticks: int, told: int | None, wall_us: int) -> Placed:
        self._strays += 1
        if self._strays < JUMP_PICTURES:
            return Placed(placing=Placing.DROP)
        if told is not None and self._may_follow(told):
            return self._move(ticks, told, wall_us)
        frame = 0 if self._last_frame is None else self._last_frame + 1
        long_stop = wall_us - self._last_wall_us > JUMP_SECONDS * MICROSECONDS
        if long_stop or self._is_apart(frame, wall_us):
            on_air = self._line.segment_of(self._line.frame_at(wall_us))
            frame = max(frame, self._line.first_frame(on_air + 1))
        return self._move(ticks, frame, wall_us)

    def _accept(self, placed: Placed, near_ticks: int, wall_us: int) -> Placed:
        self._near_ticks, self._last_frame, self._strays = near_ticks, placed.frame, 0
        self._last_wall_us, self._last_off = wall_us, self._off(placed.frame, near_ticks)
        return placed

    def _anchor_at(self, ticks: int, frame: int, wall_us: int) -> Anchor:
        wrap = self._scale.wrap_ticks
        return Anchor(
            source_ticks=ticks % wrap if wrap else ticks,
            source_timescale=self._scale.timescale,
            wrap_ticks=wrap,
            frame=frame,
            wall_us=wall_us,
        )


def _ticks_since(anchor: Anchor, wall_us: int) -> int:
    """Source ticks since the anchor was chosen, by the wall clock."""
    return (wall_us - anchor.wall_us) * anchor.source_timescale // MICROSECONDS
