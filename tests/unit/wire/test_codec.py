from __future__ import annotations

import pytest

from hitless_handover.messages import (
    Confirmation,
    Criteria,
    EncoderReport,
    HandoverReport,
    Identity,
    PeerPhase,
    Refusal,
    Role,
    SyncInfo,
)
from hitless_handover.peer_model import Announce, Reply
from hitless_handover.timeline import Anchor, Timeline
from hitless_wire import codec
from hitless_wire._gen import handover_pb2 as pb

ANCHOR = Anchor(
    source_ticks=2**33 - 1, source_timescale=90_000, wrap_ticks=2**33, frame=5 * 10**10, wall_us=7
)
IDENTITY = Identity(
    namespace="n", channel="c", encoder_id="c-1", instance="i", version="v1", protocol=2
)
TIMELINE = Timeline(rate_num=30_000, rate_den=1001, segment_frames=60, gop_frames=30)


@pytest.mark.parametrize("reason", [*Refusal, None])
@pytest.mark.parametrize("frame", [None, 0, 5 * 10**10])
def test_replies_survive_the_wire(reason: Refusal | None, frame: int | None) -> None:
    reply = Reply(accepted=reason is None, reason=reason, message="m", frame=frame, segment=frame)
    assert codec.reply_from_wire(codec.reply_to_wire(reply)) == reply


@pytest.mark.parametrize("phase", list(PeerPhase))
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("done", [None, Confirmation(segment=1, gap_frames=2, overlap_frames=3)])
def test_reports_survive_the_wire(phase: PeerPhase, role: Role, done: Confirmation | None) -> None:
    report = EncoderReport(
        identity=IDENTITY,
        leading_term=3,
        head_segment=None if done is None else 0,
        current_frame=12,
        anchor=None if done is None else ANCHOR,
        source_state="Running",
        source_message="m",
        speed_percent=150,
        handover=HandoverReport(
            handover_id="h",
            role=role,
            phase=phase,
            term=4,
            frame=None if done is None else 60,
            reason=None if done is None else Refusal.MISMATCH,
            message="m",
            confirmation=done,
        ),
    )
    assert codec.report_from_wire(codec.report_to_wire(report)) == report


@pytest.mark.parametrize("anchor", [None, ANCHOR])
def test_sync_information_survives_the_wire(anchor: Anchor | None) -> None:
    info = SyncInfo(
        timeline=TIMELINE,
        fingerprint="f",
        anchor=anchor,
        init_digests=(("a", "1"), ("v", "2")),
        current_frame=5,
        head_segment=6,
    )
    assert codec.sync_from_wire(codec.sync_to_wire(info)) == info


def test_an_announcement_survives_the_wire() -> None:
    announce = Announce(
        handover_id="h",
        term=9,
        successor=IDENTITY,
        criteria=Criteria(
            lead_segments=1, verify_segments=2, psnr_min_db=3, not_before_frame=5 * 10**10
        ),
        deadline_us=1_795_000_000_000_000,
    )
    assert codec.announce_from_wire(codec.announce_to_wire(announce)) == announce


def test_an_impossible_timeline_is_named() -> None:
    wire = pb.SyncInfo(timeline=pb.Timeline(rate_num=30, rate_den=1, segment_frames=7))
    with pytest.raises(codec.WireError, match="timeline"):
        codec.sync_from_wire(wire)


def test_a_phase_of_a_newer_version_is_an_error_not_a_guess() -> None:
    wire = pb.EncoderReport(handover=pb.HandoverReport(role=pb.PEER_ROLE_INCUMBENT))
    with pytest.raises(codec.WireError, match="phase 0 unknown"):
        codec.report_from_wire(wire)


def test_a_reason_of_a_newer_version_keeps_its_message() -> None:
    wire = pb.Reply(message="new words")
    wire.ParseFromString(wire.SerializeToString() + bytes([0x10, 0x63]))  # reason = 99
    assert codec.reply_from_wire(wire) == Reply(
        accepted=False, reason=Refusal.ABORTED, message="new words"
    )
