"""A dynamic DASH MPD as text (ISO/IEC 23009-1, live profile). Pure.

Why this form: SegmentTimeline, because audio segments differ by a frame and the timeline is exact,
and because it never names what is not there; $Time$, because a gap is then a jump in one Period,
and because readers that follow a live timeline by position (ffmpeg's) lose their place with
$Number$. Presentation time is media time is time since 1970, also across Periods: each run of an
edition is one, which starts where its pictures do and has that instant as presentationTimeOffset.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby

from hitless_handover.timeline import MICROSECONDS, Timeline
from hitless_origin.hls import date_ms
from hitless_origin.view import ChannelView, Stretch, duration_ticks, start_ticks
from hitless_origin.window import Run, Window
from hitless_wire.ingest import (
    INIT_NAME,
    SEGMENT_SUFFIX,
    ChannelDescription,
    TrackDescription,
)

NAME = "manifest.mpd"
TIME_PREFIX = "t"  # before the start of a segment in its name, which else is its number
CONTENT_TYPE = "application/dash+xml"
# One segment in the making, one and a half for the publish deadline, one and a half in the player.
_DELAY_SEGMENTS = 4
_AUDIO_CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"


def mpd(view: ChannelView, now_us: int, period: str) -> str:
    """The whole MPD. now_us: wall time for UTCTiming; period: from `period`, made once."""
    segment = Fraction(view.timeline.segment_ticks, view.timeline.timescale)
    attributes = {
        "xmlns": "urn:mpeg:dash:schema:mpd:2011",
        "type": "dynamic",
        "profiles": "urn:mpeg:dash:profile:isoff-live:2011",
        "availabilityStartTime": "1970-01-01T00:00:00Z",
        "publishTime": date_ms(view.published_us),
        "minimumUpdatePeriod": _duration(segment),
        "timeShiftBufferDepth": _duration(Fraction(view.description.window_seconds)),
        "suggestedPresentationDelay": _duration(segment * _DELAY_SEGMENTS),
        "minBufferTime": _duration(segment),
        "maxSegmentDuration": _duration(segment + Fraction(1, 10)),
    }
    head = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<MPD{head}>\n{period}'
        f'<UTCTiming schemeIdUri="urn:mpeg:dash:utc:direct:2014" value="{date_ms(now_us)}"/>\n'
        "</MPD>\n"
    )


def period(view: ChannelView) -> str:
    """The Period elements, one for each edition's run: a gap is a jump of its timelines."""
    stretches = view.runs()
    return "".join(
        line + "\n"
        for stretch in stretches
        if stretch is stretches[-1] or _published(view.window, stretch)
        for line in _period(view.window, stretch)
    )


def _published(window: Window, stretch: Stretch) -> list[Run]:
    return [run for run, gap in window.spans(stretch.first, stretch.last) if not gap]


def _period(window: Window, stretch: Stretch) -> Iterator[str]:
    """The channel's first run keeps the name and start that it had as the only one."""
    start = _start(stretch)
    if stretch.splice is None:
        yield '<Period id="0" start="PT0S">'
    else:
        yield f'<Period id="{stretch.splice}" start="{_instant(start)}">'
    tracks = stretch.description.tracks
    first, *others = _by_codec([track for track in tracks if track.type == "video"])
    sets = [first, *([track] for track in tracks if track.type == "audio"), *others]
    for number, members in enumerate(sets):
        yield from _adaptation(window, stretch, members, number=number)
    yield "</Period>"


def _by_codec(video: list[TrackDescription]) -> list[list[TrackDescription]]:
    """A player may switch within an AdaptationSet only, so each codec has one of its own."""
    found: dict[str, list[TrackDescription]] = {}
    for track in video:
        found.setdefault(track.codecs.partition(".")[0], []).append(track)
    return list(found.values())


def _start(stretch: Stretch) -> Fraction:
    """When the run's first picture is shown, seconds since the epoch."""
    timeline = stretch.description.timeline()
    return Fraction((stretch.splice or 0) * timeline.segment_ticks, timeline.timescale)


def _adaptation(
    window: Window, stretch: Stretch, tracks: list[TrackDescription], *, number: int
) -> Iterator[str]:
    kind, language = tracks[0].type, tracks[0].language
    attributes = f'id="{number}" contentType="{kind}" mimeType="{kind}/mp4"'
    if kind == "video":
        rate_num, rate_den = stretch.description.rate_num, stretch.description.rate_den
        rate = str(rate_num) if rate_den == 1 else f"{rate_num}/{rate_den}"
        attributes += f' frameRate="{rate}"'
    elif language not in (None, "und"):
        attributes += f' lang="{language}"'
    yield f'<AdaptationSet {attributes} segmentAlignment="true" startWithSAP="1">'
    yield from _template(window, stretch, tracks[0])
    for track in tracks:
        yield from _representation(stretch.description, track)
    yield "</AdaptationSet>"


def _template(window: Window, stretch: Stretch, track: TrackDescription) -> Iterator[str]:
    """All pictures have the same timescale and segments, so they share one template."""
    offset = _nearest(_start(stretch) * track.timescale)
    yield (
        f'<SegmentTemplate timescale="{track.timescale}"'
        + (f' presentationTimeOffset="{offset}"' if offset else "")
        + f' initialization="$RepresentationID$/{INIT_NAME}?v={stretch.init_revision}"'
        f' media="$RepresentationID$/{TIME_PREFIX}$Time${SEGMENT_SUFFIX}">'
    )
    yield "<SegmentTimeline>"
    timeline = stretch.description.timeline()
    for run in _published(window, stretch):
        yield from _entries(track, timeline, run)
    yield "</SegmentTimeline>"
    yield "</SegmentTemplate>"


def _entries(track: TrackDescription, timeline: Timeline, run: Run) -> Iterator[str]:
    """One S for each stretch of equal durations; a run's first says when it starts."""
    at = f' t="{start_ticks(track, timeline, run.first)}"'
    durations = (duration_ticks(track, timeline, k) for k in range(run.first, run.last + 1))
    for ticks, group in groupby(durations):
        repeats = sum(1 for _ in group) - 1
        yield f'<S{at} d="{ticks}"' + (f' r="{repeats}"/>' if repeats else "/>")
        at = ""


def _representation(description: ChannelDescription, track: TrackDescription) -> Iterator[str]:
    attributes = f'id="{track.name}" codecs="{track.codecs}" bandwidth="{track.bandwidth}"'
    if track.type == "video":
        yield (
            f'<Representation {attributes} width="{track.width}" height="{track.height}"'
            ' sar="1:1"/>'
        )
        return
    rate = track.sample_rate or description.audio_rate
    yield f'<Representation {attributes} audioSamplingRate="{rate}">'
    if track.channels:
        yield (
            f'<AudioChannelConfiguration schemeIdUri="{_AUDIO_CHANNELS}" value="{track.channels}"/>'
        )
    yield "</Representation>"


def _duration(seconds: Fraction) -> str:
    """An xs:duration in seconds, to the microsecond."""
    return f"PT{float(seconds):.6f}".rstrip("0").rstrip(".") + "S"


def _instant(seconds: Fraction) -> str:
    """An xs:duration to the nearest microsecond: more than a double holds of a time since 1970."""
    whole, us = divmod(_nearest(seconds * MICROSECONDS), MICROSECONDS)
    return f"PT{whole}.{us:06}".rstrip("0").rstrip(".") + "S"


def _nearest(value: Fraction) -> int:
    return int(value + Fraction(1, 2))
