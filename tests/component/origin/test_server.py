"""What viewers, tools and people get over HTTP beside the media itself."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from mpegdash.parser import MPEGDASHParser
from tests.component.origin.cmaf_maker import FIRST
from tests.component.origin.studio import DEADLINE_US, SEGMENT_US, ManualClock, Studio

from hitless_origin.errors import StartError
from hitless_origin.origin import Origin
from hitless_wire.ingest import ChannelReport


async def test_segments_have_ranges_long_caching_and_no_surprises(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    answer = await studio.get(f"v0/{FIRST}.m4s")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    part = await studio.get(f"audio/{FIRST}.m4s", Range="bytes=4-7")
    assert (part.status, part.body) == (206, a.media("audio", FIRST)[4:8])
    assert part.headers["Content-Type"] == "audio/mp4"
    assert (await studio.get(f"v0/{FIRST}.m4s", Range="bytes=999999-")).status == 416
    again = await studio.get(f"v0/{FIRST}.m4s", If_None_Match=answer.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    head = await studio.call("HEAD", f"/live/demo/news/v0/{FIRST}.m4s")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(answer.body)


async def test_playlists_are_short_lived_tagged_and_compressed(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    for name in ("master.m3u8", "v0/media.m3u8"):
        plain = await studio.get(name)
        assert plain.headers["Cache-Control"] == "public, max-age=1"
        assert plain.headers["Content-Type"] == "application/vnd.apple.mpegurl"
        packed = await studio.get(name, Accept_Encoding="br, gzip;q=0.5")
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        assert packed.headers["ETag"] != plain.headers["ETag"]
        assert (await studio.get(name, Accept_Encoding="gzip;q=0")).body == plain.body
        again = await studio.get(name, If_None_Match=plain.headers["ETag"])
        assert (again.status, again.body) == (304, b"")
        head = await studio.call("HEAD", f"/live/demo/news/{name}")
        assert int(head.headers["Content-Length"]) == len(plain.body)
    tag = (await studio.get("v0/media.m3u8")).headers["ETag"]
    await a.push(FIRST + 1, 1)
    assert (await studio.get("v0/media.m3u8", If_None_Match=tag)).status == 200


async def test_the_mpd_follows_and_tells_the_time(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await studio.wait(SEGMENT_US // 4)
    first = await studio.get("manifest.mpd")
    assert first.headers["Content-Type"] == "application/dash+xml"
    assert 'http-xsdate:2014" value="utc"' in _at(first.text, "UTCTiming")
    assert (await studio.get("utc")).text == "2025-11-24T16:00:00.500Z"
    assert 'publishTime="2025-11-24T16:00:02.000Z"' in first.text
    await a.push(FIRST + 2, 1)
    await studio.wait(DEADLINE_US)
    mpd = MPEGDASHParser.parse((await studio.get("manifest.mpd")).text)
    template = mpd.periods[0].adaptation_sets[0].segment_templates[0]
    starts = [s.t for s in template.segment_timelines[0].Ss]
    assert starts == [FIRST * 50_000, (FIRST + 2) * 50_000]
    for ticks in starts:
        assert (await studio.get(f"v0/t{ticks}.m4s")).status == 200
    by_number, by_time = (
        await studio.get(f"v0/{FIRST}.m4s"),
        await studio.get(f"v0/t{starts[0]}.m4s"),
    )
    assert by_number.body == by_time.body
    assert (await studio.get(f"v0/t{starts[0] + 1}.m4s")).status == 404
    assert (await studio.get(f"none/t{starts[0]}.m4s")).status == 404


async def test_too_early_is_told_from_gone(studio: Studio) -> None:
    [a] = await studio.ready("a")
    early = await studio.get("master.m3u8")
    assert (early.status, early.headers["Retry-After"]) == (404, "2")
    assert early.headers["Cache-Control"] == "no-store"
    await a.push(FIRST, 1)
    for name, wait_s in (
        (f"v0/{FIRST + 1}.m4s", "2"),
        (f"v0/{FIRST + 3}.m4s", "6"),
        (f"v0/{FIRST + 900}.m4s", None),
        (f"v0/{FIRST - 1}.m4s", None),
        (f"v9/{FIRST}.m4s", None),
        ("v9/media.m3u8", None),
        ("v9/init.mp4", None),
    ):
        answer = await studio.get(name)
        assert (answer.status, answer.headers.get("Retry-After")) == (404, wait_s), name
    assert (await studio.call("GET", "/live/demo/other/master.m3u8")).status == 404
    assert (await studio.call("GET", "/live/demo/news/v0/%2e%2e/x.m4s")).status == 404


async def test_browsers_may_ask_from_anywhere(studio: Studio) -> None:
    answer = await studio.call("OPTIONS", "/live/demo/news/master.m3u8")
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    assert "Range" in answer.headers["Access-Control-Allow-Headers"]
    missing = await studio.call("GET", "/live/demo/news/master.m3u8")
    assert missing.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Origin" not in (await studio.call("GET", "/metrics")).headers


async def test_what_nobody_has_is_told_from_what_nobody_may_do(studio: Studio) -> None:
    refused = await studio.call("PUT", "/metrics")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET,HEAD")
    assert (await studio.call("DELETE", "/ingest/demo/news/description.json")).status == 405
    for path in ("/nothing", "/metrics/", "/ingest"):
        assert (await studio.call("GET", path)).status == 404, path
    for path in ("/metrics", "/nothing", "/live/demo/news/master.m3u8"):
        answer = await studio.call("PUT", path, headers={"Expect": "more"}, body=b"x")
        assert answer.status == 417, path


async def test_reports_are_listed(studio: Studio) -> None:
    assert (await studio.call("GET", "/api/v1/channels/demo/news")).status == 404
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    listed = json.loads((await studio.call("GET", "/api/v1/channels")).body)
    assert [ChannelReport.model_validate(each) for each in listed] == [await studio.report()]
    assert listed[0]["lastSegment"] == FIRST


async def test_health_and_metrics(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 1)
    await b.push(FIRST + 1, 2)
    await a.put(f"v0/{FIRST + 2}.m4s", a.media("v0", FIRST + 2, count=1), priority=1)
    assert json.loads((await studio.call("GET", "/healthz")).body) == {"status": "ok"}
    metrics = await studio.call("GET", "/metrics")
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    labels = '{namespace="demo",channel="news"}'
    for line in (
        f"hitless_origin_segments_published_total{labels} 2",
        f"hitless_origin_switches_total{labels} 1",
        f"hitless_origin_mismatches_total{labels} 1",
        f"hitless_origin_fallbacks_total{labels} 0",
        f"hitless_origin_gaps_total{labels} 0",
        f"hitless_origin_last_segment{labels} {FIRST + 1}",
        'hitless_origin_pushes_total{status="409"} 1',
        "hitless_origin_channels 1",
    ):
        assert line in metrics.text.splitlines()


async def test_one_origin_a_folder(studio: Studio) -> None:
    with pytest.raises(StartError, match="another origin uses the data folder"):
        await Origin(studio.settings, ManualClock()).open()


async def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path, studio: Studio) -> None:
    (tmp_path / "file").write_text("")
    settings = replace(studio.settings, data=tmp_path / "file")
    with pytest.raises(StartError, match="can't be used"):
        await Origin(settings, ManualClock()).open()


async def test_a_channel_that_cannot_be_read_is_left_out(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    journal = studio.settings.data / "channels" / "demo" / "news" / "journal.jsonl"
    journal.write_bytes(b"nonsense\n" + journal.read_bytes())
    await studio.restart()
    assert (await studio.call("GET", "/healthz")).status == 200
    assert (await studio.call("GET", "/api/v1/channels")).body == b"[]"
    await a.introduce()
    assert await a.push(FIRST + 1, 1) == [201, 201, 201]


async def test_channels_are_bounded(studio: Studio) -> None:
    await studio.stop()
    studio.settings = replace(studio.settings, channels_max=1)
    await studio.start()
    [a] = await studio.ready("a")
    body = studio.description.model_dump_json().encode()
    other = "/ingest/demo/other/description.json"
    assert (await a.put(other, body)).status == 403
    await studio.wait(11 * SEGMENT_US)
    assert (await a.put(other, body)).status == 201  # the first is silent for a window
    listed = json.loads((await studio.call("GET", "/api/v1/channels")).body)
    assert [report["channel"] for report in listed] == ["other"]
    assert [p.name for p in (studio.settings.data / "channels" / "demo").iterdir()] == ["other"]


def _at(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if word in line)
