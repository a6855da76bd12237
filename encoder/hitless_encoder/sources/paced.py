"""Sources that can show any frame number: kept in step with the wall clock.

Frame n is due at timeline.wall_us(n). A late encoder runs faster and skips nothing, until it is
LAG_SECONDS_MAX behind: then it goes on at the segment that is next on air, and counts the loss.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Protocol

import av

from hitless_encoder.audio import preroll_video_frames
from hitless_encoder.clock import MICROSECONDS, Clock
from hitless_encoder.errors import SourceError
from hitless_encoder.pcm import Pcm
from hitless_encoder.sources.base import Block, ReportBoard, SourceReport, SourceState
from hitless_handover.timeline import Anchor, Timeline

LAG_SECONDS_MAX = 30
REOPEN_SECONDS = 2

_log = logging.getLogger(__name__)


class Rendering(Protocol):
    """Pictures and sound as a pure function of the frame number. Used by one thread."""

    def picture(self, frame: int) -> av.VideoFrame:
        """The picture of a frame, a new object each time. Raises SourceError."""
        ...

    def pcm(self, frame: int) -> Pcm:
        """The samples [first_sample(frame), first_sample(frame + 1)). Raises SourceError."""
        ...

    def close(self) -> None:
        """Give back files and decoders."""
        ...


class PacedSource:
    """A Source over a Rendering that is opened, and opened again after an error, by `opening`."""

    def __init__(
        self, *, name: str, timeline: Timeline, clock: Clock, opening: Callable[[], Rendering]
    ) -> None:
        self._name = name
        self._line = timeline
        self._clock = clock
        self._opening = opening
        self._stop = threading.Event()
        self._board = ReportBoard(SourceReport())

    def report(self) -> SourceReport:
        """The newest state, from any thread."""
        return self._board.read()

    def follow(self, anchor: Anchor, leader_frame: int) -> None:
        """Nothing: the wall clock is the same for all encoders."""

    def close(self) -> None:
        """Make blocks() end at the next frame."""
        self._stop.set()

    def blocks(self) -> Generator[Block, None, None]:
        """Blocks as they become due; an unreadable file is tried again every REOPEN_SECONDS."""
        while not self._stop.is_set():
            try:
                rendering = self._opening()
                try:
                    yield from self._paced(rendering)
                finally:
                    rendering.close()
            except SourceError as error:
                if self._board.state(SourceState.LOST, str(error)):
                    _log.warning("source lost: %s", error)
                retry_us = self._clock.now_us() + REOPEN_SECONDS * MICROSECONDS
                self._clock.sleep_until(retry_us, self._stop)

    def _entry(self) -> int:
        """The first frame to show: that with the sound before the segment that is next on air."""
        segment = self._line.segment_of(self._line.frame_at(self._clock.now_us())) + 1
        return self._line.first_frame(segment) - preroll_video_frames(self._line)

    def _paced(self, rendering: Rendering) -> Iterator[Block]:
        frame = self._entry()
        while not self._stop.is_set():
            self._clock.sleep_until(self._line.wall_us(frame), self._stop)
            frame = self._not_too_late(frame)
            block = Block(frame=frame, picture=rendering.picture(frame), pcm=rendering.pcm(frame))
            if self._board.state(SourceState.RUNNING):
                _log.info("source %s runs from frame %d", self._name, frame)
            yield block
            frame += 1

    def _not_too_late(self, frame: int) -> int:
        lag_us = self._clock.now_us() - self._line.wall_us(frame)
        if lag_us <= LAG_SECONDS_MAX * MICROSECONDS:
            return frame
        entry = max(frame, self._entry())
        self._board.count(dropped=entry - frame)
        _log.warning(
            "%d s behind the wall clock: frames %d to %d are lost; give the encoder more CPU",
            lag_us // MICROSECONDS,
            frame,
            entry - 1,
        )
        return entry
