"""From input to pushed segment: the encoder's session and sink, without the media.

Mirrors hitless_encoder's session.py and sink.py: one segment after the other is encoded, stamped
and pushed; a push is tried again while its segment is young; a full queue drops its oldest. In low
latency a segment is pushed part by part while it is made, and whole where that fails.
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
PART_TRIES_MAX = 3  # then the segment is pushed whole


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
    """The push of one segment: what is still to be sent, and what this attempt has brought.

    part: that is pushed now; None: the segment is pushed whole. idle: it waits for more to be
    made. whole: tracks that the origin has all parts of.
    """

    segment: int
    priority: int
    waiting: tuple[str, ...]
    deadline_us: int
    part: int | None = None
    idle: bool = False
    tries: int = 0
    open_calls: int = 0
    worst: Status = Status.STORED
    stored: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()


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
        "_parts",
        "_pieces",
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
        self._parts = encoder.world.scenario.parts
        self._pieces: dict[int, list[Content]] = {}  # parts made, of segments not whole and recent
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
        self._first_missing: tuple[int, int] | None = None  # segment and part, since it was lost
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

    def _plan(self, segment: int, part: int = 0) -> None:
        clock, piece_us = self._encoder.world.clock, SEGMENT_US // max(1, self._parts)
        due_us = end_us(segment - 1) + (part + 1) * piece_us + self._lag_us
        made_us = max(due_us, clock.now_us + piece_us * 100 // self.speed_percent)
        self.late = made_us > due_us
        clock.at(made_us, self._encoder, self._encode, segment, part)

    def _encode(self, segment: int, part: int) -> None:
        if self.stopped:
            return
        last = part + 1 >= self._parts
        piece_us = SEGMENT_US // max(1, self._parts)
        over_us = end_us(segment - 1) + (part + 1) * piece_us
        if self.input_lost_us is not None and self.input_lost_us < over_us:
            self._first_missing = (segment, part)
            return
        if self._parts:
            self._made_part(segment, part)
        if last and not self._gone():
            self._made(segment)
        if not self._gone():
            self._plan(*((segment + 1, 0) if last else (segment, part + 1)))

    def _gone(self) -> bool:
        return self.stopped or self._encoder.dead

    def input_back(self) -> None:
        """A short loss is filled up; after a long one it goes on with the next whole segment."""
        lost_us, self.input_lost_us = self.input_lost_us, None
        first, self._first_missing = self._first_missing, None
        if lost_us is None:
            return
        now_us = self._encoder.world.clock.now_us
        self._filled = (lost_us, now_us)
        if first is None or self.stopped:
            return
        if now_us - lost_us <= FILL_US_MAX:
            self._plan(*first)
            return
        self._plan(-(-now_us // SEGMENT_US))
        if first[1]:
            self._abandon(first[0])

    def _content(self, segment: int) -> Content:
        encoder, (first_us, last_us) = self._encoder, self._filled
        filled = first_us < end_us(segment) and last_us > end_us(segment - 1)
        return Content(encoder.shift, encoder.anchor_id, encoder.right, filled=filled)

    def _made(self, segment: int) -> None:
        self.encoded = segment
        self.recent[segment] = self._content(segment)
        if len(self.recent) > RECENT_SEGMENTS:
            oldest = next(iter(self.recent))
            del self.recent[oldest]
            self._pieces.pop(oldest, None)
        if not self._parts:
            self._offer(segment)
        if self._waiters:
            self._wake_waiters()
        self._continue(segment)
        self._pump()

    def _offer(self, segment: int) -> None:
        if len(self._queue) >= QUEUE_SEGMENTS:
            self._settled(self._queue.popleft())
        self._queue.append(segment)

    def _made_part(self, segment: int, part: int) -> None:
        self._pieces.setdefault(segment, []).append(self._content(segment))
        if part == 0:
            self._offer(segment)
            self._pump()
        else:
            self._continue(segment)

    def _continue(self, segment: int) -> None:
        """The push that waits for it goes on."""
        push = self._try
        if push is not None and push.segment == segment and push.idle:
            self._attempt(push)

    def _abandon(self, segment: int) -> None:
        """A segment that was begun will never be whole."""
        self._pieces.pop(segment, None)
        if segment in self._queue:
            self._queue.remove(segment)
        elif self._try is not None and self._try.segment == segment:
            self._try = None
        self._settled(segment)
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
        while self._try is None and not self._gone():
            segment = self._next()
            if segment is None:
                return
            self._begin(segment, self._encoder.stamp(segment))

    def _next(self) -> int | None:
        """What to push now. What would be withheld stays until it is made: it may be wanted yet."""
        if self._backlog:
            return self._backlog.popleft()
        if not self._queue:
            return None
        head = self._queue[0]
        if head not in self.recent and self._encoder.lead(head).silent:
            return None
        return self._queue.popleft()

    def _begin(self, segment: int, lead: Lead) -> None:
        if self._encoder.dead:
            return
        if lead.silent:
            self._advance(segment)
            self._settled(segment)
            return
        now_us = self._encoder.world.clock.now_us
        part = 0 if self._parts and segment not in self.recent else None
        self._try = _Try(segment, lead.priority, TRACKS, now_us + YOUNG_US, part)
        self._attempt(self._try)

    def _attempt(self, push: _Try) -> None:
        push.idle = not self._is_made(push)
        if push is not self._try or push.idle or not self._encoder.before_effect():
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

    def _is_made(self, push: _Try) -> bool:
        """Whether there is something to push yet."""
        if push.part is not None and len(self._pieces.get(push.segment, ())) > push.part:
            return True
        return not self._parts or (self.encoded is not None and push.segment <= self.encoded)

    def _put(self, push: _Try, tracks: tuple[str, ...]) -> None:
        encoder = self._encoder
        if self.truncated in tracks:
            now_us = encoder.world.clock.now_us
            encoder.world.clock.at(now_us + RESET_US, encoder, self._put_ended, push, tracks, None)
            return
        encoder.world.network.call(
            encoder,
            ORIGIN,
            Origin.on_push,
            Push(
                encoder.pod.name,
                encoder.instance,
                push.segment,
                push.part,
                tracks,
                push.priority,
                encoder.pod.encoder.image,
                self._bytes(push),
                encoder.fingerprint,
            ),
            lambda status: self._put_ended(push, tracks, status),
            PUSH_TIMEOUT_US,
        )

    def _bytes(self, push: _Try) -> tuple[Content, ...]:
        lost = Content(0, 0, right=False)
        if not self._parts:
            return (self.recent.get(push.segment, lost),)
        pieces = self._pieces.get(push.segment) or [lost] * self._parts
        return tuple(pieces) if push.part is None else (pieces[push.part],)

    def _put_ended(self, push: _Try, tracks: tuple[str, ...], status: Status | None) -> None:
        if push is not self._try:
            return
        outcome = Status.RETRY if status is None else status
        if outcome <= Status.KEPT:
            push.stored = (*push.stored, *tracks)
        if outcome is Status.STORED:
            push.whole = (*push.whole, *tracks)
        push.worst = max(push.worst, outcome)
        push.open_calls -= 1
        if not push.open_calls:
            self._attempted(push)

    def _attempted(self, push: _Try) -> None:
        encoder = self._encoder
        push.waiting = tuple(track for track in push.waiting if track not in push.stored)
        now_us = encoder.world.clock.now_us
        if push.part is not None and push.worst is not Status.REFUSED:
            self._part_attempted(push)
        elif not push.waiting:
            self.complaint = ""
            self._ended(push.segment, ok=True)
        elif push.worst is Status.REFUSED or now_us >= push.deadline_us:
            self.complaint = f"segment {push.segment}: {push.worst.name}"
            self._ended(push.segment, ok=False)
        else:
            self.complaint = f"segment {push.segment}: {push.worst.name}"
            self._again(push)

    def _again(self, push: _Try) -> None:
        clock = self._encoder.world.clock
        pause_us = BACKOFF_US[min(push.tries, len(BACKOFF_US) - 1)]
        push.tries += 1
        clock.at(clock.now_us + pause_us, self._encoder, self._attempt, push)

    def _part_attempted(self, push: _Try) -> None:
        """On to the next part; after the last one, too many tries, or when all is made, whole."""
        assert push.part is not None
        made = self.encoded is not None and push.segment <= self.encoded
        if push.waiting and push.tries < PART_TRIES_MAX and not made:
            self._again(push)
            return
        if not push.waiting and push.part + 1 < self._parts:
            push.part, push.waiting, push.tries = push.part + 1, TRACKS, 0
        else:
            push.part, push.tries = None, 0
            push.waiting = tuple(track for track in TRACKS if track not in push.whole)
            push.deadline_us = max(push.deadline_us, self._encoder.world.clock.now_us + YOUNG_US)
        if push.waiting:
            self._attempt(push)
        else:
            self.complaint = ""
            self._ended(push.segment, ok=True)

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
