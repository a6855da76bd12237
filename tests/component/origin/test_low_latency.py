"""Blocking reloads, the hinted part, and how many may wait."""

from __future__ import annotations

import asyncio
import gzip
import random
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import m3u8
import pytest
from tests.component.origin.cmaf_maker import FIRST, SHORT_GOPS, describe
from tests.component.origin.studio import Answer, Studio, running

from hitless_cli.probe.follower import Follower, StallLimits, observe
from hitless_cli.probe.playlist import read_media
from hitless_cli.probe.settings import StartAt
from hitless_wire.ingest import live_path

PARTS = 10
TARGET_US = 2_000_000
NEXT = FIRST + 1


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    async with running(tmp_path / "data") as studio:
        studio.description = describe(SHORT_GOPS, part_frames=5)
        yield studio


async def _waiting(studio: Studio, count: int) -> None:
    """Return when exactly so many requests wait."""
    while True:
        text = (await studio.call("GET", "/metrics")).text
        if f"hitless_origin_waiting_reloads {count}" in text.splitlines():
            return


def _ask(studio: Studio, query: str, track: str = "v0") -> asyncio.Task[Answer]:
    return asyncio.create_task(studio.get(f"{track}/media.m3u8?{query}"))


def _end(text: str) -> list[str]:
    """The names of the last whole segment, and of what comes after it."""
    parsed = m3u8.loads(text)
    whole = [entry.uri for entry in parsed.segments if entry.uri][-1:]
    return [*whole, *(p.uri for entry in parsed.segments if not entry.uri for p in entry.parts)]


async def test_a_reload_wakes_on_exactly_the_next_part(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    first, second = (_ask(studio, f"_HLS_msn={NEXT}&_HLS_part={p}") for p in (0, 1))
    await _waiting(studio, 2)
    await a.part_track("v0", NEXT, 0, 1)
    await a.part_track("v1", NEXT, 0, 1)
    assert not first.done()
    await a.part_track("audio", NEXT, 0, 1)
    answer = await first
    assert answer.status == 200
    assert _end(answer.text) == [f"{FIRST}.m4s", f"{NEXT}.0.m4s"]
    assert answer.headers["Cache-Control"] == "public, max-age=12"
    await _waiting(studio, 1)
    await a.part(NEXT, 1, 1)
    assert _end((await second).text) == [f"{FIRST}.m4s", f"{NEXT}.0.m4s", f"{NEXT}.1.m4s"]
    plain = await studio.get("v0/media.m3u8")
    assert plain.body == second.result().body
    assert plain.headers["Cache-Control"] == "public, max-age=1"
    await _waiting(studio, 0)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "headers",
    [{}, {"Accept-Encoding": "gzip"}, {"If-None-Match": '"x"'}, {"Connection": "close"}],
    ids=["plain", "gzip", "tag", "close"],
)
async def test_who_has_waited_gets_what_others_get(
    studio: Studio, method: str, headers: dict[str, str]
) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    for part in range(2):  # the second on the connection of the first
        path = f"{live_path('demo', 'news')}/v0/media.m3u8?_HLS_msn={NEXT}&_HLS_part={part}"
        waiting = asyncio.create_task(studio.call(method, path, headers=headers))
        await _waiting(studio, 1)
        await a.part(NEXT, part, 1)
        waited, asked = await waiting, await studio.call(method, path, headers=headers)
        assert (waited.status, waited.body) == (asked.status, asked.body)
        assert {**waited.headers, "Date": ""} == {**asked.headers, "Date": ""}


async def test_a_reload_for_a_segment_waits_for_the_whole(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    whole, beyond = _ask(studio, f"_HLS_msn={NEXT}"), _ask(studio, f"_HLS_msn={NEXT}&_HLS_part=10")
    await _waiting(studio, 2)
    for part in range(PARTS):
        assert not whole.done()
        await a.part(NEXT, part, 1)
    assert _end((await whole).text) == [f"{NEXT}.m4s"]
    await _waiting(studio, 1)
    await a.part(NEXT + 1, 0, 1)  # after the last part comes the next segment's first
    assert _end((await beyond).text) == [f"{NEXT}.m4s", f"{NEXT + 1}.0.m4s"]


async def test_what_is_there_is_answered_at_once(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await a.part(NEXT, 0, 1)
    plain = await studio.get("audio/media.m3u8")
    for query in (
        "_HLS_msn=0",
        f"_HLS_msn={FIRST}",
        f"_HLS_msn={FIRST}&_HLS_part=9",
        f"_HLS_msn={FIRST}&_HLS_part=99",
        f"_HLS_msn={NEXT}&_HLS_part=0",
        "_HLS_skip=YES",
    ):
        answer = await studio.get(f"audio/media.m3u8?{query}")
        assert (answer.status, answer.body) == (200, plain.body)
        packed = await studio.get(f"audio/media.m3u8?{query}", Accept_Encoding="gzip")
        assert gzip.decompress(packed.body) == plain.body


@pytest.mark.parametrize(
    "query",
    [
        "_HLS_part=0",
        f"_HLS_msn={FIRST + 3}",
        f"_HLS_msn={FIRST + 3}&_HLS_part=0",
        "_HLS_msn=-1",
        "_HLS_msn=",
        "_HLS_msn=x",
        f"_HLS_msn={NEXT}&_HLS_part=-1",
        f"_HLS_msn={NEXT}&_HLS_part=1.5",
        "_HLS_msn=99999999999999999999",
    ],
)
async def test_directives_that_cannot_be_followed_are_said(studio: Studio, query: str) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    answer = await studio.get(f"v0/media.m3u8?{query}")
    assert (answer.status, answer.headers["Cache-Control"]) == (400, "no-store")
    assert "_HLS_" in answer.text


async def test_a_reload_is_held_for_three_target_durations(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    asked, hinted = (
        _ask(studio, f"_HLS_msn={NEXT}"),
        asyncio.create_task(studio.get(f"v0/{NEXT}.0.m4s")),
    )
    await _waiting(studio, 2)
    await studio.wait(3 * TARGET_US - 1)
    await _waiting(studio, 2)
    await studio.wait(1)
    answer = await asked
    assert (answer.status, answer.headers["Cache-Control"]) == (503, "no-store")
    assert answer.headers["Retry-After"] == "1"
    assert (await hinted).status == 404
    await _waiting(studio, 0)


async def test_a_reload_that_waits_learns_of_a_gap(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    asked = _ask(studio, f"_HLS_msn={NEXT}&_HLS_part=0")
    await _waiting(studio, 1)
    await a.push(NEXT + 1, 1)
    assert not asked.done()
    await studio.wait(3_000_000)
    assert _end((await asked).text) == [f"{NEXT + 1}.m4s"]


async def test_the_hinted_part_comes_as_soon_as_it_is_there(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    for part in range(PARTS):
        playlist = await studio.playlist("audio")
        assert playlist.preload_hint.hint_type == "PART"
        assert playlist.preload_hint.uri == f"{NEXT}.{part}.m4s"
        hinted = asyncio.create_task(studio.get(f"audio/{NEXT}.{part}.m4s"))
        await _waiting(studio, 1)
        assert (await studio.get(f"audio/{NEXT}.{part + 1}.m4s")).status == 404  # not hinted
        await a.part(NEXT, part, 1)
        answer = await hinted
        assert answer.body == a.part_bytes("audio", NEXT, part)
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Type"] == "audio/mp4"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert (await studio.playlist()).preload_hint.uri == f"{NEXT + 1}.0.m4s"
    assert (await studio.get(f"v9/{NEXT}.0.m4s")).status == 404


async def test_a_hinted_part_that_is_skipped_is_absent(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 1)
    for part in range(2):
        await a.part(NEXT, part, 1)
    hinted = asyncio.create_task(studio.get(f"v0/{NEXT}.2.m4s"))
    await _waiting(studio, 1)
    await b.part(NEXT, 5, 1)
    await studio.wait(300_000)
    assert (await hinted).status == 404
    assert (await studio.playlist()).preload_hint.uri == f"{NEXT}.6.m4s"


async def test_a_thousand_wait_for_one_part(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    path = f"{studio.url}{live_path('demo', 'news')}/v0/media.m3u8"
    asked = f"{path}?_HLS_msn={NEXT}&_HLS_part=0"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:

        async def viewer() -> tuple[int, bytes]:
            async with http.get(asked) as answer:
                return answer.status, await answer.read()

        viewers = [asyncio.create_task(viewer()) for _ in range(1000)]
        await _waiting(studio, 1000)
        await a.part(NEXT, 0, 1)
        answers = set(await asyncio.gather(*viewers))
    assert answers == {(200, (await studio.get("v0/media.m3u8")).body)}
    await _waiting(studio, 0)


async def test_no_more_wait_than_allowed(studio: Studio) -> None:
    await studio.stop()
    studio.settings = replace(studio.settings, waiting_max=2)
    await studio.start()
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    waiting = [_ask(studio, f"_HLS_msn={NEXT}") for _ in range(2)]
    await _waiting(studio, 2)
    refused = await studio.get(f"v0/media.m3u8?_HLS_msn={NEXT}")
    assert (refused.status, refused.text) == (503, "too many requests wait already\n")
    assert (await studio.get(f"v0/media.m3u8?_HLS_msn={FIRST}")).status == 200
    await a.push(NEXT, 1)
    assert [(await each).status for each in waiting] == [200, 200]


async def test_nobody_waits_for_a_client_that_has_gone(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    async with aiohttp.ClientSession() as http:
        path = f"{studio.url}{live_path('demo', 'news')}/v0/media.m3u8?_HLS_msn={NEXT}"
        asked = asyncio.create_task(http.get(path))
        await _waiting(studio, 1)
        asked.cancel()
        await asyncio.wait([asked])
        await _waiting(studio, 0)
    assert (await a.track("v0", NEXT, 1)).status == 201


async def test_who_waits_is_told_when_the_origin_closes(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    asked = _ask(studio, f"_HLS_msn={NEXT}")
    await _waiting(studio, 1)
    assert studio.runner is not None
    closing = asyncio.create_task(studio.runner.cleanup())
    answer = await asked
    assert (answer.status, answer.text) == (503, "the origin is closing\n")
    await closing


async def test_who_waits_is_told_when_the_channel_closes(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await studio.wait(21 * 1_000_000)
    asked = _ask(studio, f"_HLS_msn={NEXT}")
    await _waiting(studio, 1)
    assert (await a.describe(describe(SHORT_GOPS))).status == 201
    assert (await asked).status == 503


async def test_playlists_of_all_tracks_report_each_other(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await a.push(NEXT, 1)
    assert await _reports(studio, "v0") == [
        ("../v1/media.m3u8", NEXT, PARTS - 1),
        ("../audio/media.m3u8", NEXT, PARTS - 1),
    ]
    await a.part(NEXT + 1, 0, 1)
    assert await _reports(studio, "audio") == [
        ("../v0/media.m3u8", NEXT + 1, 0),
        ("../v1/media.m3u8", NEXT + 1, 0),
    ]


async def _reports(studio: Studio, track: str) -> list[tuple[str, int, int]]:
    reports = (await studio.playlist(track)).rendition_reports
    return [(r.uri, int(r.last_msn), int(r.last_part)) for r in reports]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_pushed_viewers_see_one_version_of_each_part(
    studio: Studio, seed: int
) -> None:
    rng = random.Random(seed)
    encoders = await studio.ready("a", "b")
    if seed % 2:
        encoders[0].filler = encoders[1].filler = b"deterministic"
    await encoders[0].push(FIRST, 1)
    viewers = [_Viewer(studio, track) for track in ("v0", "audio")]
    for segment in range(NEXT, NEXT + 6):
        for part in range(PARTS):
            for encoder in encoders:
                if rng.random() < 0.85:
                    await encoder.part(segment, part, rng.choice((0, 1, segment - FIRST)))
            if rng.random() < 0.4:
                await studio.wait(rng.randrange(400_000))
            for viewer in viewers:
                await viewer.look()
        for encoder in encoders:
            if rng.random() < 0.7:
                await encoder.push(segment, 1)
    await studio.wait(10_000_000)
    for viewer in viewers:
        await viewer.look()
        await viewer.fetch_again()
        assert sum(body is not None for body in viewer.seen.values()) > 2 * PARTS


class _Viewer:
    """Compares each playlist with the last one, as the probe does, and each part with its bytes."""

    def __init__(self, studio: Studio, track: str) -> None:
        self.seen: dict[str, bytes | None] = {}  # by name; None: a gap
        self._studio, self._track = studio, track
        self._listed: list[Any] = []
        self._follower = Follower(start_at=StartAt.FIRST)

    async def look(self) -> None:
        text = (await self._studio.get(f"{self._track}/media.m3u8")).text
        self._follower, observed = observe(
            self._follower,
            read_media(text, "http://origin/media.m3u8"),
            StallLimits(stall_percent=150, stall_tolerance_s=3),
            asked_s=0,
            received_s=0,
        )
        assert observed.findings == ()
        playlist = m3u8.loads(text)
        self._listed = [part for entry in playlist.segments for part in entry.parts]
        for part in self._listed:
            if part.uri not in self.seen:
                self.seen[part.uri] = await self._fetch(part)
            assert (self.seen[part.uri] is None) == (part.gap == "YES")
        assert playlist.preload_hint.uri not in self.seen

    async def fetch_again(self) -> None:
        for part in self._listed:
            assert await self._fetch(part) == self.seen[part.uri]

    async def _fetch(self, part: Any) -> bytes | None:
        answer = await self._studio.get(f"{self._track}/{part.uri}")
        assert answer.status == (404 if part.gap == "YES" else 200)
        return None if part.gap == "YES" else answer.body


async def _connect(studio: Studio, receive_bytes: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    made.setblocking(False)
    port = int(studio.url.rpartition(":")[2])
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    return made


async def _answers(made: socket.socket, count: int) -> list[tuple[bytes, bytes]]:
    """Heads and bodies of the next answers on a connection; nothing may come after them."""
    got, found = b"", list[tuple[bytes, bytes]]()
    while len(found) < count:
        more = await asyncio.get_running_loop().sock_recv(made, 1 << 16)
        assert more, got
        got += more
        while (length := re.search(rb"\r\nContent-Length: (\d+)\r\n", got)) is not None:
            head, _, rest = got.partition(b"\r\n\r\n")
            if len(rest) < int(length[1]):
                break
            found.append((head, rest[: int(length[1])]))
            got = rest[int(length[1]) :]
    assert not got
    return found


def _request(query: str, *headers: str) -> bytes:
    path = f"{live_path('demo', 'news')}/v0/media.m3u8{query}"
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: x", *headers, "", "")).encode()


async def test_requests_in_a_row_are_answered_in_order(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    loop = asyncio.get_running_loop()
    with await _connect(studio, 1 << 16) as made:
        row = [f"?_HLS_msn={NEXT}&_HLS_part={part}" for part in range(3)]
        await loop.sock_sendall(made, b"".join(map(_request, (*row, ""))))
        for part in range(3):
            await _waiting(studio, 1)
            await a.part(NEXT, part, 1)
        answers = await _answers(made, 4)
    assert all(head.startswith(b"HTTP/1.1 200 ") for head, _ in answers)
    assert [_end(body.decode())[-1] for _, body in answers] == [
        *(f"{NEXT}.{part}.m4s" for part in range(3)),
        f"{NEXT}.2.m4s",
    ]


async def test_who_waits_for_the_same_gets_what_each_accepts(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    loop, query = asyncio.get_running_loop(), f"?_HLS_msn={NEXT}&_HLS_part=0"
    kinds = ((), ("Accept-Encoding: gzip",), ("Connection: close",), ('If-None-Match: "x"',))
    made = [await _connect(studio, 1 << 16) for _ in kinds * 2]
    for each, headers in zip(made, kinds * 2, strict=True):
        await loop.sock_sendall(each, _request(query, *headers))
    await _waiting(studio, len(made))
    await a.part(NEXT, 0, 1)
    plain = (await studio.get("v0/media.m3u8")).body
    for each, headers in zip(made, kinds * 2, strict=True):
        with each:
            [(head, body)] = await _answers(each, 1)
            packed = "Accept-Encoding: gzip" in headers
            assert (b"Content-Encoding: gzip" in head) == packed
            assert (gzip.decompress(body) if packed else body) == plain
            assert (b"\r\nConnection: close" in head) == ("Connection: close" in headers)


async def test_who_does_not_read_holds_up_nobody(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    loop, before, query = asyncio.get_running_loop(), 500, f"?_HLS_msn={NEXT}&_HLS_part=0"
    with await _connect(studio, 1 << 10) as slow, await _connect(studio, 1 << 16) as quick:
        row = _request("") * before + _request(query)
        writing = asyncio.create_task(loop.sock_sendall(slow, row))
        await loop.sock_sendall(quick, _request(query))
        while "waiting_reloads 0" in (await studio.call("GET", "/metrics")).text:
            pass
        await a.part(NEXT, 0, 1)
        [(_, newest)] = await _answers(quick, 1)
        late = await _answers(slow, before + 1)
        await writing
    assert all(head.startswith(b"HTTP/1.1 200 ") for head, _ in late)
    assert late[-1][1] == newest
