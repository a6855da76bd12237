"""HLS playlists as text (RFC 8216; RFC 8216bis for EXT-X-GAP and parts). Pure.

EXT-X-MEDIA-SEQUENCE is the segment's number k on the timeline, so it survives restarts of the
origin and of every encoder. A gap keeps its place as an EXT-X-GAP entry; there is no
EXT-X-DISCONTINUITY, for the timeline goes on behind it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hitless_handover.timeline import Timeline
from hitless_origin import hls_parts
from hitless_origin.view import ChannelView, duration_ticks, start_us, target_duration_s
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
    audio = view.tracks("audio")
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    lines += [_rendition(track, default=track is audio[0]) for track in audio]
    for track in view.tracks("video"):
        lines += [_variant(view, track, audio), f"{track.name}/{MEDIA_NAME}"]
    return "\n".join(lines) + "\n"


def media(view: ChannelView, track: TrackDescription) -> str:
    """A track's media playlist: every number of the window, gaps marked, and the parts after it."""
    return settled(view, track) + edge(view, track)


def settled(view: ChannelView, track: TrackDescription) -> str:
    """The playlist up to its last whole segment: it changes only with the next one."""
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_version(view)}",
        f"#EXT-X-TARGETDURATION:{target_duration_s(view.description)}",
        *hls_parts.header(view),
        f"#EXT-X-MEDIA-SEQUENCE:{view.window.first}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-MAP:URI="{INIT_NAME}?v={view.init_revision}"',
    ]
    parts = _closed_parts(view, track)
    at = view.window.first
    for first, last in [*view.window.gaps, (view.window.last + 1, view.window.last)]:
        for k in range(at, first):
            if k == at:
                lines.append(_date(track, view.timeline, k))
            lines += [*parts.get(k, ()), *_entry(track, view.timeline, k)]
        for k in range(first, last + 1):
            lines += [*parts.get(k, ()), "#EXT-X-GAP", *_entry(track, view.timeline, k)]
        at = last + 1
    return "\n".join(lines) + "\n"


def edge(view: ChannelView, track: TrackDescription) -> str:
    """The end of the playlist, which changes with each part; empty where there are none."""
    if view.parts is None:
        return ""
    segment, lines = view.window.last + 1, []
    begins_run = view.window.first == segment or view.window.is_gap(view.window.last)
    if view.parts.open and begins_run:
        lines.append(_date(track, view.timeline, segment))
    lines += hls_parts.parts(track, view.parts.grid, segment, view.parts.open)
    lines += hls_parts.preload(view)
    others = [other for other in view.description.tracks if other.name != track.name]
    lines += hls_parts.reports(view, [f"../{other.name}/{MEDIA_NAME}" for other in others])
    return "".join(line + "\n" for line in lines)


def _version(view: ChannelView) -> int:
    if view.parts is not None:
        return hls_parts.VERSION
    window = view.window
    gaps = any(first <= window.last for first, _ in window.gaps)
    return VERSION_WITH_GAP if gaps else VERSION


def _closed_parts(view: ChannelView, track: TrackDescription) -> dict[int, list[str]]:
    if view.parts is None:
        return {}
    grid = view.parts.grid
    return {k: list(hls_parts.parts(track, grid, k, there)) for k, there in view.parts.closed}


def _rendition(track: TrackDescription, *, default: bool) -> str:
    parts = [f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{_AUDIO_GROUP}",NAME="{track.name}"']
    if track.language not in (None, "und"):
        parts.append(f'LANGUAGE="{track.language}"')
    parts += [f"DEFAULT={'YES' if default else 'NO'}", "AUTOSELECT=YES"]
    if track.channels:
        parts.append(f'CHANNELS="{track.channels}"')
    return ",".join([*parts, f'URI="{track.name}/{MEDIA_NAME}"'])


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


def _entry(track: TrackDescription, timeline: Timeline, segment: int) -> tuple[str, str]:
    duration = duration_ticks(track, timeline, segment) / track.timescale
    return f"#EXTINF:{duration:.6f},", f"{segment}{SEGMENT_SUFFIX}"


def date_ms(us: int) -> str:
    """ISO 8601 with milliseconds, to the nearest; microseconds since the epoch in."""
    when = _EPOCH + timedelta(milliseconds=(us + 500) // 1000)
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03}Z"
