"""Which frame a live picture is: anchor, unwrapping, gaps, duplicates and jumps of its clock.

Pure decisions over time stamps; live_udp.py carries them out. While the source's clock runs on,
every decision depends on the time stamps and the anchor alone, so encoders that joined at different
times agree. A jump of the clock that can't be absorbed gets a new anchor, chosen so that encoders
that both saw it agree: a short stop goes on at the next frame, a long one at a segment's start.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hitless_handover.timeline import Anchor, Timeline, frame_of_source

MICROSECONDS = 1_000_000
TS_TIMESCALE = 90_000
TS_WRAP_TICKS = 1 << 33
JUMP_SECONDS = (
    1  # a step back, or one ahead that the wall clock did not take, beyond this is a jump
)
FILL_SECONDS_MAX = 10  # a longer gap is left open
SOUND_APART_SECONDS_MAX = 8  # sound that claims to be further from the pictures is not believed
JUMP_PICTURES = 3  # in a row, before the clock is believed to have jumped


class Placing(StrEnum):
    """What to do with a picture."""

    SHOW = "Show"  # it is the frame; `missing` frames before it repeat the picture before
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
    """The mapping of one source; its state is the anchor and the newest picture's place."""

    def __init__(self, timeline: Timeline, anchor: Anchor | None) -> None:
        self._line = timeline
        self.anchor = anchor
        self._near_ticks: int | None = None
        self._last_frame: int | None = None
        self._last_wall_us = 0
        self._strays = 0

    @property
    def newest_frame(self) -> int | None:
        """The newest picture's frame."""
        return self._last_frame

    def place(self, ticks: int, wall_us: int) -> Placed:
        """Place the next picture in presentation order. wall_us: when it came in."""
        if self.anchor is None:
            self.anchor = self._anchor_at(ticks, self._line.frame_at(wall_us), wall_us)
        frame, near = frame_of_source(
            self._line, self.anchor, ticks, near_ticks=self._near(wall_us)
        )
        if self._last_frame is None:
            return self._accept(Placed(placing=Placing.SHOW, frame=frame), near, wall_us)
        step = frame - self._last_frame
        if self._is_jump(step, wall_us):
            return self._jump(ticks, wall_us)
        self._strays = 0
        if step <= 0:
            return Placed(placing=Placing.DROP)
        wide = step - 1 > self._frames(FILL_SECONDS_MAX)
        placed = (
            Placed(placing=Placing.GAP, frame=frame)
            if wide
            else Placed(placing=Placing.SHOW, frame=frame, missing=step - 1)
        )
        return self._accept(placed, near, wall_us)

    def sample_of(self, ticks: int, rate: int) -> int | None:
        """The sample number, at `rate` since the epoch, of a sound time stamp.

        None before the first picture, and for a time too far from the newest picture's.
        Exact: round((anchor.frame / frame rate + ticks since the anchor / timescale) * rate).
        """
        if self.anchor is None or self._near_ticks is None:
            return None
        _, since = frame_of_source(self._line, self.anchor, ticks, near_ticks=self._near_ticks)
        scale = self.anchor.source_timescale
        if abs(since - self._near_ticks) > SOUND_APART_SECONDS_MAX * scale:
            return None
        whole = self.anchor.frame * self._line.rate_den * scale + since * self._line.rate_num
        unit = self._line.rate_num * scale
        return (2 * whole * rate + unit) // (2 * unit)

    def _near(self, wall_us: int) -> int:
        if self._near_ticks is not None:
            return self._near_ticks
        assert self.anchor is not None
        return (wall_us - self.anchor.wall_us) * self.anchor.source_timescale // MICROSECONDS

    def _frames(self, seconds: int) -> int:
        return seconds * self._line.rate_num // self._line.rate_den

    def _is_jump(self, step: int, wall_us: int) -> bool:
        allowed = self._frames(JUMP_SECONDS)
        if -allowed <= step <= allowed:
            return False
        passed = self._line.frame_at(wall_us) - self._line.frame_at(self._last_wall_us)
        return abs(step - passed) > allowed

    def _jump(self, ticks: int, wall_us: int) -> Placed:
        self._strays += 1
        if self._strays < JUMP_PICTURES:
            return Placed(placing=Placing.DROP)
        assert self._last_frame is not None
        frame = self._last_frame + 1
        if wall_us - self._last_wall_us > JUMP_SECONDS * MICROSECONDS:
            on_air = self._line.segment_of(self._line.frame_at(wall_us))
            frame = max(frame, self._line.first_frame(on_air + 1))
        self.anchor = self._anchor_at(ticks, frame, wall_us)
        return self._accept(Placed(placing=Placing.JUMP, frame=frame), 0, wall_us)

    def _accept(self, placed: Placed, near_ticks: int, wall_us: int) -> Placed:
        self._near_ticks, self._last_frame, self._strays = near_ticks, placed.frame, 0
        self._last_wall_us = wall_us
        return placed

    @staticmethod
    def _anchor_at(ticks: int, frame: int, wall_us: int) -> Anchor:
        return Anchor(
            source_ticks=ticks % TS_WRAP_TICKS,
            source_timescale=TS_TIMESCALE,
            wrap_ticks=TS_WRAP_TICKS,
            frame=frame,
            wall_us=wall_us,
        )
