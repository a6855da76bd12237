"""From input to pushed segment: the encoder's session and sink, without the media.

Mirrors hitless_encoder's session.py and sink.py: one segment after the other is encoded, stamped
and pushed; a push is tried again while its segment is young; a full queue drops its oldest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hitless_handover.leadership import Lead
from hitless_sim.origin_shell import ORIGIN, TRACKS, Origin, Push, Status
from hitless_sim.scenario import SEGMENT_US

if TYPE_CHECKING:
    from hitless_sim.encoder_shell import Encoder

RECENT_SEGMENTS = 20
QUEUE_SEGMENTS = 5
YOUNG_US = 3 * SEGMENT_US
BACKOFF_US = (100_000, 200_000, 400_000, 800_000, 1_000_000)
PUSH_TIMEOUT_US = 3_000_000  # until a connection that takes nothing is given up
RESET_US = 300_000  # until a connection breaks that carries a truncated push
FILL_US_MAX = 10_000_000  # a longer loss of input is not filled with repeated pictures
FINISH_SPARE_US = 1_500_000
SPEED_PERCENT = 150  # of real time: how soon it catches up


def end_us(segment: int) -> int:
    """When the input of a segment is complete."""
    return (segment + 1) * SEGMENT_US


@dataclass(frozen=True, slots=True)
class Content:
    """What a segment shows; two of them are the same pictures when they are equal.

    shift: of the input's clock. anchor: that the encoder believes. sound pictures: `right`. filled:
    with repeated pictures.
    """

    shift: int
    anchor: int
    right: bool
    filled: bool = False


@dataclass(slots=True)
class _Try:
    """The push of one segment: what is still to be sent, and what this attempt has brought."""

    segment: int
    priority: int
    waiting: tuple[str, ...]
    deadline_us: int
    tries: int = 0
    open_calls: int = 0
    worst: Status = Status.STORED
    stored: tuple[str, ...] = ()


class Pipeline:
    """Encodes and pushes for one encoder process.

    stamp: the lead of a segment, asked once for each when its push begins. pushed: the origin has
    it. head: newest that the downstream has, or would have if it were not withheld.
    """

    __slots__ = (
        "_backlog",
        "_encoder",
        "_filled",
        "_first_missing",
        "_lag_us",
        "_queue",
        "_try",
        "_waiters",
        "complaint",
        "encoded",
        "head",
        "input_lost_us",
        "last_needed",
        "late",
        "recent",
        "stopped",
        "truncated",
    )

    def __init__(self, encoder: Encoder, lag_us: int) -> None:
        self._encoder = encoder
        self._lag_us = lag_us
        self._queue: deque[int] = deque()
        self._backlog: deque[int] = deque()  # withheld, and wanted after all
        self._try: _Try | None = None
        self._waiters: list[tuple[int, Callable[[], None]]] = []
        self.encoded: int | None = None
        self.late = False
        self.head: int | None = None
        self.recent: dict[int, Content] = {}
        self.complaint = ""
        self.truncated = ""
        self.stopped = False
        self.input_lost_us: int | None = None
        self._first_missing: int | None = None  # since the input was lost
        self._filled = (0, 0)  # when the input was lost the last time
        self.last_needed: int | None = None  # after it the process may end

    # --- encoding ---

    def start(self, from_us: int) -> None:
        """Begin with the first segment that is whole."""
        segment = -(-from_us // SEGMENT_US)
        self._plan(segment)

    @property
    def speed_percent(self) -> int:
        """How fast it could encode; 100 is real time."""
        percent = self._encoder.slow_percent
        return SPEED_PERCENT if percent >= 100 else percent

    def _plan(self, segment: int) -> None:
        clock, work_us = self._encoder.world.clock, SEGMENT_US * 100 // self.speed_percent
        due_us = end_us(segment) + self._lag_us
        made_us = max(due_us, clock.now_us + work_us)
        self.late = made_us > due_us
        clock.at(made_us, self._encoder, self._encode, segment)

    def _encode(self, segment: int) -> None:
        if self.stopped:
            return
        if self.input_lost_us is not None and self.input_lost_us < end_us(segment):
            self._first_missing = segment
            return
        self._made(segment)
        if not self.stopped and not self._encoder.dead:
            self._plan(segment + 1)

    def input_back(self) -> None:
        """A short loss is filled up; after a long one it goes on with the next whole segment."""
        lost_us, self.input_lost_us = self.input_lost_us, None
        first, self._first_missing = self._first_missing, None
        if lost_us is None:
            return
        now_us = self._encoder.world.clock.now_us
        self._filled = (lost_us, now_us)
        if first is not None and not self.stopped:
            whole = -(-now_us // SEGMENT_US)
            self._plan(whole if now_us - lost_us > FILL_US_MAX else first)

    def _content(self, segment: int) -> Content:
        encoder, (first_us, last_us) = self._encoder, self._filled
        filled = first_us < end_us(segment) and last_us > end_us(segment - 1)
        return Content(encoder.shift, encoder.anchor_id, encoder.right, filled=filled)

    def _made(self, segment: int) -> None:
        self.encoded = segment
        self.recent[segment] = self._content(segment)
        if len(self.recent) > RECENT_SEGMENTS:
            del self.recent[next(iter(self.recent))]
        if len(self._queue) >= QUEUE_SEGMENTS:
            self._settled(self._queue.popleft())
        self._queue.append(segment)
        if self._waiters:
            self._wake_waiters()
        self._pump()

    def wait(self, segment: int, deadline_us: int, work: Callable[[], None]) -> None:
        """Call back once a segment is encoded, or at the deadline."""
        encoder = self._encoder
        if self.encoded is not None and self.encoded >= segment:
            work()
            return
        row = (segment, work)
        self._waiters.append(row)
        encoder.world.clock.at(
            max(deadline_us, encoder.world.clock.now_us), encoder, self._waited, row
        )

    def _wake_waiters(self) -> None:
        ready = [row for row in self._waiters if row[0] <= (self.encoded or 0)]
        self._waiters = [row for row in self._waiters if row not in ready]
        for _, work in ready:
            work()

    def _waited(self, row: tuple[int, Callable[[], None]]) -> None:
        if row in self._waiters:
            self._waiters.remove(row)
            row[1]()

    # --- pushing ---

    def stop(self) -> None:
        """At once; what waits is dropped."""
        self.stopped, self.late = True, False
        self._try = None
        self._queue.clear()
        self._backlog.clear()

    def finish(self, now_us: int) -> int:
        """Go on to the end of the segment in hand; when to stop waiting for it."""
        self.last_needed = now_us // SEGMENT_US
        return end_us(self.last_needed) + FINISH_SPARE_US

    def resend(self, first: int, last: int) -> None:
        """Push what was withheld, before everything else."""
        kept = [segment for segment in range(first, last + 1) if segment in self.recent]
        self._backlog.extend(kept)
        self._pump()

    def _pump(self) -> None:
        encoder = self._encoder
        while self._try is None and not self.stopped and not encoder.dead:
            waiting = self._backlog or self._queue
            if not waiting:
                return
            segment = waiting.popleft()
            self._begin(segment, encoder.stamp(segment))

    def _begin(self, segment: int, lead: Lead) -> None:
        if self._encoder.dead:
            return
        if lead.silent:
            self._advance(segment)
            self._settled(segment)
            return
        now_us = self._encoder.world.clock.now_us
        self._try = _Try(segment, lead.priority, TRACKS, now_us + YOUNG_US)
        self._attempt(self._try)

    def _attempt(self, push: _Try) -> None:
        if push is not self._try or not self._encoder.before_effect():
            return
        network = self._encoder.world.network
        push.worst, push.stored = Status.STORED, ()
        if not network.bad and not self.truncated:
            push.open_calls = 1
            self._put(push, push.waiting)
            return
        push.open_calls = len(push.waiting)
        for track in push.waiting:
            self._put(push, (track,))

    def _put(self, push: _Try, tracks: tuple[str, ...]) -> None:
        encoder = self._encoder
        if self.truncated in tracks:
            now_us = encoder.world.clock.now_us
            encoder.world.clock.at(now_us + RESET_US, encoder, self._put_ended, push, tracks, None)
            return
        content = self.recent.get(push.segment) or Content(0, 0, right=False)
        encoder.world.network.call(
            encoder,
            ORIGIN,
            Origin.on_push,
            Push(
                encoder.pod.name,
                encoder.instance,
                push.segment,
                tracks,
                push.priority,
                content,
                encoder.fingerprint,
            ),
            lambda status: self._put_ended(push, tracks, status),
            PUSH_TIMEOUT_US,
        )

    def _put_ended(self, push: _Try, tracks: tuple[str, ...], status: Status | None) -> None:
        if push is not self._try:
            return
        outcome = Status.RETRY if status is None else status
        if outcome is Status.STORED:
            push.stored = (*push.stored, *tracks)
        push.worst = max(push.worst, outcome)
        push.open_calls -= 1
        if not push.open_calls:
            self._attempted(push)

    def _attempted(self, push: _Try) -> None:
        encoder = self._encoder
        push.waiting = tuple(track for track in push.waiting if track not in push.stored)
        now_us = encoder.world.clock.now_us
        if not push.waiting:
            self.complaint = ""
            self._ended(push.segment, ok=True)
        elif push.worst is Status.REFUSED or now_us >= push.deadline_us:
            self.complaint = f"segment {push.segment}: {push.worst.name}"
            self._ended(push.segment, ok=False)
        else:
            self.complaint = f"segment {push.segment}: {push.worst.name}"
            pause_us = BACKOFF_US[min(push.tries, len(BACKOFF_US) - 1)]
            push.tries += 1
            encoder.world.clock.at(now_us + pause_us, encoder, self._attempt, push)

    def _ended(self, segment: int, *, ok: bool) -> None:
        self._try = None
        if ok:
            self._advance(segment)
            self._encoder.pushed(segment)
        self._settled(segment)
        self._pump()

    def _advance(self, segment: int) -> None:
        self.head = segment if self.head is None else max(segment, self.head)

    def _settled(self, segment: int) -> None:
        if self.last_needed is not None and segment >= self.last_needed:
            self._encoder.finished()
