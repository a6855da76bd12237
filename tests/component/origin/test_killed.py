"""An origin that is killed: what it had acknowledged is there, and publishing goes on.

Real processes over a folder and over a bucket. The encoder pushes while the origin dies, and again
what had no answer, as encoders do.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import aiohttp
import pytest
from hack.s3_server import BUCKET, S3Server, s3_server
from tests.component.origin.cmaf_maker import FIRST
from tests.component.origin.studio import Encoder, Studio
from tests.component.origin.test_process import origin_process

TRACKS = ("v0", "v1", "audio")
SEGMENTS = 4  # pushed before the kill, at least


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["folder", "bucket"])
def kept(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Iterator[str]]:
    """What each next process is told of its data; a bucket's begins with an empty folder."""
    if request.param == "folder":

        def folders() -> Iterator[str]:
            while True:
                yield str(tmp_path / "data")

        yield folders()
        return
    server: S3Server = request.getfixturevalue("server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)

    def caches() -> Iterator[str]:
        for number in range(10):
            monkeypatch.setenv("HITLESS_ORIGIN_CACHE", str(tmp_path / str(number)))
            yield f"s3://{BUCKET}/killed/{re.sub('[^a-z0-9]', '-', request.node.name)}"

    yield caches()


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    """A client only."""
    studio = Studio(tmp_path)
    async with studio.client():
        yield studio


async def push_until_refused(
    encoder: Encoder, answers: dict[tuple[int, str], int], count: int, reached: asyncio.Event
) -> None:
    """One segment after the other; leaves when there is no answer any more."""
    segment = FIRST
    try:
        while True:
            for track in TRACKS:
                answers[segment, track] = (await encoder.track(track, segment, 1)).status
                if len(answers) == count:
                    reached.set()
            segment += 1
    except (aiohttp.ClientError, OSError):
        return


async def answers_now(studio: Studio) -> dict[str, bytes]:
    names = ["master.m3u8", *(f"{track}/media.m3u8" for track in TRACKS)]
    return {name: (await studio.get(name)).body for name in names}


@pytest.mark.parametrize("more", [0, 2])
async def test_what_was_acknowledged_is_there(
    studio: Studio, kept: Iterator[str], more: int
) -> None:
    answers: dict[tuple[int, str], int] = {}
    async with origin_process(next(kept)) as (process, studio.url):
        [a] = await studio.ready("a")
        count, reached = len(TRACKS) * SEGMENTS + more, asyncio.Event()
        pushing = asyncio.create_task(push_until_refused(a, answers, count, reached))
        await reached.wait()
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await pushing
    assert set(answers.values()) == {201}
    last = max(segment for segment, _ in answers)
    whole = [k for k in range(FIRST, last + 1) if all((k, t) in answers for t in TRACKS)]
    async with origin_process(next(kept)) as (_, studio.url):
        numbers = await studio.numbers()
        # one more may be there, of which the last answer was lost
        assert numbers in (whole, [*whole, whole[-1] + 1])
        for segment, track in answers:
            status = (await a.track(track, segment, 1)).status
            assert status == 200 or segment in numbers, "pushed again: it is held, or on air"
        for k in numbers:
            for track in TRACKS:
                assert (await studio.get(f"{track}/{k}.m4s")).body == a.media(track, k)
        for k in range(numbers[-1] + 1, numbers[-1] + 3):  # nobody introduces himself again
            assert set(await a.push(k, 1)) <= {200, 201}
        assert await studio.numbers() == [*range(FIRST, numbers[-1] + 3)]
        report = await studio.report()
        assert (report.gaps, report.fallbacks, report.mismatches) == (0, 0, 0)


async def test_a_kill_changes_no_byte_of_what_viewers_saw(
    studio: Studio, kept: Iterator[str]
) -> None:
    before: Mapping[str, bytes] = {}
    for round_number in range(3):
        async with origin_process(next(kept)) as (process, studio.url):
            if before:
                assert await answers_now(studio) == before
            old, new = studio.encoder("old"), studio.encoder("new")
            if not before:
                await old.introduce()
                await new.introduce()
            for k in range(FIRST + 4 * round_number, FIRST + 4 * (round_number + 1)):
                known = 200 if before and k == FIRST + 4 * round_number else 201
                assert await old.push(k, 1 + 2 * round_number) == [known, 201, 201]
                assert set(await new.push(k, 2 * round_number)) <= {201}
            before = await answers_now(studio)
            assert (await old.track("v0", k + 1, 1 + 2 * round_number)).status == 201
            process.send_signal(signal.SIGKILL)
            await process.wait()
