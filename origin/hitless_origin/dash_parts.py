"""What an MPD says for low latency (DASH-IF IOP v5, part 4; ISO/IEC 23009-1). Pure.

`dash` puts it in place. A segment is promised from its first part on (availabilityTimeOffset), and
comes as it is made (availabilityTimeComplete="false"): `segment_stream` answers such a request.
"""

from __future__ import annotations

from collections.abc import Iterator

from hitless_handover.parts import PartGrid
from hitless_handover.timeline import MICROSECONDS, ceil_div
from hitless_origin.hls import date_us
from hitless_origin.hls_parts import hold_back_us
from hitless_origin.view import ChannelView, Stretch, part_target_us

_CODING_US = 250_000  # from the camera's picture to the part on the origin, besides the part itself
_REFERENCE = 0  # Latency names the ProducerReferenceTime of each AdaptationSet by it


def latency_ms(view: ChannelView, grid: PartGrid) -> int:
    """From the camera's picture to the player's: with as much in hand as HLS players have."""
    target_us = part_target_us(view.description, grid)
    return ceil_div(hold_back_us(target_us) + target_us + _CODING_US, 1000)


def service(view: ChannelView) -> Iterator[str]:
    """What a player should aim at; nothing where the channel has no parts."""
    if view.parts is None:
        return
    target = latency_ms(view, view.parts.grid)
    most = target + ceil_div(view.timeline.segment_us, 1000)
    yield '<ServiceDescription id="0">'
    yield f'<Latency referenceId="{_REFERENCE}" target="{target}" max="{most}"/>'
    yield '<PlaybackRate min="0.96" max="1.04"/>'
    yield "</ServiceDescription>"


def reference(view: ChannelView, stretch: Stretch, timing: str) -> Iterator[str]:
    """The time at which the newest whole segment began: the timeline is wall time.

    In ticks of the SegmentTemplate, which are the pictures', for sound too. timing: a UTCTiming
    element, by which clock.
    """
    if view.parts is None:
        return
    timeline = stretch.description.timeline()
    frame = timeline.first_frame(stretch.last)
    yield (
        f'<ProducerReferenceTime id="{_REFERENCE}" type="captured" inband="false"'
        f' wallClockTime="{date_us(timeline.wall_us(frame))}"'
        f' presentationTime="{timeline.pts_ticks(frame)}">'
    )
    yield timing
    yield "</ProducerReferenceTime>"


def availability(view: ChannelView) -> str:
    """Attributes of a SegmentTemplate: a segment may be asked for when its first part is there."""
    if view.parts is None:
        return ""
    us = view.timeline.segment_us - part_target_us(view.description, view.parts.grid)
    seconds = f"{us // MICROSECONDS}.{us % MICROSECONDS:06}".rstrip("0").rstrip(".")
    return f' availabilityTimeOffset="{seconds}" availabilityTimeComplete="false"'
