"""Pieces of a channel: what a query asks for, and what is left of the view."""

from __future__ import annotations

from dataclasses import replace

import m3u8
import pytest
from mpegdash.parser import MPEGDASHParser
from tests.component.origin.cmaf_maker import FIRST, NTSC, PAL, SHORT_GOPS, describe

from hitless_handover.timeline import Timeline
from hitless_origin import dash, hls
from hitless_origin.dash import Form
from hitless_origin.errors import ViewRefused
from hitless_origin.span import asked, cut, query_of
from hitless_origin.view import ChannelView, PartsView, Span, Stretch
from hitless_origin.window import Window

T = FIRST * 2  # when segment FIRST of PAL starts, seconds since the epoch


def view(timeline: Timeline = PAL, last: int = FIRST + 9, **more: object) -> ChannelView:
    shown = ChannelView(
        description=describe(timeline),
        window=Window(first=FIRST, last=last),
        init_revision="0a",
        published_us=T * 1_000_000,
    )
    return replace(shown, **more)  # type: ignore[arg-type]  # tests' own fields


@pytest.mark.parametrize(
    ("query", "span"),
    [
        ({}, None),
        ({"_HLS_msn": "3"}, None),
        ({"start": f"{T}"}, Span(first=FIRST)),
        ({"start": f"{T}.000001"}, Span(first=FIRST)),
        ({"start": f"{T - 1}.999999"}, Span(first=FIRST - 1)),
        ({"start": "2025-11-24T16:00:03Z"}, Span(first=FIRST + 1)),
        ({"start": "2025-11-24T18:00:03.5+02:00"}, Span(first=FIRST + 1)),
        ({"start": f"{T}", "end": f"{T + 4}"}, Span(first=FIRST, last=FIRST + 1)),
        ({"start": f"{T}", "end": f"{T + 4}.000001"}, Span(first=FIRST, last=FIRST + 2)),
        ({"start": f"{T}", "end": "2025-11-24T16:00:01Z"}, Span(first=FIRST, last=FIRST)),
        ({"start": "0"}, Span(first=0)),
    ],
)
def test_a_query_names_whole_segments(query: dict[str, str], span: Span | None) -> None:
    assert asked(query, PAL) == span


@pytest.mark.parametrize(
    "query",
    [
        {"end": f"{T}"},
        {"start": ""},
        {"start": "now"},
        {"start": "-1"},
        {"start": "1e9"},
        {"start": "1٣"},
        {"start": f"{T}", "end": f"{T}"},
        {"start": f"{T}", "end": f"{T - 1}"},
        {"start": f"{T}", "end": ""},
        {"start": "100000000000"},
        {"start": "1." + "0" * 7},
        {"start": "2025-11-24T16:00:00"},  # of no time zone
        {"start": "2025-11-24"},
        {"start": "2025-02-30T16:00:00Z"},
        {"start": "1969-12-31T23:59:59Z"},
        {"start": "9999-12-31T23:59:59-23:59"},
        {"start": "0001-01-01T00:00:00+23:59"},
        {"start": "2025-11-24T16:00:00 01:00"},  # what %2B is for
    ],
)
def test_nonsense_is_said(query: dict[str, str]) -> None:
    with pytest.raises(ViewRefused) as refusal:
        asked(query, PAL)
    assert refusal.value.status == 400
    assert refusal.value.error


@pytest.mark.parametrize("timeline", [PAL, NTSC], ids=["25", "29.97"])
def test_the_query_of_a_span_asks_for_it(timeline: Timeline) -> None:
    for first in range(FIRST, FIRST + 50):
        for last in (None, first, first + 7):
            span = Span(first=first, last=last)
            text = query_of(span, timeline).removeprefix("?")
            query = dict(pair.split("=") for pair in text.split("&"))
            assert asked(query, timeline) == span
    assert query_of(None, timeline) == ""


def test_a_piece_is_bounded_by_the_window() -> None:
    for span, first, last in (
        (Span(first=0), FIRST, FIRST + 9),
        (Span(first=FIRST + 4), FIRST + 4, FIRST + 9),
        (Span(first=FIRST - 5, last=FIRST + 2), FIRST, FIRST + 2),
        (Span(first=FIRST + 8, last=FIRST + 20), FIRST + 8, FIRST + 9),
    ):
        window = cut(view(), span).window
        assert (window.first, window.last) == (first, last)


@pytest.mark.parametrize(
    ("span", "status", "retry_s"),
    [
        (Span(first=FIRST + 10), 404, 2),
        (Span(first=FIRST + 12, last=FIRST + 20), 404, 6),
        (Span(first=FIRST + 10_000_000), 404, 3600),
        (Span(first=FIRST - 9, last=FIRST - 1), 410, None),
        (Span(first=FIRST + 4, last=FIRST + 5), 404, None),  # a gap
        (Span(first=FIRST + 9), 404, 2),  # a gap as yet
    ],
)
def test_what_is_not_there_is_said(span: Span, status: int, retry_s: int | None) -> None:
    gaps = ((FIRST + 4, FIRST + 6), (FIRST + 8, FIRST + 9))
    shown = view(window=Window(first=FIRST, last=FIRST + 9, gaps=gaps))
    with pytest.raises(ViewRefused) as refusal:
        cut(shown, span)
    assert (refusal.value.status, refusal.value.retry_after_s) == (status, retry_s)


def test_gaps_stay_but_for_one_at_the_start() -> None:
    gaps = ((FIRST + 1, FIRST + 2), (FIRST + 4, FIRST + 6))
    shown = view(window=Window(first=FIRST, last=FIRST + 9, gaps=gaps))
    piece = cut(shown, Span(first=FIRST + 2, last=FIRST + 5))
    assert (piece.window.first, piece.window.last) == (FIRST + 3, FIRST + 5)
    assert [k for k in range(FIRST, FIRST + 10) if k in piece.window] == [FIRST + 3]
    text = hls.media(piece, piece.description.tracks[0])
    assert text.count("#EXT-X-GAP") == 2
    assert text.endswith(f"{FIRST + 5}.m4s\n#EXT-X-ENDLIST\n")


# Catch-up of the two segments on both sides of a change of edition.
CATCH_UP = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:882000004
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="init.mp4?v=0b"
#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:08.000Z
#EXTINF:2.000000,
882000004.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="init.mp4?v=0c"
#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:10.000Z
#EXTINF:2.000000,
882000005.m4s
#EXT-X-ENDLIST
"""


def _editions() -> ChannelView:
    """Three, from FIRST, FIRST + 3 and FIRST + 5 on; then a fourth that has no v1."""
    alike = describe(PAL)
    fourth = alike.model_copy(update={"tracks": (alike.tracks[0], alike.tracks[2])})
    bounds = [FIRST, FIRST + 3, FIRST + 5, FIRST + 8, FIRST + 10]
    stretches = tuple(
        Stretch(
            first=first,
            last=after - 1,
            description=fourth if first == FIRST + 8 else alike,
            init_revision=revision,
            splice=first if first > FIRST else FIRST - 2,
        )
        for first, after, revision in zip(
            bounds, bounds[1:], ("0a", "0b", "0c", "0d"), strict=False
        )
    )
    return view(
        description=fourth,
        init_revision="0d",
        stretches=stretches,
        discontinuities_left=2,
        former_tracks=(alike.tracks[1],),
    )


def test_catch_up_over_editions() -> None:
    piece = cut(_editions(), Span(first=FIRST + 4, last=FIRST + 5))
    assert hls.media(piece, piece.description.tracks[0]) == CATCH_UP
    # it is described as it was then
    assert [track.name for track in piece.tracks("video")] == ["v0", "v1"]
    assert piece.init_revision == "0c"
    periods = MPEGDASHParser.parse(_mpd(piece)).periods
    assert [(p.id, p.start) for p in periods] == [
        (str(FIRST + 3), "PT0S"),
        (str(FIRST + 5), "PT2S"),
    ]


def test_a_piece_of_the_last_edition_has_its_tracks() -> None:
    piece = cut(_editions(), Span(first=FIRST + 4))
    assert [track.name for track in piece.tracks("video")] == ["v0"]
    assert [track.name for track in piece.listed_tracks()] == ["v0", "audio", "v1"]


def test_the_multivariant_playlist_carries_the_query_on() -> None:
    piece = cut(view(), Span(first=FIRST + 1, last=FIRST + 2))
    parsed = m3u8.loads(hls.multivariant(piece))
    query = f"?start={T + 2}&end={T + 6}"
    assert [p.uri for p in parsed.playlists] == [f"v{i}/media.m3u8{query}" for i in (0, 1)]
    assert [m.uri for m in parsed.media] == [f"audio/media.m3u8{query}"]


def test_start_over_goes_on_and_begins_at_its_start() -> None:
    grid = describe(SHORT_GOPS, part_frames=5).parts()
    assert grid is not None
    shown = view(SHORT_GOPS, parts=PartsView(grid=grid, open=(True,)))
    piece = cut(shown, Span(first=FIRST + 7))
    text = hls.media(piece, piece.description.tracks[0])
    parsed = m3u8.loads(text)
    assert parsed.media_sequence == FIRST + 7
    assert parsed.start.time_offset == 0
    assert not parsed.is_endlist
    assert f"{FIRST + 10}.0.m4s" in text
    assert [r.uri for r in parsed.rendition_reports] == [
        f"../{name}/media.m3u8?start={T + 14}" for name in ("v1", "audio")
    ]
    ending = cut(shown, Span(first=FIRST + 7, last=FIRST + 10))
    text = hls.media(ending, ending.description.tracks[0])
    assert "EXT-X-ENDLIST" not in text
    assert "EXT-X-PART" not in text  # who waits for an end is no viewer of parts


@pytest.mark.parametrize("timeline", [PAL, NTSC], ids=["25", "29.97"])
def test_the_time_of_a_piece_begins_with_it(timeline: Timeline) -> None:
    span = Span(first=FIRST + 3, last=FIRST + 6)
    growing, whole = cut(view(timeline, last=FIRST + 5), span), cut(view(timeline), span)
    live, static = MPEGDASHParser.parse(_mpd(growing)), MPEGDASHParser.parse(_mpd(whole))
    assert (live.type, static.type) == ("dynamic", "static")
    assert "availabilityStartTime" not in _mpd(whole)
    assert "UTCTiming" not in _mpd(whole)
    for parsed in (live, static):  # nothing jumps when it ends
        [period] = parsed.periods
        assert period.start == "PT0S"
        [template] = period.adaptation_sets[0].segment_templates
        assert template.presentation_time_offset == template.segment_timelines[0].Ss[0].t
    length = {PAL: "PT8S", NTSC: "PT8.008S"}[timeline]
    assert static.media_presentation_duration == length
    assert cut(replace(view(timeline), published_us=5), span) == whole


def _mpd(shown: ChannelView) -> str:
    return dash.mpd(shown, Form.TIMELINE, dash.period(shown, Form.TIMELINE))
