"""Live sources: what comes in over a transport, put on the timeline.

One thread reads packets (pump.py), the caller of blocks() decodes and places them (weave.py) and
fills in for a source that is lost (slate.py). Where the source is silent or broken, the source
reports it and goes on trying, for ever and in bounds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from dataclasses import replace

from hitless_encoder.clock import Clock
from hitless_encoder.sources.base import Block, ReportBoard, SourceReport, SourceState
from hitless_encoder.sources.grid import Grid
from hitless_encoder.sources.pump import Arrived, Event, Failed, Opened, PacketPump
from hitless_encoder.sources.receiver import POLL_SECONDS
from hitless_encoder.sources.shape import Shaper
from hitless_encoder.sources.slate import Slate
from hitless_encoder.sources.transport import Transport
from hitless_encoder.sources.weave import Weaver
from hitless_handover.timeline import Anchor, Timeline
from hitless_wire.source_resources import SourceTimecode

TOLERANCE_US = {  # by how much statements of absolute time may be off, and still agree
    SourceTimecode.PROGRAM_DATE_TIME: 200_000,
    SourceTimecode.PICTURE_TIMING: 0,  # a frame, which a source of another rate is off by
    SourceTimecode.PRODUCER_REFERENCE_TIME: 200_000,
}
FRAME_POLL_SECONDS = 0.02  # while a slate is on air

_log = logging.getLogger(__name__)


class LiveSource:
    """A Source over one transport. size: of the largest rendition, pixels."""

    def __init__(
        self,
        transport: Transport,
        *,
        timeline: Timeline,
        size: tuple[int, int],
        anchor: Anchor | None,
        clock: Clock,
        slate_seconds: int | None = None,
        timecode: SourceTimecode | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._transport = transport
        self._poll_seconds = poll_seconds
        self._line = timeline
        self._clock = clock
        tolerance_us = None if timecode is None else TOLERANCE_US[timecode]
        self._states_time = timecode is not None
        self._grid = Grid(timeline, anchor, tolerance_us=tolerance_us)
        self._shaper = Shaper(*size)
        self._slate = Slate(timeline, size=size, after_s=slate_seconds, now_us=clock.now_us())
        self._pump = PacketPump(transport, clock)
        self._weaver: Weaver | None = None
        self._stop = threading.Event()
        self._silent_polls = 0
        self._leader: tuple[Anchor, int] | None = None
        self._board = ReportBoard(SourceReport(anchor=anchor))

    def report(self) -> SourceReport:
        """The newest state, from any thread."""
        received, waiting = self._transport.traffic()
        report = self._board.read()
        return replace(
            report,
            repeated=report.repeated + self._slate.repeated,
            received_bytes=received,
            waiting_bytes=waiting + self._pump.waiting_bytes,
        )

    def follow(self, anchor: Anchor, leader_frame: int) -> None:
        """The anchor of the encoder on air; what a source states of its time comes first."""
        if not self._states_time:
            self._leader = (anchor, leader_frame)

    def close(self) -> None:
        """Make blocks() end soon."""
        self._stop.set()
        self._pump.stop()

    def blocks(self) -> Generator[Block, None, None]:
        """Blocks as they come in."""
        self._pump.start()
        try:
            while not self._stop.is_set():
                event = self._pump.next(self._wait_s())
                found = self._handle(event)
                now_us = self._clock.now_us()
                for block in (*self._slate.admit(found, now_us), *self._slate.due(now_us)):
                    self._hold_back(block.frame)
                    yield block
        finally:
            self._pump.join()

    def _wait_s(self) -> float:
        return FRAME_POLL_SECONDS if self._slate.is_showing else self._poll_seconds

    def _handle(self, event: Event | None) -> list[Block]:
        if event is None:
            self._count_silence()
            return []
        self._silent_polls = 0
        if isinstance(event, Opened):
            self._begin(event)
            return []
        if isinstance(event, Failed):
            self._lost(event.reason)
            return []
        return self._weave(event)

    def _begin(self, opened: Opened) -> None:
        self._grid.count_in(opened.scale)
        self._weaver = Weaver(
            self._line,
            self._grid,
            pictures=opened.video,
            sound=opened.audio,
            shaper=self._shaper,
            board=self._board,
            statements=opened.statements,
        )

    def _weave(self, arrived: Arrived) -> list[Block]:
        assert self._weaver is not None
        leader, self._leader = self._leader, None
        if leader is not None:
            self._grid.follow(*leader)
        blocks = self._weaver.feed(arrived.packet, arrived.wall_us)
        if blocks and self._board.state(SourceState.RUNNING):
            _log.info("source %s runs from frame %d", self._transport.url, blocks[0].frame)
        return blocks

    def _hold_back(self, frame: int) -> None:
        """Of a transport that gives much at once, a frame waits for its time on the wall clock.

        Not while the queue fills: the source's clock may be the faster one.
        """
        if self._transport.bursts and not self._pump.is_filling:
            due_us = self._line.wall_us(frame) + self._transport.hold_us
            self._clock.sleep_until(due_us, self._stop)

    def _count_silence(self) -> None:
        self._silent_polls += 1
        seconds = self._transport.silence_seconds
        if self._silent_polls * self._wait_s() >= seconds and not self._stop.is_set():
            self._silent_polls = 0
            self._lost(f"no data from {self._transport.url} for {seconds} s")

    def _lost(self, message: str) -> None:
        if self._board.state(SourceState.LOST, message):
            _log.warning("source lost: %s", message)
