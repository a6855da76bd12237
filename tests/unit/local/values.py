"""Values that several tests of `hitless local` start from."""

from __future__ import annotations

from hitless_handover.messages import Confirmation, Criteria, OriginReport
from hitless_handover.supervisor_model import (
    ChannelPhase,
    ChannelRecord,
    ChannelView,
    Desired,
    EncoderRecord,
    HandoverPhase,
    HandoverPolicy,
    HandoverRecord,
    Problem,
)
from hitless_handover.timeline import Anchor, Timeline

V1 = EncoderRecord(name="demo-1", image="x/enc:v1", digest="d1", term=1, uid="u1", since_us=5)
V2 = EncoderRecord(name="demo-2", image="x/enc:v2", digest="d2", term=2, uid="u2")
ANCHOR = Anchor(source_ticks=9, source_timescale=90_000, wrap_ticks=1 << 33, frame=7, wall_us=3)
ARMED = HandoverRecord(
    handover_id="abc-2",
    phase=HandoverPhase.ARMED,
    generation=2,
    term=2,
    incumbent=V1,
    successor=V2,
    started_us=1_000_000,
    phase_since_us=4_500_000,
    frame=600,
    segment=10,
    incumbent_confirmation=Confirmation(segment=9),
)
COMPLETED = HandoverRecord(
    handover_id="abc-2",
    phase=HandoverPhase.COMPLETED,
    generation=2,
    term=2,
    incumbent=V1,
    successor=V2,
    started_us=1_000_000,
    phase_since_us=13_000_000,
    finished_us=13_000_000,
    frame=600,
    segment=10,
    incumbent_confirmation=Confirmation(segment=9),
    successor_confirmation=Confirmation(segment=10),
    origin_confirmation=Confirmation(segment=10, gap_frames=0, overlap_frames=60),
)
UPDATING = ChannelRecord(
    phase=ChannelPhase.UPDATING,
    observed_generation=2,
    term=2,
    anchor=ANCHOR,
    active=V1,
    handover=ARMED,
    history=(COMPLETED,),
    problem=Problem(reason="R", message="m"),
)
WANTED = Desired(
    generation=2,
    image="x/enc:v2",
    digest="d2",
    policy=HandoverPolicy(
        criteria=Criteria(lead_segments=2, verify_segments=2, psnr_min_db=26),
        hold_segments=3,
        start_s=120,
        negotiate_s=60,
        confirm_s=30,
    ),
    timeline=Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60),
)


def view(last_segment: int | None) -> ChannelView:
    """An origin that has published up to there, and nobody else."""
    origin = OriginReport(
        last_segment=last_segment,
        selected_encoder="demo-1",
        selected_priority=1,
        fallbacks=0,
        gaps=0,
    )
    return ChannelView(channel_uid="abc", channel="demo", encoders={}, origin=origin)
