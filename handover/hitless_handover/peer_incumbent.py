"""The incumbent's half of the encoder's machine: what it answers to the successor's calls."""

from __future__ import annotations

from dataclasses import replace

from hitless_handover.leadership import (
    STANDBY,
    lead_from,
)
from hitless_handover.messages import (
    PROTOCOL_SKEW_MAX,
    Confirmation,
    HandoverMode,
    PeerPhase,
    Refusal,
    Role,
    compare,
)
from hitless_handover.peer_model import (
    Announce,
    Arm,
    Judged,
    Peer,
    Propose,
    Reply,
    Side,
    Step,
    Synchronise,
)
from hitless_handover.peer_rules import (
    ACCEPTED,
    ORDER,
    earliest_segment,
    is_too_late,
    leading_term,
    may_not_join,
    moved,
    next_segment,
    refuse,
    reject,
    too_late_message,
)


def on_announce(peer: Peer, event: Announce, now_us: int) -> Step:
    """A successor wants to take over."""
    side = peer.side
    if side is not None and side.handover_id == event.handover_id:
        return _announced_again(peer, side, event)
    refusal = _refuse_announce(peer, event, now_us)
    if refusal is not None:
        return Step(peer=peer, reply=refusal)
    return Step(peer=replace(peer, side=_announced(event), known_term=event.term), reply=ACCEPTED)


def _announced_again(peer: Peer, side: Side, event: Announce) -> Step:
    """A repeated Announce is answered as before; a restarted successor starts over."""
    if side.phase is PeerPhase.ABORTED:
        return refuse(peer, Refusal.ABORTED, side.message)
    if side.other_instance == event.successor.instance:
        return Step(peer=peer, reply=ACCEPTED)
    if ORDER[side.phase] >= ORDER[PeerPhase.ARMED]:
        return refuse(peer, Refusal.BUSY, f"{side.phase} with the successor before its restart")
    return Step(peer=replace(peer, side=_announced(event)), reply=ACCEPTED)


def _announced(event: Announce) -> Side:
    return Side(
        handover_id=event.handover_id,
        role=Role.INCUMBENT,
        phase=PeerPhase.ANNOUNCED,
        term=event.term,
        other_id=event.successor.encoder_id,
        other_instance=event.successor.instance,
        criteria=event.criteria,
        deadline_us=event.deadline_us,
    )


def _refuse_announce(peer: Peer, event: Announce, now_us: int) -> Reply | None:
    own, other = peer.identity, event.successor
    if abs(own.protocol - other.protocol) > PROTOCOL_SKEW_MAX:
        return Reply(
            accepted=False,
            reason=Refusal.PROTOCOL_VERSION,
            message=f"incumbent speaks {own.protocol}, successor {other.protocol}",
        )
    if (own.namespace, own.channel) != (other.namespace, other.channel):
        return Reply(
            accepted=False,
            reason=Refusal.MISMATCH,
            message=f"channel: incumbent has {own.channel}, successor has {other.channel}",
        )
    if now_us >= event.deadline_us:
        return Reply(accepted=False, reason=Refusal.DEADLINE, message="announced after deadline")
    if leading_term(peer) == STANDBY:
        return Reply(accepted=False, reason=Refusal.NOT_LEADING, message="this is a standby")
    return may_not_join(peer, event.term)


def on_call(peer: Peer, side: Side, event: Synchronise | Judged | Propose | Arm) -> Step:
    """A call of the handover under way."""
    if side.role is not Role.INCUMBENT:
        return refuse(peer, Refusal.WRONG_PHASE, "this encoder is the successor")
    if side.phase is PeerPhase.ABORTED:
        return refuse(peer, side.reason or Refusal.ABORTED, side.message)
    match event:
        case Synchronise():
            return _on_synchronise(peer, side, event)
        case Judged():
            return _on_judged(peer, side, event)
        case Propose():
            return _on_propose(peer, side, event)
        case Arm():
            return _on_arm(peer, side, event)


def _on_synchronise(peer: Peer, side: Side, event: Synchronise) -> Step:
    if side.phase is not PeerPhase.ANNOUNCED:
        return Step(peer=peer, reply=ACCEPTED)
    allowed = side.criteria.allow_discontinuity
    mismatch = compare(event.own, event.other, allow_discontinuity=allowed)
    if mismatch is not None:
        return reject(peer, side, Refusal.MISMATCH, str(mismatch))
    return Step(peer=moved(peer, side, PeerPhase.SYNCHRONISED), reply=ACCEPTED)


def _on_judged(peer: Peer, side: Side, event: Judged) -> Step:
    if side.phase is PeerPhase.ANNOUNCED:
        return refuse(peer, Refusal.WRONG_PHASE, "samples before synchronise")
    if side.phase is not PeerPhase.SYNCHRONISED:
        return Step(peer=peer, reply=ACCEPTED)
    if not event.ok:
        return reject(peer, side, Refusal.VERIFICATION, event.message)
    return Step(peer=moved(peer, side, PeerPhase.VERIFIED), reply=ACCEPTED)


def _on_propose(peer: Peer, side: Side, event: Propose) -> Step:
    """Accept a frame that leaves the lead demanded, else counter with the first that does."""
    if ORDER[side.phase] < ORDER[PeerPhase.VERIFIED]:
        return refuse(peer, Refusal.WRONG_PHASE, f"proposal while {side.phase}")
    if side.phase not in (PeerPhase.VERIFIED, PeerPhase.AGREED):
        if event.frame == side.frame:
            return Step(peer=peer, reply=ACCEPTED)
        return refuse(peer, Refusal.WRONG_PHASE, f"proposal while {side.phase}")
    if side.phase is PeerPhase.AGREED and event.frame == side.frame:
        return Step(peer=peer, reply=ACCEPTED)
    if side.rounds >= side.criteria.rounds_max:
        return reject(peer, side, Refusal.ROUNDS_EXHAUSTED, f"after {side.rounds} rounds")
    side = replace(side, rounds=side.rounds + 1)
    earliest = earliest_segment(peer, side.criteria)
    segment, inside = divmod(event.frame, peer.timeline.segment_frames)
    if inside or segment < earliest:
        frame = peer.timeline.first_frame(max(earliest, segment + (1 if inside else 0)))
        if is_too_late(side.criteria, frame):
            return reject(peer, side, Refusal.TOO_LATE, too_late_message(side.criteria, frame))
        return Step(peer=replace(peer, side=side), reply=Reply(accepted=False, frame=frame))
    if side.phase is PeerPhase.VERIFIED:
        return Step(peer=moved(peer, side, PeerPhase.AGREED, frame=event.frame), reply=ACCEPTED)
    return Step(peer=replace(peer, side=replace(side, frame=event.frame)), reply=ACCEPTED)


def _on_arm(peer: Peer, side: Side, event: Arm) -> Step:
    """Give up the priority from the frame on. Too late is an overlap, never a gap."""
    if side.phase in (PeerPhase.ARMED, PeerPhase.SWITCHED, PeerPhase.RELEASED):
        return Step(peer=peer, reply=ACCEPTED)
    if side.phase is not PeerPhase.AGREED or event.frame != side.frame:
        return refuse(peer, Refusal.WRONG_PHASE, f"arm of {event.frame} while {side.phase}")
    segment = peer.timeline.segment_of(event.frame)
    first = max(segment, next_segment(peer))
    silent = side.criteria.mode is not HandoverMode.PRIORITY
    yielding = replace(peer, schedule=lead_from(peer.schedule, first, STANDBY, silent=silent))
    armed = moved(yielding, side, PeerPhase.ARMED)
    if first == segment:
        return Step(peer=armed, reply=ACCEPTED)
    late = Confirmation(
        segment=first - 1, overlap_frames=(first - segment) * peer.timeline.segment_frames
    )
    assert armed.side is not None
    switched = moved(armed, armed.side, PeerPhase.SWITCHED, confirmation=late)
    return Step(peer=switched, reply=ACCEPTED)
