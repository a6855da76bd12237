"""The encoder's side of a handover: one machine for incumbent and successor.

Owns what an encoder does with its leadership. It must not send, wait or look at a clock: `step`
takes an event and the time and gives the new state, effects and the next wake-up. The encoder's
control module calls it and carries out the effects.

Theory of operation. Both roles walk one line of phases (PeerPhase). The successor drives: each of
its calls moves the incumbent one step, and the answer moves the successor. The order at the end is
deliberate: the incumbent accepts a frame (Agreed), the successor binds itself (Armed), and only
then tells the incumbent, which gives up its priority from that frame on. A lost last message leaves
both leading, the successor with the higher term, which the origin prefers: overlap, never a gap.
Abort is possible until the event's segment has been stamped with a priority.
"""

from __future__ import annotations

from dataclasses import replace

from hitless_handover.leadership import (
    STANDBY,
    cancel_from,
    forget_before,
    lead_from,
    priority_of,
)
from hitless_handover.messages import (
    PROTOCOL_SKEW_MAX,
    Confirmation,
    Criteria,
    HandoverReport,
    PeerPhase,
    Refusal,
    Role,
    compare,
)
from hitless_handover.peer_model import (
    Abort,
    Announce,
    Answered,
    Arm,
    Begin,
    CallFailed,
    Event,
    Judged,
    Peer,
    Propose,
    Pushed,
    Release,
    Reply,
    Request,
    Retire,
    SendAbort,
    SendAnnounce,
    SendArm,
    SendPropose,
    SendSamples,
    SendSync,
    Side,
    Stamped,
    Step,
    Synchronise,
    Take,
    Tick,
)

NEGOTIATION_ROUNDS_MAX = 5
CALL_ATTEMPTS_MAX = 5

# From which phase a peer may go where. docs/protocol.md shows this table as a diagram.
TRANSITIONS: dict[PeerPhase, frozenset[PeerPhase]] = {
    PeerPhase.BEGUN: frozenset({PeerPhase.ANNOUNCED, PeerPhase.ABORTED}),
    PeerPhase.ANNOUNCED: frozenset({PeerPhase.SYNCHRONISED, PeerPhase.ABORTED}),
    PeerPhase.SYNCHRONISED: frozenset({PeerPhase.VERIFIED, PeerPhase.ABORTED}),
    PeerPhase.VERIFIED: frozenset({PeerPhase.AGREED, PeerPhase.ABORTED}),
    PeerPhase.AGREED: frozenset({PeerPhase.ARMED, PeerPhase.ABORTED}),
    PeerPhase.ARMED: frozenset({PeerPhase.SWITCHED, PeerPhase.ABORTED}),
    PeerPhase.SWITCHED: frozenset({PeerPhase.RELEASED}),
    PeerPhase.RELEASED: frozenset(),
    PeerPhase.ABORTED: frozenset(),
}
FINAL = frozenset({PeerPhase.RELEASED, PeerPhase.ABORTED})
_ORDER = {phase: index for index, phase in enumerate(PeerPhase)}


class IllegalTransition(Exception):
    """The machine was asked for a transition that its table does not hold: a defect in it."""


ACCEPTED = Reply(accepted=True)


def step(peer: Peer, event: Event, now_us: int) -> Step:
    """Advance the machine. now_us: microseconds since the epoch. Raises IllegalTransition."""
    result = _dispatch(peer, event, now_us)
    return replace(result, wake_at_us=_wake_at(result.peer))


def report(peer: Peer) -> HandoverReport | None:
    """This encoder's account of its current or last handover."""
    side = peer.side
    if side is None:
        return None
    return HandoverReport(
        handover_id=side.handover_id,
        role=side.role,
        phase=side.phase,
        term=side.term,
        frame=side.frame,
        reason=side.reason,
        message=side.message,
        confirmation=side.confirmation,
    )


def leading_term(peer: Peer) -> int:
    """The term of the segment to be stamped next; 0 for a standby."""
    return priority_of(peer.schedule, _next_segment(peer))


def earliest_segment(peer: Peer, criteria: Criteria) -> int:
    """The first segment that this encoder could still change at, given the lead demanded."""
    soonest = _next_segment(peer) + criteria.lead_segments
    bound = -(-criteria.not_before_frame // peer.timeline.segment_frames)
    return max(soonest, bound)


def _next_segment(peer: Peer) -> int:
    return 0 if peer.head is None else peer.head + 1


def _wake_at(peer: Peer) -> int | None:
    side = peer.side
    if side is None or _ORDER[side.phase] >= _ORDER[PeerPhase.ARMED]:
        return None
    return side.deadline_us


def _dispatch(peer: Peer, event: Event, now_us: int) -> Step:
    match event:
        case Stamped():
            return _on_stamped(peer, event)
        case Pushed():
            return _on_pushed(peer, event)
        case Tick():
            return _on_tick(peer, now_us)
        case Take():
            return _on_take(peer, event)
        case Begin():
            return _on_begin(peer, event)
        case Announce():
            return _on_announce(peer, event, now_us)
        case _:
            return _on_handover_event(peer, event)


def _on_handover_event(
    peer: Peer,
    event: Abort | Release | Synchronise | Judged | Propose | Arm | Answered | CallFailed,
) -> Step:
    """Events that belong to the handover under way: any other id is unknown here."""
    side = peer.side
    if side is None or side.handover_id != event.handover_id:
        if isinstance(event, Release | Abort):
            return Step(peer=peer, reply=ACCEPTED)  # nothing of it is left to undo
        return _refuse(peer, Refusal.UNKNOWN_HANDOVER, f"no handover {event.handover_id} here")
    match event:
        case Abort():
            return _on_abort(peer, side, event)
        case Release():
            return _on_release(peer, side)
        case Answered():
            return _on_answer(peer, side, event.reply)
        case CallFailed():
            return _on_call_failed(peer, side, event)
        case _:
            return _on_call(peer, side, event)


# --- the pipeline ---


def _on_stamped(peer: Peer, event: Stamped) -> Step:
    """A segment got its priority: the event may have passed."""
    segment = event.segment if peer.head is None else max(event.segment, peer.head)
    peer = replace(peer, head=segment, schedule=forget_before(peer.schedule, segment))
    side = peer.side
    if side is None or side.phase is not PeerPhase.ARMED or side.frame is None:
        return Step(peer=peer)
    event_segment = peer.timeline.segment_of(side.frame)
    if side.role is Role.SUCCESSOR or segment < event_segment:
        return Step(peer=peer)
    done = Confirmation(segment=event_segment - 1)
    return Step(peer=_moved(peer, side, PeerPhase.SWITCHED, confirmation=done))


def _on_pushed(peer: Peer, event: Pushed) -> Step:
    """The successor has switched when the origin holds its first segment under the new term."""
    side = peer.side
    if side is None or side.role is not Role.SUCCESSOR or side.phase is not PeerPhase.ARMED:
        return Step(peer=peer)
    assert side.frame is not None
    late = event.segment - peer.timeline.segment_of(side.frame)
    if late < 0:
        return Step(peer=peer)
    done = Confirmation(segment=event.segment, gap_frames=late * peer.timeline.segment_frames)
    return Step(peer=_moved(peer, side, PeerPhase.SWITCHED, confirmation=done))


def _on_tick(peer: Peer, now_us: int) -> Step:
    side = peer.side
    if side is None or _ORDER[side.phase] >= _ORDER[PeerPhase.ARMED] or now_us < side.deadline_us:
        return Step(peer=peer)
    return _give_up(peer, side, Refusal.DEADLINE, f"not armed in time, stopped at {side.phase}")


# --- the operator ---


def _on_take(peer: Peer, event: Take) -> Step:
    """Lead from the next segment. Repeating the same term is answered as before."""
    if leading_term(peer) == event.term:
        return Step(peer=peer, reply=replace(ACCEPTED, segment=_next_segment(peer)))
    if event.term <= peer.known_term:
        message = f"term {event.term} is not above {peer.known_term}"
        return _refuse(peer, Refusal.STALE_TERM, message)
    first = _next_segment(peer)
    taken = replace(
        peer,
        schedule=lead_from(peer.schedule, first, event.term),
        known_term=event.term,
        retired=False,
    )
    return Step(peer=taken, reply=replace(ACCEPTED, segment=first))


def _on_begin(peer: Peer, event: Begin) -> Step:
    side = peer.side
    if side is not None and side.handover_id == event.handover_id:
        return Step(peer=peer, reply=ACCEPTED)
    refusal = _may_not_join(peer, event.term)
    if refusal is not None:
        return Step(peer=peer, reply=refusal)
    if peer.head is None:
        return _refuse(peer, Refusal.NOT_READY, "no segment delivered yet")
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


def _may_not_join(peer: Peer, term: int) -> Reply | None:
    """Why a new handover can't start here; an unarmed one of a lower term gives way."""
    side = peer.side
    if term <= peer.known_term:
        return Reply(
            accepted=False,
            reason=Refusal.STALE_TERM,
            message=f"term {term} is not above {peer.known_term}",
        )
    if side is None or side.phase in FINAL or side.phase is PeerPhase.SWITCHED:
        return None
    if side.phase is not PeerPhase.ARMED and side.term < term:
        return None
    return Reply(
        accepted=False,
        reason=Refusal.BUSY,
        message=f"handover {side.handover_id} is {side.phase}",
    )


def _on_abort(peer: Peer, side: Side, event: Abort) -> Step:
    if side.phase in FINAL:
        if side.phase is PeerPhase.ABORTED:
            return Step(peer=peer, reply=ACCEPTED)
        return _refuse(peer, Refusal.TOO_LATE, f"handover is {side.phase}")
    if _event_has_passed(peer, side):
        return _refuse(peer, Refusal.TOO_LATE, f"frame {side.frame} has been given out")
    given_up = _give_up(peer, side, Refusal.ABORTED, event.reason)
    return replace(given_up, reply=ACCEPTED)


def _on_release(peer: Peer, side: Side) -> Step:
    if side.phase is PeerPhase.RELEASED:
        return Step(peer=peer, reply=ACCEPTED)
    if side.phase is not PeerPhase.SWITCHED:
        return _refuse(peer, Refusal.WRONG_PHASE, f"can't release while {side.phase}")
    released = _moved(peer, side, PeerPhase.RELEASED)
    if side.role is Role.SUCCESSOR:
        return Step(peer=released, reply=ACCEPTED)
    return Step(peer=replace(released, retired=True), effects=(Retire(),), reply=ACCEPTED)


# --- the incumbent, called by the successor ---


def _on_announce(peer: Peer, event: Announce, now_us: int) -> Step:
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
        return _refuse(peer, Refusal.ABORTED, side.message)
    if side.other_instance == event.successor.instance:
        return Step(peer=peer, reply=ACCEPTED)
    if _ORDER[side.phase] >= _ORDER[PeerPhase.ARMED]:
        return _refuse(peer, Refusal.BUSY, f"{side.phase} with the successor before its restart")
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
    return _may_not_join(peer, event.term)


def _on_call(peer: Peer, side: Side, event: Synchronise | Judged | Propose | Arm) -> Step:
    if side.role is not Role.INCUMBENT:
        return _refuse(peer, Refusal.WRONG_PHASE, "this encoder is the successor")
    if side.phase is PeerPhase.ABORTED:
        return _refuse(peer, side.reason or Refusal.ABORTED, side.message)
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
    mismatch = compare(event.own, event.other)
    if mismatch is not None:
        return _reject(peer, side, Refusal.MISMATCH, str(mismatch))
    return Step(peer=_moved(peer, side, PeerPhase.SYNCHRONISED), reply=ACCEPTED)


def _on_judged(peer: Peer, side: Side, event: Judged) -> Step:
    if side.phase is PeerPhase.ANNOUNCED:
        return _refuse(peer, Refusal.WRONG_PHASE, "samples before synchronise")
    if side.phase is not PeerPhase.SYNCHRONISED:
        return Step(peer=peer, reply=ACCEPTED)
    if not event.ok:
        return _reject(peer, side, Refusal.VERIFICATION, event.message)
    return Step(peer=_moved(peer, side, PeerPhase.VERIFIED), reply=ACCEPTED)


def _on_propose(peer: Peer, side: Side, event: Propose) -> Step:
    """Accept a frame that leaves the lead demanded, else counter with the first that does."""
    if _ORDER[side.phase] < _ORDER[PeerPhase.VERIFIED]:
        return _refuse(peer, Refusal.WRONG_PHASE, f"proposal while {side.phase}")
    if side.phase not in (PeerPhase.VERIFIED, PeerPhase.AGREED):
        if event.frame == side.frame:
            return Step(peer=peer, reply=ACCEPTED)
        return _refuse(peer, Refusal.WRONG_PHASE, f"proposal while {side.phase}")
    if side.phase is PeerPhase.AGREED and event.frame == side.frame:
        return Step(peer=peer, reply=ACCEPTED)
    if side.rounds >= NEGOTIATION_ROUNDS_MAX:
        return _reject(peer, side, Refusal.ROUNDS_EXHAUSTED, f"after {side.rounds} rounds")
    side = replace(side, rounds=side.rounds + 1)
    earliest = earliest_segment(peer, side.criteria)
    segment, inside = divmod(event.frame, peer.timeline.segment_frames)
    if inside or segment < earliest:
        frame = peer.timeline.first_frame(max(earliest, segment + (1 if inside else 0)))
        return Step(peer=replace(peer, side=side), reply=Reply(accepted=False, frame=frame))
    if side.phase is PeerPhase.VERIFIED:
        return Step(peer=_moved(peer, side, PeerPhase.AGREED, frame=event.frame), reply=ACCEPTED)
    return Step(peer=replace(peer, side=replace(side, frame=event.frame)), reply=ACCEPTED)


def _on_arm(peer: Peer, side: Side, event: Arm) -> Step:
    """Give up the priority from the frame on. Too late is no harm: the higher term wins."""
    if side.phase in (PeerPhase.ARMED, PeerPhase.SWITCHED, PeerPhase.RELEASED):
        return Step(peer=peer, reply=ACCEPTED)
    if side.phase is not PeerPhase.AGREED or event.frame != side.frame:
        return _refuse(peer, Refusal.WRONG_PHASE, f"arm of {event.frame} while {side.phase}")
    first = max(peer.timeline.segment_of(event.frame), _next_segment(peer))
    armed = replace(peer, schedule=lead_from(peer.schedule, first, STANDBY))
    return Step(peer=_moved(armed, side, PeerPhase.ARMED), reply=ACCEPTED)


# --- the successor, answered by the incumbent ---


def _on_answer(peer: Peer, side: Side, reply: Reply) -> Step:
    if side.role is not Role.SUCCESSOR or _ORDER[side.phase] > _ORDER[PeerPhase.ARMED]:
        return Step(peer=peer)
    side = replace(side, attempts=0)
    if reply.accepted:
        return _on_accepted(peer, side)
    if reply.frame is not None and side.phase is PeerPhase.VERIFIED:
        return _on_counter(peer, side, reply.frame)
    if side.phase is PeerPhase.ARMED:
        return Step(peer=peer)  # bound already; the incumbent's term is lower
    return _give_up(peer, side, reply.reason or Refusal.ABORTED, reply.message)


def _on_accepted(peer: Peer, side: Side) -> Step:
    match side.phase:
        case PeerPhase.BEGUN:
            return _advance(peer, side, PeerPhase.ANNOUNCED)
        case PeerPhase.ANNOUNCED:
            return _advance(peer, side, PeerPhase.SYNCHRONISED)
        case PeerPhase.SYNCHRONISED:
            frame = peer.timeline.first_frame(earliest_segment(peer, side.criteria))
            return _advance(peer, replace(side, frame=frame), PeerPhase.VERIFIED)
        case PeerPhase.VERIFIED:
            return _bind(peer, side)
        case _:
            return Step(peer=replace(peer, side=side))


def _advance(peer: Peer, side: Side, phase: PeerPhase) -> Step:
    moved = _moved(peer, side, phase)
    return Step(peer=moved, effects=_next_request(moved))


def _bind(peer: Peer, side: Side) -> Step:
    """The frame is accepted: bind this side first, then tell the incumbent."""
    assert side.frame is not None
    segment = peer.timeline.segment_of(side.frame)
    if segment < _next_segment(peer):
        return _give_up(peer, side, Refusal.TOO_LATE, f"frame {side.frame} has passed")
    agreed = _moved(peer, side, PeerPhase.AGREED)
    assert agreed.side is not None
    armed = replace(agreed, schedule=lead_from(peer.schedule, segment, side.term))
    return _advance(armed, agreed.side, PeerPhase.ARMED)


def _on_counter(peer: Peer, side: Side, frame: int) -> Step:
    if side.rounds >= NEGOTIATION_ROUNDS_MAX:
        return _give_up(peer, side, Refusal.ROUNDS_EXHAUSTED, f"after {side.rounds} rounds")
    soonest = peer.timeline.first_frame(earliest_segment(peer, side.criteria))
    side = replace(side, frame=max(frame, soonest), rounds=side.rounds + 1)
    peer = replace(peer, side=side)
    return Step(peer=peer, effects=_next_request(peer))


def _on_call_failed(peer: Peer, side: Side, event: CallFailed) -> Step:
    if side.role is not Role.SUCCESSOR or _ORDER[side.phase] > _ORDER[PeerPhase.ARMED]:
        return Step(peer=peer)
    side = replace(side, attempts=side.attempts + 1)
    if side.attempts < CALL_ATTEMPTS_MAX:
        peer = replace(peer, side=side)
        return Step(peer=peer, effects=_next_request(peer))
    if side.phase is PeerPhase.ARMED:
        return Step(peer=replace(peer, side=side))
    return _give_up(peer, side, Refusal.UNREACHABLE, event.message)


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


# --- shared leaves ---


def _moved(
    peer: Peer,
    side: Side,
    phase: PeerPhase,
    *,
    frame: int | None = None,
    confirmation: Confirmation | None = None,
) -> Peer:
    if phase not in TRANSITIONS[side.phase]:
        raise IllegalTransition(f"{side.role} {side.handover_id}: {side.phase} to {phase}")
    moved = replace(
        side,
        phase=phase,
        frame=side.frame if frame is None else frame,
        confirmation=confirmation or side.confirmation,
    )
    return replace(peer, side=moved)


def _event_has_passed(peer: Peer, side: Side) -> bool:
    if side.frame is None or side.phase not in (PeerPhase.ARMED, PeerPhase.SWITCHED):
        return False
    return peer.timeline.segment_of(side.frame) < _next_segment(peer)


def _give_up(peer: Peer, side: Side, reason: Refusal, message: str) -> Step:
    """Back to how it was before the handover. The successor tells the incumbent."""
    schedule = peer.schedule
    if side.phase is PeerPhase.ARMED and side.frame is not None:
        schedule = cancel_from(schedule, peer.timeline.segment_of(side.frame))
    aborted = _moved(replace(peer, schedule=schedule), side, PeerPhase.ABORTED)
    assert aborted.side is not None
    aborted = replace(aborted, side=replace(aborted.side, reason=reason, message=message))
    if side.role is Role.INCUMBENT:
        return Step(peer=aborted)
    return Step(
        peer=aborted, effects=(SendAbort(handover_id=side.handover_id, reason=str(reason)),)
    )


def _reject(peer: Peer, side: Side, reason: Refusal, message: str) -> Step:
    """The incumbent ends the handover and says why."""
    given_up = _give_up(peer, side, reason, message)
    return replace(given_up, reply=Reply(accepted=False, reason=reason, message=message))


def _refuse(peer: Peer, reason: Refusal, message: str) -> Step:
    """A call that changes nothing here."""
    return Step(peer=peer, reply=Reply(accepted=False, reason=reason, message=message))
