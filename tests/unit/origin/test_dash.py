"""The MPD against hand-checked text, and read by an independent parser."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from xml.etree import ElementTree

import pytest
from mpegdash.parser import MPEGDASHParser
from tests.component.origin.cmaf_maker import FIRST, NTSC, PAL, SHORT_GOPS, describe

from hitless_handover.timeline import Timeline
from hitless_origin import dash
from hitless_origin.dash import Form
from hitless_origin.view import ChannelView, PartsView, segment_at, start_ticks
from hitless_origin.window import Window

NOW_US = 1_764_000_010_250_000


def render(timeline: Timeline, window: Window, form: Form = Form.TIMELINE) -> str:
    view = ChannelView(
        description=describe(timeline),
        window=window,
        init_revision="0a1b2c3d",
        published_us=1_764_000_009_000_000,
    )
    return dash.mpd(view, form, dash.period(view, form))


# 882000000 * 2 s * 25000 = 44100000000000; audio: ceil(1764000000 * 48000 / 1024) * 1024
MPD_PAL = """<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" \
profiles="urn:mpeg:dash:profile:isoff-live:2011" availabilityStartTime="1970-01-01T00:00:00Z" \
publishTime="2025-11-24T16:00:09.000Z" minimumUpdatePeriod="PT2S" timeShiftBufferDepth="PT20S" \
suggestedPresentationDelay="PT8S" minBufferTime="PT2S" maxSegmentDuration="PT2.022S">
<Period id="0" start="PT0S">
<AdaptationSet id="0" contentType="video" mimeType="video/mp4" frameRate="25" \
segmentAlignment="true" startWithSAP="1">
<SegmentTemplate timescale="25000" initialization="$RepresentationID$/init.mp4?v=0a1b2c3d" \
media="$RepresentationID$/t$Time$.m4s">
<SegmentTimeline>
<S t="44100000000000" d="50000" r="3"/>
</SegmentTimeline>
</SegmentTemplate>
<Representation id="v0" codecs="avc1.64001e" bandwidth="800000" width="640" height="360" \
sar="1:1"/>
<Representation id="v1" codecs="avc1.64001e" bandwidth="300000" width="320" height="180" \
sar="1:1"/>
</AdaptationSet>
<AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" segmentAlignment="true" \
startWithSAP="1">
<SegmentTemplate timescale="48000" initialization="$RepresentationID$/init.mp4?v=0a1b2c3d" \
media="$RepresentationID$/t$Time$.m4s">
<SegmentTimeline>
<S t="84672000000000" d="96256" r="2"/>
<S d="95232"/>
</SegmentTimeline>
</SegmentTemplate>
<Representation id="audio" codecs="mp4a.40.2" bandwidth="96000" audioSamplingRate="48000">
<AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" \
value="2"/>
</Representation>
</AdaptationSet>
</Period>
<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-xsdate:2014" value="utc"/>
<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="utc"/>
<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-head:2014" value="utc"/>
</MPD>
"""


def test_the_mpd() -> None:
    assert render(PAL, Window(first=FIRST, last=FIRST + 3)) == MPD_PAL


def test_a_gap_is_a_jump_of_the_timeline() -> None:
    window = Window(first=FIRST, last=FIRST + 4, gaps=((FIRST + 1, FIRST + 2),))
    [period] = MPEGDASHParser.parse(render(PAL, window)).periods
    assert (period.id, period.start) == ("0", "PT0S")
    starts = [s.t for s in period.adaptation_sets[0].segment_templates[0].segment_timelines[0].Ss]
    assert starts == [FIRST * 50_000, (FIRST + 3) * 50_000]


@pytest.mark.parametrize("timeline", [PAL, NTSC], ids=["25", "29.97"])
def test_every_segment_is_named_by_its_exact_start(timeline: Timeline) -> None:
    window = Window(first=FIRST, last=FIRST + 99, gaps=((FIRST + 10, FIRST + 10),))
    [period] = MPEGDASHParser.parse(render(timeline, window)).periods
    tracks = describe(timeline).tracks
    for adaptation, track in zip(period.adaptation_sets, (tracks[0], tracks[2]), strict=True):
        [template] = adaptation.segment_templates
        named, ticks = [], 0
        for s in template.segment_timelines[0].Ss:
            ticks = s.t if s.t is not None else ticks
            for _ in range(1 + (s.r or 0)):
                named.append(ticks)
                ticks += s.d
        published = [k for run in window.runs() for k in range(run.first, run.last + 1)]
        assert named == [start_ticks(track, timeline, k) for k in published]
        assert [segment_at(track, timeline, t) for t in named] == published
        assert segment_at(track, timeline, named[0] + 1) is None


def test_each_codec_has_an_adaptation_set_of_its_own() -> None:
    description = describe(PAL)
    high, small, *sounds = description.tracks
    assert (high.type, small.type) == ("video", "video")
    small = small.model_copy(update={"codecs": "av01.0.00M.08"})
    description = description.model_copy(update={"tracks": (high, small, *sounds)})
    window = Window(first=FIRST, last=FIRST + 1)
    view = ChannelView(
        description=description, window=window, init_revision="0a1b2c3d", published_us=NOW_US
    )
    parsed = MPEGDASHParser.parse(dash.mpd(view, Form.TIMELINE, dash.period(view, Form.TIMELINE)))
    sets = parsed.periods[0].adaptation_sets
    assert [(one.id, one.content_type) for one in sets] == [
        (0, "video"),
        (1, "audio"),
        (2, "video"),
    ]
    assert [one.representations[0].codecs for one in sets] == [
        "avc1.64001e",
        "mp4a.40.2",
        "av01.0.00M.08",
    ]


# The longest part holds 10 AAC frames, 213.3 ms; 882000002 * 2 s is the newest.
NUMBERED_PARTS = """<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" \
profiles="urn:mpeg:dash:profile:isoff-live:2011" availabilityStartTime="1970-01-01T00:00:00Z" \
publishTime="2025-11-24T16:00:07.000Z" minimumUpdatePeriod="PT2S" timeShiftBufferDepth="PT3S" \
suggestedPresentationDelay="PT1.464S" minBufferTime="PT2S" maxSegmentDuration="PT2.022S">
<ServiceDescription id="0">
<Latency referenceId="0" target="1464" max="3464"/>
<PlaybackRate min="0.96" max="1.04"/>
</ServiceDescription>
<Period id="0" start="PT0S">
<AdaptationSet id="0" contentType="video" mimeType="video/mp4" frameRate="25" \
segmentAlignment="true" startWithSAP="1">
<ProducerReferenceTime id="0" type="captured" inband="false" \
wallClockTime="2025-11-24T16:00:04.000000Z" presentationTime="44100000100000">
<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-xsdate:2014" value="utc"/>
</ProducerReferenceTime>
<SegmentTemplate timescale="25000" duration="50000" startNumber="0" \
availabilityTimeOffset="1.786666" availabilityTimeComplete="false" \
initialization="$RepresentationID$/init.mp4?v=0a1b2c3d" \
media="$RepresentationID$/$Number$.m4s?v=0a1b2c3d"/>
<Representation id="v0" codecs="avc1.64001e" bandwidth="800000" width="640" height="360" \
sar="1:1"/>
<Representation id="v1" codecs="avc1.64001e" bandwidth="300000" width="320" height="180" \
sar="1:1"/>
</AdaptationSet>
<AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" segmentAlignment="true" \
startWithSAP="1">
<ProducerReferenceTime id="0" type="captured" inband="false" \
wallClockTime="2025-11-24T16:00:04.000000Z" presentationTime="44100000100000">
<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-xsdate:2014" value="utc"/>
</ProducerReferenceTime>
<SegmentTemplate timescale="25000" duration="50000" startNumber="0" \
availabilityTimeOffset="1.786666" availabilityTimeComplete="false" \
initialization="$RepresentationID$/init.mp4?v=0a1b2c3d" \
media="$RepresentationID$/$Number$.m4s?v=0a1b2c3d"/>
<Representation id="audio" codecs="mp4a.40.2" bandwidth="96000" audioSamplingRate="48000">
<AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" \
value="2"/>
</Representation>
</AdaptationSet>
</Period>
<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-xsdate:2014" value="utc"/>
<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="utc"/>
<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-head:2014" value="utc"/>
</MPD>
"""


def numbered(window: Window, published_s: int, part_frames: int | None = None) -> str:
    description = describe(SHORT_GOPS, part_frames=part_frames)
    grid = description.parts()
    view = ChannelView(
        description=description,
        window=window,
        init_revision="0a1b2c3d",
        published_us=published_s * 1_000_000,
        parts=None if grid is None else PartsView(grid=grid),
    )
    return dash.mpd(view, Form.NUMBERED, dash.period(view, Form.NUMBERED))


def test_the_mpd_by_number_for_low_latency() -> None:
    gaps = ((FIRST + 1, FIRST + 1),)
    window = Window(first=FIRST, last=FIRST + 2, gaps=gaps)
    assert numbered(window, 2 * FIRST + 7, part_frames=5) == NUMBERED_PARTS


@pytest.mark.parametrize(
    ("gaps", "depth"),
    [
        ((), "PT18S"),
        (((FIRST + 1, FIRST + 2),), "PT12S"),
        (((FIRST + 7, FIRST + 8),), "PT2S"),
        (((FIRST + 8, FIRST + 8),), "PT2S"),  # at the end
    ],
)
def test_a_number_is_promised_only_after_the_last_gap(
    gaps: tuple[tuple[int, int], ...], depth: str
) -> None:
    window = Window(first=FIRST, last=FIRST + 8, gaps=gaps)
    text = numbered(window, 2 * FIRST + 18)
    assert f'timeShiftBufferDepth="{depth}"' in text
    # nothing is in the making for viewers, so a segment is promised when it is there for sure
    assert 'availabilityStartTime="1970-01-01T00:00:02Z"' in text
    assert "availabilityTimeOffset" not in text
    assert "ServiceDescription" not in text


def test_a_reference_time_is_in_the_ticks_of_its_template() -> None:
    """Of sound too: Shaka Player was off by decades where they were those of the media."""
    root = ElementTree.fromstring(numbered(Window(first=FIRST, last=FIRST + 2), 0, part_frames=5))
    sets = root.findall(".//{*}AdaptationSet")
    assert len(sets) == 2
    for each in sets:
        reference, template = each.find("{*}ProducerReferenceTime"), each.find("{*}SegmentTemplate")
        assert reference is not None
        assert template is not None
        ticks, scale = int(reference.attrib["presentationTime"]), int(template.attrib["timescale"])
        when = datetime.fromisoformat(reference.attrib["wallClockTime"])
        assert when.timestamp() == ticks / scale


@pytest.mark.parametrize("timeline", [PAL, NTSC], ids=["25", "29.97"])
def test_numbers_and_times_name_the_same_segments(timeline: Timeline) -> None:
    window = Window(first=FIRST, last=FIRST + 99)
    [period] = MPEGDASHParser.parse(render(timeline, window, Form.NUMBERED)).periods
    for adaptation in period.adaptation_sets:
        [template] = adaptation.segment_templates
        track = describe(timeline).tracks[0 if adaptation.content_type == "video" else 2]
        for k in (FIRST, FIRST + 99):
            nominal = Fraction(k * template.duration, template.timescale)
            actual = Fraction(start_ticks(track, timeline, k), track.timescale)
            late = actual - nominal  # within a frame of sound, however far from 1970
            assert 0 <= late < Fraction(1024, 48_000)
            assert track.type == "audio" or late == 0
