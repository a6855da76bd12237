"""CMCD in requests of players, by query and by header: what /metrics makes of it."""

from __future__ import annotations

from urllib.parse import quote

from tests.component.origin.cmaf_maker import FIRST
from tests.component.origin.studio import Studio

from hitless_origin.view import start_ticks

LABELS = 'namespace="demo",channel="news"'


async def metrics(studio: Studio) -> list[str]:
    lines = (await studio.call("GET", "/metrics")).text.splitlines()
    return [line.removeprefix("hitless_origin_") for line in lines]


async def test_viewers_buffers_and_stalls_are_counted(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 1)
    await a.push(FIRST + 1, 1)
    await b.push(FIRST + 2, 2)
    assert "viewers{" not in "\n".join(await metrics(studio))
    before = quote('bl=4000,ot=v,sid="one"')
    assert (await studio.get(f"v0/{FIRST}.m4s?CMCD={before}")).status == 200
    during = {"CMCD-Request": "bl=1500", "CMCD-Object": "ot=v", "CMCD-Session": 'sid="one"'}
    path = f"/live/demo/news/v0/{FIRST + 2}.m4s"
    assert (await studio.call("GET", path, headers={**during, "CMCD-Status": "bs"})).status == 200
    ticks = start_ticks(a.description.tracks[0], a.description.timeline(), FIRST + 1)
    by_time = quote('bl=(9000),ot=v,sf=d,sid="two"')
    assert (await studio.get(f"v0/t{ticks}.m4s?CMCD={by_time}")).status == 200
    await studio.get(f"master.m3u8?CMCD={quote('sid=broken')}")
    await studio.get(f"v0/{FIRST + 5}.m4s?CMCD={before}")  # not there: says nothing
    found = await metrics(studio)
    for line in (
        f"viewers{{{LABELS}}} 2",
        f"viewer_stalls_total{{{LABELS}}} 1",
        f'viewer_buffer_seconds_bucket{{{LABELS},le="2"}} 1',
        f'handover_buffer_min_seconds{{{LABELS},phase="before"}} 4',
        f'handover_buffer_median_seconds{{{LABELS},phase="before"}} 4',
        f'handover_buffer_min_seconds{{{LABELS},phase="during"}} 1.5',
        f'handover_stalls{{{LABELS},phase="before"}} 0',
        f'handover_stalls{{{LABELS},phase="during"}} 1',
        f'handover_viewers{{{LABELS},phase="after"}} 0',
        "cmcd_malformed_total 1",
    ):
        assert line in found, line
    assert "one" not in "\n".join(found), "nothing names a viewer"


async def test_browsers_may_send_its_headers(studio: Studio) -> None:
    answer = await studio.call("OPTIONS", "/live/demo/news/master.m3u8")
    assert "CMCD-Session" in answer.headers["Access-Control-Allow-Headers"]
