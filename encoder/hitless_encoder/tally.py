"""What a session counts of its own work, for metrics.py. Nothing decides upon it.

Belongs to the event loop, as the session's public side does.
"""

from __future__ import annotations

from collections import Counter

from hitless_encoder.sink import PushOutcome
from hitless_handover.selection_model import publish_deadline_us
from hitless_handover.timeline import Timeline


class Tally:
    """Counters of one session, from zero.

    encode_us: time that each track's thread worked. delivery_us: from the end of the newest
    segment's last frame until its push ended; None before the first. late: segments that took
    longer than the origin waits. begun_us: when the first segment was whole. source_lag_us: how
    long after its time on the wall clock the source gave its first frame, which is no lateness.
    """

    def __init__(self, timeline: Timeline, tracks: tuple[str, ...]) -> None:
        self._line = timeline
        self._allowed_us = publish_deadline_us(timeline)
        self.encode_us: Counter[str] = Counter(dict.fromkeys(tracks, 0))
        self.outcomes: Counter[PushOutcome] = Counter(dict.fromkeys(PushOutcome, 0))
        self.segments = 0
        self.late = 0
        self.delivery_us: int | None = None
        self.source_lag_us = 0
        self.begun_us: int | None = None

    def encoded(self, track: str, busy_us: int) -> None:
        """A chunk of a track was made."""
        self.encode_us[track] += busy_us

    def made(self, now_us: int) -> None:
        """A segment is whole."""
        self.segments += 1
        if self.begun_us is None:
            self.begun_us = now_us

    def pushed(self, segment: int, outcome: PushOutcome, now_us: int) -> None:
        """The push of a segment has ended, or it was withheld."""
        self.outcomes[outcome] += 1
        end_us = self._line.wall_us(self._line.first_frame(segment + 1))
        self.delivery_us = now_us - end_us - self.source_lag_us
        self.late += self.delivery_us > self._allowed_us
