"""A segment that is sent while it is made: its parts as they come (DASH low latency).

What is sent under a segment's URL is the segment as it is published in the end, or it breaks off:
parts are sent as viewers of parts see them, and the answer is only ended in due form when the
published bytes begin with them. If another encoder's segment is published, whose bytes differ, or
the rest of a GOP is skipped, or nothing comes, the connection is cut, which every client takes for
an error. `viewer` asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from aiohttp import HttpVersion11, hdrs, web

from hitless_origin.channel import Channel
from hitless_origin.low_latency import AHEAD_SEGMENTS_MAX, wait_us_max
from hitless_origin.waits import Waited, Waits

SEND_S_MAX = 30.0  # a client takes one part in this time, or is let go


class StreamBroken(Exception):
    """What was sent can't be continued. waited: how the wait ended that it came of."""

    def __init__(self, waited: Waited = Waited.READY) -> None:
        super().__init__(waited)
        self.waited = waited


def is_next(channel: Channel, segment: int) -> bool:
    """Whether the segment is in the making, or comes next: so that a request for it may wait.

    The next one too, for a player's clock names it while a late encoder still ends the one before.
    """
    if channel.parts is None or channel.manifests is None:
        return False
    return 0 < segment - channel.manifests.view.window.last <= AHEAD_SEGMENTS_MAX


class SegmentStream:
    """One track of a segment in the making, for one request."""

    def __init__(self, channel: Channel, track: str, segment: int, waits: Waits) -> None:
        self._channel = channel
        self._track = track
        self._segment = segment
        self._waits = waits
        self._edition = channel.editions.at(segment)
        self._sent: list[bytes] = []

    async def begin(self, request: web.Request) -> bool:
        """Wait for the first part, or the whole; whether it has begun and is not whole yet.

        A client of HTTP/1.0 can't tell an answer that breaks off: it gets whole segments only.
        Raises StreamBroken.
        """
        chunked = request.version >= HttpVersion11
        await self._until(0 if chunked else None)
        if not self._is_decided() and self._body(0) is None:
            await self._until(None)
        return not self._is_decided()

    async def send(self, request: web.Request, headers: Mapping[str, str]) -> web.StreamResponse:
        """The answer."""
        answer = web.StreamResponse(headers=headers)
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        if request.method == hdrs.METH_HEAD:
            return answer
        try:
            async for body in self._bodies():
                async with asyncio.timeout(SEND_S_MAX):
                    await answer.write(body)
        except (StreamBroken, OSError):  # OSError: also of the timeout, and of a lost connection
            if request.transport is not None:
                request.transport.abort()
            return answer
        await answer.write_eof()
        return answer

    async def _bodies(self) -> AsyncIterator[bytes]:
        while True:
            await self._until(len(self._sent))
            if self._is_decided():
                break
            body = self._body(len(self._sent))
            if body is None:
                raise StreamBroken
            self._sent.append(body)
            yield body
        rest = await self._rest()
        if rest:
            yield rest

    async def _rest(self) -> bytes:
        """What the published segment has besides what was sent. Raises StreamBroken, OSError."""
        path = await self._channel.live_file(self._track, self._segment)
        if path is None or self._channel.editions.at(self._segment) is not self._edition:
            raise StreamBroken
        whole, sent = await asyncio.to_thread(path.read_bytes), b"".join(self._sent)
        if not whole.startswith(sent):
            raise StreamBroken
        return whole[len(sent) :]

    def _body(self, part: int) -> bytes | None:
        """None: it is skipped, or belongs to another edition by now."""
        parts = self._channel.parts
        if parts is None or self._channel.editions.at(self._segment) is not self._edition:
            return None
        return parts.window.body(self._track, self._segment, part)

    def _is_decided(self) -> bool:
        window = self._channel.window
        return window is not None and self._segment <= window.last

    async def _until(self, part: int | None) -> None:
        """Return when the part, or the whole segment, is decided. Raises StreamBroken."""

        def ready() -> bool:
            manifests = self._channel.manifests
            return manifests is not None and manifests.view.reached(self._segment, part)

        wait_us = wait_us_max(self._channel.description)
        waited = await self._waits.until(ready, self._channel.bell, wait_us)
        if waited is not Waited.READY:
            raise StreamBroken(waited)
