"""What every source gives: blocks of one frame number each, with its picture and its sound.

A source maps its own time to frame numbers and does nothing else: it neither scales nor encodes.
Its blocks() runs in one thread of its own (session.py starts it); report() may be called from any.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

import av

from hitless_encoder.pcm import Pcm
from hitless_encoder.sources.absolute import Agreement
from hitless_handover.timeline import Anchor


class SourceState(StrEnum):
    """Whether pictures come in."""

    CONNECTING = "Connecting"  # opened, or trying to; no picture yet
    RUNNING = "Running"  # pictures come in
    LOST = "Lost"  # nothing comes in; trying again


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A frame number with all that is seen and heard in it.

    picture: yuv420p at the source's size; a frame object is handed over, never shared or reused.
    pcm: the samples [first_sample(frame), first_sample(frame + 1)) of the timeline.
    """

    frame: int
    picture: av.VideoFrame
    pcm: Pcm


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """A source's state for people and for the control part.

    repeated: frames whose picture was missing, so that the one before was repeated. dropped: source
    pictures, or whole frames, that did not go on the timeline. losses: times that it was lost.
    sound_lead_ms: newest sound to newest picture, where the source sends both. received_bytes: of a
    network source; waiting_bytes: of those, not yet read by the demuxer. agreements: pictures by
    what their statement of absolute time was worth. moves: times that the anchor was given up.
    """

    state: SourceState = SourceState.CONNECTING
    message: str = ""
    anchor: Anchor | None = None
    repeated: int = 0
    dropped: int = 0
    losses: int = 0
    sound_lead_ms: int | None = None
    received_bytes: int = 0
    waiting_bytes: int = 0
    agreements: Mapping[Agreement, int] = field(default_factory=dict)
    moves: int = 0


class Source(Protocol):
    """A live input on the timeline."""

    def blocks(self) -> Generator[Block, None, None]:
        """Blocks in rising frame order; a gap in the numbers means that those frames are lost.

        Blocks the calling thread until the next is due or has come in. Ends after close();
        its caller closes the generator.
        """
        ...

    def report(self) -> SourceReport:
        """The newest state, from any thread."""
        ...

    def follow(self, anchor: Anchor, leader_frame: int) -> None:
        """The anchor of the encoder on air, and its newest frame: to be taken over. Any thread."""
        ...

    def close(self) -> None:
        """Make blocks() end soon, from any thread."""
        ...


class ReportBoard:
    """The report of a source, changed by its thread and read by others."""

    def __init__(self, report: SourceReport) -> None:
        self._report = report
        self._agreements = Counter[Agreement]()
        self._lock = threading.Lock()

    def read(self) -> SourceReport:
        """The newest report."""
        with self._lock:
            return replace(self._report, agreements=dict(self._agreements))

    def state(self, state: SourceState, message: str = "") -> bool:
        """Set state and message; whether that changed anything (then it is worth a log line)."""
        with self._lock:
            before = self._report
            lost = state is SourceState.LOST and before.state is not SourceState.LOST
            self._report = replace(
                before, state=state, message=message, losses=before.losses + lost
            )
            return (before.state, before.message) != (state, message)

    def anchored(self, anchor: Anchor, *, moved: bool = False) -> None:
        """Publish the anchor in use. moved: in the place of another one."""
        with self._lock:
            moves = self._report.moves + moved
            self._report = replace(self._report, anchor=anchor, moves=moves)

    def agreed(self, agreement: Agreement) -> None:
        """Count a picture by what its statement of absolute time was worth."""
        with self._lock:
            self._agreements[agreement] += 1

    def led(self, sound_lead_ms: int) -> None:
        """How far sound is ahead of the pictures now."""
        with self._lock:
            self._report = replace(self._report, sound_lead_ms=sound_lead_ms)

    def count(self, *, repeated: int = 0, dropped: int = 0) -> None:
        """Add to the counters."""
        with self._lock:
            self._report = replace(
                self._report,
                repeated=self._report.repeated + repeated,
                dropped=self._report.dropped + dropped,
            )
