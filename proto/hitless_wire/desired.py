"""What the user asks for, as the supervisor reads it: from a spec to `Desired`.

Owns the derivation of segment times and policy. The operator and `hitless local` call it.
"""

from __future__ import annotations

from hitless_handover.messages import Criteria
from hitless_handover.supervisor_model import Desired, HandoverPolicy
from hitless_handover.timeline import MICROSECONDS, ceil_div
from hitless_wire.resources import EncoderDeploymentSpec, Handover, spec_digest


def desired_of(spec: EncoderDeploymentSpec, *, generation: int, has_origin: bool) -> Desired:
    """generation: metadata.generation. has_origin: whether an origin can be asked."""
    timeline = spec.timeline.resolve()
    span = timeline.segment_frames * timeline.rate_den
    return Desired(
        generation=generation,
        image=spec.image,
        digest=spec_digest(spec),
        policy=_policy(spec.handover),
        segment_frames=timeline.segment_frames,
        segment_us=ceil_div(span * MICROSECONDS, timeline.rate_num),
        has_origin=has_origin,
        paused=spec.paused,
    )


def _policy(handover: Handover) -> HandoverPolicy:
    return HandoverPolicy(
        criteria=Criteria(
            lead_segments=handover.lead_segments,
            verify_segments=handover.verify.segments,
            psnr_min_db=handover.verify.psnr_min_db,
        ),
        hold_segments=handover.hold_segments,
        start_s=handover.deadlines.start_seconds,
        negotiate_s=handover.deadlines.negotiate_seconds,
        confirm_s=handover.deadlines.confirm_seconds,
    )
