"""Low-latency playlists against hand-checked text, and read by an independent parser."""

from __future__ import annotations

import gzip
from dataclasses import replace
from fractions import Fraction

import m3u8
import pytest
from tests.component.origin.cmaf_maker import FIRST, NTSC, SHORT_GOPS, describe

from hitless_handover.timeline import Timeline
from hitless_origin import hls, hls_parts, low_latency
from hitless_origin.hls_parts import hold_back_us
from hitless_origin.manifests import Manifests
from hitless_origin.view import (
    ChannelView,
    PartsView,
    Stretch,
    duration_ticks,
    part_target_us,
    part_ticks,
)
from hitless_origin.window import Window

ALL, NONE = (True,) * 2, (False,) * 2
Closed = tuple[tuple[int, tuple[bool, ...]], ...]


def view(
    window: Window,
    closed: Closed = (),
    opened: tuple[bool, ...] = (),
    *,
    timeline: Timeline = SHORT_GOPS,
    part_frames: int = 25,
) -> ChannelView:
    description = describe(timeline, part_frames=part_frames)
    grid = description.parts()
    assert grid is not None
    return ChannelView(
        description=description,
        window=window,
        init_revision="0a1b2c3d",
        published_us=0,
        parts=PartsView(grid=grid, closed=closed, open=opened),
    )


# a part is 1 s of pictures, or 46 to 47 AAC frames of 1024 samples at 48 kHz: 1.0027 s at most
VIDEO = """#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=3.008001
#EXT-X-PART-INF:PART-TARGET=1.002667
#EXT-X-MEDIA-SEQUENCE:882000000
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="init.mp4?v=0a1b2c3d"
#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:00.000Z
#EXTINF:2.000000,
882000000.m4s
#EXT-X-PART:DURATION=1.000000,URI="882000001.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.000000,URI="882000001.1.m4s",GAP=YES
#EXTINF:2.000000,
882000001.m4s
#EXT-X-PART:DURATION=1.000000,URI="882000002.0.m4s",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="882000002.1.m4s"
#EXT-X-RENDITION-REPORT:URI="../v1/media.m3u8",LAST-MSN=882000002,LAST-PART=0
#EXT-X-RENDITION-REPORT:URI="../audio/media.m3u8",LAST-MSN=882000002,LAST-PART=0
"""

AUDIO_AFTER_A_GAP = """#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=3.008001
#EXT-X-PART-INF:PART-TARGET=1.002667
#EXT-X-MEDIA-SEQUENCE:882000000
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="init.mp4?v=0a1b2c3d"
#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:00.000Z
#EXTINF:2.005333,
882000000.m4s
#EXT-X-PART:DURATION=1.002667,URI="882000001.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.002667,URI="882000001.1.m4s",GAP=YES
#EXT-X-GAP
#EXTINF:2.005333,
882000001.m4s
#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:04.011Z
#EXT-X-PART:DURATION=1.002667,URI="882000002.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.002667,URI="882000002.1.m4s",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="882000003.0.m4s"
#EXT-X-RENDITION-REPORT:URI="../v0/media.m3u8",LAST-MSN=882000002,LAST-PART=1
#EXT-X-RENDITION-REPORT:URI="../v1/media.m3u8",LAST-MSN=882000002,LAST-PART=1
"""

MIXED = view(Window(first=FIRST, last=FIRST + 1), ((FIRST + 1, (True, False)),), (True,))
AFTER_A_GAP = view(
    Window(first=FIRST, last=FIRST + 1, gaps=((FIRST + 1, FIRST + 1),)),
    ((FIRST + 1, (True, False)),),
    ALL,
)


def test_parts_come_before_their_segment_and_after_the_last() -> None:
    assert hls.media(MIXED, MIXED.tracks("video")[0]) == VIDEO
    parsed = m3u8.loads(VIDEO)
    assert parsed.server_control.can_block_reload == "YES"
    assert parsed.server_control.part_hold_back == 3.008001
    assert parsed.part_inf.part_target == 1.002667
    whole = [entry for entry in parsed.segments if entry.uri]
    assert [len(entry.parts) for entry in whole] == [0, 2]
    assert [part.independent for part in whole[1].parts] == ["YES", None]
    assert parsed.preload_hint.uri == "882000002.1.m4s"
    assert [r.uri for r in parsed.rendition_reports] == ["../v1/media.m3u8", "../audio/media.m3u8"]


def test_the_segment_in_the_making_begins_a_run_after_a_gap() -> None:
    assert hls.media(AFTER_A_GAP, AFTER_A_GAP.tracks("audio")[0]) == AUDIO_AFTER_A_GAP


def test_who_knows_no_parts_reads_the_same_segments() -> None:
    """Nothing but tags of parts, and the version, is added."""
    for shown in (MIXED, AFTER_A_GAP, view(Window(first=FIRST, last=FIRST + 5))):
        for track in shown.description.tracks:
            plain = hls.media(replace(shown, parts=None), track).splitlines()
            tags = ("#EXT-X-PART", "#EXT-X-PRELOAD", "#EXT-X-RENDITION", "#EXT-X-SERVER")
            lines = hls.media(shown, track).splitlines()
            kept = [line for line in lines if not line.startswith(tags)]
            if kept[-1].startswith("#EXT-X-PROGRAM-DATE-TIME"):  # of the segment in the making
                kept.pop()
            assert kept[2:] == plain[2:]


def long(splice: int | None = None) -> ChannelView:
    """30 segments, a hole in the first ones; another edition from `splice` on."""
    window = Window(first=FIRST, last=FIRST + 29, gaps=((FIRST + 2, FIRST + 3),))
    shown = view(window, ((FIRST + 29, ALL),), (True,))
    if splice is None:
        return shown
    description = shown.description
    old = Stretch(first=FIRST, last=splice - 1, description=description, init_revision="0")
    new = Stretch(
        first=splice,
        last=window.last,
        description=description,
        init_revision=shown.init_revision,
        splice=splice,
    )
    return replace(shown, stretches=(old, new))


def test_a_delta_update_leaves_out_what_the_player_has() -> None:
    manifests = Manifests(long())
    whole, delta = manifests.media("v0"), manifests.media("v0", delta=True)
    assert whole is not None
    assert delta is not None
    head, kept = delta.body.decode().split("#EXT-X-SKIP:SKIPPED-SEGMENTS=24\n")
    which, date, tail = kept.split("\n", 2)
    assert whole.body.decode().startswith(head)
    assert whole.body.decode().endswith(tail)
    assert which == '#EXT-X-MAP:URI="init.mp4?v=0a1b2c3d"'
    assert date == "#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:48.000Z"
    assert tail.split("\n")[1] == f"{FIRST + 24}.m4s"
    assert gzip.decompress(delta.packed) == delta.body
    assert delta.etag != whole.etag


@pytest.mark.parametrize(("splice", "marks"), [(FIRST + 20, 0), (FIRST + 24, 1), (FIRST + 28, 1)])
def test_a_discontinuity_that_is_skipped_is_not_said_again(splice: int, marks: int) -> None:
    shown = long(splice)
    for skipped, expected in ((0, 1), (hls_parts.skippable(shown), marks)):
        text = hls.settled(shown, shown.tracks("video")[0], skipped)
        assert text.count("#EXT-X-DISCONTINUITY\n") == expected
        assert "#EXT-X-DISCONTINUITY-SEQUENCE:0\n" in text
        assert text.count("#EXT-X-MAP") == (2 if not skipped or splice > FIRST + 24 else 1)


def test_a_short_playlist_has_no_delta_update() -> None:
    for shown in (MIXED, replace(long(), parts=None)):
        manifests = Manifests(shown)
        assert manifests.media("v0", delta=True) is manifests.media("v0")


@pytest.mark.parametrize(
    ("shown", "hint", "report"),
    [
        (view(Window(first=5, last=5)), (6, 0), "LAST-MSN=5"),
        (view(Window(first=5, last=5), ((5, ALL),)), (6, 0), "LAST-MSN=5,LAST-PART=1"),
        (view(Window(first=5, last=5), (), (True,)), (6, 1), "LAST-MSN=6,LAST-PART=0"),
        (view(Window(first=5, last=5), (), NONE), (7, 0), "LAST-MSN=6,LAST-PART=1"),
        (view(Window(first=6, last=5), (), (True,)), (6, 1), "LAST-MSN=6,LAST-PART=0"),
        (view(Window(first=6, last=5)), (6, 0), None),
    ],
)
def test_the_end_of_a_playlist(
    shown: ChannelView, hint: tuple[int, int], report: str | None
) -> None:
    text = hls.media(shown, shown.tracks("audio")[0])
    assert shown.hint() == hint
    assert f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{hint[0]}.{hint[1]}.m4s"\n' in text
    reports = [line for line in text.splitlines() if "RENDITION-REPORT" in line]
    expected = [f'#EXT-X-RENDITION-REPORT:URI="../{n}/media.m3u8",{report}' for n in ("v0", "v1")]
    assert reports == (expected if report else [])
    dated = text.count("PROGRAM-DATE-TIME")
    assert dated == (1 if shown.window.first <= shown.window.last or shown.hint() != (6, 0) else 0)


@pytest.mark.parametrize(
    ("timeline", "frames"), [(SHORT_GOPS, 5), (NTSC, 5), (NTSC, 6), (NTSC, 10), (NTSC, 30)]
)
@pytest.mark.parametrize("kind", ["video", "audio"])
def test_parts_are_exact_and_near_their_target(timeline: Timeline, frames: int, kind: str) -> None:
    shown = view(Window(first=FIRST, last=FIRST), timeline=timeline, part_frames=frames)
    track = shown.tracks(kind)[0]
    assert shown.parts is not None
    grid = shown.parts.grid
    target_us = part_target_us(shown.description, grid)
    for k in range(FIRST, FIRST + 50):
        ticks = [part_ticks(track, grid, k, p) for p in range(grid.per_segment)]
        assert sum(ticks) == duration_ticks(track, timeline, k)
        for each in ticks:
            length_us = Fraction(each * 1_000_000, track.timescale)
            assert Fraction(85, 100) * target_us <= length_us <= target_us


OPEN_ONE = view(Window(first=5, last=9), (), (True,))


@pytest.mark.parametrize(
    ("segment", "part", "there"),
    [
        (9, None, True),
        (9, 7, True),
        (10, None, False),
        (10, 0, True),
        (10, 1, False),
        (11, 0, False),
        (0, 0, True),
    ],
)
def test_what_a_view_has_reached(segment: int, part: int | None, there: bool) -> None:
    assert OPEN_ONE.reached(segment, part) is there


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, None),
        ({"_HLS_skip": "YES"}, None),
        ({"_HLS_msn": "10"}, (10, None)),
        ({"_HLS_msn": "11", "_HLS_part": "0"}, (11, 0)),
        ({"_HLS_msn": "10", "_HLS_part": "1"}, (10, 1)),
        ({"_HLS_msn": "10", "_HLS_part": "2"}, (11, 0)),
        ({"_HLS_msn": "9", "_HLS_part": "77"}, (10, 0)),
    ],
)
def test_what_a_request_waits_for(
    query: dict[str, str], wanted: tuple[int, int | None] | None
) -> None:
    assert low_latency.wanted(query, OPEN_ONE) == wanted
    assert low_latency.wanted(query, replace(OPEN_ONE, parts=None)) is None


def test_only_the_end_is_rendered_for_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[int] = []
    settled = hls.settled

    def counted(shown: ChannelView, track: object, skipped: int) -> str:
        rendered.append(shown.window.last)
        return settled(shown, track, skipped)  # type: ignore[arg-type]

    monkeypatch.setattr(hls, "settled", counted)
    last, manifests = FIRST + 3, None
    for k in (last, last + 1):
        for n in range(3):
            shown = view(Window(first=FIRST, last=k), (), (True,) * n)
            manifests = Manifests(shown) if manifests is None else manifests.after(shown)
            playlist = manifests.media("v0")
            assert playlist is not None
            track = shown.tracks("video")[0]
            assert playlist.body.decode() == settled(shown, track) + hls.edge(shown, track)
            assert gzip.decompress(playlist.packed) == playlist.body
            assert manifests.media("v0") is playlist
            assert Manifests(shown).media("v0") == playlist  # as if there had been none before
            rendered.pop()
    assert rendered == [last, last + 1]


@pytest.mark.parametrize(("part_ms", "hold_back_ms"), [(200, 1000), (333, 1000), (334, 1002)])
def test_short_parts_leave_a_player_a_second_for_a_handover(
    part_ms: int, hold_back_ms: int
) -> None:
    assert hold_back_us(part_ms * 1000) == hold_back_ms * 1000
