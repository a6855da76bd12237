"""HLS playlists against hand-checked text, and read by an independent parser."""

from __future__ import annotations

from fractions import Fraction

import m3u8
import pytest
from tests.component.origin.cmaf_maker import FIRST, NTSC, PAL, describe

from hitless_handover.timeline import Timeline
from hitless_origin import hls
from hitless_origin.view import ChannelView, target_duration_s
from hitless_origin.window import Window


def view(timeline: Timeline, window: Window) -> ChannelView:
    return ChannelView(
        description=describe(timeline), window=window, init_revision="0a1b2c3d", published_us=0
    )


# k = 882000000 at 2 s is 1764000000 s since the epoch: 2025-11-24 16:00 UTC
MASTER = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="audio",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",\
URI="audio/media.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=896000,CODECS="avc1.64001e,mp4a.40.2",RESOLUTION=640x360,\
FRAME-RATE=25.000,AUDIO="audio"
v0/media.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=396000,CODECS="avc1.64001e,mp4a.40.2",RESOLUTION=320x180,\
FRAME-RATE=25.000,AUDIO="audio"
v1/media.m3u8
"""

VIDEO_PAL = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:882000000
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="init.mp4?v=0a1b2c3d"
#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:00.000Z
#EXTINF:2.000000,
882000000.m4s
#EXTINF:2.000000,
882000001.m4s
"""

# 2 s hold 93.75 AAC frames of 1024 samples at 48 kHz: 94, 94, 94, 93 and again
AUDIO_PAL_WITH_GAP = """#EXTM3U
#EXT-X-VERSION:8
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:882000000
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="init.mp4?v=0a1b2c3d"
#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:00.000Z
#EXTINF:2.005333,
882000000.m4s
#EXT-X-GAP
#EXTINF:2.005333,
882000001.m4s
#EXT-X-GAP
#EXTINF:2.005333,
882000002.m4s
#EXT-X-PROGRAM-DATE-TIME:2025-11-24T16:00:06.016Z
#EXTINF:1.984000,
882000003.m4s
"""


def test_the_multivariant_playlist() -> None:
    shown = view(PAL, Window(first=FIRST, last=FIRST))
    assert hls.multivariant(shown) == MASTER
    parsed = m3u8.loads(MASTER)
    assert [p.stream_info.resolution for p in parsed.playlists] == [(640, 360), (320, 180)]
    assert parsed.playlists[0].media[0].uri == "audio/media.m3u8"


def test_a_media_playlist() -> None:
    shown = view(PAL, Window(first=FIRST, last=FIRST + 1))
    assert hls.media(shown, shown.tracks("video")[0]) == VIDEO_PAL


def test_a_gap_keeps_its_numbers() -> None:
    window = Window(first=FIRST, last=FIRST + 3, gaps=((FIRST + 1, FIRST + 2),))
    shown = view(PAL, window)
    text = hls.media(shown, shown.tracks("audio")[0])
    assert text == AUDIO_PAL_WITH_GAP
    parsed = m3u8.loads(text)
    assert [bool(s.gap_tag) for s in parsed.segments] == [False, True, True, False]
    assert not any(s.discontinuity for s in parsed.segments)


def test_a_channel_without_sound() -> None:
    description = describe(PAL)
    silent = description.model_copy(update={"tracks": description.tracks[:2]})
    shown = ChannelView(
        description=silent,
        window=Window(first=FIRST, last=FIRST),
        init_revision="0",
        published_us=0,
    )
    text = hls.multivariant(shown)
    assert "AUDIO" not in text
    assert 'CODECS="avc1.64001e"' in text


def test_an_empty_window_names_nothing_and_keeps_its_place() -> None:
    shown = view(PAL, Window(first=FIRST + 5, last=FIRST + 4))
    parsed = m3u8.loads(hls.media(shown, shown.tracks("video")[0]))
    assert parsed.segments == []
    assert parsed.media_sequence == FIRST + 5


@pytest.mark.parametrize("timeline", [PAL, NTSC], ids=["25", "29.97"])
@pytest.mark.parametrize("kind", ["video", "audio"])
def test_durations_add_up_to_the_dates(timeline: Timeline, kind: str) -> None:
    shown = view(timeline, Window(first=FIRST, last=FIRST + 999))
    parsed = m3u8.loads(hls.media(shown, shown.tracks(kind)[0]))
    durations = [Fraction(str(s.duration)) for s in parsed.segments]
    assert len(durations) == 1000
    assert max(round(d) for d in durations) <= parsed.target_duration
    exact = Fraction(timeline.segment_ticks, timeline.timescale) * 1000
    frame = Fraction(1024, 48_000)
    assert abs(sum(durations) - exact) < frame + Fraction(1, 1000)


@pytest.mark.parametrize(
    ("frames", "rate", "target"), [(50, 25, 2), (60, 25, 2), (63, 25, 3), (25, 25, 1), (90, 25, 4)]
)
def test_the_target_is_the_longest_rounded(frames: int, rate: int, target: int) -> None:
    timeline = Timeline(rate_num=rate, rate_den=1, segment_frames=frames, gop_frames=frames)
    assert target_duration_s(describe(timeline)) == target


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_764_000_000_033_367, "2025-11-24T16:00:00.033Z"),
        (1_764_000_000_999_500, "2025-11-24T16:00:01.000Z"),
    ],
)
def test_dates_are_in_milliseconds(us: int, text: str) -> None:
    assert hls.date_ms(us) == text
