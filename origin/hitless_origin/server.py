"""The HTTP server: which path is answered by whom. `__main__` and the tests run it."""

from __future__ import annotations

import json

from aiohttp import web

from hitless_origin import metrics, page
from hitless_origin.ingest import Ingest
from hitless_origin.names import LABEL, ChannelKey
from hitless_origin.origin import Origin
from hitless_origin.report import channel_report
from hitless_origin.viewer import Viewer, absent, allow_origins, preflight
from hitless_origin.waits import Waits
from hitless_wire.ingest import COMPARISON_QUERY

_NO_STORE = {"Cache-Control": "no-store"}


class Pages:
    """What operators, tools and people ask: reports, health, metrics, the page at `/`."""

    def __init__(self, origin: Origin, ingest: Ingest, waits: Waits) -> None:
        self._origin = origin
        self._ingest = ingest
        self._waits = waits

    def routes(self) -> list[web.RouteDef]:
        """GET of each."""
        return [
            web.get("/", self.index),
            web.get("/healthz", self.health),
            web.get("/metrics", self.metrics),
            web.get("/api/v1/channels", self.reports),
            web.get(f"/api/v1/channels/{{namespace:{LABEL}}}/{{channel:{LABEL}}}", self.report),
            web.get("/api/{path:.*}", absent),
            web.options("/api/{path:.*}", preflight),
        ]

    async def index(self, _: web.Request) -> web.Response:
        """The list of channels, for people."""
        headers = {**_NO_STORE, "Content-Security-Policy": page.POLICY}
        text = page.render(self._origin.channels.values())
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def health(self, _: web.Request) -> web.Response:
        """200 while pushes are taken."""
        body = {"status": "closing" if self._origin.closing else "ok"}
        status = 503 if self._origin.closing else 200
        return web.json_response(body, status=status, headers=_NO_STORE)

    async def metrics(self, _: web.Request) -> web.Response:
        """Prometheus' text format."""
        channels = self._origin.channels.values()
        text = metrics.render(channels, self._ingest.answers, self._waits.count)
        headers = {**_NO_STORE, "Content-Type": metrics.CONTENT_TYPE}
        return web.Response(body=text.encode(), headers=headers)

    async def reports(self, request: web.Request) -> web.Response:
        """The report of every channel."""
        channels = sorted(self._origin.channels.values(), key=lambda channel: channel.key)
        compared = _asks_for_comparison(request)
        reports = [channel_report(channel, with_comparison=compared) for channel in channels]
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
        report = channel_report(channel, with_comparison=_asks_for_comparison(request))
        text = report.model_dump_json(by_alias=True)
        return web.Response(text=text, content_type="application/json", headers=_NO_STORE)


def _asks_for_comparison(request: web.Request) -> bool:
    return request.query.get(COMPARISON_QUERY) == "1"


def make_runner(origin: Origin, close_s_max: int) -> web.AppRunner:
    """What serves an opened origin. It does not own the origin: close that after it.

    close_s_max: seconds that answers which are under way may take when it closes.
    """
    return web.AppRunner(
        make_app(origin),
        access_log=None,  # aiohttp names what did not fit in a log line of its own
        shutdown_timeout=close_s_max,
        handler_cancellation=True,  # nobody waits for a part on behalf of a client that has gone
    )


def make_app(origin: Origin) -> web.Application:
    """The application for an opened origin."""
    app = web.Application()
    ingest = Ingest(origin)
    waits = Waits(origin.clock, origin.settings.waiting_max)

    async def wake(_: web.Application) -> None:
        waits.close()
        for channel in origin.channels.values():
            channel.bell.ring()

    async def finish(_: web.Application) -> None:
        await ingest.close()

    app.on_shutdown.append(wake)
    app.on_cleanup.append(finish)
    app.add_routes([web.put(r"/ingest/{path:[\s\S]*}", ingest.put)])
    app.add_routes(Viewer(origin, waits).routes())
    app.add_routes(Pages(origin, ingest, waits).routes())
    app.on_response_prepare.append(allow_origins)
    return app
