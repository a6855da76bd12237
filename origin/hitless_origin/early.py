"""Answers that are written in the moment of a publication, before any task of theirs wakes.

Thousands of players wait for the same playlist. To wake a task for each and let it make its answer
costs ten times what sending takes, and the last player would wait for all of it. So the answer is
made once, written to each connection at the ring of the channel's bell, and the tasks, which wake
afterwards, find it done.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE


class EarlyAnswer:
    """One waiting request's answer. sent: it is on its way, and `Sent` is to be returned.

    ready: asked at each ring. wire: the whole answer, as `wire` makes it; None
    where it is another one than 200, which the request's task then makes.
    """

    def __init__(
        self, request: web.Request, ready: Callable[[], bool], wire: Callable[[], bytes | None]
    ) -> None:
        self.sent = False
        self._transport = request.transport
        self._ready = ready
        self._wire = wire
        self._allowed = (
            request.method == hdrs.METH_GET
            and request.version == HttpVersion11
            and request.keep_alive
            and hdrs.IF_NONE_MATCH not in request.headers
        )

    def __call__(self) -> None:
        """The bell rang."""
        transport = self._transport
        if not self._allowed or self.sent or transport is None or transport.is_closing():
            return
        if self._ready() and (answer := self._wire()) is not None:
            self.sent = True
            transport.write(answer)


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
