"""Low latency and declared discontinuities: only the edition on air has parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.component.origin.cmaf_maker import FIRST, SHORT_GOPS, describe
from tests.component.origin.editions import Differing, other_ladder
from tests.component.origin.studio import DEADLINE_US, Encoder, Studio, running

PARTS, PART_DEADLINE_US = 10, 300_000
NEW_PARTS = 5  # of 10 frames
N = FIRST + 1


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    async with running(tmp_path / "data") as studio:
        studio.description = describe(SHORT_GOPS, part_frames=5)
        yield studio


async def _two(studio: Studio, *, part_frames: int | None = 10) -> tuple[Encoder, Differing]:
    [old] = await studio.ready("old")
    edition = other_ladder(studio.description).model_copy(
        update={"gop_frames": 50, "part_frames": part_frames}
    )
    new = Differing(studio, "new", edition)
    await old.push(FIRST, 1)
    await new.introduce()
    return old, new


async def _listed(studio: Studio, track: str = "v0") -> list[str]:
    playlist = await studio.playlist(track)
    return [part.uri for segment in playlist.segments for part in segment.parts]


async def test_parts_resume_on_the_new_grid_after_the_change(studio: Studio) -> None:
    old, new = await _two(studio)
    assert await new.part(N, 0, 2) == [404, 404, 404]
    assert await new.push(N, 2) == [201, 201, 201]
    assert await _listed(studio) == []
    assert await old.part(N + 1, 0, 0) == [404, 404, 404]
    assert await old.push(N + 1, 0) == [201, 201, 201]
    for part in range(NEW_PARTS):
        assert await new.part(N + 1, part, 2) == [201 if part == NEW_PARTS - 1 else 202] * 3
        assert await _listed(studio) == [f"{N + 1}.{p}.m4s" for p in range(part + 1)]
        for track in new.description.tracks:
            answer = await studio.get(f"{track.name}/{N + 1}.{part}.m4s")
            assert answer.body == new.part_bytes(track.name, N + 1, part)
    for name in ("v0", "v1", "audio", "hd", "sound"):
        playlist = await studio.playlist(name)
        assert [s.discontinuity for s in playlist.segments if s.uri] == [False, True, False]
        assert playlist.part_inf.part_target == 0.41796  # 18 AAC frames at 44.1 kHz
    assert await _listed(studio, "v1") == [f"../v0/{N + 1}.{p}.m4s" for p in range(NEW_PARTS)]
    report = await studio.report()
    assert (report.gaps, report.mismatches, report.discontinuities) == (0, 0, 1)


async def test_parts_of_the_old_edition_do_not_stand_under_the_new_one(studio: Studio) -> None:
    """The old encoder has ceded segment N, but its parts bridge the time until it is there."""
    old, new = await _two(studio)
    for part in range(4):
        await old.part(N, part, 0)
        await studio.wait(PART_DEADLINE_US)
    assert await _listed(studio) == [f"{N}.{p}.m4s" for p in range(4)]
    await new.push(N, 2)
    assert await _listed(studio) == []
    for part in range(4):  # a player may just be about to fetch it
        answer = await studio.get(f"v0/{N}.{part}.m4s")
        assert answer.body == old.part_bytes("v0", N, part)
    assert (await studio.get(f"v0/{N}.m4s")).body == new.media("v0", N)
    assert await old.part(N, 4, 0) == [404, 404, 404]
    assert await old.push(N, 0) == [201, 201, 201]
    report = await studio.report()
    assert (report.fallbacks, report.gaps, report.discontinuities) == (0, 0, 1)


async def test_a_reload_that_waits_sees_the_change(studio: Studio) -> None:
    _, new = await _two(studio)
    asked = [
        asyncio.create_task(studio.get(f"{track}/media.m3u8?_HLS_msn={N}&_HLS_part=0"))
        for track in ("v0", "v1")
    ]
    await new.push(N, 2)
    for answer in await asyncio.gather(*asked):
        assert answer.status == 200
        assert "#EXT-X-DISCONTINUITY\n" in answer.text
    following = asyncio.create_task(studio.get(f"v1/media.m3u8?_HLS_msn={N + 1}&_HLS_part=0"))
    hinted = asyncio.create_task(studio.get(f"hd/{N + 1}.0.m4s"))
    await new.part(N + 1, 0, 2)
    assert f'URI="../v0/{N + 1}.0.m4s"' in (await following).text
    assert (await hinted).body == new.part_bytes("hd", N + 1, 0)


async def test_from_parts_to_none_and_back(studio: Studio) -> None:
    old, new = await _two(studio, part_frames=None)
    for part in range(PARTS):
        await old.part(N, part, 1)
    assert len(await _listed(studio)) == PARTS
    assert (await new.put(f"v0/{N + 1}.0.m4s", b"")).status == 403
    await new.push(N + 1, 2)
    text = (await studio.get("v0/media.m3u8")).text
    assert "#EXT-X-PART" not in text
    assert "CAN-BLOCK-RELOAD" not in text
    assert (await studio.get(f"v0/media.m3u8?_HLS_msn={N + 2}")).status == 200
    assert await old.part(N + 2, 0, 3) == [404, 404, 404]
    assert await old.push(N + 2, 3) == [201, 201, 201]
    assert await old.part(N + 3, 0, 3) == [202, 202, 202]
    assert await _listed(studio) == [f"{N + 3}.0.m4s"]
    report = await studio.report()
    assert (report.discontinuities, report.gaps) == (2, 0)


async def test_the_old_edition_falls_in_where_the_new_one_is_silent(studio: Studio) -> None:
    old, new = await _two(studio)
    await new.push(N, 2)
    for part in range(2):
        await new.part(N + 1, part, 2)
    await old.push(N + 1, 0)  # the new one dies within the segment
    await studio.wait(DEADLINE_US)
    assert (await studio.get(f"v1/{N + 1}.m4s")).body == old.media("v1", N + 1)
    assert await _listed(studio) == []
    assert await old.part(N + 2, 0, 0) == [202, 202, 202]
    await studio.wait(PART_DEADLINE_US)
    assert await _listed(studio) == [f"{N + 2}.0.m4s"]
    report = await studio.report()
    assert (report.fallbacks, report.discontinuities, report.gaps) == (1, 2, 0)


async def test_a_restart_after_the_change(studio: Studio) -> None:
    _, new = await _two(studio)
    await new.push(N, 2)
    before = (await studio.get("v1/media.m3u8")).body
    await studio.restart()
    assert (await studio.get("v1/media.m3u8")).body == before
    await new.part(N + 1, 0, 2)
    assert await _listed(studio) == [f"{N + 1}.0.m4s"]
