"""DASH low latency: the MPD by number, and the segment in the making."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from mpegdash.parser import MPEGDASHParser
from tests.component.origin.cmaf_maker import FIRST, PAL, SHORT_GOPS, describe
from tests.component.origin.editions import Differing
from tests.component.origin.studio import DEADLINE_US, SEGMENT_US, Studio, running

from hitless_wire.ingest import live_path

PARTS = 10
NEXT = FIRST + 1
READ_S_MAX = 60


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    async with running(tmp_path / "data") as studio:
        studio.description = describe(SHORT_GOPS, part_frames=5)
        yield studio


class Stream:
    """An answer that is under way."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.got = b""

    async def until(self, size: int) -> bytes:
        """What has come, at least so many bytes."""
        async with asyncio.timeout(READ_S_MAX):
            while len(self.got) < size:
                self.got += await self.response.content.readany()
                assert not self.response.content.at_eof() or len(self.got) >= size
        return self.got

    async def rest(self) -> bytes:
        """Everything. Raises ClientPayloadError if it broke off."""
        async with asyncio.timeout(READ_S_MAX):
            self.got += await self.response.content.read()
        return self.got


@asynccontextmanager
async def streaming(studio: Studio, name: str) -> AsyncIterator[Stream]:
    async with aiohttp.ClientSession(headers={"Accept-Encoding": "identity"}) as http:
        path = f"{studio.url}{live_path('demo', 'news')}/{name}"
        async with http.get(path) as response:
            assert response.status == 200
            yield Stream(response)


async def _waiting(studio: Studio, count: int) -> None:
    while True:
        text = (await studio.call("GET", "/metrics")).text
        if f"hitless_origin_waiting_reloads {count}" in text.splitlines():
            return


async def _begun(studio: Studio, *names: str) -> None:
    encoders = await studio.ready(*names)
    await encoders[0].push(FIRST, 1)


@pytest.mark.parametrize("name", [f"{NEXT}.m4s", f"t{NEXT * 50_000}.m4s"])
async def test_a_segment_comes_while_it_is_made(studio: Studio, name: str) -> None:
    await _begun(studio, "a")
    a = studio.encoder("a")
    await a.part(NEXT, 0, 1)
    async with streaming(studio, f"v0/{name}") as stream:
        assert stream.response.headers["Transfer-Encoding"] == "chunked"
        assert stream.response.headers["Content-Type"] == "video/mp4"
        assert stream.response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        sent = b""
        for part in range(PARTS):
            await a.part(NEXT, part, 1)
            sent += a.part_bytes("v0", NEXT, part)
            assert await stream.until(len(sent)) == sent
        assert await stream.rest() == a.media("v0", NEXT)
    assert (await studio.get(f"v0/{name}")).body == sent
    await _waiting(studio, 0)


async def test_who_comes_too_early_waits_for_the_first_part(studio: Studio) -> None:
    await _begun(studio, "a")
    a = studio.encoder("a")
    early = asyncio.create_task(studio.get(f"audio/{NEXT}.m4s"))
    await _waiting(studio, 1)
    for part in range(PARTS):
        await a.part(NEXT, part, 1)
    assert (await early).body == a.media("audio", NEXT)
    # one more may be asked for, as by a player whose clock is ahead of a late encoder
    after = asyncio.create_task(studio.get(f"audio/{NEXT + 2}.m4s"))
    await _waiting(studio, 1)
    assert (await studio.get(f"audio/{NEXT + 3}.m4s")).status == 404
    await a.push(NEXT + 1, 1)
    await a.push(NEXT + 2, 1)
    assert (await after).body == a.media("audio", NEXT + 2)


async def test_it_is_refused_when_nothing_comes(studio: Studio) -> None:
    await _begun(studio, "a")
    asked = asyncio.create_task(studio.get(f"v0/{NEXT}.m4s"))
    await _waiting(studio, 1)
    await studio.wait(3 * SEGMENT_US)
    answer = await asked
    assert (answer.status, answer.headers["Retry-After"]) == (404, "2")


async def test_another_encoder_of_the_same_bytes_goes_on(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    a.filler = b.filler = b"deterministic"
    await a.push(FIRST, 1)
    await a.part(NEXT, 0, 1)
    async with streaming(studio, f"v0/{NEXT}.m4s") as stream:
        await stream.until(len(a.part_bytes("v0", NEXT, 0)))
        for part in range(PARTS):  # a is dead
            await b.part(NEXT, part, 0)
        await studio.wait(DEADLINE_US)
        assert await stream.rest() == b.media("v0", NEXT)


async def test_it_breaks_off_when_another_encoders_segment_is_published(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 1)
    for part in range(3):
        await a.part(NEXT, part, 1)
    async with streaming(studio, f"v0/{NEXT}.m4s") as stream:
        sent = b"".join(a.part_bytes("v0", NEXT, part) for part in range(3))
        assert await stream.until(len(sent)) == sent
        await b.push(NEXT, 2)
        await studio.wait(DEADLINE_US)
        with pytest.raises(aiohttp.ClientPayloadError):
            await stream.rest()
        assert sent.startswith(stream.got) or stream.got == sent
    assert (await studio.get(f"v0/{NEXT}.m4s")).body == b.media("v0", NEXT)
    await _waiting(studio, 0)


async def test_it_breaks_off_when_the_parts_are_of_two_encoders(studio: Studio) -> None:
    """Viewers of parts go on at the next GOP; but what is published whole is another's."""
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 1)
    for part in range(PARTS // 2):
        await a.part(NEXT, part, 1)
    async with streaming(studio, f"v0/{NEXT}.m4s") as stream:
        await stream.until(1)
        for part in range(PARTS):
            await b.part(NEXT, part, 2)
        await studio.wait(DEADLINE_US)
        with pytest.raises(aiohttp.ClientPayloadError):
            await stream.rest()
    assert (await studio.get(f"v0/{NEXT}.m4s")).body == b.media("v0", NEXT)


async def test_it_breaks_off_when_a_part_is_skipped_or_never_comes(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 1)
    for part in range(2):
        await a.part(NEXT, part, 1)
    async with streaming(studio, f"v0/{NEXT}.m4s") as stream:
        await stream.until(1)
        await _waiting(studio, 1)
        await b.part(NEXT, 5, 1)
        await studio.wait(300_000)
        with pytest.raises(aiohttp.ClientPayloadError):
            await stream.rest()
    async with streaming(studio, f"v0/{NEXT}.m4s") as stream:
        with pytest.raises(aiohttp.ClientPayloadError):
            await stream.rest()


async def test_it_breaks_off_when_the_encoder_is_dead_and_alone(studio: Studio) -> None:
    await _begun(studio, "a")
    await studio.encoder("a").part(NEXT, 0, 1)
    async with streaming(studio, f"v0/{NEXT}.m4s") as stream:
        await stream.until(1)
        await _waiting(studio, 1)
        await studio.wait(3 * SEGMENT_US)
        with pytest.raises(aiohttp.ClientPayloadError):
            await stream.rest()
    await _waiting(studio, 0)


async def test_it_breaks_off_when_the_origin_closes(studio: Studio) -> None:
    await _begun(studio, "a")
    await studio.encoder("a").part(NEXT, 0, 1)
    async with streaming(studio, f"v0/{NEXT}.m4s") as stream:
        await stream.until(1)
        await _waiting(studio, 1)
        assert studio.runner is not None
        closing = asyncio.create_task(studio.runner.cleanup())
        with pytest.raises(aiohttp.ClientPayloadError):
            await stream.rest()
        await closing


async def test_a_segment_that_never_had_its_first_part_comes_whole(studio: Studio) -> None:
    await _begun(studio, "a")
    a = studio.encoder("a")
    await studio.restart()  # parts are forgotten
    await a.introduce()
    asked = asyncio.create_task(studio.get(f"v0/{NEXT}.m4s"))
    await _waiting(studio, 1)
    await a.push(NEXT, 1)
    answer = await asked
    assert answer.body == a.media("v0", NEXT)


async def test_an_old_client_gets_it_whole(studio: Studio) -> None:
    """HTTP/1.0 can't tell an answer that breaks off from one that has ended."""
    await _begun(studio, "a")
    a = studio.encoder("a")
    await a.part(NEXT, 0, 1)
    port = int(studio.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path = f"{live_path('demo', 'news')}/v0/{NEXT}.m4s"
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    await _waiting(studio, 1)
    for part in range(1, PARTS):
        await a.part(NEXT, part, 1)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert b"Content-Length" in head
    assert body == a.media("v0", NEXT)
    writer.close()
    await writer.wait_closed()


async def test_head_tells_and_sends_nothing(studio: Studio) -> None:
    await _begun(studio, "a")
    await studio.encoder("a").part(NEXT, 0, 1)
    answer = await studio.call("HEAD", f"{live_path('demo', 'news')}/v0/{NEXT}.m4s")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"] == "video/mp4"
    await _waiting(studio, 0)


async def test_a_client_that_leaves_leaves_nothing(studio: Studio) -> None:
    await _begun(studio, "a")
    await studio.encoder("a").part(NEXT, 0, 1)
    async with streaming(studio, f"v0/{NEXT}.m4s") as stream:
        await stream.until(1)
        await _waiting(studio, 1)
        stream.response.close()
        await _waiting(studio, 0)


async def test_streams_are_bounded_like_all_that_wait(studio: Studio) -> None:
    await studio.stop()
    studio.settings = replace(studio.settings, waiting_max=1)
    await studio.start()
    await _begun(studio, "a")
    first = asyncio.create_task(studio.get(f"v0/{NEXT}.m4s"))
    await _waiting(studio, 1)
    assert (await studio.get(f"v0/{NEXT}.m4s")).status == 503
    await studio.encoder("a").push(NEXT, 1)
    assert (await first).status == 200


async def test_a_name_of_another_edition_is_absent(studio: Studio) -> None:
    """A player that has not seen the new Period yet gets no pictures for its old decoder."""
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    revision = _template((await studio.get("numbered.mpd")).text).media.partition("?v=")[2]
    assert (await studio.get(f"v0/{FIRST}.m4s?v={revision}")).status == 200
    assert (await studio.get(f"v0/{FIRST}.m4s?v=0")).status == 404
    b = Differing(studio, "b", describe(PAL))
    b.salt = b"another encoder's"
    await b.introduce()
    await b.push(NEXT, 2)
    assert (await studio.get(f"v0/{NEXT}.m4s?v={revision}")).status == 404
    assert (await studio.get(f"v0/{NEXT}.m4s")).status == 200
    periods = MPEGDASHParser.parse((await studio.get("numbered.mpd")).text).periods
    assert [period.id for period in periods] == ["0", str(NEXT)]


async def test_the_mpd_by_number_promises_what_comes(studio: Studio) -> None:
    await _begun(studio, "a")
    text = (await studio.get("numbered.mpd")).text
    template = _template(text)
    assert template.availability_time_offset == 1.786666  # the longest part is of sound
    assert 'availabilityTimeComplete="false"' in text  # mpegdash takes any text for true
    assert 'availabilityStartTime="1970-01-01T00:00:00Z"' in text
    assert (template.duration, template.timescale, template.start_number) == (50_000, 25_000, 0)
    # the segment in the making, as a player counts it
    now_us = studio.clock.wall_us() + SEGMENT_US + 200_000
    number = now_us * template.timescale // (template.duration * 1_000_000)
    assert number == NEXT
    asked = asyncio.create_task(studio.get(f"v0/{number}.m4s"))
    await _waiting(studio, 1)
    a = studio.encoder("a")
    for part in range(PARTS):
        await a.part(NEXT, part, 1)
    assert (await asked).body == a.media("v0", NEXT)


def _template(text: str):  # type: ignore[no-untyped-def]  # mpegdash has no types
    return MPEGDASHParser.parse(text).periods[0].adaptation_sets[0].segment_templates[0]
