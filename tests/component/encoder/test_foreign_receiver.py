"""A receiver that knows DASH-IF Live Media Ingest and nothing else: no description, no priorities.

It answers as the specification's table of errors says (v1.2, interface 1): 412 to media without its
CMAF header, 415 to what is no media, 404 to other paths; and it loses its headers when restarted.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from tests.component.encoder.studio import make_config
from tests.component.encoder.test_sink import Pushes, sink_to

from hitless_encoder.plan import plan_media
from hitless_encoder.sink import PushOutcome
from hitless_handover.leadership import Lead

MEDIA = plan_media(make_config(sizes=((256, 144, 300),)), "veryfast")
TRACKS = ("v144", "audio")
EVENT = 5
LAST = 9
WAIT_S = 60


@dataclass(kw_only=True)
class Foreign:
    url: str = ""
    headers: dict[str, bytes] = field(default_factory=dict)
    media: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)

    async def put(self, request: web.Request) -> web.Response:
        status = self._status(request.path, await request.read())
        self.answers[status] += 1
        return web.Response(status=status)

    def _status(self, path: str, body: bytes) -> int:
        found = re.fullmatch(r"/ingest/tests/channel/(.+)", path)
        if found is None:
            return 404
        track, _, name = found[1].partition("/")
        if not name.endswith((".mp4", ".m4s")):
            return 415
        if name == "init.mp4":
            self.headers[track] = body
            return 200
        if track not in self.headers:
            return 412
        self.media[found[1]] += 1
        return 200


@asynccontextmanager
async def foreign() -> AsyncIterator[Foreign]:
    end = Foreign()
    app = web.Application()
    app.router.add_put("/{path:.*}", end.put)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    end.url = f"http://{host}:{port}"
    try:
        yield end
    finally:
        await runner.cleanup()


class Ceasing(Pushes):
    """An encoder that sends the segments [first, stop) and nothing else."""

    def __init__(self, first: int, stop: int) -> None:
        super().__init__()
        self._mine = range(first, stop)

    def lead_of(self, segment: int) -> Lead:
        return Lead(segment, 1, silent=segment not in self._mine)

    def is_silent(self, segment: int) -> bool:
        return segment not in self._mine


async def test_two_encoders_give_it_one_timeline_and_a_restart_costs_nothing() -> None:
    before, after = Ceasing(0, EVENT), Ceasing(EVENT, LAST + 1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(WAIT_S))
        end = await stack.enter_async_context(foreign())
        incumbent = await stack.enter_async_context(
            sink_to(end.url, before, media=MEDIA, encoder="one")
        )
        successor = await stack.enter_async_context(
            sink_to(end.url, after, media=MEDIA, encoder="two")
        )
        for number in range(LAST + 1):
            if number == EVENT + 2:
                end.headers.clear()  # it was restarted
            for sink, pushes in ((incumbent, before), (successor, after)):
                sink.offer(number, dict.fromkeys(TRACKS, b"%d" % number))
                await pushes.until(lambda p=pushes, n=number: n in p.ended)  # type: ignore[misc]
    assert set(end.headers.values()) == set(MEDIA.inits.values())
    assert set(end.media) == {f"{t}/{k}.m4s" for t in TRACKS for k in range(LAST + 1)}
    assert end.answers[412] > 0
    assert end.answers[404] == 0
    sent = [
        [number for number, outcome in pushes.ended.items() if outcome is PushOutcome.STORED]
        for pushes in (before, after)
    ]
    assert sent == [list(range(EVENT)), list(range(EVENT, LAST + 1))]
