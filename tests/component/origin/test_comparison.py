"""How the origin judges what two encoders push for one segment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.component.origin.cmaf_maker import FIRST, SHORT_GOPS, describe
from tests.component.origin.studio import CHANNEL, NAMESPACE, SEGMENT_US, Encoder, Studio
from tests.component.origin.test_process import origin_process

from hitless_handover.selection_model import HISTORY_MAX
from hitless_wire.ingest import HEADER_DIGEST, ChannelReport, Comparison, report_path

TRACKS = 3


async def _siblings(studio: Studio, *names: str) -> list[Encoder]:
    """Encoders that make the same bytes."""
    encoders = await studio.ready(*names)
    for encoder in encoders:
        encoder.filler = b"same"
    return encoders


async def _counts(studio: Studio) -> tuple[int, int]:
    found = await studio.comparison()
    return found.identical, found.interchangeable


async def test_the_same_bytes_of_two_encoders_are_identical(studio: Studio) -> None:
    a, b = await _siblings(studio, "a", "b")
    assert await a.push(FIRST, 1) == [201] * TRACKS
    assert await _counts(studio) == (0, 0)
    assert await b.push(FIRST) == [201] * TRACKS, "published already, and compared all the same"
    assert await _counts(studio) == (TRACKS, 0)
    assert await b.push(FIRST) == [200] * TRACKS
    assert await b.push(FIRST, 2) == [200] * TRACKS
    assert await _counts(studio) == (TRACKS, 0), "a resend is not compared again"


async def test_other_bytes_of_the_same_structure_are_interchangeable(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 1)
    await b.push(FIRST)
    assert await _counts(studio) == (0, TRACKS)
    c = studio.encoder("c")
    c.filler = b.filler
    await c.introduce()
    await c.push(FIRST)
    assert await _counts(studio) == (TRACKS, TRACKS), "as those of one of the others"
    assert (await studio.report()).mismatches == 0


async def test_which_one_comes_first_does_not_matter(studio: Studio) -> None:
    a, b = await _siblings(studio, "a", "b")
    for k in (FIRST, FIRST + 1):
        await b.push(k)
        await a.push(k, 1)
    assert await _counts(studio) == (2 * TRACKS, 0)


async def test_another_structure_is_a_mismatch_with_box_and_field(studio: Studio) -> None:
    a, b = await _siblings(studio, "a", "b")
    await a.push(FIRST, 1)
    answer = await b.put(f"v0/{FIRST}.m4s", b.media("v0", FIRST, count=49))
    assert answer.status == 409
    found = await studio.comparison()
    assert (found.identical, found.interchangeable) == (0, 0)
    what = f"segment {FIRST} of v0: moof/traf/trun sample_count, of all"
    assert found.newest_mismatch == f"b: {what} differs from the timeline: 49, 50 expected"
    assert (await studio.report()).mismatches == 1


async def test_a_damaged_push_is_refused_counted_and_welcome_again(studio: Studio) -> None:
    [a] = await studio.ready("a")
    body = a.media("v0", FIRST)
    headers = {HEADER_DIGEST: "0" * 64}
    for path, data in ((f"v0/{FIRST}.m4s", body), ("v0/init.mp4", body), ("description.json", b"")):
        answer = await a.put(path, data, headers=headers)
        assert answer.status == 422
        assert json.loads(answer.body)["error"] == "the body is not what its digest says"
    assert (await studio.comparison()).damaged == 3
    assert (await studio.report()).mismatches == 0
    assert (await a.track("v0", FIRST)).status == 201


async def test_what_is_answered_before_its_body_is_read_is_not_compared(studio: Studio) -> None:
    a, b = await _siblings(studio, "a", "b")
    for k in range(FIRST, FIRST + HISTORY_MAX + 2):
        await a.push(k, 1)
        await studio.wait(SEGMENT_US)
    assert await b.push(FIRST) == [410] * TRACKS
    assert await _counts(studio) == (0, 0)
    assert await b.push(FIRST + HISTORY_MAX + 1) == [201] * TRACKS
    assert await _counts(studio) == (TRACKS, 0)


async def test_memory_is_bounded(studio: Studio) -> None:
    a, b = await _siblings(studio, "a", "b")
    for k in range(FIRST, FIRST + 2 * HISTORY_MAX):
        await a.push(k, 1)
        await b.push(k)
    [channel] = studio.origin.channels.values()
    assert len(channel.deliveries) <= (HISTORY_MAX + 1) * TRACKS * 2
    assert await _counts(studio) == (2 * HISTORY_MAX * TRACKS, 0)


async def test_older_readers_get_the_report_that_they_know(studio: Studio) -> None:
    a, b = await _siblings(studio, "a", "b")
    await a.push(FIRST, 1)
    await b.push(FIRST)
    plain = await studio.call("GET", report_path(NAMESPACE, CHANNEL))
    assert "comparison" not in json.loads(plain.body)
    [listed] = json.loads((await studio.call("GET", "/api/v1/channels?comparison=1")).body)
    assert listed["comparison"]["identical"] == TRACKS
    newer = listed | {"tomorrow": 1, "comparison": {**listed["comparison"], "tomorrow": 2}}
    assert ChannelReport.model_validate(newer).comparison == Comparison(identical=TRACKS)


@pytest.mark.parametrize("part_frames", [None, 25])
async def test_an_origin_process_counts_in_report_and_metrics(
    tmp_path: Path, part_frames: int | None
) -> None:
    studio = Studio(tmp_path)
    studio.description = describe(SHORT_GOPS, part_frames=part_frames)
    async with origin_process(tmp_path) as (_, studio.url), studio.client():
        a, b = await _siblings(studio, "a", "b")
        for k in (FIRST, FIRST + 1):
            await a.push(k, 1)
            if part_frames is None:
                await b.push(k)
            else:
                assert [await b.part(k, part) for part in (0, 1)] == [[202] * 3, [201] * 3]
        b.filler = b"other"
        await b.push(FIRST + 2)
        await a.push(FIRST + 2, 1)
        found = await studio.comparison()
        assert found == Comparison(identical=2 * TRACKS, interchangeable=TRACKS)
        metrics = (await studio.call("GET", "/metrics")).text
        labels = f'{{namespace="{NAMESPACE}",channel="{CHANNEL}"}}'
        assert f"hitless_origin_identical_total{labels} {2 * TRACKS}\n" in metrics
        assert f"hitless_origin_interchangeable_total{labels} {TRACKS}\n" in metrics
        assert f"hitless_origin_damaged_total{labels} 0\n" in metrics
