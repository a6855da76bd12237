"""The successor's half of the encoder's machine: what it asks next, given the last answer."""

from __future__ import annotations

from dataclasses import replace

from hitless_handover.leadership import (
    lead_from,
)
from hitless_handover.messages import (
    PeerPhase,
    Refusal,
    Role,
)
from hitless_handover.peer_model import (
    Begin,
    CallFailed,
    Peer,
    Reply,
    Request,
    SendAnnounce,
    SendArm,
    SendPropose,
    SendSamples,
    SendSync,
    Side,
    Step,
)
from hitless_handover.peer_rules import (
    ACCEPTED,
    ORDER,
    earliest_segment,
    give_up,
    is_too_late,
    may_not_join,
    moved,
    next_segment,
    refuse,
    too_late_message,
)


def on_begin(peer: Peer, event: Begin, now_us: int) -> Step:
    """The operator's order to take over."""
    side = peer.side
    if side is not None and side.handover_id == event.handover_id:
        if side.phase is PeerPhase.ABORTED:
            return refuse(peer, side.reason or Refusal.ABORTED, side.message)
        return Step(peer=peer, reply=ACCEPTED)
    if now_us >= event.deadline_us:
        return refuse(peer, Refusal.DEADLINE, "told to begin after the deadline")
    refusal = may_not_join(peer, event.term)
    if refusal is not None:
        return Step(peer=peer, reply=refusal)
    if peer.head is None:
        return refuse(peer, Refusal.NOT_READY, "no segment delivered yet")
    begun = Side(
        handover_id=event.handover_id,
        role=Role.SUCCESSOR,
        phase=PeerPhase.BEGUN,
        term=event.term,
        other_id=event.incumbent_id,
        criteria=event.criteria,
        deadline_us=event.deadline_us,
    )
    return Step(
        peer=replace(peer, side=begun, known_term=event.term),
        effects=(SendAnnounce(handover_id=event.handover_id),),
        reply=ACCEPTED,
    )


def on_answer(peer: Peer, side: Side, reply: Reply) -> Step:
    """The incumbent answered the last call."""
    if side.role is not Role.SUCCESSOR or ORDER[side.phase] > ORDER[PeerPhase.ARMED]:
        return Step(peer=peer)
    side = replace(side, attempts=0)
    if reply.accepted:
        return _on_accepted(peer, side)
    if reply.frame is not None and side.phase is PeerPhase.VERIFIED:
        return _on_counter(peer, side, reply.frame)
    if side.phase is PeerPhase.ARMED:
        return Step(peer=peer)  # bound already; the incumbent's term is lower
    return give_up(peer, side, reply.reason or Refusal.ABORTED, reply.message)


def _on_accepted(peer: Peer, side: Side) -> Step:
    match side.phase:
        case PeerPhase.BEGUN:
            return _advance(peer, side, PeerPhase.ANNOUNCED)
        case PeerPhase.ANNOUNCED:
            return _advance(peer, side, PeerPhase.SYNCHRONISED)
        case PeerPhase.SYNCHRONISED:
            return _propose(peer, side)
        case PeerPhase.VERIFIED:
            return _bind(peer, side)
        case _:
            return Step(peer=replace(peer, side=side))


def _propose(peer: Peer, side: Side) -> Step:
    frame = peer.timeline.first_frame(earliest_segment(peer, side.criteria))
    if is_too_late(side.criteria, frame):
        return give_up(peer, side, Refusal.TOO_LATE, too_late_message(side.criteria, frame))
    return _advance(peer, replace(side, frame=frame), PeerPhase.VERIFIED)


def _advance(peer: Peer, side: Side, phase: PeerPhase) -> Step:
    advanced = moved(peer, side, phase)
    return Step(peer=advanced, effects=_next_request(advanced))


def _bind(peer: Peer, side: Side) -> Step:
    """The frame is accepted: bind this side first, then tell the incumbent."""
    assert side.frame is not None
    segment = peer.timeline.segment_of(side.frame)
    if segment < next_segment(peer):
        return give_up(peer, side, Refusal.TOO_LATE, f"frame {side.frame} has passed")
    agreed = moved(peer, side, PeerPhase.AGREED)
    assert agreed.side is not None
    armed = replace(agreed, schedule=lead_from(peer.schedule, segment, side.term))
    return _advance(armed, agreed.side, PeerPhase.ARMED)


def _on_counter(peer: Peer, side: Side, frame: int) -> Step:
    if side.rounds >= side.criteria.rounds_max:
        return give_up(peer, side, Refusal.ROUNDS_EXHAUSTED, f"after {side.rounds} rounds")
    soonest = peer.timeline.first_frame(earliest_segment(peer, side.criteria))
    later = max(frame, soonest)
    if is_too_late(side.criteria, later):
        return give_up(peer, side, Refusal.TOO_LATE, too_late_message(side.criteria, later))
    side = replace(side, frame=later, rounds=side.rounds + 1)
    peer = replace(peer, side=side)
    return Step(peer=peer, effects=_next_request(peer))


def on_call_failed(peer: Peer, side: Side, event: CallFailed) -> Step:
    """The incumbent did not answer: ask again, within a bound."""
    if side.role is not Role.SUCCESSOR or ORDER[side.phase] > ORDER[PeerPhase.ARMED]:
        return Step(peer=peer)
    side = replace(side, attempts=side.attempts + 1)
    if side.attempts < side.criteria.attempts_max:
        peer = replace(peer, side=side)
        return Step(peer=peer, effects=_next_request(peer))
    if side.phase is PeerPhase.ARMED:
        return Step(peer=replace(peer, side=side))
    return give_up(peer, side, Refusal.UNREACHABLE, event.message)


def _next_request(peer: Peer) -> tuple[Request, ...]:
    """What the successor asks next, given the last step completed."""
    side = peer.side
    assert side is not None
    frame = side.frame or 0
    match side.phase:
        case PeerPhase.BEGUN:
            return (SendAnnounce(handover_id=side.handover_id),)
        case PeerPhase.ANNOUNCED:
            return (SendSync(handover_id=side.handover_id),)
        case PeerPhase.SYNCHRONISED:
            count = side.criteria.verify_segments
            return (SendSamples(handover_id=side.handover_id, segments=count),)
        case PeerPhase.VERIFIED:
            return (SendPropose(handover_id=side.handover_id, frame=frame),)
        case PeerPhase.ARMED:
            return (SendArm(handover_id=side.handover_id, frame=frame),)
        case _:
            return ()
