"""What the user asks for, as the supervisor reads it: from a spec to `Desired`.

Owns the derivation of segment times, policy and event bounds. The operator and `hitless local`
call it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hitless_handover.messages import Criteria
from hitless_handover.supervisor_model import Desired, HandoverPolicy
from hitless_handover.timeline import Timeline
from hitless_wire.handover_resources import Handover, HandoverEvent
from hitless_wire.resources import EncoderDeploymentSpec, Redundancy, spec_digest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def desired_of(
    spec: EncoderDeploymentSpec, *, generation: int, has_origin: bool, abort_id: str = ""
) -> Desired:
    """generation: metadata.generation. has_origin: whether an origin can be asked.

    abort_id: the handover that the user calls off.
    """
    timeline = spec.timeline.resolve()
    return Desired(
        generation=generation,
        image=spec.image,
        digest=spec_digest(spec),
        policy=_policy(spec.handover, timeline),
        timeline=timeline,
        has_origin=has_origin,
        paused=spec.paused,
        hot_spare=spec.redundancy is Redundancy.HOT_SPARE,
        abort_id=abort_id,
    )


def _policy(handover: Handover, timeline: Timeline) -> HandoverPolicy:
    not_before, not_after = _bounds(handover.event, timeline)
    return HandoverPolicy(
        criteria=Criteria(
            lead_segments=handover.lead_segments,
            verify_segments=handover.verify.segments,
            psnr_min_db=handover.verify.psnr_min_db,
            ssim_min_permille=handover.verify.ssim_min_permille,
            loudness_max_db=handover.verify.loudness_max_db,
            av_offset_max_ms=handover.verify.av_offset_max_ms,
            speed_min_percent=handover.verify.speed_min_percent,
            late_max_ms=handover.verify.late_max_ms,
            not_before_frame=not_before,
            not_after_frame=not_after,
            mode=handover.mode,
            rounds_max=handover.negotiation.rounds_max,
            attempts_max=handover.negotiation.attempts_max,
            call_s=handover.deadlines.call_seconds,
            allow_discontinuity=handover.allow_discontinuity,
        ),
        hold_segments=handover.hold_segments,
        start_s=handover.deadlines.start_seconds,
        negotiate_s=handover.deadlines.negotiate_seconds,
        confirm_s=handover.deadlines.confirm_seconds,
        at_timecode=handover.event.at_timecode or "",
    )


def _bounds(event: HandoverEvent, timeline: Timeline) -> tuple[int, int]:
    """The first and the last frame that the event may be at; 0 where it is free.

    An exact event is at a segment's first frame: the wanted one, or the first after it.
    """
    exact = event.at_frame
    if event.at_timestamp is not None:
        exact = _frame_from(event.at_timestamp, timeline)
    if exact is not None:
        frame = timeline.first_segment_frame(exact)
        return frame, frame
    not_before = 0 if event.not_before is None else _frame_from(event.not_before, timeline)
    not_after = 0 if event.not_after is None else timeline.frame_at(_wall_us(event.not_after))
    return not_before, not_after


def _frame_from(moment: datetime, timeline: Timeline) -> int:
    """The first frame that starts at or after a moment."""
    wall_us = _wall_us(moment)
    frame = timeline.frame_at(wall_us)
    return frame if timeline.wall_us(frame) >= wall_us else frame + 1


def _wall_us(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
