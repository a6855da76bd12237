"""The origin over a real S3 server (versitygw): everything comes back from the bucket alone.

The cache is emptied at each start, so every restart here is one on a new machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hack.s3_server import BUCKET, S3Server, s3_server
from tests.component.origin.cmaf_maker import FIRST
from tests.component.origin.studio import DEADLINE_US, SEGMENT_US, Studio, running
from tests.component.origin.test_editions import (  # noqa: F401 also with a bucket
    test_a_restart_changes_no_byte,
    test_nothing_is_taken_before_all_init_segments,
    test_the_boundary_leaves_and_is_counted,
)
from tests.component.origin.test_publishing import (  # noqa: F401
    test_a_restarted_origin_goes_on_where_it_was,
    test_a_silent_channel_may_become_another,
    test_a_silent_channel_may_come_back_with_other_init_segments,
)

from hitless_origin.__main__ import storage_of
from hitless_origin.errors import StartError
from hitless_origin.objects import BucketError, Object, Objects
from hitless_origin.origin import Origin

TRACKS = ("v0", "v1", "audio")
LISTED_OUTSIDE = Objects.listed_outside


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(
    server: S3Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A prefix of its own for each test."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{request.node.name.replace('_', '-')}"


@pytest.fixture
async def studio(tmp_path: Path, bucket: str) -> AsyncIterator[Studio]:
    async with running(tmp_path / "cache", bucket) as studio:
        yield studio


def objects(server: S3Server, bucket: str) -> list[str]:
    """What the test's channel has in the bucket."""
    prefix = f"{bucket.rpartition('/')[2]}/channels/demo/news/"
    return [name.removeprefix(prefix) for name in server.files() if name.startswith(prefix)]


async def test_an_empty_machine_gives_the_same_answers(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    for k in range(FIRST, FIRST + 4):
        await a.push(k, 1)
        await b.push(k, 0)
    assert await a.track("v0", FIRST + 4, 1) is not None  # acknowledged, undecided
    names = ["master.m3u8", *(f"{track}/media.m3u8" for track in TRACKS)]
    names += [f"{track}/{k}.m4s" for track in TRACKS for k in range(FIRST, FIRST + 4)]
    names += [f"{track}/init.mp4" for track in TRACKS]
    before = [(await studio.get(name)).body for name in names]
    report = await studio.report()
    await studio.restart()
    assert not list(studio.settings.data.rglob("live/*/*.m4s"))
    assert [(await studio.get(name)).body for name in names] == before
    after = await studio.report()
    assert (after.first_segment, after.last_segment) == (FIRST, FIRST + 3)
    assert (after.fallbacks, after.gaps) == (report.fallbacks, 0)
    assert (await a.track("v0", FIRST + 4, 1)).status == 200, "it was kept"
    assert [(await a.track(track, FIRST + 4, 1)).status for track in TRACKS[1:]] == [201, 201]
    assert await studio.numbers() == [*range(FIRST, FIRST + 5)]


async def test_ranges_of_a_segment_that_has_to_be_fetched(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await studio.restart()
    asked = [studio.get(f"v0/{FIRST}.m4s", Range=f"bytes={n}-{n + 9}") for n in range(20)]
    answers = await asyncio.gather(*asked)
    body = a.media("v0", FIRST)
    assert [answer.body for answer in answers] == [body[n : n + 10] for n in range(20)]
    assert {answer.status for answer in answers} == {206}


async def test_what_left_the_window_leaves_the_bucket(
    studio: Studio, server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitless_origin.bucket.JOURNAL_OBJECTS_MAX", 8)
    a, b = await studio.ready("a", "b")
    for k in range(FIRST, FIRST + 40):
        await b.push(k, 0)  # the standby is first, so what it pushes is stored, and let go again
        await a.push(k, 1)
        studio.clock.move(SEGMENT_US)
    await studio.origin.settle()
    found = objects(server, bucket)
    segments = {int(name.split("/")[1]) for name in found if name.startswith("media/")}
    assert max(segments) == FIRST + 39
    assert len(segments) <= 24, "20 s of window, as much of margin, segments of 2 s"
    assert sum(name.startswith("media/") for name in found) == 3 * len(segments)
    assert sum(name.startswith("journal/") for name in found) <= 9
    before = (await studio.get("v0/media.m3u8")).body
    await studio.restart()
    assert (await studio.get("v0/media.m3u8")).body == before
    assert await a.push(FIRST + 40, 1) == [201, 201, 201]
    report = await studio.report()
    assert (report.last_segment, report.gaps) == (FIRST + 40, 0)


async def test_an_index_stands_for_a_list_of_the_window(
    studio: Studio, server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitless_origin.bucket.JOURNAL_OBJECTS_MAX", 4)
    a, b = await studio.ready("a", "b")
    for k in range(FIRST, FIRST + 9):
        await a.push(k, 1)
    await b.push(FIRST + 9, 1)
    await a.track("v0", FIRST + 10, 1)
    asked: list[int] = []

    def some(objects: Objects, first: str, end: str) -> list[Object] | None:
        found = LISTED_OUTSIDE(objects, first, end)
        asked.append(len(found or ()))
        return found

    monkeypatch.setattr(Objects, "listed_outside", some)
    assert any(name.startswith("index/") for name in objects(server, bucket))
    before = (await studio.get("v0/media.m3u8")).body
    await studio.restart()
    assert (await studio.get("v0/media.m3u8")).body == before
    media = [name for name in objects(server, bucket) if name.startswith("media/")]
    assert len(asked) == 1
    assert 0 < asked[0] < len(media), "what is on air is not listed"
    assert (await studio.get(f"v0/{FIRST}.m4s")).body == a.media("v0", FIRST)
    assert (await studio.get(f"v0/{FIRST + 9}.m4s")).body == b.media("v0", FIRST + 9)
    assert (await a.track("v0", FIRST + 10, 1)).status == 200, "it was kept"
    monkeypatch.setattr(Objects, "listed_outside", lambda *_: None)
    await studio.restart()
    assert (await studio.get("v0/media.m3u8")).body == before, "also from the list alone"


async def test_a_bucket_that_is_away_loses_nothing(studio: Studio, server: S3Server) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    before = (await studio.get("v0/media.m3u8")).body
    server.program.end(kill=True)
    try:
        answer = await a.track("v0", FIRST + 1, 1)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert (await studio.get("v0/media.m3u8")).body == before
        assert (await studio.get(f"v0/{FIRST}.m4s")).body == a.media("v0", FIRST), "from the cache"
    finally:
        server.program.start()
    assert await a.push(FIRST + 1, 1) == [201, 201, 201]
    await studio.restart()
    assert await studio.numbers() == [FIRST, FIRST + 1]
    assert (await studio.report()).gaps == 0


async def test_of_two_origins_on_one_prefix_one_stops_writing(
    studio: Studio, bucket: str, tmp_path: Path
) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    async with running(tmp_path / "another", bucket) as other:
        [b] = await other.ready("a")
        assert await b.push(FIRST + 1, 1) == [201, 201, 201]
        await a.push(FIRST + 1, 1)
        assert await studio.numbers() == [FIRST], "it can't record a publication any more"
        assert await other.numbers() == [FIRST, FIRST + 1]
        assert (await other.get(f"v0/{FIRST + 1}.m4s")).body == b.media("v0", FIRST + 1)
        metrics = (await studio.call("GET", "/metrics")).text
        assert 'disk_errors_total{namespace="demo",channel="news"} 0' not in metrics


async def test_a_raised_priority_is_kept(studio: Studio) -> None:
    standby, leader = await studio.ready("standby", "leader")
    await leader.push(FIRST, 1)
    assert await standby.push(FIRST + 1, 0) == [201, 201, 201]
    assert await standby.push(FIRST + 1, 1) == [200, 200, 200]
    assert await studio.numbers() == [FIRST, FIRST + 1]
    await standby.track("v0", FIRST + 2, 1)
    await standby.track("v0", FIRST + 2, 2)
    await studio.restart()
    await standby.track("v1", FIRST + 2, 2)
    await standby.track("audio", FIRST + 2, 2)
    assert (await studio.report()).selected_priority == 2


async def test_a_gap_stays_one(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await a.push(FIRST + 2, 1)
    await studio.wait(DEADLINE_US)
    before = (await studio.get("v0/media.m3u8")).body
    assert b"EXT-X-GAP" in before
    await studio.restart()
    assert (await studio.get("v0/media.m3u8")).body == before


async def test_a_channel_that_can_not_be_read_now_is_not_made_anew(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await studio.stop()

    def away(*_: object) -> None:
        raise BucketError("away")

    with monkeypatch.context() as patch:
        patch.setattr(Objects, "get_all", away)
        origin = Origin(studio.settings, studio.clock, storage_of(studio.settings))
        with pytest.raises(StartError, match="demo/news can't be read from the bucket: away"):
            await origin.open()
        await origin.close()
    await studio.start()
    assert await studio.numbers() == [FIRST]


async def test_a_bucket_that_is_not_there_is_said_at_the_start(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="bucket can't be read"):
        async with running(tmp_path, bucket.replace(BUCKET, "nobodys")):
            pass
