"""Between gRPC messages and core values, both ways; nothing else knows both.

Raises WireError for a message that means nothing to this version. Enumerations are matched by name,
so that the core's words and the wire's can't drift apart unseen (tests/unit/wire).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hitless_handover.messages import (
    ATTEMPTS_MAX,
    CALL_S,
    ROUNDS_MAX,
    Confirmation,
    Criteria,
    EncoderReport,
    HandoverMode,
    HandoverReport,
    Identity,
    PeerPhase,
    Refusal,
    Role,
    SyncInfo,
)
from hitless_handover.peer_model import Abort, Announce, Begin, Reply, Take
from hitless_handover.timeline import Anchor, Timeline, TimelineError
from hitless_wire._gen import handover_pb2 as pb


class WireError(ValueError):
    """A message that this version can't read; says which field."""


def _shout(word: str) -> str:
    """NotLeading -> NOT_LEADING."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).upper()


_REASON_TO_WIRE = {r: pb.RefusalReason.Value(f"REFUSAL_REASON_{_shout(r)}") for r in Refusal}
_REASON_FROM_WIRE = {wire: reason for reason, wire in _REASON_TO_WIRE.items()}
_ROLE_TO_WIRE = {r: pb.PeerRole.Value(f"PEER_ROLE_{_shout(r)}") for r in Role}
_ROLE_FROM_WIRE = {wire: role for role, wire in _ROLE_TO_WIRE.items()}
_PHASE_TO_WIRE = {p: pb.PeerPhase.Value(f"PEER_PHASE_{_shout(p)}") for p in PeerPhase}
_PHASE_FROM_WIRE = {wire: phase for phase, wire in _PHASE_TO_WIRE.items()}
_MODE_TO_WIRE = {m: pb.HandoverMode.Value(f"HANDOVER_MODE_{_shout(m)}") for m in HandoverMode}
_MODE_FROM_WIRE = {wire: mode for mode, wire in _MODE_TO_WIRE.items()}
_MODE_FROM_WIRE[pb.HANDOVER_MODE_UNSPECIFIED] = HandoverMode.PRIORITY
# Thresholds that came later: absent where the sender does not know them.
_THRESHOLDS = (
    "ssim_min_permille",
    "loudness_max_db",
    "av_offset_max_ms",
    "speed_min_percent",
    "late_max_ms",
)


def reply_to_wire(reply: Reply) -> pb.Reply:
    """A machine's answer."""
    return pb.Reply(
        accepted=reply.accepted,
        reason=(
            pb.REFUSAL_REASON_UNSPECIFIED if reply.reason is None else _REASON_TO_WIRE[reply.reason]
        ),
        message=reply.message,
        frame=reply.frame,
        segment=reply.segment,
    )


def reply_from_wire(wire: pb.Reply) -> Reply:
    """A machine's answer. A reason of a newer version reads as Aborted; the message says more."""
    return Reply(
        accepted=wire.accepted,
        reason=_reason_from_wire(wire.reason),
        message=wire.message,
        frame=wire.frame if wire.HasField("frame") else None,
        segment=wire.segment if wire.HasField("segment") else None,
    )


def _reason_from_wire(wire: pb.RefusalReason.ValueType) -> Refusal | None:
    if wire == pb.REFUSAL_REASON_UNSPECIFIED:
        return None
    return _REASON_FROM_WIRE.get(wire, Refusal.ABORTED)


def identity_to_wire(identity: Identity) -> pb.Identity:
    """Who an encoder is."""
    return pb.Identity(
        namespace=identity.namespace,
        channel=identity.channel,
        encoder_id=identity.encoder_id,
        instance=identity.instance,
        version=identity.version,
        protocol=identity.protocol,
    )


def identity_from_wire(wire: pb.Identity) -> Identity:
    """Who an encoder is."""
    return Identity(
        namespace=wire.namespace,
        channel=wire.channel,
        encoder_id=wire.encoder_id,
        instance=wire.instance,
        version=wire.version,
        protocol=wire.protocol,
    )


def criteria_to_wire(criteria: Criteria) -> pb.Criteria:
    """What is demanded of the event."""
    return pb.Criteria(
        lead_segments=criteria.lead_segments,
        verify_segments=criteria.verify_segments,
        psnr_min_db=criteria.psnr_min_db,
        not_before_frame=criteria.not_before_frame,
        not_after_frame=criteria.not_after_frame,
        mode=_MODE_TO_WIRE[criteria.mode],
        rounds_max=criteria.rounds_max,
        attempts_max=criteria.attempts_max,
        call_seconds=criteria.call_s,
        allow_discontinuity=criteria.allow_discontinuity,
        **{name: getattr(criteria, name) for name in _THRESHOLDS},
    )


def criteria_from_wire(wire: pb.Criteria) -> Criteria:
    """What is demanded of the event. What protocol version 1 does not say has its default.

    Raises WireError for a mode of a newer version: to guess would send twice, or not at all.
    """
    if wire.mode not in _MODE_FROM_WIRE:
        raise WireError(f"criteria: handover mode {wire.mode} unknown")
    return Criteria(
        lead_segments=wire.lead_segments,
        verify_segments=wire.verify_segments,
        psnr_min_db=wire.psnr_min_db,
        not_before_frame=wire.not_before_frame,
        not_after_frame=wire.not_after_frame,
        mode=_MODE_FROM_WIRE[wire.mode],
        rounds_max=wire.rounds_max or ROUNDS_MAX,
        attempts_max=wire.attempts_max or ATTEMPTS_MAX,
        call_s=wire.call_seconds or CALL_S,
        allow_discontinuity=wire.allow_discontinuity,
        **{name: getattr(wire, name) for name in _THRESHOLDS if _is_set(wire, name)},
    )


def _is_set(wire: pb.Criteria, name: str) -> bool:
    return any(field.name == name for field, _ in wire.ListFields())


def anchor_to_wire(anchor: Anchor) -> pb.Anchor:
    """Where source and timeline meet."""
    return pb.Anchor(
        source_ticks=anchor.source_ticks,
        source_timescale=anchor.source_timescale,
        wrap_ticks=anchor.wrap_ticks,
        frame=anchor.frame,
        wall_us=anchor.wall_us,
    )


def anchor_from_wire(wire: pb.Anchor) -> Anchor:
    """Where source and timeline meet."""
    return Anchor(
        source_ticks=wire.source_ticks,
        source_timescale=wire.source_timescale,
        wrap_ticks=wire.wrap_ticks,
        frame=wire.frame,
        wall_us=wire.wall_us,
    )


def timeline_to_wire(timeline: Timeline) -> pb.Timeline:
    """The channel's grid."""
    return pb.Timeline(
        rate_num=timeline.rate_num,
        rate_den=timeline.rate_den,
        segment_frames=timeline.segment_frames,
        gop_frames=timeline.gop_frames,
        audio_rate=timeline.audio_rate,
    )


def timeline_from_wire(wire: pb.Timeline) -> Timeline:
    """The channel's grid. Raises WireError."""
    try:
        return Timeline(
            rate_num=wire.rate_num,
            rate_den=wire.rate_den,
            segment_frames=wire.segment_frames,
            gop_frames=wire.gop_frames,
            audio_rate=wire.audio_rate,
        )
    except TimelineError as error:
        raise WireError(f"timeline: {error}") from error


def sync_to_wire(info: SyncInfo, inits: Mapping[str, bytes] | None = None) -> pb.SyncInfo:
    """Sync information of one encoder. inits: its init segments, where they are told as well."""
    known = inits or {}
    return pb.SyncInfo(
        timeline=timeline_to_wire(info.timeline),
        fingerprint=info.fingerprint,
        anchor=None if info.anchor is None else anchor_to_wire(info.anchor),
        init_digests=[
            pb.InitDigest(track=t, sha256=d, init=known.get(t, b"")) for t, d in info.init_digests
        ],
        current_frame=info.current_frame,
        head_segment=info.head_segment,
    )


def sync_from_wire(wire: pb.SyncInfo) -> SyncInfo:
    """Sync information of one encoder. Raises WireError."""
    return SyncInfo(
        timeline=timeline_from_wire(wire.timeline),
        fingerprint=wire.fingerprint,
        anchor=anchor_from_wire(wire.anchor) if wire.HasField("anchor") else None,
        init_digests=tuple(sorted((d.track, d.sha256) for d in wire.init_digests)),
        current_frame=wire.current_frame,
        head_segment=wire.head_segment,
    )


def inits_from_wire(wire: pb.SyncInfo) -> dict[str, bytes]:
    """The init segments of an encoder by track, as far as it tells them."""
    return {one.track: one.init for one in wire.init_digests if one.init}


def handover_report_to_wire(report: HandoverReport) -> pb.HandoverReport:
    """One side's account."""
    done = report.confirmation
    return pb.HandoverReport(
        handover_id=report.handover_id,
        role=_ROLE_TO_WIRE[report.role],
        phase=_PHASE_TO_WIRE[report.phase],
        term=report.term,
        frame=report.frame,
        reason=(
            pb.REFUSAL_REASON_UNSPECIFIED
            if report.reason is None
            else _REASON_TO_WIRE[report.reason]
        ),
        message=report.message,
        confirmation=(
            None
            if done is None
            else pb.Confirmation(
                segment=done.segment,
                gap_frames=done.gap_frames,
                overlap_frames=done.overlap_frames,
            )
        ),
    )


def handover_report_from_wire(wire: pb.HandoverReport) -> HandoverReport:
    """One side's account. Raises WireError for a role or phase unknown here."""
    if wire.role not in _ROLE_FROM_WIRE or wire.phase not in _PHASE_FROM_WIRE:
        raise WireError(f"handover report: role {wire.role}, phase {wire.phase} unknown")
    done = wire.confirmation if wire.HasField("confirmation") else None
    return HandoverReport(
        handover_id=wire.handover_id,
        role=_ROLE_FROM_WIRE[wire.role],
        phase=_PHASE_FROM_WIRE[wire.phase],
        term=wire.term,
        frame=wire.frame if wire.HasField("frame") else None,
        reason=_reason_from_wire(wire.reason),
        message=wire.message,
        confirmation=(
            None
            if done is None
            else Confirmation(
                segment=done.segment,
                gap_frames=done.gap_frames,
                overlap_frames=done.overlap_frames,
            )
        ),
    )


def report_to_wire(report: EncoderReport) -> pb.EncoderReport:
    """What an encoder says of itself."""
    return pb.EncoderReport(
        identity=identity_to_wire(report.identity),
        leading_term=report.leading_term,
        head_segment=report.head_segment,
        current_frame=report.current_frame,
        anchor=None if report.anchor is None else anchor_to_wire(report.anchor),
        source_state=report.source_state,
        source_message=report.source_message,
        speed_percent=report.speed_percent,
        handover=None if report.handover is None else handover_report_to_wire(report.handover),
        delivered_term=report.delivered_term,
    )


def report_from_wire(wire: pb.EncoderReport) -> EncoderReport:
    """What an encoder says of itself. Raises WireError."""
    return EncoderReport(
        identity=identity_from_wire(wire.identity),
        leading_term=wire.leading_term,
        head_segment=wire.head_segment if wire.HasField("head_segment") else None,
        current_frame=wire.current_frame,
        anchor=anchor_from_wire(wire.anchor) if wire.HasField("anchor") else None,
        source_state=wire.source_state,
        source_message=wire.source_message,
        speed_percent=wire.speed_percent,
        handover=(handover_report_from_wire(wire.handover) if wire.HasField("handover") else None),
        delivered_term=wire.delivered_term if wire.HasField("delivered_term") else None,
    )


def begin_from_wire(wire: pb.BeginRequest) -> Begin:
    """The operator's order to take over (without the address, which is the shell's business)."""
    return Begin(
        handover_id=wire.handover_id,
        term=wire.term,
        incumbent_id=wire.incumbent_id,
        criteria=criteria_from_wire(wire.criteria),
        deadline_us=wire.deadline_us,
    )


def take_from_wire(wire: pb.TakeRequest) -> Take:
    """The operator's order to lead."""
    wanted = wire.from_segment if wire.HasField("from_segment") else None
    return Take(term=wire.term, from_segment=wanted)


def abort_from_wire(wire: pb.AbortRequest | pb.CallOffRequest) -> Abort:
    """The operator's order and the successor's word, which mean the same."""
    return Abort(handover_id=wire.handover_id, reason=wire.reason, term=wire.term)


def announce_from_wire(wire: pb.AnnounceRequest) -> Announce:
    """The successor's first call."""
    return Announce(
        handover_id=wire.handover_id,
        term=wire.term,
        successor=identity_from_wire(wire.successor),
        criteria=criteria_from_wire(wire.criteria),
        deadline_us=wire.deadline_us,
    )


def announce_to_wire(announce: Announce) -> pb.AnnounceRequest:
    """The successor's first call."""
    return pb.AnnounceRequest(
        handover_id=announce.handover_id,
        term=announce.term,
        successor=identity_to_wire(announce.successor),
        criteria=criteria_to_wire(announce.criteria),
        deadline_us=announce.deadline_us,
    )
