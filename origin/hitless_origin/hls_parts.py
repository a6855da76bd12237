"""The tags of HLS playlists that are about parts (RFC 8216bis, Apple's low-latency HLS). Pure.

`hls` puts them in place. All playlists of a channel have one part target, the longest part of any
track; `parts` of the core sees to it that none is shorter than 85 percent of it (4.4.3.7).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hitless_handover.parts import PartGrid
from hitless_handover.timeline import MICROSECONDS, ceil_div
from hitless_origin.view import ChannelView, part_target_us, part_ticks, target_duration_s
from hitless_wire.ingest import TrackDescription, part_name

VERSION = 9
HOLD_BACK_PARTS = 3  # part targets a player stays behind the end (4.4.3.8)
HOLD_BACK_US_MIN = 1_000_000  # a handover may make a part late, however short parts are
SKIP_UNTIL_TARGETS = 6  # target durations before the end of which nothing is skipped: the least


def header(view: ChannelView) -> list[str]:
    """What a player is promised. HOLD-BACK is left out: its default, three targets, is right."""
    if view.parts is None:
        return []
    target_us = part_target_us(view.description, view.parts.grid)
    hold_back = _seconds(hold_back_us(target_us))
    return [
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,"
        f"CAN-SKIP-UNTIL={_skip_until_s(view)}.0,PART-HOLD-BACK={hold_back}",
        f"#EXT-X-PART-INF:PART-TARGET={_seconds(target_us)}",
    ]


def hold_back_us(target_us: int) -> int:
    """How far a player of parts of this target duration stays behind the end, in microseconds."""
    return max(HOLD_BACK_PARTS * target_us, HOLD_BACK_US_MIN)


def skippable(view: ChannelView) -> int:
    """How many of the first segments a delta update may leave out (6.2.5.1); 0: none may be."""
    if view.parts is None or view.is_complete:
        return 0
    kept = ceil_div(_skip_until_s(view) * MICROSECONDS, view.timeline.segment_us)
    return max(0, view.window.last - view.window.first + 1 - kept)


def _skip_until_s(view: ChannelView) -> int:
    return SKIP_UNTIL_TARGETS * target_duration_s(view.description)


def parts(
    track: TrackDescription,
    grid: PartGrid,
    segment: int,
    there: Sequence[bool],
    folder: str = "",
) -> Iterator[str]:
    """The decided parts of a segment, from its first on. folder: where their files are."""
    for part, published in enumerate(there):
        duration = part_ticks(track, grid, segment, part) / track.timescale
        uri = f"{folder}{part_name(segment, part)}"
        line = f'#EXT-X-PART:DURATION={duration:.6f},URI="{uri}"'
        if not published:
            yield f"{line},GAP=YES"
        elif track.type == "audio" or part % grid.per_gop == 0:
            yield f"{line},INDEPENDENT=YES"
        else:
            yield line


def preload(view: ChannelView, folder: str = "") -> Iterator[str]:
    """The next part, which nobody has seen yet."""
    hint = view.hint()
    if hint is not None:
        yield f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{folder}{part_name(*hint)}"'


def reports(view: ChannelView, urls: Iterable[str]) -> Iterator[str]:
    """How far the other playlists are: as far as this one."""
    if view.parts is None:
        return
    segment, there = view.window.last, dict(view.parts.closed).get(view.window.last, ())
    if view.parts.open:
        segment, there = segment + 1, view.parts.open
    elif view.window.first > view.window.last:
        return  # nothing is listed
    last = f",LAST-PART={len(there) - 1}" if there else ""
    for url in urls:
        yield f'#EXT-X-RENDITION-REPORT:URI="{url}",LAST-MSN={segment}{last}'


def _seconds(us: int) -> str:
    return f"{us // 1_000_000}.{us % 1_000_000:06}"
