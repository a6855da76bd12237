"""The encoder's process at an origin that asks for tokens: late, rotated, never told."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import aiohttp
from tests.component.encoder.studio import make_config
from tests.component.encoder.test_process import SMALL, start
from tests.component.origin.test_process import origin_process

from hitless_wire.ingest import live_path
from hitless_wire.ingest_tokens import token_of

OLD, NEW = b"o" * 44, b"n" * 44
POLL_S = 0.05
WAIT_S = 120


def put(path: Path, content: bytes) -> None:
    """Whole or not at all, as the kubelet does it."""
    other = path.with_suffix(".new")
    other.write_bytes(content)
    other.replace(path)


class Watcher:
    """What the origin tells."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def get(self, path: str) -> str:
        async with self._http.get(self._url + path) as answer:
            return await answer.text() if answer.status == 200 else ""

    async def judged(self, verdict: str) -> int:
        text = await self.get("/metrics")
        found = re.search(rf'push_tokens_total{{token="{verdict}"}} (\d+)', text)
        return int(found[1]) if found else 0

    async def newest(self) -> int:
        """The number of the newest segment on air; 0: none."""
        text = await self.get(live_path("tests", "channel") + "/v144/media.m3u8")
        return max(map(int, re.findall(r"^(\d+)\.m4s", text, re.MULTILINE)), default=0)

    async def until_more_than(self, segment: int) -> int:
        async with asyncio.timeout(WAIT_S):
            while (newest := await self.newest()) <= segment:  # noqa: ASYNC110 - another process
                await asyncio.sleep(POLL_S)
        return newest

    async def until_judged(self, verdict: str, more_than: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while await self.judged(verdict) <= more_than:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)


async def test_an_encoder_follows_its_token(tmp_path: Path) -> None:
    keys, file = tmp_path / "keys", tmp_path / "token"
    put(keys, OLD)
    old, new = (token_of(key, "tests", "channel") for key in (OLD, NEW))
    options = ("--ingest-keys-file", str(keys))
    async with (
        origin_process(tmp_path / "data", *options) as (_, url),
        aiohttp.ClientSession() as http,
    ):
        origin = Watcher(http, url)
        config = make_config(sizes=SMALL, segment_frames=30, ingest_url=url)
        process = await start(
            config.to_json(),
            *("--grpc-host", "127.0.0.1", "--grpc-port", "0", "--metrics-port", "0"),
            *("--ingest-token-file", str(file)),
        )
        try:
            await origin.until_judged("missing", 0)
            assert await origin.newest() == 0
            put(file, old.encode())
            first = await origin.until_more_than(0)
            put(keys, NEW)
            await origin.until_judged("refused", 0)
            put(file, new.encode() + b"\n")
            await origin.until_more_than(first + 1)
            text = await origin.get("/metrics")
            assert 'gaps_total{namespace="tests",channel="channel"} 0' in text, "it was sent again"
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = await process.communicate()
    assert process.returncode == 0
    assert b": 401 " in log
    assert b": 403 " in log
    assert old.encode() not in log
    assert new.encode() not in log
