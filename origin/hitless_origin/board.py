"""What the page shows of channels, as JSON values. Pure; `events` sends them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from hitless_origin.audience import Around, Mood
from hitless_origin.channel import Channel
from hitless_origin.report import channel_report

GAPS_MAX = 50  # runs of segments; the newest
Json = dict[str, Any]


def state(channel: Channel) -> str:
    """One word or two for people."""
    if channel.manifests is None:
        return "waiting"
    return "silent" if channel.idle() else "on air"


def row(channel: Channel, now_us: int) -> Json:
    """A line of the list of channels: what changes with events, not with each segment."""
    selection, compared = channel.selection, channel.deliveries.comparison
    return {
        "channel": str(channel.key),
        "state": state(channel),
        "encoder": selection.encoder,
        "term": selection.priority,
        "handovers": selection.switch_count,
        "fallbacks": selection.fallbacks,
        "gaps": selection.gaps,
        "mismatches": channel.mismatches,
        "identical": compared.identical > 0 and compared.interchangeable == 0,
        "viewers": _mood(channel.audience.now(now_us)),
    }


def detail(channel: Channel, now_us: int) -> Json:
    """All that the page of one channel shows. now_us: monotonic."""
    timeline, window = channel.timeline, channel.window
    runs = [] if window is None else sorted(window.gaps)[-GAPS_MAX:]
    return {
        "state": state(channel),
        "segmentMs": timeline.segment_ticks * 1000 / timeline.timescale,
        "parts": channel.parts is not None,
        "tracks": [track.model_dump(mode="json") for track in channel.description.tracks],
        "report": channel_report(channel, with_comparison=True).model_dump(
            mode="json", by_alias=True
        ),
        "gaps": [[first, last] for first, last in runs],
        "viewers": _mood(channel.audience.now(now_us)),
        "around": {
            str(switch.segment): _around(channel, switch.segment)
            for switch in channel.selection.switches
        },
    }


def _around(channel: Channel, segment: int) -> Json:
    """What is known, since the process started, of a handover."""
    verdicts = channel.deliveries.around.get(segment)
    around = channel.audience.around(segment)
    return {
        "verdicts": None if verdicts is None else asdict(verdicts),
        "viewers": None if around is None else _phases(around),
    }


def _phases(around: Around) -> Json:
    return {phase.value: _mood(mood) for phase, mood in around.phases()}


def _mood(mood: Mood) -> Json:
    return {
        "viewers": mood.viewers,
        "stalls": mood.stalls,
        "bufferMsMin": mood.buffer_ms_min,
        "bufferMsMedian": mood.buffer_ms_median,
    }
