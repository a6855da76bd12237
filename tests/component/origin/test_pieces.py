"""Start-over and catch-up: `?start=…&end=…` over HTTP."""

from __future__ import annotations

import json

import m3u8
import pytest
from mpegdash.parser import MPEGDASHParser
from tests.component.origin.cmaf_maker import FIRST, SHORT_GOPS, describe
from tests.component.origin.studio import DEADLINE_US, SEGMENT_US, Answer, Studio

T = FIRST * 2
WHOLE = f"start={T + 2}&end={T + 6}"


async def _aired(studio: Studio, segments: int) -> None:
    [a] = await studio.ready("a")
    for k in range(FIRST, FIRST + segments):
        await a.push(k, 1)
        await studio.wait(SEGMENT_US)


def _numbers(answer: Answer) -> list[int]:
    assert answer.status == 200, answer.text
    return [int(s.uri.removesuffix(".m4s")) for s in m3u8.loads(answer.text).segments]


async def test_catch_up_is_whole_and_start_over_goes_on(studio: Studio) -> None:
    await _aired(studio, 5)
    whole = await studio.get(f"v0/media.m3u8?{WHOLE}")
    assert _numbers(whole) == [FIRST + 1, FIRST + 2]
    assert m3u8.loads(whole.text).is_endlist
    over = await studio.get(f"v0/media.m3u8?start={T + 2}")
    assert _numbers(over) == list(range(FIRST + 1, FIRST + 5))
    assert not m3u8.loads(over.text).is_endlist
    a = studio.encoder("a")
    await a.push(FIRST + 5, 1)
    assert _numbers(await studio.get(f"v0/media.m3u8?start={T + 2}"))[-1] == FIRST + 5
    again = await studio.get(f"v0/media.m3u8?{WHOLE}", If_None_Match=whole.headers["ETag"])
    assert again.status == 304


async def test_a_piece_with_an_end_to_come_is_live_until_then(studio: Studio) -> None:
    await _aired(studio, 2)
    a, query = studio.encoder("a"), f"start={T}&end={T + 6}"
    answer = await studio.get(f"audio/media.m3u8?{query}")
    assert not m3u8.loads(answer.text).is_endlist
    assert 'type="dynamic"' in (await studio.get(f"manifest.mpd?{query}")).text
    for k in (FIRST + 2, FIRST + 3):
        await a.push(k, 1)
        answer = await studio.get(f"audio/media.m3u8?{query}")
        assert _numbers(answer) == [FIRST, FIRST + 1, FIRST + 2]
        assert m3u8.loads(answer.text).is_endlist
        assert 'type="static"' in (await studio.get(f"manifest.mpd?{query}")).text


async def test_players_find_everything_by_the_multivariant_playlist(studio: Studio) -> None:
    await _aired(studio, 4)
    master = m3u8.loads((await studio.get(f"master.m3u8?{WHOLE}")).text)
    for uri in [*(p.uri for p in master.playlists), *(m.uri for m in master.media)]:
        answer = await studio.get(uri)
        assert _numbers(answer) == [FIRST + 1, FIRST + 2]
        folder = uri.partition("/")[0]
        for segment in m3u8.loads(answer.text).segments:
            assert (await studio.get(f"{folder}/{segment.uri}")).status == 200
            assert (await studio.get(f"{folder}/{segment.init_section.uri}")).status == 200


async def test_the_mpd_of_a_piece(studio: Studio) -> None:
    await _aired(studio, 4)
    mpd = MPEGDASHParser.parse((await studio.get(f"manifest.mpd?{WHOLE}")).text)
    assert (mpd.type, mpd.media_presentation_duration) == ("static", "PT4S")
    [template] = mpd.periods[0].adaptation_sets[0].segment_templates
    [entry] = template.segment_timelines[0].Ss
    assert (entry.t, entry.r) == ((FIRST + 1) * 50_000, 1)
    assert (await studio.get(f"v0/t{entry.t}.m4s")).status == 200
    numbered = await studio.get(f"numbered.mpd?{WHOLE}")
    assert (numbered.status, json.loads(numbered.body)["expected"]) == (400, "manifest.mpd")


@pytest.mark.parametrize("name", ["master.m3u8", "v0/media.m3u8", "manifest.mpd"])
async def test_what_is_not_there_is_told(studio: Studio, name: str) -> None:
    assert (await studio.get(f"{name}?start={T}")).status == 404  # nothing was ever pushed
    await _aired(studio, 30)
    for query, status, retry in (
        ("start=nonsense", 400, None),
        (f"end={T}", 400, None),
        (f"start={T + 50}&end={T + 50}", 400, None),
        (f"start={T}&end={T + 4}", 410, None),
        (f"start={T + 60}", 404, "2"),
        (f"start={T + 60}&end={T + 90}", 404, "2"),
        ("start=99999999999", 404, "3600"),
    ):
        answer = await studio.get(f"{name}?{query}")
        assert (answer.status, answer.headers.get("Retry-After")) == (status, retry), query
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert set(json.loads(answer.body)) == {"error", "expected", "got", "hint"}
    assert (await studio.get(f"{name}?start={T}")).status == 200  # what is left of it


async def test_a_piece_shrinks_with_the_window(studio: Studio) -> None:
    await _aired(studio, 10)
    a, query = studio.encoder("a"), f"start={T}&end={T + 20}"
    for k in range(FIRST + 10, FIRST + 19):
        await a.push(k, 1)
        await studio.wait(SEGMENT_US)
        assert _numbers(await studio.get(f"v0/media.m3u8?{query}")) == list(
            range(k - 9, FIRST + 10)
        )
    await a.push(FIRST + 19, 1)
    assert (await studio.get(f"v0/media.m3u8?{query}")).status == 410


async def test_pieces_are_the_same_after_a_restart(studio: Studio) -> None:
    await _aired(studio, 3)
    await studio.encoder("a").push(FIRST + 4, 1)
    await studio.wait(DEADLINE_US)  # a gap
    names = [f"{name}?start={T}&end={T + 8}" for name in ("v0/media.m3u8", "manifest.mpd")]
    before = [await studio.get(name) for name in names]
    await studio.restart()
    after = [await studio.get(name) for name in names]
    assert [x.body for x in after] == [x.body for x in before]
    assert before[0].text.count("#EXT-X-GAP") == 1


async def test_start_over_has_parts_at_its_end(studio: Studio) -> None:
    studio.description = describe(SHORT_GOPS, part_frames=5)
    await _aired(studio, 3)
    a = studio.encoder("a")
    await a.part(FIRST + 3, 0, 1)
    query = f"start={T + 2}&_HLS_msn={FIRST + 3}&_HLS_part=0"
    answer = await studio.get(f"v0/media.m3u8?{query}")
    assert answer.status == 200
    assert f"{FIRST + 3}.0.m4s" in answer.text
    assert m3u8.loads(answer.text).media_sequence == FIRST + 1
    assert (await studio.get(f"v0/media.m3u8?start={T + 2}&_HLS_part=0")).status == 400


async def test_many_pieces_are_kept_for_a_few_only(studio: Studio) -> None:
    await _aired(studio, 10)
    for start in range(10):
        for end in range(start + 1, 11):
            answer = await studio.get(f"v0/media.m3u8?start={T + 2 * start}&end={T + 2 * end}")
            assert _numbers(answer) == list(range(FIRST + start, FIRST + end))
    [channel] = studio.origin.channels.values()
    assert channel.manifests is not None
    assert len(channel.manifests._pieces) == 8
