"""What the page is told while it is looked at: server-sent events (WHATWG HTML, 9.2).

Looks at the channels once a second, however many listen, and sends what has changed. At most
LISTENERS_MAX listen; one that reads too slowly is let go, and its browser comes again.
"""

from __future__ import annotations

import asyncio
import json
from typing import Protocol

from aiohttp import hdrs, web

from hitless_origin import board
from hitless_origin.channel import Channel
from hitless_origin.clock import MICROSECONDS
from hitless_origin.names import LABEL, ChannelKey
from hitless_origin.origin import Origin

LISTENERS_MAX = 100
LOOK_US = MICROSECONDS
CLOCK_US = 5 * MICROSECONDS  # the heartbeat, which tells the time
WRITE_S_MAX = 10.0
TURN = 100  # channels that are looked at in one go
RETRY_MS = 3000
_HEADERS = {
    hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",  # proxies pass each event on at once
}


class _Source(Protocol):
    """What one listener is told."""

    async def news(self) -> list[str]:
        """The events since it was asked last; at first, everything."""


class Events:
    """The streams. count: listeners now."""

    def __init__(self, origin: Origin) -> None:
        self.count = 0
        self._origin = origin
        self._closed = asyncio.Event()
        self._rows: dict[ChannelKey, str] = {}
        self._rows_us: int | None = None
        self._looking = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """GET of each."""
        channel = f"/api/v1/channels/{{namespace:{LABEL}}}/{{channel:{LABEL}}}"
        return [
            web.get("/api/v1/events", self.all, allow_head=False),
            web.get(f"{channel}/events", self.one, allow_head=False),
        ]

    def close(self) -> None:
        """End all streams."""
        self._closed.set()

    async def all(self, request: web.Request) -> web.StreamResponse:
        """The list of channels: `rows`, those that are new or have changed, and those `gone`."""
        return await self._serve(request, _List(self))

    async def one(self, request: web.Request) -> web.StreamResponse:
        """A channel: `channel`, all that is known of it."""
        info = request.match_info
        key = ChannelKey(namespace=info["namespace"], channel=info["channel"])
        return await self._serve(request, _Detail(self, key))

    async def rows(self) -> dict[ChannelKey, str]:
        """The list's lines in JSON, not older than a look. Others get their turn in between."""
        async with self._looking:
            now_us = self._origin.clock.monotonic_us()
            if self._rows_us is None or now_us - self._rows_us >= LOOK_US:
                channels = sorted(self._origin.channels.items())
                rows = {}
                for number, (key, channel) in enumerate(channels):
                    rows[key] = json.dumps(board.row(channel, now_us))
                    if number % TURN == TURN - 1:
                        await asyncio.sleep(0)
                self._rows, self._rows_us = rows, now_us
            return self._rows

    def detail(self, key: ChannelKey) -> str:
        """A channel in JSON; `null` if there is none."""
        channel: Channel | None = self._origin.channels.get(key)
        if channel is None:
            return "null"
        return json.dumps(board.detail(channel, self._origin.clock.monotonic_us()))

    async def _serve(self, request: web.Request, source: _Source) -> web.StreamResponse:
        if self.count >= LISTENERS_MAX or self._closed.is_set():
            headers = {hdrs.RETRY_AFTER: "10", hdrs.CACHE_CONTROL: "no-store"}
            raise web.HTTPServiceUnavailable(text="too many listen already\n", headers=headers)
        response = web.StreamResponse(headers=_HEADERS)
        self.count += 1
        try:
            await response.prepare(request)
            await self._tell(response, source)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self.count -= 1
        return response

    async def _tell(self, response: web.StreamResponse, source: _Source) -> None:
        clock, next_clock_us = self._origin.clock, 0
        first = f"retry: {RETRY_MS}\n\n"
        while not self._closed.is_set():
            now_us = clock.monotonic_us()
            told = [first, *await source.news()]
            first = ""
            if now_us >= next_clock_us:
                told.append(event("clock", json.dumps({"nowMs": clock.wall_us() // 1000})))
                next_clock_us = now_us + CLOCK_US
            if text := "".join(told):
                async with asyncio.timeout(WRITE_S_MAX):
                    await response.write(text.encode())
            await clock.wait(self._closed, now_us + LOOK_US)


class _List:
    def __init__(self, events: Events) -> None:
        self._events = events
        self._told: dict[ChannelKey, str] | None = None

    async def news(self) -> list[str]:
        """See _Source."""
        rows, told = await self._events.rows(), self._told or {}
        changed = [text for key, text in rows.items() if told.get(key) != text]
        gone = json.dumps([str(key) for key in told if key not in rows])
        is_new = changed or gone != "[]" or self._told is None
        self._told = rows
        return [event("rows", f'{{"rows":[{",".join(changed)}],"gone":{gone}}}')] if is_new else []


class _Detail:
    def __init__(self, events: Events, key: ChannelKey) -> None:
        self._events = events
        self._key = key
        self._told = ""

    async def news(self) -> list[str]:
        """See _Source."""
        told, self._told = self._told, self._events.detail(self._key)
        return [] if self._told == told else [event("channel", self._told)]


def event(name: str, data: str) -> str:
    """One event; the data is JSON, so it has no line breaks."""
    return f"event: {name}\ndata: {data}\n\n"
