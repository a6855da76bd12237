"""HLS playlists as text (RFC 8216; RFC 8216bis for EXT-X-GAP). Pure.

EXT-X-MEDIA-SEQUENCE is the segment's number k on the timeline, so it survives restarts of the
origin and of every encoder. A gap keeps its place as an EXT-X-GAP entry; there is no
EXT-X-DISCONTINUITY, for the timeline goes on behind it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hitless_handover.timeline import AAC_FRAME_SAMPLES, Timeline
from hitless_origin.view import ChannelView, duration_ticks, start_us
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
    """A track's media playlist: every number of the window, gaps marked."""
    timeline, window = view.timeline, view.window
    gaps = any(first <= window.last for first, _ in window.gaps)
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{VERSION_WITH_GAP if gaps else VERSION}",
        f"#EXT-X-TARGETDURATION:{target_duration_s(view)}",
        f"#EXT-X-MEDIA-SEQUENCE:{window.first}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-MAP:URI="{INIT_NAME}?v={view.init_revision}"',
    ]
    at = window.first
    for first, last in [*window.gaps, (window.last + 1, window.last)]:
        lines += _entries(track, timeline, at, first - 1)
        for k in range(first, last + 1):
            lines += ["#EXT-X-GAP", *_entry(track, timeline, k)]
        at = last + 1
    return "\n".join(lines) + "\n"


def target_duration_s(view: ChannelView) -> int:
    """The longest segment, rounded to the nearest second (RFC 8216 4.3.3.1); never changes."""
    timeline = view.timeline
    longest = Fraction(timeline.segment_ticks, timeline.timescale)
    for track in view.tracks("audio"):
        # an audio segment may be up to a frame longer than the pictures'
        frames = -(-longest * track.timescale // AAC_FRAME_SAMPLES)
        longest = max(longest, Fraction(frames * AAC_FRAME_SAMPLES, track.timescale))
    return int(longest + Fraction(1, 2))


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


def _entries(track: TrackDescription, timeline: Timeline, first: int, last: int) -> list[str]:
    """The entries of one run; its first carries the date, the others follow from it."""
    lines: list[str] = []
    for k in range(first, last + 1):
        if k == first:
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{date_ms(start_us(track, timeline, k))}")
        lines += _entry(track, timeline, k)
    return lines


def _entry(track: TrackDescription, timeline: Timeline, segment: int) -> tuple[str, str]:
    duration = duration_ticks(track, timeline, segment) / track.timescale
    return f"#EXTINF:{duration:.6f},", f"{segment}{SEGMENT_SUFFIX}"


def date_ms(us: int) -> str:
    """ISO 8601 with milliseconds, to the nearest; microseconds since the epoch in."""
    when = _EPOCH + timedelta(milliseconds=(us + 500) // 1000)
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03}Z"
