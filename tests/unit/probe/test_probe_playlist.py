from __future__ import annotations

import pytest

from hitless_cli.probe.boxes import TrackKind
from hitless_cli.probe.errors import PlaylistError
from hitless_cli.probe.playlist import read_master, read_media

MASTER = """#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Sound",DEFAULT=YES,URI="audio/media.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="Text",URI="text/media.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=2000000,RESOLUTION=1280x720,CODECS="avc1.64001f,mp4a.40.2",AUDIO="a"
v720/media.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=300000,RESOLUTION=256x144,CODECS="avc1.64000c,mp4a.40.2",AUDIO="a"
v144/media.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="mp4a.40.2",AUDIO="a"
audio/media.m3u8
"""

MEDIA = """#EXTM3U
#EXT-X-TARGETDURATION:2
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-MEDIA-SEQUENCE:882000005
#EXT-X-MAP:URI="init.mp4"
#EXT-X-PART:DURATION=0.50000,URI="5.0.m4s"
#EXTINF:2.00200,
882000005.m4s
#EXT-X-GAP
#EXTINF:2.002,
882000006.m4s
#EXT-X-DISCONTINUITY
#EXTINF:2.002,
882000007.m4s
#EXT-X-PART:DURATION=0.5,URI="8.0.m4s"
"""


def test_renditions_come_smallest_first_then_audio() -> None:
    renditions = read_master(MASTER, "http://o/live/ns/ch/master.m3u8")
    assert [(r.name, r.kind) for r in renditions] == [
        ("v144", TrackKind.VIDEO),
        ("v720", TrackKind.VIDEO),
        ("audio", TrackKind.AUDIO),
    ]
    assert renditions[0].url == "http://o/live/ns/ch/v144/media.m3u8"
    assert (renditions[0].width, renditions[0].height) == (256, 144)


def test_a_media_playlist_is_its_own_rendition() -> None:
    (rendition,) = read_master(MEDIA, "http://o/live/v144/media.m3u8")
    assert rendition.name == "v144"


def test_names_are_made_distinct() -> None:
    text = MASTER.replace("v720/media.m3u8", "x/v144/media.m3u8")
    names = [r.name for r in read_master(text, "http://o/master.m3u8")]
    assert names == ["v144-0", "v144-1", "audio-2"]


def test_a_media_playlist() -> None:
    playlist = read_media(MEDIA, "http://o/v144/media.m3u8")
    assert (playlist.first_sequence, playlist.next_sequence) == (882000005, 882000008)
    assert (playlist.target_s, playlist.ended) == (2, False)
    first, second, third = playlist.segments
    assert first.url == "http://o/v144/882000005.m4s"
    assert first.init_url == "http://o/v144/init.mp4"
    assert first.duration_us == 2_002_000
    assert [part.duration_us for part in first.parts] == [500_000]
    assert (second.gap, third.discontinuity, third.gap) == (True, True, False)
    assert [part.url for part in playlist.open_parts] == ["http://o/v144/8.0.m4s"]


REFUSED = [
    ("<html>", "does not begin with #EXTM3U"),
    (MASTER, "multivariant"),
    ("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n", "EXT-X-TARGETDURATION"),
    (MEDIA.replace('#EXT-X-MAP:URI="init.mp4"\n', ""), "EXT-X-MAP"),
    (MEDIA.replace("#EXTINF:2.002,\n", "#EXT-X-BYTERANGE:10@0\n#EXTINF:2.002,\n"), "BYTERANGE"),
    (MEDIA.replace("#EXT-X-MAP", '#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXT-X-MAP'), "EXT-X-KEY"),
    (MEDIA.replace("#EXT-X-MEDIA-SEQUENCE:882000005", "#EXT-X-MEDIA-SEQUENCE:x"), "parsed"),
]


@pytest.mark.parametrize(("text", "match"), REFUSED)
def test_what_can_not_be_followed_is_said(text: str, match: str) -> None:
    with pytest.raises(PlaylistError, match=match):
        read_media(text, "http://o/v144/media.m3u8")
