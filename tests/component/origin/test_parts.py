"""Parts: what encoders push in low latency, and what goes on air of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.component.origin.cmaf_maker import FIRST, SHORT_GOPS, describe
from tests.component.origin.studio import DEADLINE_US, Answer, Encoder, Studio, running

from hitless_origin import part_shelf
from hitless_origin.ingest import segment_bytes_max
from hitless_origin.part_window import KEPT_TARGETS

PARTS = 10  # of 5 frames, 200 ms; a GOP has 5
PART_DEADLINE_US = 300_000
NEXT = FIRST + 1


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    async with running(tmp_path / "data") as studio:
        studio.description = describe(SHORT_GOPS, part_frames=5)
        yield studio


def _error(answer: Answer) -> str:
    return str(json.loads(answer.body)["error"])


async def _shown(studio: Studio, segment: int, track: str = "v0") -> str:
    """The segment's parts in the playlist: a letter each, P published, g skipped."""
    playlist = await studio.playlist(track)
    parts = [part for entry in playlist.segments for part in entry.parts]
    own = [part for part in parts if part.uri.startswith(f"{segment}.")]
    assert [part.uri for part in own] == [f"{segment}.{p}.m4s" for p in range(len(own))]
    return "".join("g" if part.gap == "YES" else "P" for part in own)


async def _is_served(studio: Studio, encoder: Encoder, segment: int, *numbers: int) -> None:
    for track in studio.description.tracks:
        for part in numbers:
            answer = await studio.get(f"{track.name}/{segment}.{part}.m4s")
            assert answer.body == encoder.part_bytes(track.name, segment, part)


async def _parts(encoder: Encoder, segment: int, numbers: range, priority: int = 0) -> None:
    for part in numbers:
        assert set(await encoder.part(segment, part, priority)) <= {200, 201, 202}


async def test_parts_are_on_air_before_their_segment(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    for part in range(PARTS - 1):
        assert await a.part(NEXT, part, 1) == [202, 202, 202]
        assert await _shown(studio, NEXT) == "P" * (part + 1)
        await _is_served(studio, a, NEXT, part)
        assert await studio.numbers() == [FIRST]
    assert await a.part(NEXT, PARTS - 1, 1) == [201, 201, 201]
    assert await studio.numbers() == [FIRST, NEXT]
    assert await _shown(studio, NEXT) == "P" * PARTS
    for track in ("v0", "v1", "audio"):
        assert (await studio.get(f"{track}/{NEXT}.m4s")).body == a.media(track, NEXT)
    await _is_served(studio, a, NEXT, *range(PARTS))
    report = await studio.report()
    assert (report.gaps, report.fallbacks, report.mismatches) == (0, 0, 0)
    assert report.inputs[0].last_segment == NEXT


async def test_a_part_waits_for_all_its_tracks(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    for track in ("v0", "v1"):
        await a.part_track(track, NEXT, 0, 1)
    assert await _shown(studio, NEXT) == ""
    assert (await studio.get(f"v0/{NEXT}.1.m4s")).status == 404
    await a.part_track("audio", NEXT, 0, 1)
    assert await _shown(studio, NEXT, "audio") == "P"


async def test_an_identical_encoder_goes_on_in_the_same_segment(studio: Studio) -> None:
    """One dies in the middle of a GOP."""
    a, b = await studio.ready("a", "b")
    a.filler = b.filler = b"deterministic"
    await a.push(FIRST, 1)
    await b.push(FIRST, 0)
    for part in range(3):
        await a.part(NEXT, part, 1)
        await b.part(NEXT, part, 0)
    assert await _shown(studio, NEXT) == "PPP"
    for part in range(3, PARTS):
        await b.part(NEXT, part, 0)
        await studio.wait(PART_DEADLINE_US)
        assert await _shown(studio, NEXT) == "P" * (part + 1)
    await _is_served(studio, b, NEXT, *range(PARTS))
    assert await studio.numbers() == [FIRST, NEXT]  # viewers had it, so nothing waits
    report = await studio.report()
    assert (report.gaps, report.selected_encoder) == (0, "b")
    metrics = (await studio.call("GET", "/metrics")).text.splitlines()
    labels = '{namespace="demo",channel="news"}'
    assert f"hitless_origin_parts_published_total{labels} 10" in metrics
    assert f"hitless_origin_parts_skipped_total{labels} 0" in metrics
    # part 3 and the start of the next GOP; inside a GOP its encoder goes on at once
    assert f"hitless_origin_part_fallbacks_total{labels} 7" in metrics


async def test_other_bytes_are_skipped_until_the_next_gop(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 1)
    await b.push(FIRST, 0)
    for part in range(3):
        await a.part(NEXT, part, 1)
        await b.part(NEXT, part, 0)
    for part in range(3, PARTS):
        await b.part(NEXT, part, 0)
        await studio.wait(PART_DEADLINE_US)
    assert await _shown(studio, NEXT) == "PPPggPPPPP"
    await _is_served(studio, a, NEXT, 0, 1, 2)
    await _is_served(studio, b, NEXT, *range(5, PARTS))
    for part in (3, 4):
        assert (await studio.get(f"v0/{NEXT}.{part}.m4s")).status == 404
    await studio.wait(DEADLINE_US)
    assert await studio.numbers() == [FIRST, NEXT]
    for track in ("v0", "v1", "audio"):
        assert (await studio.get(f"{track}/{NEXT}.m4s")).body == b.media(track, NEXT)


async def test_a_missing_part_is_made_good_by_a_whole_push(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    for part in (0, 1, 3, 4, 5, 6, 7, 8, 9):
        assert await a.part(NEXT, part, 1) == [202, 202, 202]
    assert await _shown(studio, NEXT) == "PP"
    assert await a.push(NEXT, 1) == [201, 201, 201]
    assert await _shown(studio, NEXT) == "P" * PARTS
    await _is_served(studio, a, NEXT, *range(PARTS))
    assert await a.part(NEXT, 2, 1) == [200, 200, 200]
    assert await a.push(NEXT, 1) == [200, 200, 200]


async def test_a_whole_push_is_cut_into_parts(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    assert await _shown(studio, FIRST) == ""  # nobody could wait for its parts
    await a.push(NEXT, 1)
    assert await _shown(studio, NEXT) == "P" * PARTS
    await _is_served(studio, a, NEXT, *range(PARTS))


async def test_parts_may_come_out_of_order_and_again(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    for part in (2, 0):
        assert await a.part(NEXT, part, 1) == [202, 202, 202]
        assert await a.part(NEXT, part, 1) == [202, 202, 202], "not whole, however often"
    assert await _shown(studio, NEXT) == "P"
    await a.part(NEXT, 1, 1)
    assert await _shown(studio, NEXT) == "PPP"
    for part in (9, 8, 7, 6, 5, 4):
        await a.part(NEXT, part, 1)
    assert await a.part(NEXT, 3, 1) == [201, 201, 201]
    assert await a.part(NEXT, 3, 1) == [200, 200, 200]
    assert (await studio.get(f"v0/{NEXT}.m4s")).body == a.media("v0", NEXT)


async def test_the_next_segment_may_begin_before_the_last_is_whole(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await _parts(a, NEXT, range(PARTS - 1), 1)
    await _parts(a, NEXT + 1, range(3), 1)
    assert await _shown(studio, NEXT + 1) == ""
    await a.part(NEXT, PARTS - 1, 1)
    assert await _shown(studio, NEXT + 1) == "PPP"
    await _is_served(studio, a, NEXT + 1, 0, 1, 2)


async def test_a_part_has_one_body_of_an_encoder(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await a.part_track("v0", NEXT, 0, 1)
    a.filler = b"another run"
    answer = await a.part_track("v0", NEXT, 0, 1)
    assert answer.status == 409
    assert "was pushed before with other bytes" in _error(answer)
    answer = await a.track("v0", NEXT, 1)  # and a whole segment must agree with its parts
    assert answer.status == 409
    assert _error(answer).startswith(f"part 0 of segment {NEXT} of v0 from a")
    assert (await studio.report()).mismatches == 2


async def test_a_resend_may_raise_the_priority_of_a_part(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 5)
    assert await b.part(NEXT, 0, 0) == [202, 202, 202]
    assert await _shown(studio, NEXT) == ""
    assert await b.part(NEXT, 0, 6) == [202, 202, 202]
    assert await _shown(studio, NEXT) == "P"
    await _parts(b, NEXT, range(1, PARTS), 0)
    assert await _shown(studio, NEXT) == "P" * 5
    await studio.wait(PART_DEADLINE_US)
    assert await studio.numbers() == [FIRST, NEXT]  # seen to its end: whole at once
    report = await studio.report()
    assert (report.selected_encoder, report.selected_priority) == ("b", 0)


async def test_the_priority_of_a_segment_is_the_least_of_its_parts(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 1)
    await _parts(b, FIRST, range(PARTS - 1), 2)
    await b.part(FIRST, PARTS - 1, 0)
    assert await a.part(NEXT, 0, 1) == [202, 202, 202]
    assert await _shown(studio, NEXT) == "P"  # term 2 is not known
    assert await b.part(FIRST, PARTS - 1, 2) == [200, 200, 200]
    await a.part(NEXT, 1, 1)
    assert await _shown(studio, NEXT) == "PP"  # the same encoder inside a GOP
    await _parts(a, NEXT, range(2, PARTS), 1)
    assert await _shown(studio, NEXT) == "P" * 5  # a new GOP waits for term 2


async def test_old_segments_have_no_parts_any_more(studio: Studio) -> None:
    [a] = await studio.ready("a")
    for k in range(FIRST, FIRST + 8):
        await a.push(k, 1)
    await _parts(a, FIRST + 8, range(2), 1)
    entries = (await studio.playlist()).segments
    listed = {int(part.uri.split(".")[0]) for entry in entries for part in entry.parts}
    assert listed == {FIRST + 5, FIRST + 6, FIRST + 7, FIRST + 8}  # three target durations
    assert (await studio.get(f"v0/{FIRST + 3}.0.m4s")).status == 200  # for who is far behind
    for k in range(FIRST + 8, FIRST + KEPT_TARGETS + 2):
        await a.push(k, 1)
    assert (await studio.get(f"v0/{FIRST + 1}.0.m4s")).status == 404
    live = studio.origin.channels.popitem()[1]
    studio.origin.channels[live.key] = live
    assert live.parts is not None
    segments = range(FIRST, FIRST + KEPT_TARGETS + 2)
    held = [k for k in segments if live.parts.window.body("v0", k, 0) is not None]
    assert held == list(segments[2:])
    answer = await a.part_track("v0", FIRST + 2, 0, 1)
    assert answer.status == 200
    assert (await a.part_track("v0", FIRST - 1, 0, 1)).status == 410


async def test_a_gap_leaves_what_was_shown_and_closes_it(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await _parts(a, NEXT, range(2), 1)
    await a.push(NEXT + 1, 1)
    await studio.wait(DEADLINE_US)
    playlist = await studio.playlist()
    assert [bool(s.gap_tag) for s in playlist.segments if s.uri] == [False, True, False]
    assert await _shown(studio, NEXT) == "PP" + "g" * 8
    await _is_served(studio, a, NEXT, 0, 1)
    assert await a.part(NEXT, 2, 1) == [410, 410, 410]


async def test_a_failing_disk_makes_a_gap_of_what_was_shown(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    root = studio.settings.data / "channels" / "demo" / "news"
    blocker = root / "live" / "audio" / f"{NEXT}.m4s"
    blocker.mkdir()  # a folder of that name: the rename fails
    (blocker / "x").touch()
    await _parts(a, NEXT, range(PARTS), 1)
    assert [bool(s.gap_tag) for s in (await studio.playlist()).segments if s.uri] == [False, True]
    assert await _shown(studio, NEXT) == "P" * PARTS
    await _is_served(studio, a, NEXT, *range(PARTS))
    await _parts(a, NEXT + 1, range(PARTS), 1)
    assert await studio.numbers() == [FIRST, NEXT + 1]
    assert await _shown(studio, NEXT + 1) == "P" * PARTS


async def test_a_failing_disk_does_not_hurt_what_is_decided_with_it(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 5)
    root = studio.settings.data / "channels" / "demo" / "news"
    blocker = root / "live" / "audio" / f"{NEXT}.m4s"
    blocker.mkdir()
    (blocker / "x").touch()
    await b.push(NEXT, 0)
    await b.push(NEXT + 1, 0)
    assert await _shown(studio, NEXT) == ""
    await studio.wait(2 * DEADLINE_US)  # both are decided in one step
    assert await studio.numbers() == [FIRST, NEXT + 1]
    for k in (NEXT, NEXT + 1):
        assert await _shown(studio, k) == "P" * PARTS
        await _is_served(studio, b, k, *range(PARTS))
    assert (await studio.report()).gaps == 1


async def test_other_init_segments_void_what_was_shown(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await _parts(a, NEXT, range(3), 1)
    await studio.wait(20 * 1_000_000 + 1)
    c = studio.encoder("c")
    c.salt = b"a new codec library"
    await c.introduce()
    assert (await studio.playlist()).preload_hint.uri == f"{NEXT}.3.m4s"
    assert await _shown(studio, NEXT) == "ggg"
    assert (await studio.get(f"v0/{NEXT}.0.m4s")).status == 404
    await _parts(c, FIRST + 11, range(PARTS), 4)
    await studio.wait(DEADLINE_US)
    assert await studio.numbers() == [FIRST + 11]
    await _parts(c, FIRST + 12, range(2), 4)
    assert await _shown(studio, FIRST + 12) == "PP"
    await _is_served(studio, c, FIRST + 12, 0, 1)


async def test_a_restart_forgets_parts_and_takes_whole_segments(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await _parts(a, NEXT, range(3), 1)
    await studio.restart()
    assert await _shown(studio, NEXT) == ""
    assert await studio.numbers() == [FIRST]
    await _parts(a, NEXT, range(3, PARTS), 1)
    await studio.wait(PART_DEADLINE_US)
    assert await _shown(studio, NEXT) == "", "a segment is never begun in its middle"
    assert await a.push(NEXT, 1) == [201, 201, 201]
    assert await studio.numbers() == [FIRST, NEXT]
    assert await _shown(studio, NEXT) == "P" * PARTS
    await _parts(a, NEXT + 1, range(PARTS), 1)
    assert await _shown(studio, NEXT + 1) == "P" * PARTS


async def test_a_restart_cuts_what_was_pushed_whole(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    for track in ("v0", "v1"):
        await a.track(track, NEXT, 1)
    await studio.restart()
    assert (await a.track("audio", NEXT, 1)).status == 201
    assert await _shown(studio, NEXT) == "P" * PARTS
    await _is_served(studio, a, NEXT, *range(PARTS))


async def test_a_late_encoder_may_push_parts_too(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 1)
    await a.push(NEXT, 1)
    await _parts(b, NEXT, range(PARTS - 1), 2)
    assert await b.part(NEXT, PARTS - 1, 2) == [201, 201, 201]
    await _is_served(studio, a, NEXT, *range(PARTS))
    await _parts(a, NEXT + 1, range(1), 1)
    assert await _shown(studio, NEXT + 1) == ""  # term 2 is known


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        ((), f"part 0 of segment {NEXT} of v0: end of its last chunk"),
        ((5, 10, 15, 21, 25, 30, 35, 40, 45), "part 3 of segment"),
        ((5, 10, 15, 20, 25, 30, 35, 40), "part 8 of segment"),
    ],
)
async def test_a_whole_segment_has_a_chunk_end_at_each_part(
    studio: Studio, ends: tuple[int, ...], says: str
) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    body = a.media("v0", NEXT, ends=ends)  # type: ignore[arg-type]  # a Recipe's field
    answer = await a.put(f"v0/{NEXT}.m4s", body, priority=1)
    assert answer.status == 409
    assert says in _error(answer)
    finer = a.media("v0", NEXT, ends=tuple(range(1, 50)))  # type: ignore[arg-type]
    assert (await a.put(f"v0/{NEXT}.m4s", finer, priority=1)).status == 201


async def test_a_part_off_the_grid_is_refused(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    for name, body, status in (
        (f"{NEXT}.0.m4s", a.part_bytes("v0", NEXT, 1), 400),
        (f"{NEXT}.1.m4s", a.part_bytes("v0", NEXT, 0), 409),
        (f"{NEXT}.1.m4s", a.part_bytes("v0", NEXT + 1, 1), 409),
        (f"{NEXT}.10.m4s", a.part_bytes("v0", NEXT, 9), 409),
        (f"{NEXT}.1.m4s", a.part_bytes("v0", NEXT, 1)[:-1], 400),
        (f"{NEXT}.1.m4s", a.part_bytes("v0", NEXT, 1) + a.part_bytes("v0", NEXT, 2), 409),
    ):
        answer = await a.put(f"v0/{name}", body, priority=1)
        assert answer.status == status, answer.text
    c = studio.encoder("c")
    assert (await c.part_track("v0", NEXT, 0)).status == 412


async def test_parts_together_are_no_larger_than_a_segment(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    [track, *_] = studio.description.tracks
    limit = segment_bytes_max(track, SHORT_GOPS)
    a.filler = bytes(limit // 44)
    for part in range(8):
        assert (await a.part_track("v0", NEXT, part, 1)).status == 202
    answer = await a.part_track("v0", NEXT, 8, 1)
    assert (answer.status, _error(answer)) == (413, "the body is too large")


async def test_unfinished_segments_are_bounded(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    live = next(iter(studio.origin.channels.values())).parts
    assert live is not None
    for i in range(20):
        await a.part_track("v0", NEXT + 3 * i, 0, 1)
    kept = {place.segment for place in live.shelf._tracks if place.segment > FIRST}
    assert len(kept) == part_shelf.UNFINISHED_MAX
    assert {NEXT, NEXT + 57} <= kept  # what may be published is never forgotten


async def test_a_channel_without_parts_takes_none(tmp_path: Path) -> None:
    async with running(tmp_path / "other") as studio:
        [a] = await studio.ready("a")
        await a.push(FIRST, 1)
        answer = await a.put(f"v0/{NEXT}.0.m4s", a.media("v0", NEXT))
        assert (answer.status, _error(answer)) == (403, "this path may not be pushed to")
        assert (await studio.get(f"v0/{FIRST}.0.m4s")).status == 404
        plain = await studio.get("v0/media.m3u8")
        asked = await studio.get(f"v0/media.m3u8?_HLS_msn={FIRST + 1}")
        assert (asked.status, asked.body) == (200, plain.body)
        assert asked.headers["Cache-Control"] == plain.headers["Cache-Control"]


@pytest.mark.parametrize(("frames", "says"), [(3, "does not hold whole parts"), (1, "ms long")])
async def test_parts_that_do_not_fit_the_grid_are_refused(
    studio: Studio, frames: int, says: str
) -> None:
    answer = await studio.encoder("a").describe(describe(SHORT_GOPS, part_frames=frames))
    assert answer.status == 400
    assert says in _error(answer)


async def test_other_parts_are_another_description(studio: Studio) -> None:
    await studio.ready("a")
    answer = await studio.encoder("b").describe(describe(SHORT_GOPS))
    assert answer.status == 409
    body = json.loads(answer.body)
    assert (body["expected"], body["got"]) == ("5", "None")
    assert "part_frames" in body["error"]
