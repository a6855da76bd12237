"""From a channel's state to what viewers may know of it: the input of the renderers. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hitless_handover.timeline import MICROSECONDS, Timeline, ceil_div
from hitless_origin.edition import Editions
from hitless_origin.view import ChannelView, PartsView, Stretch
from hitless_origin.window import Window
from hitless_wire.ingest import TrackDescription


def show(editions: Editions, window: Window, parts: PartsView | None) -> ChannelView | None:
    """The view; None while init segments are missing."""
    on_air = editions.on_air
    if on_air.revision is None:
        return None
    stretches = tuple(_stretches(editions, window))
    alone = len(stretches) == 1 and stretches[0].splice is None
    return ChannelView(
        description=on_air.description,
        window=window,
        init_revision=on_air.revision,
        published_us=_end_us(on_air.timeline, window.last),
        parts=parts,
        stretches=() if alone else stretches,
        discontinuities_left=editions.aired.left(window.first),
        former_tracks=tuple(_former_tracks(editions)),
    )


def _end_us(timeline: Timeline, segment: int) -> int:
    """When a segment's last picture ends, in microseconds since the epoch, rounded up."""
    return ceil_div((segment + 1) * timeline.segment_ticks * MICROSECONDS, timeline.timescale)


def _stretches(editions: Editions, window: Window) -> Iterator[Stretch]:
    """The runs of editions within the window; the one on air even if the window is empty."""
    aired = editions.aired
    ends = [*(first - 1 for first, _ in aired.runs[1:]), window.last]
    for (first, number), last, begins in zip(aired.runs, ends, aired.begins(), strict=True):
        edition = editions.held[number]
        if last < window.first and last != window.last:
            continue
        yield Stretch(
            first=max(first, window.first),
            last=last,
            description=edition.description,
            init_revision=edition.revision or "",
            splice=first if begins else None,
        )


def _former_tracks(editions: Editions) -> Iterator[TrackDescription]:
    """Tracks that the edition on air has not: players that know them go on to ask for them."""
    seen = set(editions.on_air.names)
    for edition in editions.newest_first():
        for track in edition.description.tracks:
            if track.name not in seen:
                seen.add(track.name)
                yield track
