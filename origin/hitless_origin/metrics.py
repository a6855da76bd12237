"""The origin's metrics in Prometheus' text format, version 0.0.4. Pure.

Label values are names that `names` has checked, so nothing needs escaping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from hitless_handover.part_selection import Parts
from hitless_origin.audience import BUCKETS_MS, Audience, Mood
from hitless_origin.channel import Channel
from hitless_origin.live_parts import LiveParts
from hitless_wire.ingest_tokens import Admittance

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "hitless_origin_"

# name, type, help, value of a channel
_PER_CHANNEL: tuple[tuple[str, str, str, Callable[[Channel], int]], ...] = (
    (
        "segments_published_total",
        "counter",
        "Segments put on air since this process started.",
        lambda c: c.published_count,
    ),
    (
        "fallbacks_total",
        "counter",
        "Segments published from a lower term at their deadline.",
        lambda c: c.selection.fallbacks,
    ),
    ("gaps_total", "counter", "Segments never published.", lambda c: c.selection.gaps),
    (
        "mismatches_total",
        "counter",
        "Pushes that differed from what the channel is.",
        lambda c: c.mismatches,
    ),
    (
        "identical_total",
        "counter",
        "Tracks of segments that two encoders delivered with the same bytes.",
        lambda c: c.deliveries.comparison.identical,
    ),
    (
        "interchangeable_total",
        "counter",
        "Tracks of segments that two encoders delivered with other bytes, the same structure.",
        lambda c: c.deliveries.comparison.interchangeable,
    ),
    (
        "damaged_total",
        "counter",
        "Pushes whose body was not what their digest says.",
        lambda c: c.deliveries.comparison.damaged,
    ),
    (
        "switches_total",
        "counter",
        "Changes of the selected encoder.",
        lambda c: c.selection.switch_count,
    ),
    (
        "discontinuities_total",
        "counter",
        "Declared discontinuities: changes to another edition.",
        lambda c: c.editions.aired.discontinuities,
    ),
    (
        "disk_errors_total",
        "counter",
        "Failed writes since this process started.",
        lambda c: c.disk_errors,
    ),
    (
        "given_up_total",
        "counter",
        "Segments that left the window early for want of room, since this process started.",
        lambda c: c.given_up,
    ),
    (
        "missing_segments",
        "gauge",
        "Segments that the window is shorter than it should be, for want of room.",
        lambda c: c.missing_segments,
    ),
    ("stored_bytes", "gauge", "Bytes of segments and journal.", lambda c: c.stored_bytes),
    (
        "last_segment",
        "gauge",
        "Newest segment number decided, counted from the epoch.",
        lambda c: c.selection.last or 0,
    ),
    ("selected_priority", "gauge", "Term of the selected output.", lambda c: c.selection.priority),
    (
        "last_push_timestamp_seconds",
        "gauge",
        "When an encoder last pushed something valid.",
        lambda c: c.encoders.last_push_us // 1_000_000,
    ),
)


# the same, of channels that have parts
_PER_CHANNEL_PARTS: tuple[tuple[str, str, str, Callable[[LiveParts, Parts], int]], ...] = (
    (
        "parts_published_total",
        "counter",
        "Parts put on air since this process started.",
        lambda live, _: live.window.published,
    ),
    (
        "part_fallbacks_total",
        "counter",
        "Parts published from a lower term, since this process started.",
        lambda _, core: core.fallbacks,
    ),
    (
        "parts_skipped_total",
        "counter",
        "Parts never published as parts, since this process started.",
        lambda _, core: core.skipped,
    ),
)


# of the newest handover that viewers' players told of, by phase: before, during, after
_AROUND: tuple[tuple[str, str, Callable[[Mood], float | None]], ...] = (
    ("viewers", "Viewers around the newest handover, at most at a time.", lambda m: m.viewers),
    ("stalls", "Stalls of viewers' players around the newest handover.", lambda m: m.stalls),
    (
        "buffer_min_seconds",
        "Least buffer of any viewer around the newest handover.",
        lambda m: _seconds(m.buffer_ms_min),
    ),
    (
        "buffer_median_seconds",
        "Median of viewers' buffers around the newest handover.",
        lambda m: _seconds(m.buffer_ms_median),
    ),
)


def render(
    channels: Iterable[Channel],
    answers: Mapping[int, int],
    waiting: int,
    free_bytes: int,
    *,
    now_us: int = 0,
    malformed: int = 0,
    tokens: Mapping[Admittance, int] | None = None,
) -> str:
    """All metrics. answers: pushes by HTTP status of the answer. waiting: viewers' requests.

    now_us: monotonic. malformed: requests whose CMCD could not be read. tokens: pushes by what
    their credentials were worth; none where the origin has no keys.
    """
    ordered = sorted(channels, key=lambda channel: channel.key)
    lines = _head("channels", "gauge", "Channels on this origin.")
    lines.append(f"{_PREFIX}channels {len(ordered)}")
    lines += _head("pushes_total", "counter", "Pushes answered, by HTTP status.")
    lines += [
        f'{_PREFIX}pushes_total{{status="{status}"}} {count}'
        for status, count in sorted(answers.items())
    ]
    lines += _head("push_tokens_total", "counter", "Pushes judged, by what their token was worth.")
    lines += [
        f'{_PREFIX}push_tokens_total{{token="{verdict}"}} {count}'
        for verdict, count in sorted((tokens or {}).items())
    ]
    for name, kind, text, value in _PER_CHANNEL:
        lines += _head(name, kind, text)
        lines += [f"{_PREFIX}{name}{_labels(channel)} {value(channel)}" for channel in ordered]
    for name, kind, text, part_value in _PER_CHANNEL_PARTS:
        lines += _head(name, kind, text)
        for channel in ordered:
            if channel.parts is not None and channel.selection.parts is not None:
                value_now = part_value(channel.parts, channel.selection.parts)
                lines.append(f"{_PREFIX}{name}{_labels(channel)} {value_now}")
    lines += _head("free_bytes", "gauge", "Bytes that can still be written.")
    lines.append(f"{_PREFIX}free_bytes {free_bytes}")
    lines += _head("waiting_reloads", "gauge", "Viewers' requests that wait for the next part.")
    lines.append(f"{_PREFIX}waiting_reloads {waiting}")
    lines += _head("cmcd_malformed_total", "counter", "Requests whose CMCD could not be read.")
    lines.append(f"{_PREFIX}cmcd_malformed_total {malformed}")
    lines += _audiences([channel for channel in ordered if channel.audience.known], now_us)
    return "\n".join(lines) + "\n"


def _audiences(channels: list[Channel], now_us: int) -> Iterator[str]:
    """Of the channels whose viewers' players tell how they fare (CMCD)."""
    yield from _head("viewers", "gauge", "Players that asked lately and gave a session.")
    for channel in channels:
        yield f"{_PREFIX}viewers{_labels(channel)} {channel.audience.now(now_us).viewers}"
    yield from _head("viewer_stalls_total", "counter", "Stalls that viewers' players told of.")
    for channel in channels:
        yield f"{_PREFIX}viewer_stalls_total{_labels(channel)} {channel.audience.stalls}"
    yield from _head("viewer_buffer_seconds", "histogram", "Media in viewers' buffers, as told.")
    for channel in channels:
        yield from _histogram(channel.audience, _labels(channel))
    for name, text, value in _AROUND:
        yield from _head(f"handover_{name}", "gauge", text)
        for channel in channels:
            newest = max((s.segment for s in channel.selection.switches), default=-1)
            around = channel.audience.around(newest)
            for phase, mood in () if around is None else around.phases():
                if (figure := value(mood)) is not None:
                    labels = f'{_labels(channel)[:-1]},phase="{phase}"}}'
                    yield f"{_PREFIX}handover_{name}{labels} {figure:g}"


def _histogram(audience: Audience, labels: str) -> Iterator[str]:
    name, inner, count = f"{_PREFIX}viewer_buffer_seconds", labels[:-1], 0
    bounds = [*(f"{ms / 1000:g}" for ms in BUCKETS_MS), "+Inf"]
    for bound, here in zip(bounds, audience.buckets, strict=True):
        count += here
        yield f'{name}_bucket{inner},le="{bound}"}} {count}'
    yield f"{name}_sum{labels} {audience.buffer_ms_sum / 1000:g}"
    yield f"{name}_count{labels} {count}"


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {_PREFIX}{name} {text}", f"# TYPE {_PREFIX}{name} {kind}"]


def _labels(channel: Channel) -> str:
    return f'{{namespace="{channel.key.namespace}",channel="{channel.key.channel}"}}'
