"""Whether this process still does its work, for the kubelet: GET /healthz. And GET /metrics.

Owns the judgement "alive" and the HTTP endpoints. A loop that is stuck does not answer; a watch
that died, or a look that never ends, answers 503 with the reason. An API server that is away is no
reason: a restart would not bring it back. `__main__.py` runs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from hitless_operator.metrics import CONTENT_TYPE
from hitless_operator.queue import QueueState

PATH = "/healthz"
METRICS_PATH = "/metrics"
# The server ends each watch after WATCH_S (watch.py) and kopf asks again at once; twice that and a
# lost stream's inactivity timeout without a request means that nobody watches any more.
SILENCE_S_MAX = 720.0
START_S_MAX = 120.0  # until the first request for each watch
LOOK_S_MAX = 180.0  # every call within a look has a deadline; together they stay far below


class WatchPulse:
    """When each watched collection was last asked for. streams: how many there are to be.

    Before `begin` nothing is watched, and that is no fault.
    """

    def __init__(self, streams: int, now_s: Callable[[], float]) -> None:
        self._streams = streams
        self._now_s = now_s
        self._started_s: float | None = None
        self._last_s: dict[str, float] = {}

    def begin(self) -> None:
        """From now on it is to be watched."""
        self._started_s = self._now_s()

    def beat(self, collection: str) -> None:
        """A list or watch request for this collection is being sent."""
        self._last_s[collection] = self._now_s()

    def fault(self) -> str:
        """What is wrong; empty when nothing is."""
        now_s = self._now_s()
        if self._started_s is None:
            return ""
        if len(self._last_s) < self._streams and now_s - self._started_s > START_S_MAX:
            return f"{len(self._last_s)} of {self._streams} watches have started"
        for collection, last_s in sorted(self._last_s.items()):
            if now_s - last_s > SILENCE_S_MAX:
                return f"{collection} has not been watched for {now_s - last_s:.0f} s"
        return ""


def queue_fault(state: QueueState) -> str:
    """What is wrong with the work; empty when nothing is."""
    if state.running_s_max > LOOK_S_MAX:
        return f"a look has been going on for {state.running_s_max:.0f} s"
    return ""


class HealthServer:
    """Serves both; an async context manager.

    faults: each says what is wrong, or nothing. metrics: in Prometheus' text format.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *faults: Callable[[], str],
        metrics: Callable[[], bytes] = lambda: b"",
    ) -> None:
        self._host, self._port = host, port
        self._faults = faults
        self._metrics = metrics
        app = web.Application()
        app.router.add_get(PATH, self._answer)
        app.router.add_get(METRICS_PATH, self._answer_metrics)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.shield(self._runner.cleanup())

    @property
    def port(self) -> int:
        """The port in use, also when 0 was asked for."""
        return int(self._runner.addresses[0][1])

    async def _answer(self, _: web.Request) -> web.Response:
        faults = [fault for check in self._faults if (fault := check())]
        status = 503 if faults else 200
        return web.json_response({"healthy": not faults, "faults": faults}, status=status)

    async def _answer_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": CONTENT_TYPE})
