"""Answers that are written in the moment of a publication, before any task of theirs wakes.

Thousands of players wait for the same playlist. To wake a task for each and let it make its answer
costs ten times what sending takes, and the last player would wait for all of it. So those who get
the same answer are a crowd: at the ring of the channel's bell it is made once and written to each
connection, and the tasks, which wake afterwards, find it done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

from hitless_origin.waits import Bell


class Place:
    """One waiting request's. sent: its answer is on its way, and `Sent` is to be returned."""

    __slots__ = ("_transport", "sent")

    def __init__(self, transport: asyncio.Transport | None) -> None:
        self.sent = False
        self._transport = transport

    def send(self, answer: bytes) -> None:
        """Unless it can't be taken now: then the request's task waits until it can."""
        transport = self._transport
        if self.sent or transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() == 0:
            self.sent = True
            transport.write(answer)


class Crowd:
    """Waiting requests that get the same answer. Called at each ring.

    answer: the whole of it, as `wire` makes it; None: not yet, or the requests' tasks make it.
    """

    def __init__(self, answer: Callable[[], bytes | None]) -> None:
        self.places: dict[Place, None] = {}  # who came first is served first
        self._answer = answer

    def __call__(self) -> None:
        """The bell rang."""
        answer = self._answer()
        if answer is not None:
            for place in tuple(self.places):
                place.send(answer)


class Crowds:
    """Those of one process. There are never more than requests that wait."""

    def __init__(self) -> None:
        self._crowds: dict[tuple[Bell, Hashable], Crowd] = {}

    @contextmanager
    def join(
        self, request: web.Request, bell: Bell, kind: Hashable, answer: Callable[[], bytes | None]
    ) -> Iterator[Place]:
        """Until the block ends, the request is one of those whose answers are of this kind."""
        place, key = Place(request.transport), (bell, kind)
        if not _is_plain(request):
            yield place
            return
        crowd = self._crowds.get(key)
        if crowd is None:
            crowd = self._crowds[key] = Crowd(answer)
            bell.callers.add(crowd)
        crowd.places[place] = None
        try:
            yield place
        finally:
            del crowd.places[place]
            if not crowd.places:
                bell.callers.discard(crowd)
                del self._crowds[key]


def _is_plain(request: web.Request) -> bool:
    """Whether its answer of 200 is what everybody gets, on a connection that stays."""
    return (
        request.method == hdrs.METH_GET
        and request.version == HttpVersion11
        and request.keep_alive
        and hdrs.IF_NONE_MATCH not in request.headers
    )


class Sent(web.Response):
    """Stands for an answer that was written already."""

    @property
    def keep_alive(self) -> bool | None:
        """The connection goes on."""
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to be sent."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to be sent."""


def wire(response: web.Response) -> bytes:
    """An answer of 200 as HTTP/1.1 sends it on a connection that stays."""
    body = response.body
    assert isinstance(body, bytes)
    headers = {
        **response.headers,
        hdrs.CONTENT_LENGTH: str(len(body)),
        hdrs.DATE: rfc822_formatted_time(),
        hdrs.SERVER: SERVER_SOFTWARE,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode() + body
