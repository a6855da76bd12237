"""The HTTP server: which path is answered by whom. `__main__` and the tests run it."""

from __future__ import annotations

import json
import logging

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from hitless_origin import metrics, openapi
from hitless_origin.events import Events
from hitless_origin.ingest import Ingest
from hitless_origin.names import LABEL, ChannelKey
from hitless_origin.origin import Origin
from hitless_origin.page import Page
from hitless_origin.players import Players
from hitless_origin.report import channel_report
from hitless_origin.viewer import Viewer, absent, allow_origins, preflight
from hitless_origin.waits import Waits
from hitless_wire.ingest import COMPARISON_QUERY, STORAGE_QUERY

_NO_STORE = {"Cache-Control": "no-store"}


class Pages:
    """What operators and tools ask: reports, health, metrics."""

    def __init__(self, origin: Origin, ingest: Ingest, waits: Waits, players: Players) -> None:
        self._origin = origin
        self._ingest = ingest
        self._waits = waits
        self._players = players

    def routes(self) -> list[web.RouteDef]:
        """GET of each."""
        return [
            web.get("/healthz", self.health),
            web.get("/metrics", self.metrics),
            web.get("/api/v1/channels", self.reports),
            web.get(f"/api/v1/channels/{{namespace:{LABEL}}}/{{channel:{LABEL}}}", self.report),
            web.get(openapi.PATH, self.document),
            web.get("/api/{path:.*}", absent),
            web.options("/api/{path:.*}", preflight),
        ]

    async def health(self, _: web.Request) -> web.Response:
        """200 while pushes are taken."""
        body = {"status": "closing" if self._origin.closing else "ok"}
        status = 503 if self._origin.closing else 200
        return web.json_response(body, status=status, headers=_NO_STORE)

    async def metrics(self, _: web.Request) -> web.Response:
        """Prometheus' text format."""
        channels = self._origin.channels.values()
        text = metrics.render(
            channels,
            self._ingest.answers,
            self._waits.count,
            self._origin.free_bytes(),
            now_us=self._origin.clock.monotonic_us(),
            malformed=self._players.malformed,
            tokens=self._ingest.tokens.judged,
        )
        headers = {**_NO_STORE, "Content-Type": metrics.CONTENT_TYPE}
        return web.Response(body=text.encode(), headers=headers)

    async def document(self, _: web.Request) -> web.Response:
        """OpenAPI."""
        body = openapi.document()
        return web.Response(body=body, content_type="application/json", headers=_NO_STORE)

    async def reports(self, request: web.Request) -> web.Response:
        """The report of every channel."""
        channels = sorted(self._origin.channels.values(), key=lambda channel: channel.key)
        asked = _asked(request)
        reports = [channel_report(channel, **asked) for channel in channels]
        body = [report.model_dump(mode="json", by_alias=True) for report in reports]
        return web.json_response(body, headers=_NO_STORE)

    async def report(self, request: web.Request) -> web.Response:
        """The report of one channel."""
        info = request.match_info
        key = ChannelKey(namespace=info["namespace"], channel=info["channel"])
        channel = self._origin.channels.get(key)
        if channel is None:
            body = json.dumps({"error": f"no channel {key}"})
            raise web.HTTPNotFound(text=body, content_type="application/json", headers=_NO_STORE)
        report = channel_report(channel, **_asked(request))
        text = report.model_dump_json(by_alias=True)
        return web.Response(text=text, content_type="application/json", headers=_NO_STORE)


def _asked(request: web.Request) -> dict[str, bool]:
    """What the report should have beside what every reader knows."""
    asked = {"with_comparison": COMPARISON_QUERY, "with_storage": STORAGE_QUERY}
    return {name: request.query.get(query) == "1" for name, query in asked.items()}


def make_runner(origin: Origin, close_s_max: int) -> web.AppRunner:
    """What serves an opened origin. It does not own the origin: close that after it.

    close_s_max: seconds that answers which are under way may take when it closes.
    """
    return web.AppRunner(
        make_app(origin),
        logger=_server_log(),
        access_log=None,  # aiohttp names what did not fit in a log line of its own
        shutdown_timeout=close_s_max,
        handler_cancellation=True,  # nobody waits for a part on behalf of a client that has gone
    )


def _server_log() -> logging.Logger:
    """aiohttp's own log. What is no HTTP is a client's fault, and worth a line, not a traceback."""

    def short(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, (HttpProcessingError, web.RequestPayloadError)):
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg += ": " + " ".join(str(error).split())[:200].replace("%", "%%")
            record.exc_info = record.exc_text = None
        return True

    logger = logging.getLogger("hitless_origin.http")
    logger.filters = [short]
    return logger


async def _nowhere(request: web.Request) -> web.Response:
    """A path that nobody has, or not with this method. A route as others, for `_expectation`."""
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        allowed |= (await resource.resolve(request))[1]
    if allowed != {hdrs.METH_ANY}:
        raise web.HTTPMethodNotAllowed(request.method, sorted(allowed - {hdrs.METH_ANY}))
    return await absent(request)


async def _expectation(request: web.Request) -> None:
    """`Expect: 100-continue`. aiohttp's own quotes any other value, and fails if it is no text."""
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        raise web.HTTPExpectationFailed(text="only 100-continue can be expected\n")
    if request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # no answer has begun yet


def make_app(origin: Origin) -> web.Application:
    """The application for an opened origin. Raises StartError."""
    app = web.Application()
    ingest = Ingest(origin)
    waits = Waits(origin.clock, origin.settings.waiting_max)
    events = Events(origin)

    async def wake(_: web.Application) -> None:
        waits.close()
        events.close()
        ingest.end_streams()
        for channel in origin.channels.values():
            channel.bell.ring()

    async def invite(request: web.Request) -> web.Response | None:
        refused = ingest.unwelcome(request)
        if refused is None:
            await _expectation(request)
        return refused

    async def finish(_: web.Application) -> None:
        await ingest.close()

    app.on_shutdown.append(wake)
    app.on_cleanup.append(finish)
    players = Players(origin)
    pushes = [
        web.put(r"/ingest/{path:[\s\S]*}", ingest.put),
        web.post(r"/ingest/{path:[\s\S]*}", ingest.put),
    ]
    routes = [
        *pushes,
        *Viewer(origin, waits).routes(),
        *Page(origin.settings.hls_js).routes(),
        *events.routes(),
        *Pages(origin, ingest, waits, players).routes(),
        web.route("*", r"/{path:[\s\S]*}", _nowhere),
    ]
    if origin.settings.plain is not None:
        routes.insert(0, web.delete(r"/ingest/{path:[\s\S]*}", ingest.put))
    for route in routes:
        route.kwargs["expect_handler"] = _expectation
    for route in pushes:
        route.kwargs["expect_handler"] = invite
    app.add_routes(routes)
    app.on_response_prepare.append(allow_origins)
    app.on_response_prepare.append(players.hear)
    return app
