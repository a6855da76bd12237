"""Pushes a channel to the origin over HTTP, per hitless_wire.ingest.

One segment after the other, its tracks at the same time; a silent standby's are withheld. The
description and the init segments go first, and again whenever the origin answers 412. Connection
errors and 5xx are tried again while the segment is young; a full queue drops its oldest segment.
Runs in the event loop; knows no media.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import aiohttp

from hitless_encoder.clock import MICROSECONDS, Clock
from hitless_handover.leadership import Lead
from hitless_wire.ingest import (
    HEADER_DIGEST,
    HEADER_ENCODER,
    HEADER_PRIORITY,
    INIT_NAME,
    SEGMENT_SUFFIX,
    ChannelDescription,
    ingest_path,
)

QUEUE_SEGMENTS = 5
YOUNG_SEGMENTS = 3  # how many segment durations long a push is tried
DESCRIBE_AGAIN_MAX = 3  # per segment, after 412
BACKOFF_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.0)
CONNECT_SECONDS = 3
_ERROR_TEXT_MAX = 200

_log = logging.getLogger(__name__)


class PushOutcome(StrEnum):
    """How the push of a segment ended."""

    STORED = "Stored"  # the origin has every track
    REFUSED = "Refused"  # the origin will never take it (4xx)
    EXPIRED = "Expired"  # not delivered while it was young
    OVERTAKEN = "Overtaken"  # dropped from a full queue
    WITHHELD = "Withheld"  # this encoder is to send nothing for now


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What does not change while the encoder runs. inits: init segment of each track."""

    base_url: str
    namespace: str
    channel: str
    encoder_id: str
    description: ChannelDescription
    inits: Mapping[str, bytes]

    def url(self, *parts: str) -> str:
        """The address of something below the channel."""
        return "/".join((self.base_url + ingest_path(self.namespace, self.channel), *parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkReport:
    """failures: segments not stored. message: the newest failure, empty when all is well."""

    failures: int = 0
    dropped: int = 0
    message: str = ""


class _Status(StrEnum):
    """What an answer of the origin means for the sender."""

    STORED = "Stored"
    DESCRIBE = "Describe"
    REFUSED = "Refused"
    RETRY = "Retry"


def judge_status(status: int) -> _Status:
    """What to do after an HTTP status (hitless_wire.ingest lists them)."""
    if status in (200, 201):
        return _Status.STORED
    if status == 412:
        return _Status.DESCRIBE
    return _Status.RETRY if status >= 500 or status in (408, 429) else _Status.REFUSED


class Sink:
    """The push side of a session: start(), offer() segments, close()."""

    def __init__(
        self,
        *,
        channel: Channel,
        clock: Clock,
        lead_of: Callable[[int], Lead],
        on_segment: Callable[[int], None],
        on_pushed: Callable[[int, PushOutcome], None],
        on_failed: Callable[[BaseException], None],
    ) -> None:
        self._channel = channel
        self._clock = clock
        self._lead_of = lead_of
        self._on_segment = on_segment
        self._on_pushed = on_pushed
        self._on_failed = on_failed
        line = channel.description.timeline()
        self._young_us = (
            YOUNG_SEGMENTS * line.segment_frames * line.rate_den * MICROSECONDS // line.rate_num
        )
        self._queue: deque[tuple[int, Mapping[str, bytes]]] = deque()
        # Withheld, and wanted after all: no more than the session keeps.
        self._backlog: deque[tuple[int, Mapping[str, bytes]]] = deque()
        self._filled = asyncio.Event()
        self._described = False
        self._report = SinkReport()
        self._http: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None

    def report(self) -> SinkReport:
        """Counters and the newest failure."""
        return self._report

    async def start(self) -> None:
        """Open the HTTP client and begin to push."""
        timeout = aiohttp.ClientTimeout(
            total=self._young_us / MICROSECONDS, sock_connect=CONNECT_SECONDS
        )
        self._http = aiohttp.ClientSession(
            timeout=timeout, headers={HEADER_ENCODER: self._channel.encoder_id}
        )
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
        """Queue a complete segment; the oldest one waiting makes room."""
        if len(self._queue) >= QUEUE_SEGMENTS:
            oldest, _ = self._queue.popleft()
            self._count(dropped=1)
            self._on_pushed(oldest, PushOutcome.OVERTAKEN)
        self._queue.append((segment, tracks))
        self._filled.set()

    def resend(self, segments: Mapping[int, Mapping[str, bytes]]) -> None:
        """Push segments that were withheld before all that waits, and drop none of them for it."""
        self._backlog.extend(sorted(segments.items()))
        self._filled.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A callback of the session has raised: nothing is pushed any more."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._on_failed(error)

    async def _run(self, http: aiohttp.ClientSession) -> None:
        while True:
            await self._filled.wait()
            if not self._queue and not self._backlog:
                self._filled.clear()
                continue
            segment, tracks = (self._backlog or self._queue).popleft()
            self._on_segment(segment)
            outcome = await self._push(http, segment, tracks)
            self._on_pushed(segment, outcome)

    async def _push(
        self, http: aiohttp.ClientSession, segment: int, tracks: Mapping[str, bytes]
    ) -> PushOutcome:
        """Push one segment until it is stored, refused or too old."""
        lead = self._lead_of(segment)
        if lead.silent:
            return PushOutcome.WITHHELD
        deadline_us = self._clock.now_us() + self._young_us
        waiting = dict(tracks)
        tries = described = 0
        while True:
            results = await self._attempt(http, segment, waiting, lead.priority)
            waiting = {t: d for t, d in waiting.items() if results[t] is not _Status.STORED}
            worst = set(results.values())
            if not waiting:
                self._count(message="")
                return PushOutcome.STORED
            if _Status.DESCRIBE in worst and described < DESCRIBE_AGAIN_MAX:
                self._described, described = False, described + 1
                continue
            if worst <= {_Status.STORED, _Status.REFUSED}:
                self._count(failures=1)
                return PushOutcome.REFUSED
            if self._clock.now_us() >= deadline_us:
                self._count(failures=1)
                return PushOutcome.EXPIRED
            await self._clock.pause(BACKOFF_SECONDS[min(tries, len(BACKOFF_SECONDS) - 1)])
            tries += 1

    async def _attempt(
        self, http: aiohttp.ClientSession, segment: int, tracks: Mapping[str, bytes], priority: int
    ) -> dict[str, _Status]:
        """Try every track once, after the description when the origin lacks it."""
        if not self._described:
            described = await self._describe(http, priority)
            if described is not _Status.STORED:
                return dict.fromkeys(tracks, described)
            self._described = True
        results = await asyncio.gather(
            *(
                self._put(http, (track, f"{segment}{SEGMENT_SUFFIX}"), data, priority)
                for track, data in tracks.items()
            )
        )
        return dict(zip(tracks, results, strict=True))

    async def _describe(self, http: aiohttp.ClientSession, priority: int) -> _Status:
        body = self._channel.description.model_dump_json(by_alias=True).encode()
        result = await self._put(http, ("description.json",), body, priority)
        for track, init in self._channel.inits.items():
            if result is not _Status.STORED:
                return result
            result = await self._put(http, (track, INIT_NAME), init, priority)
        return result

    async def _put(
        self, http: aiohttp.ClientSession, path: tuple[str, ...], body: bytes, priority: int
    ) -> _Status:
        headers = {
            HEADER_PRIORITY: str(priority),
            HEADER_DIGEST: hashlib.sha256(body).hexdigest(),
            "Content-Type": "application/json" if path[-1].endswith(".json") else "video/mp4",
        }
        url = self._channel.url(*path)
        where = self._channel.url(path[0])  # without the segment: it ends up in the CR status
        try:
            async with http.put(url, data=body, headers=headers) as answer:
                status = judge_status(answer.status)
                if status in (_Status.REFUSED, _Status.RETRY):
                    text = (await answer.text(errors="replace"))[:_ERROR_TEXT_MAX].strip()
                    self._complain(f"PUT {where}: {answer.status} {text}")
                return status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._complain(f"PUT {where}: {type(error).__name__} {error}")
            return _Status.RETRY

    def _complain(self, message: str) -> None:
        if message != self._report.message:
            _log.warning("push: %s", message)
        self._count(message=message)

    def _count(self, *, failures: int = 0, dropped: int = 0, message: str | None = None) -> None:
        self._report = SinkReport(
            failures=self._report.failures + failures,
            dropped=self._report.dropped + dropped,
            message=self._report.message if message is None else message,
        )
