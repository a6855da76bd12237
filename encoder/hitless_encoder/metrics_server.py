"""GET /metrics of the encoder, over HTTP in the session's event loop. `__main__.py` runs it.

A port that can't be had costs the metrics, never the encoder.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from hitless_encoder.metrics import CONTENT_TYPE

PATH = "/metrics"

_log = logging.getLogger(__name__)


class MetricsServer:
    """An async context manager. port: the one in use; None without one."""

    def __init__(self, text: Callable[[], bytes], *, host: str, port: int) -> None:
        self._text = text
        self._host, self._port = host, port
        app = web.Application()
        app.router.add_get(PATH, self._answer)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            _log.warning("no metrics: port %d of %s: %s", self._port, self._host, error.strerror)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.shield(self._runner.cleanup())

    @property
    def port(self) -> int | None:
        """The port in use, also when 0 was asked for; None: there are no metrics."""
        addresses = self._runner.addresses
        return int(addresses[0][1]) if addresses else None

    async def _answer(self, _: web.Request) -> web.Response:
        return web.Response(body=self._text(), headers={"Content-Type": CONTENT_TYPE})
