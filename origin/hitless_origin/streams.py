"""Long pushes: one request holds a track's CMAF header and then its segments, while they are made.

DASH-IF Live Media Ingest v1.2, interface 1, `Streams(name.cmfv)`. `ingest` calls it and says what
becomes of a header and of a segment. Each is taken as soon as it is whole; what is unfinished when
the connection breaks never reaches the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import ClientError, web

from hitless_origin.boxes import BoxError, InitFacts, read_init
from hitless_origin.errors import PushRefused
from hitless_origin.push import Answer
from hitless_origin.stream_split import BoxStream, Cut, SegmentCutter, broken

STREAMS_MAX = 64  # at a time
MEDIA_TYPES = (
    "application/octet-stream",  # also where no type is said
    "application/mp4",
    "audio/mp4",
    "video/mp4",
)

TakeInit = Callable[[bytes], Awaitable[object]]
MakeCutter = Callable[[InitFacts], tuple[SegmentCutter, int]]
TakeCut = Callable[[Cut], Awaitable[Answer]]

log = logging.getLogger(__name__)


class Streams:
    """All that run. init_bytes_max: of a header. wait_s_max: seconds without a byte."""

    def __init__(self, *, init_bytes_max: int, wait_s_max: int) -> None:
        self._init_bytes_max = init_bytes_max
        self._wait_s_max = wait_s_max
        self._reading: set[asyncio.Future[bytes]] = set()
        self._count = 0
        self._closing = False

    def close(self) -> None:
        """End all: what is whole stays, and their senders get 503."""
        self._closing = True
        for reading in self._reading:
            reading.cancel()

    async def take(
        self, request: web.Request, *, init: TakeInit, cutter: MakeCutter, segment: TakeCut
    ) -> Answer:
        """One, to its end. Raises PushRefused (400, 408, 413, 415, 503, and those of its pieces).

        init: takes the header. cutter: of what follows, and bytes of a segment. segment: takes it.
        """
        check_type(request)
        if self._closing or self._count >= STREAMS_MAX:
            raise PushRefused(503, "too many long pushes", hint="try again", retry_after_s=1)
        self._count += 1
        try:
            return await self._take(request, init, cutter, segment)
        finally:
            self._count -= 1

    async def _take(
        self, request: web.Request, init: TakeInit, make: MakeCutter, segment: TakeCut
    ) -> Answer:
        boxes, header, answer = BoxStream(self._init_bytes_max), b"", Answer.HELD
        cutter: SegmentCutter | None = None
        while data := await self._read(request):
            for kind, box in boxes.feed(data):
                if cutter is not None:
                    cut = cutter.box(kind, box)
                    if cut is not None and await _of(segment, cut) is Answer.STORED:
                        answer = Answer.STORED
                    continue
                header += box
                if len(header) > self._init_bytes_max or kind in ("moof", "mdat"):
                    raise broken("no moov at the begin")
                if kind == "moov":
                    await init(header)
                    cutter, boxes.limit = make(_facts(header))
        return answer

    async def _read(self, request: web.Request) -> bytes:
        """The next bytes; empty at the end."""
        if self._closing:
            raise _closes()
        reading = asyncio.ensure_future(request.content.readany())
        self._reading.add(reading)
        try:
            async with asyncio.timeout(self._wait_s_max):
                return await reading
        except asyncio.CancelledError:
            if not self._closing:
                raise
            raise _closes() from None
        except TimeoutError as error:
            wait = f"a byte within {self._wait_s_max} s"
            raise PushRefused(408, "the body came too slowly", expected=wait) from error
        except (ClientError, ConnectionError, web.RequestPayloadError) as error:
            raise PushRefused(400, "the body broke off", hint="go on in a new push") from error
        finally:
            self._reading.discard(reading)


def check_type(request: web.Request) -> None:
    """Raises PushRefused (415)."""
    if request.content_type not in MEDIA_TYPES:
        raise PushRefused(
            415,
            "this type of content is not taken",
            expected=", ".join(MEDIA_TYPES),
            got=request.content_type[:80],
        )


async def _of(take: TakeCut, cut: Cut) -> Answer:
    """What was decided before is passed over: after a break encoders send their last ones again."""
    try:
        return await take(cut)
    except PushRefused as refusal:
        if refusal.status != 410:
            raise
        log.info("segment %d of a long push is passed over: %s", cut.segment, refusal.text())
        return Answer.HELD


def _facts(header: bytes) -> InitFacts:
    try:
        return read_init(header)
    except BoxError as error:
        raise broken(error) from error


def _closes() -> PushRefused:
    return PushRefused(503, "the origin closes", hint="go on in a new push", retry_after_s=1)
