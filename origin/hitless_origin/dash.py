"""A dynamic DASH MPD as text (ISO/IEC 23009-1, live profile). Pure.

Why this form: SegmentTimeline, because audio segments differ by a frame and the timeline is exact;
$Number$, because the number is the file's name in HLS and DASH alike, and a cache keeps it once. A
number can't jump within a SegmentTimeline, so each gap starts a new Period: its id and start follow
from its first segment alone and never change. Presentation time is media time is time since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby

from hitless_handover.timeline import Timeline
from hitless_origin.hls import date_ms
from hitless_origin.view import ChannelView, duration_ticks, start_ticks
from hitless_origin.window import Run
from hitless_wire.ingest import INIT_NAME, SEGMENT_SUFFIX, TrackDescription

NAME = "manifest.mpd"
CONTENT_TYPE = "application/dash+xml"
# One segment in the making, one and a half for the publish deadline, one and a half in the player.
_DELAY_SEGMENTS = 4
_AUDIO_CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"


def mpd(view: ChannelView, now_us: int, periods: str) -> str:
    """The whole MPD. now_us: wall time for UTCTiming; periods: from `periods`, made once."""
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
        f'<?xml version="1.0" encoding="UTF-8"?>\n<MPD{head}>\n{periods}'
        f'<UTCTiming schemeIdUri="urn:mpeg:dash:utc:direct:2014" value="{date_ms(now_us)}"/>\n'
        "</MPD>\n"
    )


def periods(view: ChannelView) -> str:
    """The Period elements, one for each run between gaps."""
    return "".join(line + "\n" for run in view.window.runs() for line in _period(view, run))


def _period(view: ChannelView, run: Run) -> Iterator[str]:
    start = _start(view.timeline, run)
    yield f'<Period id="{run.cut or 0}" start="{_duration(start)}">'
    yield from _adaptation(view, view.tracks("video"), run, number=0)
    for number, track in enumerate(view.tracks("audio"), start=1):
        yield from _adaptation(view, [track], run, number=number)
    yield "</Period>"


def _adaptation(
    view: ChannelView, tracks: list[TrackDescription], run: Run, *, number: int
) -> Iterator[str]:
    kind, language = tracks[0].type, tracks[0].language
    attributes = f'id="{number}" contentType="{kind}" mimeType="{kind}/mp4"'
    if kind == "video":
        rate_num, rate_den = view.description.rate_num, view.description.rate_den
        rate = str(rate_num) if rate_den == 1 else f"{rate_num}/{rate_den}"
        attributes += f' frameRate="{rate}"'
    elif language not in (None, "und"):
        attributes += f' lang="{language}"'
    yield f'<AdaptationSet {attributes} segmentAlignment="true" startWithSAP="1">'
    yield from _template(view, tracks[0], run)
    for track in tracks:
        yield from _representation(view, track)
    yield "</AdaptationSet>"


def _template(view: ChannelView, track: TrackDescription, run: Run) -> Iterator[str]:
    """All pictures have the same timescale and segments, so they share one template."""
    offset_ticks = round(_start(view.timeline, run) * track.timescale)
    yield (
        f'<SegmentTemplate timescale="{track.timescale}" startNumber="{run.first}"'
        f' presentationTimeOffset="{offset_ticks}"'
        f' initialization="$RepresentationID$/{INIT_NAME}?v={view.init_revision}"'
        f' media="$RepresentationID$/$Number${SEGMENT_SUFFIX}">'
    )
    yield "<SegmentTimeline>"
    at = f' t="{start_ticks(track, view.timeline, run.first)}"'
    numbers = range(run.first, run.last + 1)
    durations = (duration_ticks(track, view.timeline, k) for k in numbers)
    for ticks, group in groupby(durations):
        repeats = sum(1 for _ in group) - 1
        yield f'<S{at} d="{ticks}"' + (f' r="{repeats}"/>' if repeats else "/>")
        at = ""
    yield "</SegmentTimeline>"
    yield "</SegmentTemplate>"


def _representation(view: ChannelView, track: TrackDescription) -> Iterator[str]:
    attributes = f'id="{track.name}" codecs="{track.codecs}" bandwidth="{track.bandwidth}"'
    if track.type == "video":
        yield (
            f'<Representation {attributes} width="{track.width}" height="{track.height}"'
            ' sar="1:1"/>'
        )
        return
    rate = track.sample_rate or view.description.audio_rate
    yield f'<Representation {attributes} audioSamplingRate="{rate}">'
    if track.channels:
        yield (
            f'<AudioChannelConfiguration schemeIdUri="{_AUDIO_CHANNELS}" value="{track.channels}"/>'
        )
    yield "</Representation>"


def _start(timeline: Timeline, run: Run) -> Fraction:
    """When a run's Period starts, in seconds since the epoch, exact: 1970, or after the gap."""
    frame = 0 if run.cut is None else timeline.first_frame(run.cut)
    return Fraction(timeline.pts_ticks(frame), timeline.timescale)


def _duration(seconds: Fraction) -> str:
    """An xs:duration in seconds, to the microsecond."""
    return f"PT{float(seconds):.6f}".rstrip("0").rstrip(".") + "S"
