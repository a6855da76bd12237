"""What is shown while a live source is lost, and when its own pictures come back.

`after_s` seconds after the newest picture, by the wall clock, the source counts as lost: the frames
since then repeat that picture, and from the next segment's start on there is the slate, silent and
at the pace of the wall clock. When pictures come in again, they are shown from the next segment's
start on. Both follow from the newest picture's frame, and the first new one's; so encoders that
received the same decide alike. A shorter gap, as a connection that is made anew leaves it, repeats
the newest picture, in silence. Used by one thread (live.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np

from hitless_encoder.audio import preroll_video_frames
from hitless_encoder.clock import MICROSECONDS
from hitless_encoder.pcm import silence
from hitless_encoder.pictures import copied
from hitless_encoder.sources import digits
from hitless_encoder.sources.base import Block
from hitless_encoder.sources.grid import FILL_SECONDS_MAX
from hitless_handover.timeline import Timeline

CATCH_UP_SECONDS_MAX = 12  # of frames that are made at once; more is left as a gap
TEXT = "NO SIGNAL"


class Slate:
    """The decisions of one source. after_s None: never. now_us: when it began."""

    def __init__(
        self, timeline: Timeline, *, size: tuple[int, int], after_s: int | None, now_us: int
    ) -> None:
        self._line = timeline
        self._size = size
        self._after_s = after_s
        self._still: av.VideoFrame | None = None
        self._newest: av.VideoFrame | None = None
        self._frame: int | None = None  # the newest given out
        self._base = (0, now_us)  # a frame, and when it was due
        self._seen_us = now_us  # when the source gave the last block
        self._from = 0  # first frame of the slate
        self._return_at: int | None = None
        self.is_showing = False
        self.repeated = 0  # frames in gaps

    def admit(self, blocks: list[Block], now_us: int) -> Iterator[Block]:
        """The source's blocks, as far as they go on air; before them what fills up to them."""
        for block in blocks:
            self._seen_us = now_us
            if self.is_showing and not self._may_return(block.frame):
                continue
            if self._frame is not None and block.frame <= self._frame:
                continue
            if self.is_showing:
                yield from self._until(block.frame)
                self.is_showing = False
            yield from self._bridge(block.frame)
            self._frame, self._newest = block.frame, block.picture
            self._base = (block.frame, now_us)
            yield block

    def due(self, now_us: int) -> Iterator[Block]:
        """The frames of the slate that are due."""
        if self._after_s is None:
            return
        lost = now_us - self._seen_us >= self._after_s * MICROSECONDS
        if lost:
            self._return_at = None
        if lost and not self.is_showing:
            self._begin(now_us)
        if self.is_showing:
            stop = self._frame_at(now_us) + 1
            yield from self._until(stop if self._return_at is None else min(stop, self._return_at))

    def _begin(self, now_us: int) -> None:
        line = self._line
        self.is_showing = True
        if self._frame is None:  # there never was a picture: by the wall clock
            self._base = (line.frame_at(now_us), now_us)
            self._enter(self._base[0])
            return
        assert self._after_s is not None
        lost = self._frame + self._after_s * line.rate_num // line.rate_den
        self._from = line.first_frame(line.segment_of(lost) + 1)

    def _enter(self, frame: int) -> None:
        """Go on with the segment after a frame, and the sound before it."""
        line = self._line
        self._from = line.first_frame(line.segment_of(frame) + 1) - preroll_video_frames(line)
        self._frame = self._from - 1

    def _frame_at(self, now_us: int) -> int:
        """The frame that is due, at the wall clock's pace since the source's last."""
        frame, since_us = self._base
        passed = (now_us - since_us) * self._line.rate_num
        return frame + passed // (self._line.rate_den * MICROSECONDS)

    def _may_return(self, frame: int) -> bool:
        """Whether a frame of the source is the first of a segment to be shown again."""
        line = self._line
        if self._return_at is None or frame > self._return_at:
            first = max(frame, 0 if self._frame is None else self._frame + 1)
            self._return_at = line.first_frame(line.segment_of(first - 1) + 1)
        return frame == self._return_at

    def _bridge(self, frame: int) -> Iterator[Block]:
        """The frames before `frame` where a connection has left a gap, unless it is too wide."""
        if self._frame is None or self._newest is None:
            return
        gap = range(self._frame + 1, frame)
        if len(gap) > FILL_SECONDS_MAX * self._line.rate_num // self._line.rate_den:
            return
        self.repeated += len(gap)
        for lost in gap:
            yield self._block(lost, copied(self._newest))

    def _block(self, frame: int, picture: av.VideoFrame) -> Block:
        samples = self._line.first_sample(frame + 1) - self._line.first_sample(frame)
        return Block(frame=frame, picture=picture, pcm=silence(samples))

    def _until(self, stop: int) -> Iterator[Block]:
        """The frames before `stop` that have not been given out."""
        assert self._frame is not None
        line = self._line
        if stop - self._frame > CATCH_UP_SECONDS_MAX * line.rate_num // line.rate_den:
            self._enter(stop)
        while self._frame + 1 < stop:
            self._frame += 1
            yield self._block(self._frame, self._picture(self._frame))

    def _picture(self, frame: int) -> av.VideoFrame:
        if frame < self._from and self._newest is not None:
            return copied(self._newest)
        if self._still is None:
            self._still = still(*self._size)
        return copied(self._still)


def still(width: int, height: int) -> av.VideoFrame:
    """The slate: dark grey, with a line of text where it fits."""
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = digits.PAPER
    scale = max(1, width // (digits.GLYPH_COLUMNS * 24))
    digits.write(planes[:height], TEXT, top=(height - digits.GLYPH_ROWS * scale) // 2, scale=scale)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")
