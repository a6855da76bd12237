"""A DASH MPD as text (ISO/IEC 23009-1, live profile), in two forms. Pure.

`Form.TIMELINE`: SegmentTimeline, because audio segments differ by a frame and the timeline is
exact, and because it never names what is not there; $Time$, because a gap is then a jump in one
Period, and because readers that follow a live timeline by position (ffmpeg's) lose their place with
$Number$. `Form.NUMBERED`: $Number$ and one duration, so that a player knows the next segment's URL
before an MPD has it; what low latency needs. It promises every number of its time-shift buffer,
which therefore reaches back to the last gap only, and is for the channel as it goes on.

Presentation time is media time is time since 1970, also across Periods: each run of an edition is
one, which starts where its pictures do and has that instant as presentationTimeOffset. In a piece
of the channel (`span`) it is the time since the piece's start.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from fractions import Fraction
from itertools import groupby

from hitless_handover.timeline import AAC_FRAME_SAMPLES, MICROSECONDS, Timeline, ceil_div
from hitless_origin import dash_parts
from hitless_origin.hls import date_ms, date_us
from hitless_origin.view import ChannelView, Stretch, duration_ticks, start_ticks
from hitless_origin.window import Run, Window
from hitless_wire.ingest import (
    INIT_NAME,
    SEGMENT_SUFFIX,
    ChannelDescription,
    TrackDescription,
)

TIME_PREFIX = "t"  # before the start of a segment in its name, which else is its number
TIME_NAME = "utc"  # beside the MPD: what time it is
CONTENT_TYPE = "application/dash+xml"
# One segment in the making, one and a half for the publish deadline, one and a half in the player.
_DELAY_SEGMENTS = 4
_TIMING = tuple(f"urn:mpeg:dash:utc:http-{how}:2014" for how in ("xsdate", "iso", "head"))
_AUDIO_CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"


class Form(StrEnum):
    """How segments are named; the value is the MPD's name."""

    TIMELINE = "manifest.mpd"
    NUMBERED = "numbered.mpd"


def mpd(view: ChannelView, form: Form, period: str) -> str:
    """The whole MPD. period: from `period`, made once."""
    attributes = {
        "xmlns": "urn:mpeg:dash:schema:mpd:2011",
        "type": "static" if view.is_complete else "dynamic",
        "profiles": "urn:mpeg:dash:profile:isoff-live:2011",
        **(_length(view) if view.is_complete else _liveness(view, form)),
        "minBufferTime": _duration(_segment(view)),
        "maxSegmentDuration": _duration(_longest(view)),
    }
    head = "".join(f' {name}="{value}"' for name, value in attributes.items())
    timing = [] if view.is_complete else [f"{_timing(scheme)}\n" for scheme in _TIMING]
    service = dash_parts.service(view) if form is Form.NUMBERED else ()
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<MPD{head}>\n'
        + "".join(line + "\n" for line in service)
        + f"{period}{''.join(timing)}</MPD>\n"
    )


def _timing(scheme: str) -> str:
    return f'<UTCTiming schemeIdUri="{scheme}" value="{TIME_NAME}"/>'


def _length(view: ChannelView) -> dict[str, str]:
    end = _segment(view) * (view.window.last + 1)
    return {"mediaPresentationDuration": _duration(end - _zero(view))}


def _liveness(view: ChannelView, form: Form) -> dict[str, str]:
    segment = _segment(view)
    depth, delay = Fraction(view.description.window_seconds), segment * _DELAY_SEGMENTS
    zero_us = _nearest(_zero(view) * MICROSECONDS)
    if form is Form.NUMBERED:
        depth = max(segment, min(depth, _since_gap(view)))
        if view.parts is None:
            # Players count on a number from this time on: so it is what a segment takes to come.
            zero_us += _nearest(segment * MICROSECONDS)
        else:
            delay = Fraction(dash_parts.latency_ms(view, view.parts.grid), 1000)
    return {
        "availabilityStartTime": date_us(zero_us).replace(".000000", ""),
        "publishTime": date_ms(view.published_us),
        "minimumUpdatePeriod": _duration(segment),
        "timeShiftBufferDepth": _duration(depth),
        "suggestedPresentationDelay": _duration(delay),
    }


def _segment(view: ChannelView) -> Fraction:
    """How long a segment is, seconds."""
    return Fraction(view.timeline.segment_ticks, view.timeline.timescale)


def _zero(view: ChannelView) -> Fraction:
    """The instant at which presentation time is 0, seconds since the epoch."""
    return Fraction(0) if view.span is None else _segment(view) * view.span.first


def _since_gap(view: ChannelView) -> Fraction:
    """How long, at the last publication, everything had been there for: seconds."""
    return Fraction(view.published_us, MICROSECONDS) - _segment(view) * _unbroken(view.window)


def _unbroken(window: Window) -> int:
    """The first segment after the last gap."""
    return window.gaps[-1][1] + 1 if window.gaps else window.first


def period(view: ChannelView, form: Form) -> str:
    """The Period elements, one for each edition's run: a gap is a jump of its timelines."""
    stretches = view.runs()
    return "".join(
        line + "\n"
        for stretch in stretches
        if stretch is stretches[-1] or _is_listed(view, stretch, form)
        for line in _period(view, stretch, form)
    )


def _is_listed(view: ChannelView, stretch: Stretch, form: Form) -> bool:
    if form is Form.NUMBERED:
        return stretch.last >= _unbroken(view.window)
    return bool(_published(view.window, stretch))


def _published(window: Window, stretch: Stretch) -> list[Run]:
    return [run for run, gap in window.spans(stretch.first, stretch.last) if not gap]


def _period(view: ChannelView, stretch: Stretch, form: Form) -> Iterator[str]:
    """The channel's first run keeps the name and start that it had as the only one."""
    start = _start(view, stretch) - _zero(view)
    if stretch.splice is None:
        yield f'<Period id="0" start="{_instant(start)}">'
    else:
        yield f'<Period id="{stretch.splice}" start="{_instant(start)}">'
    tracks = stretch.description.tracks
    first, *others = _by_codec([track for track in tracks if track.type == "video"])
    sets = [first, *([track] for track in tracks if track.type == "audio"), *others]
    for number, members in enumerate(sets):
        yield from _adaptation(view, stretch, members, form, number=number)
    yield "</Period>"


def _by_codec(video: list[TrackDescription]) -> list[list[TrackDescription]]:
    """A player may switch within an AdaptationSet only, so each codec has one of its own."""
    found: dict[str, list[TrackDescription]] = {}
    for track in video:
        found.setdefault(track.codecs.partition(".")[0], []).append(track)
    return list(found.values())


def _start(view: ChannelView, stretch: Stretch) -> Fraction:
    """When the Period's first picture is shown, seconds since the epoch."""
    timeline = stretch.description.timeline()
    begins = Fraction((stretch.splice or 0) * timeline.segment_ticks, timeline.timescale)
    return max(begins, _zero(view))


def _adaptation(
    view: ChannelView, stretch: Stretch, tracks: list[TrackDescription], form: Form, *, number: int
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
    if form is Form.NUMBERED:
        yield from dash_parts.reference(view, stretch, _timing(_TIMING[0]))
        yield from _numbered(view, stretch)
    else:
        yield from _timed(view, stretch, tracks[0])
    for track in tracks:
        yield from _representation(stretch.description, track)
    yield "</AdaptationSet>"


def _numbered(view: ChannelView, stretch: Stretch) -> Iterator[str]:
    """Counted in pictures' ticks for sound too: so the duration is exact, whatever the number.

    The revision is in each name: a number that became another edition's is not there under it. No
    endNumber: the next Period's start says it (5.3.2.1), and readers take it for a count.
    """
    timeline, revision = stretch.description.timeline(), stretch.init_revision
    first = stretch.splice or 0
    offset = first * timeline.segment_ticks
    yield (
        f'<SegmentTemplate timescale="{timeline.timescale}"'
        + (f' presentationTimeOffset="{offset}"' if offset else "")
        + f' duration="{timeline.segment_ticks}" startNumber="{first}"'
        + dash_parts.availability(view)
        + f' initialization="$RepresentationID$/{INIT_NAME}?v={revision}"'
        f' media="$RepresentationID$/$Number${SEGMENT_SUFFIX}?v={revision}"/>'
    )


def _timed(view: ChannelView, stretch: Stretch, track: TrackDescription) -> Iterator[str]:
    """All pictures have the same timescale and segments, so they share one template."""
    offset = _nearest(_start(view, stretch) * track.timescale)
    yield (
        f'<SegmentTemplate timescale="{track.timescale}"'
        + (f' presentationTimeOffset="{offset}"' if offset else "")
        + f' initialization="$RepresentationID$/{INIT_NAME}?v={stretch.init_revision}"'
        f' media="$RepresentationID$/{TIME_PREFIX}$Time${SEGMENT_SUFFIX}">'
    )
    yield "<SegmentTimeline>"
    timeline = stretch.description.timeline()
    for run in _published(view.window, stretch):
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


def _longest(view: ChannelView) -> Fraction:
    """How long a segment may be, seconds: one of sound may hold a frame more than its share."""
    frame_ms = ceil_div(AAC_FRAME_SAMPLES * 1000, view.timeline.audio_rate)
    return _segment(view) + Fraction(frame_ms, 1000)


def _duration(seconds: Fraction) -> str:
    """An xs:duration in seconds, to the microsecond."""
    return f"PT{float(seconds):.6f}".rstrip("0").rstrip(".") + "S"


def _instant(seconds: Fraction) -> str:
    """An xs:duration to the nearest microsecond: more than a double holds of a time since 1970."""
    whole, us = divmod(_nearest(seconds * MICROSECONDS), MICROSECONDS)
    return f"PT{whole}.{us:06}".rstrip("0").rstrip(".") + "S"


def _nearest(value: Fraction) -> int:
    return int(value + Fraction(1, 2))
