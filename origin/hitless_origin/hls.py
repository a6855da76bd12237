"""HLS playlists as text (RFC 8216; RFC 8216bis for EXT-X-GAP and parts). Pure.

EXT-X-MEDIA-SEQUENCE is the segment's number k on the timeline, so it survives restarts of the
origin and of every encoder. A gap keeps its place as an EXT-X-GAP entry; there is no
EXT-X-DISCONTINUITY, for the timeline goes on behind it. That tag stands where another edition of
the channel begins, and there alone. A player does not load the multivariant playlist again, so
each track has a media playlist for all editions: where one has not the track, its nearest one
stands in, and where it has none of the type, gaps do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hitless_handover.timeline import Timeline
from hitless_origin import hls_parts
from hitless_origin.span import query_of
from hitless_origin.view import (
    ChannelView,
    Stretch,
    duration_ticks,
    stand_in,
    start_us,
    target_duration_s,
)
from hitless_wire.ingest import INIT_NAME, SEGMENT_SUFFIX, TrackDescription

MASTER_NAME = "master.m3u8"
MEDIA_NAME = "media.m3u8"
CONTENT_TYPE = "application/vnd.apple.mpegurl"
VERSION = 7
VERSION_WITH_GAP = 8  # Apple, "About the EXT-X-VERSION tag"
_AUDIO_GROUP = "audio"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def multivariant(view: ChannelView) -> str:
    """The multivariant playlist: one variant a video track, all with the same audio group."""
    audio, query = view.tracks("audio"), query_of(view.span, view.timeline)
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    lines += [_rendition(track, query, default=track is audio[0]) for track in audio]
    for track in view.tracks("video"):
        lines += [_variant(view, track, audio), f"{track.name}/{MEDIA_NAME}{query}"]
    return "\n".join(lines) + "\n"


def media(view: ChannelView, track: TrackDescription) -> str:
    """A track's media playlist: every number of the window, gaps marked, and the parts after it."""
    return settled(view, track) + edge(view, track)


def settled(view: ChannelView, track: TrackDescription, skipped: int = 0) -> str:
    """The playlist up to its last whole segment: it changes only with the next one.

    skipped: so many of its first segments are left out, for players that have them (a delta
    update). Date and EXT-X-MAP are said again then: the player need not look for them.
    """
    begin = view.window.first + skipped
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_version(view, track)}",
        f"#EXT-X-TARGETDURATION:{target_duration_s(view.description)}",
        *hls_parts.header(view),
        f"#EXT-X-MEDIA-SEQUENCE:{view.window.first}",
        *_discontinuity_sequence(view),
        "#EXT-X-INDEPENDENT-SEGMENTS",
        *_from_its_start(view),
    ]
    if skipped:
        lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
    parts = _closed_parts(view, track)
    for stretch in view.runs():
        if stretch.last >= begin:
            lines += _stretch(view, stretch, track, parts, begin)
    if view.is_complete:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def edge(view: ChannelView, track: TrackDescription) -> str:
    """The end of the playlist, which changes with each part; empty where there are none."""
    if view.parts is None:
        return ""
    segment, lines = view.window.last + 1, []
    source = stand_in(view.description, track)
    if source is not None:
        begins_run = view.window.first == segment or view.window.is_gap(view.window.last)
        if view.parts.open and begins_run:
            lines.append(_date(source, view.timeline, segment))
        folder = _folder(source, track)
        lines += hls_parts.parts(source, view.parts.grid, segment, view.parts.open, folder)
        lines += hls_parts.preload(view, folder)
    others = [other for other in view.description.tracks if other.name != track.name]
    query = query_of(view.span, view.timeline)
    urls = [f"../{other.name}/{MEDIA_NAME}{query}" for other in others]
    lines += hls_parts.reports(view, urls)
    return "".join(line + "\n" for line in lines)


def _version(view: ChannelView, track: TrackDescription) -> int:
    if view.parts is not None:
        return hls_parts.VERSION
    window = view.window
    gaps = any(first <= window.last for first, _ in window.gaps)
    absent = any(stand_in(stretch.description, track) is None for stretch in view.runs())
    return VERSION_WITH_GAP if gaps or absent else VERSION


def _from_its_start(view: ChannelView) -> Iterator[str]:
    """A piece that still grows is played from its start, where a player would begin near its end.

    It has no EXT-X-PLAYLIST-TYPE: what leaves the window leaves it, which EVENT and VOD forbid.
    """
    if view.span is not None and not view.is_complete:
        yield "#EXT-X-START:TIME-OFFSET=0,PRECISE=YES"


def _discontinuity_sequence(view: ChannelView) -> Iterator[str]:
    """Where the first segment stands (RFC 8216 4.3.3.3); absent while it never mattered."""
    first = view.window.first
    if view.discontinuities_left or any(_is_marked(stretch, first) for stretch in view.runs()):
        yield f"#EXT-X-DISCONTINUITY-SEQUENCE:{view.discontinuities_left}"


def _is_marked(stretch: Stretch, begin: int) -> bool:
    """Whether its discontinuity is in a list from `begin` on: it leaves with its segment."""
    return stretch.splice is not None and stretch.splice >= begin


def _stretch(
    view: ChannelView,
    stretch: Stretch,
    track: TrackDescription,
    parts: Mapping[int, list[str]],
    begin: int,
) -> Iterator[str]:
    """One edition's segments from `begin` on, gaps marked, with the parts still listed."""
    source, timeline = stand_in(stretch.description, track), stretch.description.timeline()
    if _is_marked(stretch, begin):
        yield "#EXT-X-DISCONTINUITY"
    if source is not None:
        folder = _folder(source, track)
        yield f'#EXT-X-MAP:URI="{folder}{INIT_NAME}?v={stretch.init_revision}"'
    for run, gap in view.window.spans(max(stretch.first, begin), stretch.last):
        for k in range(run.first, run.last + 1):
            if source is None:
                yield from ("#EXT-X-GAP", *_nothing(timeline, k))
                continue
            if k == run.first and not gap:
                yield _date(source, timeline, k)
            yield from parts.get(k, ())
            if gap:
                yield "#EXT-X-GAP"
            yield from _entry(source, timeline, k, folder)


def _folder(source: TrackDescription, track: TrackDescription) -> str:
    """Where a track's playlist finds the files of the track that stands in for it."""
    return "" if source.name == track.name else f"../{source.name}/"


def _closed_parts(view: ChannelView, track: TrackDescription) -> dict[int, list[str]]:
    source = stand_in(view.description, track)
    if view.parts is None or source is None:
        return {}
    grid, folder = view.parts.grid, _folder(source, track)
    return {
        k: list(hls_parts.parts(source, grid, k, there, folder)) for k, there in view.parts.closed
    }


def _rendition(track: TrackDescription, query: str, *, default: bool) -> str:
    parts = [f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{_AUDIO_GROUP}",NAME="{track.name}"']
    if track.language not in (None, "und"):
        parts.append(f'LANGUAGE="{track.language}"')
    parts += [f"DEFAULT={'YES' if default else 'NO'}", "AUTOSELECT=YES"]
    if track.channels:
        parts.append(f'CHANNELS="{track.channels}"')
    return ",".join([*parts, f'URI="{track.name}/{MEDIA_NAME}{query}"'])


def _variant(view: ChannelView, track: TrackDescription, audio: list[TrackDescription]) -> str:
    bandwidth = track.bandwidth + max((a.bandwidth for a in audio), default=0)
    codecs = dict.fromkeys([track.codecs, *(a.codecs for a in audio)])
    rate = view.description.rate_num / view.description.rate_den
    parts = [
        f"#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}",
        f'CODECS="{",".join(codecs)}"',
        f"RESOLUTION={track.width}x{track.height}",
        f"FRAME-RATE={rate:.3f}",
    ]
    return ",".join([*parts, f'AUDIO="{_AUDIO_GROUP}"'] if audio else parts)


def _date(track: TrackDescription, timeline: Timeline, segment: int) -> str:
    """The date of a run's first segment; the others' follow from it."""
    return f"#EXT-X-PROGRAM-DATE-TIME:{date_ms(start_us(track, timeline, segment))}"


def _entry(
    track: TrackDescription, timeline: Timeline, segment: int, folder: str
) -> tuple[str, str]:
    duration = duration_ticks(track, timeline, segment) / track.timescale
    return f"#EXTINF:{duration:.6f},", f"{folder}{segment}{SEGMENT_SUFFIX}"


def _nothing(timeline: Timeline, segment: int) -> tuple[str, str]:
    """The entry of a segment that has no such track, nor one that could stand in."""
    duration = Fraction(timeline.segment_ticks, timeline.timescale)
    return f"#EXTINF:{float(duration):.6f},", f"{segment}{SEGMENT_SUFFIX}"


def date_ms(us: int) -> str:
    """ISO 8601 with milliseconds, to the nearest; microseconds since the epoch in."""
    return date_us((us + 500) // 1000 * 1000).removesuffix("000Z") + "Z"


def date_us(us: int) -> str:
    """ISO 8601 with microseconds."""
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
