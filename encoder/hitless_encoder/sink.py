"""Pushes a channel to the origin over HTTP, per hitless_wire.ingest.

One segment after the other, its tracks at the same time; a silent standby's are withheld. With
parts, a segment is pushed part by part while it is made, and whole where that fails. The
description and the init segments go first, and again whenever the origin answers 412; then the last
segments that it had are pushed again too, for it may have lost them all. After a push that broke
off its track's init segment goes before what is pushed again. Connection errors and 5xx are tried
again for as long as an origin may take to be replaced; a full queue drops its oldest
segment, and a standby (priority 0) gives way before that. Runs in the event loop; knows no media.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum

import aiohttp
from aiohttp import hdrs

from hitless_encoder.clock import MICROSECONDS, Clock
from hitless_encoder.offer import Offer
from hitless_handover.leadership import Lead
from hitless_wire.ingest import (
    DISCONTINUITY_ALLOWED,
    HEADER_DIGEST,
    HEADER_DISCONTINUITY,
    HEADER_ENCODER,
    HEADER_PRIORITY,
    INIT_NAME,
    SEGMENT_SUFFIX,
    ChannelDescription,
    ingest_path,
    part_name,
)
from hitless_wire.ingest_tokens import TokenFile

QUEUE_SEGMENTS = 15  # and as many segment durations long a push is tried
# A standby's segments that may wait for a slow origin: it gives up the rest, so that the origin has
# time for those of the encoder on air.
STANDBY_WAITING_MAX = 3
KEPT_SEGMENTS = 5  # what players of the live edge may lack; with the queue, what a session keeps
ATTEMPT_SEGMENTS = 3  # how many segment durations long one request may take
DESCRIBE_AGAIN_MAX = 3  # per segment, after 412
DAMAGED_AGAIN_MAX = 3  # per segment, after 422
BACKOFF_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.0)
PART_TRIES_MAX = 3  # then the segment is pushed whole
CONNECT_SECONDS = 3
_ERROR_TEXT_MAX = 200

_log = logging.getLogger(__name__)


class PushOutcome(StrEnum):
    """How the push of a segment ended."""

    STORED = "Stored"  # the origin has every track
    REFUSED = "Refused"  # the origin will never take it (4xx)
    EXPIRED = "Expired"  # not delivered in QUEUE_SEGMENTS segment durations
    OVERTAKEN = "Overtaken"  # dropped from a full queue
    YIELDED = "Yielded"  # of a standby, and the origin is too slow for all
    WITHHELD = "Withheld"  # this encoder is to send nothing for now
    UNFINISHED = "Unfinished"  # begun in parts, and never made whole: the source had a gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What does not change while the encoder runs. inits: init segment of each track.

    allow_discontinuity: the origin may hold other tracks, and shall declare it where these begin.
    token: what the origin is to be shown at each push.
    """

    base_url: str
    namespace: str
    channel: str
    encoder_id: str
    description: ChannelDescription
    inits: Mapping[str, bytes]
    allow_discontinuity: bool = False
    token: TokenFile | None = None

    def url(self, *parts: str) -> str:
        """The address of something below the channel."""
        return "/".join((self.base_url + ingest_path(self.namespace, self.channel), *parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkReport:
    """failures: segments not stored. message: the newest failure, empty when all is well.

    answers: requests by what became of them. taken_bytes: that the receiver took. waiting: segments
    whose push has not begun.
    """

    failures: int = 0
    dropped: int = 0
    message: str = ""
    answers: Mapping[str, int] = field(default_factory=dict)
    taken_bytes: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A whole segment, with the priority that it is pushed with."""

    segment: int
    tracks: Mapping[str, bytes]
    priority: int


class _Status(StrEnum):
    """What an answer of the origin means for the sender."""

    STORED = "Stored"
    KEPT = "Kept"  # a part, of a track that is not whole yet
    DESCRIBE = "Describe"
    DAMAGED = "Damaged"  # on its way
    REFUSED = "Refused"
    RETRY = "Retry"


def judge_status(status: int) -> _Status:
    """What to do after an HTTP status (hitless_wire.ingest lists them)."""
    if status in (200, 201):
        return _Status.STORED
    if status == 202:
        return _Status.KEPT
    if status == 412:
        return _Status.DESCRIBE
    if status == 422:
        return _Status.DAMAGED
    return _Status.RETRY if status >= 500 or status in (408, 429) else _Status.REFUSED


def judge_description(status: int) -> _Status:
    """The same for the description, which a receiver that is not ours may know nothing of.

    Ours never answers it with 404, 405 or 415. Other receivers take the init segments all the same.
    """
    return _Status.STORED if status in (404, 405, 415) else judge_status(status)


def _asks_for_token(answer: aiohttp.ClientResponse) -> bool:
    """Whether the token is what is wrong; other refusals are 403, too, and have no challenge."""
    return answer.status in (401, 403) and hdrs.WWW_AUTHENTICATE in answer.headers


_KEPT = (_Status.STORED, _Status.KEPT)


class BrokenOff(aiohttp.ClientError):
    """The connection was lost in the middle of a request."""


async def _once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """One request is one request: aiohttp would send a PUT that broke off again, on its own."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise BrokenOff(f"{type(error).__name__} {error}") from error


class Sink:
    """The push side of a session: start(), offer() segments, close()."""

    def __init__(
        self,
        *,
        channel: Channel,
        clock: Clock,
        lead_of: Callable[[int], Lead],
        is_silent: Callable[[int], bool],
        on_segment: Callable[[int], None],
        on_pushed: Callable[[int, PushOutcome], None],
        on_failed: Callable[[BaseException], None],
    ) -> None:
        self._channel = channel
        self._clock = clock
        self._lead_of = lead_of
        self._is_silent = is_silent
        self._on_segment = on_segment
        self._on_pushed = on_pushed
        self._on_failed = on_failed
        grid = channel.description.parts()
        self._parts = 0 if grid is None else grid.per_segment
        self._segment_us = channel.description.timeline().segment_us
        self._queue: deque[Offer] = deque()
        self._stored: deque[_Made] = deque(maxlen=KEPT_SEGMENTS)
        # Withheld, and wanted after all: no more than the session keeps.
        self._backlog: deque[Offer] = deque()
        self._open: Offer | None = None  # the segment that is being made, in parts
        self._filled = asyncio.Event()
        self._described = False
        self._broken_off: set[str] = set()  # tracks whose init segment the receiver may have lost
        self._report = SinkReport()
        self._answers: Counter[_Status] = Counter(dict.fromkeys(_Status, 0))
        self._taken_bytes = 0
        self._http: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None

    def report(self) -> SinkReport:
        """Counters and the newest failure."""
        return replace(
            self._report,
            answers={str(status): count for status, count in self._answers.items()},
            taken_bytes=self._taken_bytes,
            waiting=len(self._queue) + len(self._backlog),
        )

    async def start(self) -> None:
        """Open the HTTP client and begin to push."""
        timeout = aiohttp.ClientTimeout(
            total=ATTEMPT_SEGMENTS * self._segment_us / MICROSECONDS, sock_connect=CONNECT_SECONDS
        )
        headers = {HEADER_ENCODER: self._channel.encoder_id}
        if self._channel.allow_discontinuity:
            headers[HEADER_DISCONTINUITY] = DISCONTINUITY_ALLOWED
        self._http = aiohttp.ClientSession(timeout=timeout, headers=headers, middlewares=(_once,))
        self._task = asyncio.create_task(self._run(self._http), name="sink")
        self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Stop at once; what waits is dropped."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    def offer(self, segment: int, tracks: Mapping[str, bytes]) -> None:
        """Queue a complete segment, or complete the one that was begun in parts."""
        begun, self._open = self._open, None
        if begun is not None and begun.segment == segment:
            begun.complete(tracks)
            self._filled.set()
        else:
            self._enqueue(Offer(segment, tracks))

    def offer_part(self, segment: int, part: int, tracks: Mapping[str, bytes]) -> None:
        """Add the next part of a segment; its first queues the segment."""
        if part == 0:
            if self._open is not None:
                self._open.give_up()
            self._open = Offer(segment)
            self._enqueue(self._open)
        if self._open is not None and self._open.segment == segment:
            self._open.add(tracks)

    def abandon(self, segment: int) -> None:
        """A segment that may have been begun will never be complete."""
        if self._open is not None and self._open.segment == segment:
            self._open.give_up()
            self._open = None
            self._filled.set()

    def resend(self, segments: Mapping[int, Mapping[str, bytes]]) -> None:
        """Push segments that were withheld before all that waits, and drop none of them for it."""
        self._backlog.extend(Offer(*row) for row in sorted(segments.items()))
        self._filled.set()

    def _enqueue(self, offer: Offer) -> None:
        """The oldest one waiting makes room."""
        if len(self._queue) >= QUEUE_SEGMENTS:
            oldest = self._queue.popleft()
            self._count(dropped=1)
            self._on_pushed(oldest.segment, PushOutcome.OVERTAKEN)
        self._queue.append(offer)
        self._filled.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A callback of the session has raised: nothing is pushed any more."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._on_failed(error)

    async def _run(self, http: aiohttp.ClientSession) -> None:
        while True:
            offer = self._next()
            if offer is None:
                self._filled.clear()
                await self._filled.wait()
                continue
            self._on_segment(offer.segment)
            outcome = await self._push(http, offer)
            self._on_pushed(offer.segment, outcome)

    def _next(self) -> Offer | None:
        """What to push now. What would be withheld stays until it is made: it may be wanted yet."""
        if self._backlog:
            return self._backlog.popleft()
        if not self._queue:
            return None
        head = self._queue[0]
        if not head.is_made() and self._is_silent(head.segment):
            return None
        return self._queue.popleft()

    async def _push(self, http: aiohttp.ClientSession, offer: Offer) -> PushOutcome:
        """Push one segment until it is stored, refused or too old."""
        lead = self._lead_of(offer.segment)
        if lead.silent:
            self._stored.clear()  # what another one delivers is not for this one to restore
            return PushOutcome.WITHHELD
        if self._yields(lead.priority):
            return PushOutcome.YIELDED
        stored: set[str] = set()
        if not offer.is_made():
            stored = await self._push_parts(http, offer, lead.priority)
        tracks = await offer.made()
        if tracks is None:
            return PushOutcome.UNFINISHED
        made = _Made(segment=offer.segment, tracks=tracks, priority=lead.priority)
        outcome = await self._push_whole(http, made, stored)
        if outcome is PushOutcome.STORED:
            self._stored.append(made)
        return outcome

    def _yields(self, priority: int) -> bool:
        """Whether a segment is left out, as too many of a standby wait already."""
        return priority == 0 and len(self._queue) > STANDBY_WAITING_MAX

    def _patience_us(self, priority: int) -> int:
        """For how long a segment is tried."""
        return (QUEUE_SEGMENTS if priority else STANDBY_WAITING_MAX) * self._segment_us

    async def _push_parts(
        self, http: aiohttp.ClientSession, offer: Offer, priority: int
    ) -> set[str]:
        """Push the parts as they are made; the tracks that the origin has whole with them.

        The first part that can't be delivered soon ends it: what is missing then comes whole.
        """
        stored: set[str] = set()
        for part in range(0 if self._is_forgotten() else self._parts):
            tracks = await offer.part(part)
            if tracks is None:
                return stored
            results = await self._push_part(http, offer, part, tracks, priority)
            stored |= {name for name, status in results.items() if status is _Status.STORED}
            if not set(results.values()) <= {_Status.STORED, _Status.KEPT}:
                return stored
        return stored

    async def _push_part(
        self,
        http: aiohttp.ClientSession,
        offer: Offer,
        part: int,
        tracks: Mapping[str, bytes],
        priority: int,
    ) -> dict[str, _Status]:
        """Try a part a few times, as long as others are to come; how each track came out."""
        results = dict.fromkeys(tracks, _Status.RETRY)
        name = part_name(offer.segment, part)
        for tries in range(PART_TRIES_MAX):
            if tries:
                await self._clock.pause(BACKOFF_SECONDS[0])
            waiting = {t: d for t, d in tracks.items() if results[t] not in _KEPT}
            with suppress(TimeoutError):
                async with asyncio.timeout(self._segment_us / MICROSECONDS):
                    results |= await self._attempt(http, name, waiting, priority)
            left = {status for status in results.values() if status not in _KEPT}
            self._described = self._described and _Status.DESCRIBE not in left
            if not left or _Status.REFUSED in left or offer.is_made() or self._is_forgotten():
                break
        return results

    async def _push_whole(
        self, http: aiohttp.ClientSession, made: _Made, stored: Set[str]
    ) -> PushOutcome:
        """Push the tracks that the origin has not stored."""
        deadline_us = self._clock.now_us() + self._patience_us(made.priority)
        name = f"{made.segment}{SEGMENT_SUFFIX}"
        waiting = {t: data for t, data in made.tracks.items() if t not in stored}
        tries = described = damaged = 0
        while waiting:
            results = await self._attempt(http, name, waiting, made.priority)
            worst = set(results.values())
            if _Status.DESCRIBE in worst and described < DESCRIBE_AGAIN_MAX:
                self._described, described = False, described + 1
                waiting = dict(made.tracks)  # it may have lost those that it had stored
                continue
            waiting = {t: d for t, d in waiting.items() if results[t] is not _Status.STORED}
            if not waiting:
                break
            damaged += _Status.DAMAGED in worst
            final = {_Status.STORED, _Status.REFUSED}
            if worst <= (final if damaged <= DAMAGED_AGAIN_MAX else final | {_Status.DAMAGED}):
                self._count(failures=1)
                return PushOutcome.REFUSED
            if self._yields(made.priority):
                return PushOutcome.YIELDED
            if self._clock.now_us() >= deadline_us:
                self._count(failures=1)
                return PushOutcome.EXPIRED
            await self._clock.pause(BACKOFF_SECONDS[min(tries, len(BACKOFF_SECONDS) - 1)])
            tries += 1
        self._count(message="")
        return PushOutcome.STORED

    async def _attempt(
        self,
        http: aiohttp.ClientSession,
        name: str,
        tracks: Mapping[str, bytes],
        priority: int,
    ) -> dict[str, _Status]:
        """Try every track once, after the description when the origin lacks it."""
        if not self._described:
            described = await self._describe(http, priority)
            if described is not _Status.STORED:
                return dict.fromkeys(tracks, described)
            self._described = True
            await self._restore(http)
        results = await asyncio.gather(
            *(self._put_media(http, track, name, data, priority) for track, data in tracks.items())
        )
        return dict(zip(tracks, results, strict=True))

    async def _put_media(
        self, http: aiohttp.ClientSession, track: str, name: str, data: bytes, priority: int
    ) -> _Status:
        """Push to a track; after a push that broke off, its init segment first."""
        if track in self._broken_off:
            init = self._channel.inits[track]
            again = await self._put(http, (track, INIT_NAME), init, priority)
            if again is not _Status.STORED:
                return again
        return await self._put(http, (track, name), data, priority)

    async def _restore(self, http: aiohttp.ClientSession) -> None:
        """After 412: give the origin what it had, the oldest first, so that players find it again.

        Of an origin that has it still, the answer is 200. One that is new starts the timeline with
        the first segment that it gets.
        """
        had, self._stored = self._stored, deque(maxlen=KEPT_SEGMENTS)  # empty: no restore within
        outcomes = [await self._push_whole(http, made, frozenset()) for made in had]
        self._stored = had
        if outcomes:
            _log.warning("the origin had forgotten the channel: %s", ", ".join(outcomes))

    def _is_forgotten(self) -> bool:
        """Whether what the origin had is to be pushed again, before anything else."""
        return not self._described and bool(self._stored)

    async def _describe(self, http: aiohttp.ClientSession, priority: int) -> _Status:
        body = self._channel.description.model_dump_json(by_alias=True).encode()
        path = ("description.json",)
        result = await self._put(http, path, body, priority, judge_description)
        for track, init in self._channel.inits.items():
            if result is not _Status.STORED:
                return result
            result = await self._put(http, (track, INIT_NAME), init, priority)
        return result

    async def _put(
        self,
        http: aiohttp.ClientSession,
        path: tuple[str, ...],
        body: bytes,
        priority: int,
        judge: Callable[[int], _Status] = judge_status,
    ) -> _Status:
        status = await self._answer_to(http, path, body, priority, judge)
        self._answers[status] += 1
        if status in _KEPT:
            self._taken_bytes += len(body)
        if status is _Status.STORED and path[-1] == INIT_NAME:
            self._broken_off.discard(path[0])
        return status

    async def _answer_to(
        self,
        http: aiohttp.ClientSession,
        path: tuple[str, ...],
        body: bytes,
        priority: int,
        judge: Callable[[int], _Status],
    ) -> _Status:
        headers = {
            HEADER_PRIORITY: str(priority),
            HEADER_DIGEST: hashlib.sha256(body).hexdigest(),
            "Content-Type": "application/json" if path[-1].endswith(".json") else "video/mp4",
            **({} if self._channel.token is None else self._channel.token.headers()),
        }
        url = self._channel.url(*path)
        where = self._channel.url(path[0])  # without the segment: it ends up in the CR status
        try:
            async with http.put(url, data=body, headers=headers) as answer:
                status = judge(answer.status)
                if self._channel.token is not None and _asks_for_token(answer):
                    status = _Status.RETRY  # it may be on its way here, or to the origin
                if status in (_Status.REFUSED, _Status.RETRY, _Status.DAMAGED):
                    text = (await answer.text(errors="replace"))[:_ERROR_TEXT_MAX].strip()
                    self._complain(f"PUT {where}: {answer.status} {text}")
                return status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if path[0] in self._channel.inits:
                self._broken_off.add(path[0])
            self._complain(f"PUT {where}: {type(error).__name__} {error}")
            return _Status.RETRY

    def _complain(self, message: str) -> None:
        if message != self._report.message:
            _log.warning("push: %s", message)
        self._count(message=message)

    def _count(self, *, failures: int = 0, dropped: int = 0, message: str | None = None) -> None:
        self._report = replace(
            self._report,
            failures=self._report.failures + failures,
            dropped=self._report.dropped + dropped,
            message=self._report.message if message is None else message,
        )
