"""The page's files, and the events that it listens to."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.component.origin.cmaf_maker import FIRST
from tests.component.origin.studio import SEGMENT_US, Studio

from hitless_origin import events
from hitless_origin.names import ChannelKey

LIST, DETAIL = "/api/v1/events", "/api/v1/channels/demo/news/events"
ANSWER_S_MAX = 30.0
KEY = ChannelKey(namespace="demo", channel="news")


class Listener:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self, name: str) -> Any:
        """The next event of this name; what is told besides is passed over."""
        async with asyncio.timeout(ANSWER_S_MAX):
            told = ""
            async for line in self._response.content:
                text = line.decode().rstrip("\n")
                if text.startswith("event: "):
                    told = text.removeprefix("event: ")
                elif text.startswith("data: ") and told == name:
                    return json.loads(text.removeprefix("data: "))
        raise AssertionError(f"ended before any {name}")

    async def ended(self) -> bool:
        async with asyncio.timeout(ANSWER_S_MAX):
            await self._response.content.read()
        return True


@asynccontextmanager
async def listening(studio: Studio, path: str) -> AsyncIterator[Listener]:
    async with aiohttp.ClientSession() as http, http.get(studio.url + path) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield Listener(response)


async def test_all_that_the_page_refers_to_is_there_and_nothing_is_elsewhere(
    studio: Studio,
) -> None:
    for path in ("/", "/channels/demo/news"):
        page = await studio.call("GET", path)
        assert page.status == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        referred = set(re.findall(r'(?:src|href)="(/page/[^"]+)"', page.text))
        assert len(referred) == 3
        assert "style=" not in page.text
        seen: set[str] = set()
        while referred - seen:
            name = (referred - seen).pop()
            seen.add(name)
            file = await studio.call("GET", name)
            assert file.status == 200, name
            referred |= {f"/page/{n}" for n in re.findall(r'from "\./([a-z]+\.js)"', file.text)}
            assert "://" not in file.text.replace("http://www.w3.org/2000/svg", ""), name
            assert "innerHTML" not in file.text


async def test_files_are_packed_and_kept_by_browsers(studio: Studio) -> None:
    plain = await studio.call("GET", "/page/page.css")
    packed = await studio.call("GET", "/page/page.css", headers={"Accept-Encoding": "gzip, br"})
    assert gzip.decompress(packed.body) == plain.body
    known = {"If-None-Match": plain.headers["ETag"]}
    assert (await studio.call("GET", "/page/page.css", headers=known)).status == 304


@pytest.mark.parametrize("name", ["page.html", "..%2fpage.py", "%2e%2e/page.py", "page.css/x"])
async def test_no_other_file_is_served(studio: Studio, name: str) -> None:
    assert (await studio.call("GET", f"/page/{name}")).status == 404


async def test_the_player_is_there_where_the_origin_has_it(studio: Studio, tmp_path: Path) -> None:
    assert (await studio.call("GET", "/page/hls.mjs")).status == 404
    player = tmp_path / "hls.min.mjs"
    studio.settings = replace(studio.settings, hls_js=player)
    await studio.restart()  # a file that is not there is no reason not to publish
    assert (await studio.call("GET", "/page/hls.mjs")).status == 404
    player.write_text("export default 1")
    await studio.restart()
    found = await studio.call("GET", "/page/hls.mjs")
    assert (found.text, found.headers["Content-Type"]) == (
        "export default 1",
        "text/javascript; charset=utf-8",
    )


async def test_the_list_tells_what_has_changed(studio: Studio) -> None:
    async with listening(studio, LIST) as listener:
        assert await listener.next("rows") == {"rows": [], "gone": []}
        assert await listener.next("clock") == {"nowMs": studio.clock.now_us // 1000}
        a, b = await studio.ready("a", "b")
        await a.push(FIRST, 1)
        studio.clock.move(events.LOOK_US)
        [row] = (await listener.next("rows"))["rows"]
        assert (row["channel"], row["state"], row["encoder"]) == ("demo/news", "on air", "a")
        await b.push(FIRST + 1, 2)
        studio.clock.move(SEGMENT_US)
        [row] = (await listener.next("rows"))["rows"]
        assert (row["encoder"], row["term"], row["handovers"]) == ("b", 2, 1)
        channel = studio.origin.channels.pop(KEY)
        studio.clock.move(SEGMENT_US)
        assert await listener.next("rows") == {"rows": [], "gone": ["demo/news"]}
        studio.origin.channels[KEY] = channel


async def test_a_channel_is_told_whole(studio: Studio) -> None:
    async with listening(studio, DETAIL) as listener:
        assert await listener.next("channel") is None
        a, b = await studio.ready("a", "b")
        await a.push(FIRST, 1)
        await b.push(FIRST)
        await b.push(FIRST + 1, 2)
        await studio.get(f"v0/{FIRST + 1}.m4s?CMCD=bl%3D4000%2Csid%3D%22x%22")
        studio.clock.move(events.LOOK_US)
        told = await listener.next("channel")
    assert told["report"]["switches"][0]["toEncoder"] == "b"
    assert told["segmentMs"] == 2000
    around = told["around"][str(FIRST + 1)]
    assert around["verdicts"] == {"identical": 0, "interchangeable": len(a.description.tracks)}
    assert around["viewers"]["during"] == {
        "viewers": 1,
        "stalls": 0,
        "bufferMsMin": 4000,
        "bufferMsMedian": 4000,
    }


async def test_only_so_many_listen_and_who_leaves_makes_room(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LISTENERS_MAX", 1)
    async with listening(studio, LIST) as listener:
        await listener.next("rows")
        refused = await studio.call("GET", LIST)
        assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
    async with asyncio.timeout(ANSWER_S_MAX), aiohttp.ClientSession() as http:
        while True:
            async with http.get(studio.url + LIST) as response:
                if response.status == 200:
                    break


async def test_a_closing_origin_ends_the_streams(studio: Studio) -> None:
    async with listening(studio, LIST) as listener:
        await listener.next("rows")
        closing = asyncio.create_task(studio.restart())
        assert await listener.ended()
        await closing


async def test_who_does_not_read_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, studio: Studio
) -> None:
    monkeypatch.setattr(events, "WRITE_S_MAX", 0.05)
    told = events.Events(studio.origin)

    async def much() -> dict[ChannelKey, str]:
        return {KEY: json.dumps("x" * 50_000_000)}

    monkeypatch.setattr(told, "rows", much)
    app = web.Application()
    app.add_routes(told.routes())
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2], limit=1024)
    writer.write(f"GET {LIST} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(ANSWER_S_MAX):
        assert (await reader.readline()).split()[1] == b"200"
        while True:
            if not told.count:
                break
            await asyncio.sleep(0.01)
    writer.close()
    await runner.cleanup()
