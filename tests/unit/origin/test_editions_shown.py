"""Playlists and MPD of a window with two editions, against hand-checked text and other parsers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import m3u8
import pytest
from mpegdash.parser import MPEGDASHParser
from tests.component.origin.cmaf_maker import FIRST, NTSC, PAL, SHORT_GOPS, describe

from hitless_handover.timeline import Timeline
from hitless_origin import dash, hls
from hitless_origin.view import ChannelView, PartsView, Stretch, stand_in
from hitless_origin.window import Window
from hitless_wire.ingest import ChannelDescription, TrackDescription

# The older edition has v0, v1 and audio at 48 kHz; the newer one hd, v0 and sound at 44.1 kHz.
OLD = describe(PAL)
V0, V1, AUDIO = OLD.tracks
HD = V0.model_copy(update={"name": "hd", "width": 1280, "height": 720, "bandwidth": 2_000_000})
SOUND = AUDIO.model_copy(update={"name": "sound", "timescale": 44_100, "sample_rate": 44_100})
NEW = OLD.model_copy(update={"audio_rate": 44_100, "tracks": (HD, V0, SOUND)})
SPLICE = FIRST + 2


def whole_mpd(view: ChannelView) -> str:
    return dash.mpd(view, dash.Form.TIMELINE, dash.period(view, dash.Form.TIMELINE))


NAMES = ("hd", "v0", "sound", "v1", "audio")

# The track that only the older edition has: v0 stands in, the nearest in height.
V1_PLAYLIST = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:882000000
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="init.mp4?v=0000000a"
#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:00.000Z
#EXTINF:2.000000,
882000000.m4s
#EXTINF:2.000000,
882000001.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="../v0/init.mp4?v=0000000b"
#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:04.000Z
#EXTINF:2.000000,
../v0/882000002.m4s
#EXTINF:2.000000,
../v0/882000003.m4s
"""

# The track that only the newer edition has. 88064 samples of 44.1 kHz are 86 AAC frames.
SOUND_PLAYLIST = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:882000000
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="../audio/init.mp4?v=0000000a"
#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:00.000Z
#EXTINF:2.005333,
../audio/882000000.m4s
#EXTINF:2.005333,
../audio/882000001.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="init.mp4?v=0000000b"
#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:04.017Z
#EXTINF:1.996916,
882000002.m4s
#EXTINF:1.996916,
882000003.m4s
"""

V0_AFTER_THE_BOUNDARY_LEFT = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:882000003
#EXT-X-DISCONTINUITY-SEQUENCE:1
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="init.mp4?v=0000000b"
#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:06.000Z
#EXTINF:2.000000,
882000003.m4s
"""

# 882000002 * 50000 = 44100000100000 and 1764000004 s * 44100 = 77792400176400
PERIODS = """<Period id="0" start="PT0S">
<AdaptationSet id="0" contentType="video" mimeType="video/mp4" frameRate="25" \
segmentAlignment="true" startWithSAP="1">
<SegmentTemplate timescale="25000" initialization="$RepresentationID$/init.mp4?v=0000000a" \
media="$RepresentationID$/t$Time$.m4s">
<SegmentTimeline>
<S t="44100000000000" d="50000" r="1"/>
</SegmentTimeline>
</SegmentTemplate>
<Representation id="v0" codecs="avc1.64001e" bandwidth="800000" width="640" height="360" \
sar="1:1"/>
<Representation id="v1" codecs="avc1.64001e" bandwidth="300000" width="320" height="180" \
sar="1:1"/>
</AdaptationSet>
<AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" segmentAlignment="true" \
startWithSAP="1">
<SegmentTemplate timescale="48000" initialization="$RepresentationID$/init.mp4?v=0000000a" \
media="$RepresentationID$/t$Time$.m4s">
<SegmentTimeline>
<S t="84672000000000" d="96256" r="1"/>
</SegmentTimeline>
</SegmentTemplate>
<Representation id="audio" codecs="mp4a.40.2" bandwidth="96000" audioSamplingRate="48000">
<AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" \
value="2"/>
</Representation>
</AdaptationSet>
</Period>
<Period id="882000002" start="PT1764000004S">
<AdaptationSet id="0" contentType="video" mimeType="video/mp4" frameRate="25" \
segmentAlignment="true" startWithSAP="1">
<SegmentTemplate timescale="25000" presentationTimeOffset="44100000100000" \
initialization="$RepresentationID$/init.mp4?v=0000000b" media="$RepresentationID$/t$Time$.m4s">
<SegmentTimeline>
<S t="44100000100000" d="50000" r="1"/>
</SegmentTimeline>
</SegmentTemplate>
<Representation id="hd" codecs="avc1.64001e" bandwidth="2000000" width="1280" height="720" \
sar="1:1"/>
<Representation id="v0" codecs="avc1.64001e" bandwidth="800000" width="640" height="360" \
sar="1:1"/>
</AdaptationSet>
<AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" segmentAlignment="true" \
startWithSAP="1">
<SegmentTemplate timescale="44100" presentationTimeOffset="77792400176400" \
initialization="$RepresentationID$/init.mp4?v=0000000b" media="$RepresentationID$/t$Time$.m4s">
<SegmentTimeline>
<S t="77792400177152" d="88064" r="1"/>
</SegmentTimeline>
</SegmentTemplate>
<Representation id="sound" codecs="mp4a.40.2" bandwidth="96000" audioSamplingRate="44100">
<AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" \
value="2"/>
</Representation>
</AdaptationSet>
</Period>
"""


def stretch(first: int, last: int, edition: ChannelDescription, splice: int | None) -> Stretch:
    revision = "0000000a" if edition is OLD else "0000000b"
    return Stretch(
        first=first, last=last, description=edition, init_revision=revision, splice=splice
    )


def view(window: Window, *stretches: Stretch, left: int = 0) -> ChannelView:
    return ChannelView(
        description=NEW,
        window=window,
        init_revision="0000000b",
        published_us=0,
        stretches=stretches,
        discontinuities_left=left,
        former_tracks=(V1, AUDIO),
    )


def both() -> ChannelView:
    return view(
        Window(first=FIRST, last=FIRST + 3),
        stretch(FIRST, SPLICE - 1, OLD, None),
        stretch(SPLICE, FIRST + 3, NEW, SPLICE),
    )


def playlist(shown: ChannelView, name: str) -> str:
    [track] = [track for track in shown.listed_tracks() if track.name == name]
    return hls.media(shown, track)


def test_a_former_track_goes_on_with_the_nearest() -> None:
    assert playlist(both(), "v1") == V1_PLAYLIST


def test_a_new_track_begins_with_the_nearest() -> None:
    assert playlist(both(), "sound") == SOUND_PLAYLIST


def test_all_playlists_have_the_same_numbers_and_discontinuities() -> None:
    parsed = [m3u8.loads(playlist(both(), name)) for name in NAMES]
    for each in parsed:
        assert (each.media_sequence, each.target_duration) == (FIRST, 2)
        assert [s.discontinuity for s in each.segments] == [False, False, True, False]
        assert len({s.init_section.uri for s in each.segments}) == 2
    assert {each.discontinuity_sequence for each in parsed} == {0}


def test_the_multivariant_playlist_has_the_tracks_on_air() -> None:
    parsed = m3u8.loads(hls.multivariant(both()))
    assert [p.uri for p in parsed.playlists] == ["hd/media.m3u8", "v0/media.m3u8"]
    assert [m.uri for m in parsed.media] == ["sound/media.m3u8"]


def test_the_sequence_counts_what_has_left() -> None:
    leaving = view(
        Window(first=SPLICE, last=FIRST + 3), stretch(SPLICE, FIRST + 3, NEW, SPLICE), left=0
    )
    text = playlist(leaving, "v0")
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:0\n" in text
    assert "#EXT-X-DISCONTINUITY\n" in text, "it leaves with its segment"
    left = view(
        Window(first=FIRST + 3, last=FIRST + 3), stretch(FIRST + 3, FIRST + 3, NEW, SPLICE), left=1
    )
    assert playlist(left, "v0") == V0_AFTER_THE_BOUNDARY_LEFT


def test_a_gap_before_the_boundary() -> None:
    shown = replace(both(), window=Window(first=FIRST, last=FIRST + 3, gaps=((SPLICE - 1,) * 2,)))
    parsed = m3u8.loads(playlist(shown, "v1"))
    assert [bool(s.gap_tag) for s in parsed.segments] == [False, True, False, False]
    assert [s.discontinuity for s in parsed.segments] == [False, False, True, False]
    first, second = MPEGDASHParser.parse(whole_mpd(shown)).periods
    for period, count in ((first, 1), (second, 2)):
        entries = period.adaptation_sets[0].segment_templates[0].segment_timelines[0].Ss
        assert sum(1 + (s.r or 0) for s in entries) == count


def test_where_nothing_can_stand_in_there_are_gaps() -> None:
    silent = NEW.model_copy(update={"tracks": (HD, V0)})
    shown = view(
        Window(first=FIRST, last=FIRST + 3),
        stretch(FIRST, SPLICE - 1, OLD, None),
        Stretch(first=SPLICE, last=FIRST + 3, description=silent, init_revision="c", splice=SPLICE),
    )
    parsed = m3u8.loads(playlist(shown, "audio"))
    assert parsed.version == 8
    assert [bool(s.gap_tag) for s in parsed.segments] == [False, False, True, True]
    assert [s.discontinuity for s in parsed.segments] == [False, False, True, False]


def test_each_run_is_a_period() -> None:
    assert dash.period(both(), dash.Form.TIMELINE) == PERIODS


@pytest.mark.parametrize("first", [FIRST, FIRST + 7])
@pytest.mark.parametrize(
    "timeline",
    [NTSC, PAL, Timeline(rate_num=30_000, rate_den=1001, segment_frames=50, gop_frames=50)],
    ids=["ntsc", "pal", "thirds"],
)
def test_periods_keep_media_time(timeline: Timeline, first: int) -> None:
    """A period starts at its first picture to the microsecond, and no offset is a tick off."""
    edition = describe(timeline)
    shown = ChannelView(
        description=edition,
        window=Window(first=first, last=first + 1),
        init_revision="b",
        published_us=0,
        stretches=(
            Stretch(
                first=first, last=first + 1, description=edition, init_revision="b", splice=first
            ),
        ),
    )
    [period] = MPEGDASHParser.parse(whole_mpd(shown)).periods
    exact = Fraction(first * timeline.segment_ticks, timeline.timescale)
    assert period.id == str(first)
    assert abs(Fraction(period.start[2:-1]) - exact) <= Fraction(1, 2_000_000)
    video, audio = (a.segment_templates[0] for a in period.adaptation_sets)
    assert video.presentation_time_offset == video.segment_timelines[0].Ss[0].t
    offset = Fraction(audio.presentation_time_offset, audio.timescale)
    assert abs(offset - exact) <= Fraction(1, 2 * audio.timescale)
    assert 0 <= audio.segment_timelines[0].Ss[0].t - audio.presentation_time_offset < 1024


def test_parts_of_a_former_track_are_those_of_its_stand_in() -> None:
    low = describe(SHORT_GOPS, part_frames=5)
    grid = low.parts()
    assert grid is not None
    window = Window(first=FIRST, last=SPLICE)
    shown = replace(
        view(window, stretch(FIRST, SPLICE - 1, OLD, None), stretch(SPLICE, SPLICE, NEW, SPLICE)),
        parts=PartsView(grid=grid, closed=((SPLICE, (True,) * 10),), open=(True,)),
    )
    parsed = m3u8.loads(playlist(shown, "v1"))
    parts = [part.uri for segment in parsed.segments for part in segment.parts]
    assert parts == [*(f"../v0/{SPLICE}.{p}.m4s" for p in range(10)), f"../v0/{SPLICE + 1}.0.m4s"]
    assert parsed.preload_hint.uri == f"../v0/{SPLICE + 1}.1.m4s"
    reports = [report.uri for report in parsed.rendition_reports]
    assert reports == [f"../{name}/media.m3u8" for name in ("hd", "v0", "sound")]


@pytest.mark.parametrize(
    ("track", "nearest"),
    [
        (V0, "v0"),
        (V1, "v0"),
        (V0.model_copy(update={"name": "uhd", "height": 2160}), "hd"),
        (HD.model_copy(update={"name": "x", "bandwidth": 1}), "hd"),
        (AUDIO, "sound"),
        (AUDIO.model_copy(update={"language": "fr"}), "french"),
    ],
)
def test_the_nearest_track(track: TrackDescription, nearest: str) -> None:
    twin = HD.model_copy(update={"name": "twin", "bandwidth": 4_000_000})
    french = SOUND.model_copy(update={"name": "french", "language": "fr"})
    edition = NEW.model_copy(update={"tracks": (HD, twin, V0, SOUND, french)})
    found = stand_in(edition, track)
    assert found is not None
    assert found.name == nearest
