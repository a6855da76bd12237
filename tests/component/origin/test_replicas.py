"""Two origins that get the same pushes, each in its own order and time, answer alike."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from tests.component.origin.cmaf_maker import FIRST, SHORT_GOPS, describe
from tests.component.origin.editions import Differing, other_ladder
from tests.component.origin.studio import DEADLINE_US, SEGMENT_US, Encoder, Studio, running

Push = Callable[[], Awaitable[object]]
LATE_US = 700_000  # of the second replica: its way from the encoders is longer
PARTS = 10


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Studio, Studio]]:
    async with running(tmp_path / "one") as one, running(tmp_path / "two") as two:
        two.clock.move(LATE_US)
        yield one, two


async def in_any_order(pair: Sequence[Studio], pushes: Callable[[Studio], list[Push]]) -> None:
    """The pushes of one moment, to each replica in an order of its own."""
    for number, studio in enumerate(pair):
        mixed = pushes(studio)
        random.Random(number).shuffle(mixed)
        for push in mixed:
            await push()


async def answers(studio: Studio, tracks: Sequence[str]) -> dict[str, tuple[object, ...]]:
    """Every manifest, plain and compressed, with what caches go by."""
    found: dict[str, tuple[object, ...]] = {}
    for name in ["master.m3u8", "manifest.mpd", *(f"{track}/media.m3u8" for track in tracks)]:
        for coding in ("identity", "gzip"):
            answer = await studio.get(name, Accept_Encoding=coding)
            assert answer.status == 200
            told = {answer.headers.get(header) for header in ("ETag", "Cache-Control")}
            found[f"{name} {coding}"] = (answer.body, frozenset(told))
    return found


async def are_alike(pair: Sequence[Studio], tracks: Sequence[str]) -> None:
    """At the same instant."""
    one, two = pair
    one.clock.move(max(0, two.clock.now_us - one.clock.now_us))
    two.clock.move(max(0, one.clock.now_us - two.clock.now_us))
    ours, theirs = await answers(one, tracks), await answers(two, tracks)
    for name, answer in ours.items():
        assert theirs[name] == answer, name
    two.clock.move(LATE_US)


def encoders(pair: Sequence[Studio], *names: str) -> dict[Studio, list[Encoder]]:
    return {studio: [studio.encoder(name) for name in names] for studio in pair}


def track_of(encoder: Encoder, track: str, segment: int, priority: int) -> Push:
    return lambda: encoder.track(track, segment, priority)


def part_of(encoder: Encoder, track: str, segment: int, part: int, priority: int) -> Push:
    return lambda: encoder.part_track(track, segment, part, priority)


async def test_over_an_update(pair: tuple[Studio, Studio]) -> None:
    made = encoders(pair, "old", "new")
    tracks = [track.name for track in pair[0].description.tracks]
    for each in (*made[pair[0]], *reversed(made[pair[1]])):
        await each.introduce()
    for k in range(FIRST, FIRST + 40):
        terms = (1, 0) if k < FIRST + 20 else (0, 2)

        def pushes(studio: Studio, k: int = k, terms: tuple[int, int] = terms) -> list[Push]:
            return [
                track_of(each, track, k, term)
                for each, term in zip(made[studio], terms, strict=True)
                for track in tracks
            ]

        await in_any_order(pair, pushes)
        for studio in pair:
            await studio.wait(SEGMENT_US)
        await are_alike(pair, tracks)


async def test_over_a_gap_and_a_restart_of_one(pair: tuple[Studio, Studio]) -> None:
    tracks = [track.name for track in pair[0].description.tracks]
    for studio in pair:
        [a] = await studio.ready("a")
        await a.push(FIRST, 1)
        await a.push(FIRST + 3, 1)
        await studio.wait(DEADLINE_US)
        await a.push(FIRST + 4, 1)
    await pair[1].restart()
    await are_alike(pair, tracks)


async def test_over_a_declared_discontinuity(pair: tuple[Studio, Studio]) -> None:
    for studio in pair:
        [old] = await studio.ready("old")
        await old.push(FIRST, 1)
        new = Differing(studio, "new", other_ladder())
        await new.introduce()
        for k in range(FIRST + 1, FIRST + 6):
            pushes = [(old, 1 if k < FIRST + 3 else 0), (new, 2 if k >= FIRST + 3 else 0)]
            for encoder, term in pushes if studio is pair[0] else reversed(pushes):
                assert set(await encoder.push(k, term)) == {201}
            await studio.wait(SEGMENT_US)
    await are_alike(pair, ["hd", "v0", "sound", "v1", "audio"])


async def test_in_low_latency(pair: tuple[Studio, Studio]) -> None:
    for studio in pair:
        studio.description = describe(SHORT_GOPS, part_frames=5)
    made = encoders(pair, "a", "b")
    tracks = [track.name for track in pair[0].description.tracks]
    for each in (*made[pair[0]], *made[pair[1]]):
        await each.introduce()
    await made[pair[0]][0].push(FIRST, 1)
    await made[pair[1]][0].push(FIRST, 1)
    for n in range(3 * PARTS):
        k, p = FIRST + 1 + n // PARTS, n % PARTS
        terms = (1, 0) if k < FIRST + 3 else (0, 2)

        def pushes(
            studio: Studio, k: int = k, p: int = p, terms: tuple[int, int] = terms
        ) -> list[Push]:
            return [
                part_of(each, track, k, p, term)
                for each, term in zip(made[studio], terms, strict=True)
                for track in tracks
            ]

        await in_any_order(pair, pushes)
        for studio in pair:
            await studio.wait(SEGMENT_US // PARTS)
        await are_alike(pair, tracks)
