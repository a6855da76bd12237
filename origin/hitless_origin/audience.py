"""A channel's viewers as their players tell (CMCD): how many, their buffers, their stalls.

In memory, bounded, without anything that names a viewer outside of it. What requests say is
counted under the segment that they ask for; so what a handover did to viewers shows around the
segment where it lies, however far behind the live edge each of them is. `server` feeds it; page,
report and metrics read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from statistics import median_low

from hitless_origin.clock import MICROSECONDS
from hitless_origin.cmcd import ClientData

SESSIONS_MAX = 1000  # a channel's; more count as requests only
FORGET_US = 30 * MICROSECONDS  # without a request, a player has gone: three of the longest segments
SEGMENTS_MAX = 128  # of which is known what was said
SAMPLES_MAX = 256  # buffers of a segment that its median is of
BUCKETS_MS = (250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000)
STORIES_MAX = 50  # as many as the report has switches
BEFORE, DURING, AFTER = 10, 4, 10  # segments; players hold back three, so four see it all


class Phase(StrEnum):
    """Where a segment lies to a handover."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@dataclass(slots=True, kw_only=True)
class _Session:
    """buffers_ms: by type of object, as last said."""

    seen_us: int
    buffers_ms: dict[str, int] = field(default_factory=dict)

    def buffer_ms(self) -> int | None:
        return min(self.buffers_ms.values(), default=None)


@dataclass(slots=True, kw_only=True)
class _Said:
    """With the requests for one segment. lowest_ms: of all buffers, also of those not kept."""

    viewers: int = 0
    stalls: int = 0
    lowest_ms: int | None = None
    buffers_ms: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """How viewers fared. viewers: the most at a time. The buffers are None if nobody said."""

    viewers: int = 0
    stalls: int = 0
    buffer_ms_min: int | None = None
    buffer_ms_median: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Before, during and after a handover. whole: all that belongs to it has been asked for."""

    before: Mood
    during: Mood
    after: Mood
    whole: bool = False

    def phases(self) -> tuple[tuple[Phase, Mood], ...]:
        """In order."""
        return (
            (Phase.BEFORE, self.before),
            (Phase.DURING, self.during),
            (Phase.AFTER, self.after),
        )


class Audience:
    """One channel's. Counts since the process started; the rest is of now.

    buckets: how many buffers were at most BUCKETS_MS each, without the lower ones; the last is for
    those above. unnamed: requests of players beyond SESSIONS_MAX, or without a session.
    """

    def __init__(self) -> None:
        self.stalls = 0
        self.unnamed = 0
        self.buckets = [0] * (len(BUCKETS_MS) + 1)
        self.buffer_ms_sum = 0
        self._sessions: dict[str, _Session] = {}
        self._said: dict[int, _Said] = {}
        self._stories: dict[int, Around] = {}

    @property
    def known(self) -> bool:
        """Whether any player has said anything since the process started."""
        return bool(self._said)

    def take(self, data: ClientData, segment: int, now_us: int) -> bool:
        """A request, of media or of a playlist; segment: what it asks for, or the live edge.

        The caller sees to it that there is such a segment. Gives whether none was asked for that is
        as new: then it is time to `settle`.
        """
        self._forget(now_us)
        is_first = segment > max(self._said, default=-1)
        session = self._session(data.session, now_us)
        said = self._at(segment)
        said.viewers = max(said.viewers, len(self._sessions))
        if data.starved:
            said.stalls += 1
            self.stalls += 1
        if data.buffer_ms is not None:
            self._note_buffer(said, session, data.object_type or "", data.buffer_ms)
        return is_first

    def _note_buffer(
        self, said: _Said, session: _Session | None, object_type: str, buffer_ms: int
    ) -> None:
        if session is not None:
            session.buffers_ms[object_type] = buffer_ms
        lowest = said.lowest_ms
        said.lowest_ms = buffer_ms if lowest is None else min(lowest, buffer_ms)
        if len(said.buffers_ms) < SAMPLES_MAX:
            said.buffers_ms.append(buffer_ms)
        self.buckets[_bucket(buffer_ms)] += 1
        self.buffer_ms_sum += buffer_ms

    def now(self, now_us: int) -> Mood:
        """Of the players that asked lately. stalls: since the process started."""
        self._forget(now_us)
        buffers = [ms for each in self._sessions.values() if (ms := each.buffer_ms()) is not None]
        return _mood(len(self._sessions), self.stalls, min(buffers, default=None), buffers)

    def settle(self, switches: Iterable[int]) -> None:
        """Take note of what was said around each of these segments, before it is forgotten."""
        if not self._said:
            return
        oldest, newest = min(self._said), max(self._said)
        for segment in switches:
            known = self._stories.get(segment)
            if oldest <= segment <= newest and not (known and known.whole):
                whole = newest >= segment + DURING + AFTER
                self._stories[segment] = replace(self._around(segment), whole=whole)
        while len(self._stories) > STORIES_MAX:
            del self._stories[min(self._stories)]

    def around(self, segment: int) -> Around | None:
        """What was said around a handover at this segment; None if nothing was."""
        return self._stories.get(segment)

    def _around(self, segment: int) -> Around:
        return Around(
            before=self._sum(segment - BEFORE, segment),
            during=self._sum(segment, segment + DURING),
            after=self._sum(segment + DURING, segment + DURING + AFTER),
        )

    def _sum(self, first: int, end: int) -> Mood:
        said = [each for k in range(first, end) if (each := self._said.get(k)) is not None]
        return _mood(
            max((each.viewers for each in said), default=0),
            sum(each.stalls for each in said),
            min((each.lowest_ms for each in said if each.lowest_ms is not None), default=None),
            [ms for each in said for ms in each.buffers_ms],
        )

    def _session(self, name: str | None, now_us: int) -> _Session | None:
        known = None if name is None else self._sessions.pop(name, None)
        if name is None or (known is None and len(self._sessions) >= SESSIONS_MAX):
            self.unnamed += 1
            return None
        session = known or _Session(seen_us=now_us)
        session.seen_us = now_us
        self._sessions[name] = session  # at the end: they stay in the order of their last request
        return session

    def _forget(self, now_us: int) -> None:
        while self._sessions:
            oldest = next(iter(self._sessions))
            if now_us - self._sessions[oldest].seen_us <= FORGET_US:
                return
            del self._sessions[oldest]

    def _at(self, segment: int) -> _Said:
        """What was said of a segment; the oldest that is known for an older one."""
        if segment not in self._said:
            if len(self._said) >= SEGMENTS_MAX:
                oldest = min(self._said)
                if segment < oldest:
                    return self._said[oldest]
                del self._said[oldest]
            self._said[segment] = _Said()
        return self._said[segment]


def _mood(viewers: int, stalls: int, lowest: int | None, buffers_ms: list[int]) -> Mood:
    return Mood(
        viewers=viewers,
        stalls=stalls,
        buffer_ms_min=lowest,
        buffer_ms_median=median_low(buffers_ms) if buffers_ms else None,
    )


def _bucket(buffer_ms: int) -> int:
    for number, bound_ms in enumerate(BUCKETS_MS):
        if buffer_ms <= bound_ms:
            return number
    return len(BUCKETS_MS)
