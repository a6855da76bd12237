"""Judges when the other encoder's segments come: the margin to real time, and regularity.

What an encoder needed for a segment it says itself, as the operator's `speed` does; when it came,
the incumbent sees. An encoder that is slower than real time shows in the first at once, and in the
second only after minutes: a source is caught up with as fast as the encoder can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hitless_encoder.verify.verdict import Reason, Rejection, Verdict
from hitless_handover.messages import Criteria
from hitless_handover.timeline import MICROSECONDS, Timeline

_MILLISECOND_US = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """When a segment came from the other encoder, microseconds.

    late_us: after our own of that number was made; negative: before. encode_us: how long its
    slowest track took, by its own account; None: it does not say.
    """

    segment: int
    late_us: int
    encode_us: int | None


def judge_pace(arrivals: Sequence[Arrival], timeline: Timeline, criteria: Criteria) -> Verdict:
    """Whether segments come fast and regularly enough."""
    try:
        speed = _speed_percent(arrivals, timeline, criteria.speed_min_percent)
        late_ms = _late_ms(arrivals, criteria.late_max_ms)
    except Rejection as rejection:
        return rejection.verdict()
    told = "unknown" if speed is None else f"{speed} %"
    return Verdict(
        ok=True, reason=Reason.IN_TIME, message=f"speed {told}, {late_ms} ms after ours at most"
    )


def _speed_percent(
    arrivals: Sequence[Arrival], timeline: Timeline, least_percent: int
) -> int | None:
    taken = [one.encode_us for one in arrivals if one.encode_us is not None]
    if not taken:
        return None
    media_us = len(taken) * (
        timeline.segment_frames * timeline.rate_den * MICROSECONDS // timeline.rate_num
    )
    speed = 100 * media_us // max(1, sum(taken))
    if speed < least_percent:
        first, last = arrivals[0].segment, arrivals[-1].segment
        raise Rejection(
            Reason.TOO_SLOW,
            f"speed in segments {first} to {last} expected at least {least_percent} % of real "
            f"time, got {speed} %",
        )
    return speed


def _late_ms(arrivals: Sequence[Arrival], late_max_ms: int) -> int:
    latest = max(arrivals, key=lambda one: one.late_us, default=None)
    if latest is None:
        return 0
    late_ms = latest.late_us // _MILLISECOND_US
    if late_ms > late_max_ms:
        raise Rejection(
            Reason.TOO_LATE,
            f"segment {latest.segment} expected at most {late_max_ms} ms after ours, got "
            f"{late_ms} ms",
        )
    return late_ms
