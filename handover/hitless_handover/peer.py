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
    forget_before,
    lead_at,
    lead_from,
    priority_of,
)
from hitless_handover.messages import (
    Confirmation,
    Criteria,
    HandoverReport,
    PeerPhase,
    Refusal,
    Role,
)
from hitless_handover.peer_incumbent import on_announce, on_call
from hitless_handover.peer_model import (
    Abort,
    Announce,
    Answered,
    Arm,
    Begin,
    CallFailed,
    Effect,
    Event,
    Judged,
    Peer,
    Propose,
    Pushed,
    Reanchored,
    Release,
    Resend,
    Retire,
    Side,
    Stamped,
    Step,
    Synchronise,
    Take,
    Tick,
)
from hitless_handover.peer_rules import (
    ACCEPTED,
    FINAL,
    ORDER,
    event_has_passed,
    give_up,
    leading_term,
    moved,
    next_segment,
    refuse,
)
from hitless_handover.peer_successor import on_answer, on_begin, on_call_failed


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


def _wake_at(peer: Peer) -> int | None:
    side = peer.side
    if side is None or ORDER[side.phase] >= ORDER[PeerPhase.ARMED]:
        return None
    return side.deadline_us


def _dispatch(peer: Peer, event: Event, now_us: int) -> Step:
    match event:
        case Stamped():
            return _on_stamped(peer, event)
        case Pushed():
            return _on_pushed(peer, event)
        case Reanchored():
            return _on_reanchored(peer)
        case Tick():
            return _on_tick(peer, now_us)
        case Take():
            return _on_take(peer, event)
        case Begin():
            return on_begin(peer, event, now_us)
        case Announce():
            return on_announce(peer, event, now_us)
        case _:
            return _on_handover_event(peer, event)


def _on_handover_event(
    peer: Peer,
    event: Abort | Release | Synchronise | Judged | Propose | Arm | Answered | CallFailed,
) -> Step:
    """Events that belong to the handover under way: any other id is unknown here."""
    side = peer.side
    if side is None or side.handover_id != event.handover_id:
        if isinstance(event, Release):
            return Step(peer=peer, reply=ACCEPTED)  # nothing of it is left to undo
        if isinstance(event, Abort):
            return _on_abort_unknown(peer, event)
        return refuse(peer, Refusal.UNKNOWN_HANDOVER, f"no handover {event.handover_id} here")
    match event:
        case Abort():
            return _on_abort(peer, side, event)
        case Release():
            return _on_release(peer, side)
        case Answered():
            return on_answer(peer, side, event.reply)
        case CallFailed():
            return on_call_failed(peer, side, event)
        case _:
            return on_call(peer, side, event)


def _on_stamped(peer: Peer, event: Stamped) -> Step:
    """A segment got its priority: the event may have passed."""
    segment = event.segment if peer.head is None else max(event.segment, peer.head)
    peer = replace(
        peer,
        head=segment,
        schedule=forget_before(peer.schedule, segment),
        withheld=_with_withheld(peer, event.segment),
    )
    side = peer.side
    if side is None or side.phase is not PeerPhase.ARMED or side.frame is None:
        return Step(peer=peer)
    event_segment = peer.timeline.segment_of(side.frame)
    if side.role is Role.SUCCESSOR or segment < event_segment:
        return Step(peer=peer)
    done = Confirmation(segment=event_segment - 1)
    return Step(peer=moved(peer, side, PeerPhase.SWITCHED, confirmation=done))


def _with_withheld(peer: Peer, segment: int) -> tuple[int, int] | None:
    if not lead_at(peer.schedule, segment).silent:
        return peer.withheld
    first, last = peer.withheld or (segment, segment - 1)
    return (first, segment) if segment == last + 1 else (segment, segment)


def _on_pushed(peer: Peer, event: Pushed) -> Step:
    """The successor has switched when the origin holds its first segment under the new term."""
    term = priority_of(peer.schedule, event.segment)
    if term > peer.delivered_term:
        peer = replace(peer, delivered_term=term)
    side = peer.side
    if side is None or side.role is not Role.SUCCESSOR or side.phase is not PeerPhase.ARMED:
        return Step(peer=peer)
    assert side.frame is not None
    late = event.segment - peer.timeline.segment_of(side.frame)
    if late < 0:
        return Step(peer=peer)
    done = Confirmation(segment=event.segment, gap_frames=late * peer.timeline.segment_frames)
    return Step(peer=moved(peer, side, PeerPhase.SWITCHED, confirmation=done))


def _on_reanchored(peer: Peer) -> Step:
    """What was found interchangeable is so no longer; a frame that has passed stays."""
    side = peer.side
    if side is None or ORDER[side.phase] >= ORDER[PeerPhase.SWITCHED]:
        return Step(peer=peer)
    if ORDER[side.phase] < ORDER[PeerPhase.SYNCHRONISED] or event_has_passed(peer, side):
        return Step(peer=peer)
    message = f"the source of the {str(side.role).lower()} jumped: its anchor moved"
    return give_up(peer, side, Refusal.MISMATCH, message)


def _on_tick(peer: Peer, now_us: int) -> Step:
    side = peer.side
    if side is None or ORDER[side.phase] >= ORDER[PeerPhase.ARMED] or now_us < side.deadline_us:
        return Step(peer=peer)
    return give_up(peer, side, Refusal.DEADLINE, f"not armed in time, stopped at {side.phase}")


def _on_take(peer: Peer, event: Take) -> Step:
    """Lead from the next segment. Repeating the same term is answered as before.

    A handover under way is over with that: its term is lower. What was withheld and the downstream
    lacks is sent first, so that a silent standby costs no frame when it has to lead.
    """
    if leading_term(peer) == event.term:
        return Step(peer=peer, reply=replace(ACCEPTED, segment=next_segment(peer)))
    if event.term <= peer.known_term:
        message = f"term {event.term} is not above {peer.known_term}"
        return refuse(peer, Refusal.STALE_TERM, message)
    peer, effects = _without_handover(peer, f"it leads with term {event.term} now")
    first = next_segment(peer)
    lacking = _lacking(peer, event.from_segment)
    if lacking is not None:
        first = lacking.first
        effects = (*effects, lacking)
    taken = replace(
        peer,
        withheld=None,
        schedule=lead_from(peer.schedule, first, event.term),
        known_term=event.term,
        retired=False,
    )
    return Step(peer=taken, effects=effects, reply=replace(ACCEPTED, segment=first))


def _without_handover(peer: Peer, why: str) -> tuple[Peer, tuple[Effect, ...]]:
    """The peer with its handover called off, unless that is over or past its event."""
    side = peer.side
    if side is None or ORDER[side.phase] >= ORDER[PeerPhase.SWITCHED]:
        return peer, ()
    if event_has_passed(peer, side):
        return peer, ()
    given_up = give_up(peer, side, Refusal.ABORTED, why)
    return given_up.peer, given_up.effects


def _lacking(peer: Peer, wanted: int | None) -> Resend | None:
    """What the downstream lacks of what was withheld."""
    if wanted is None or peer.withheld is None or wanted > peer.withheld[1]:
        return None
    first, last = peer.withheld
    return Resend(first=max(wanted, first), last=last)


def _on_abort_unknown(peer: Peer, event: Abort) -> Step:
    """Of a handover that never began here: remember it, so that a late Begin does not start it."""
    side = peer.side
    busy = side is not None and ORDER[side.phase] < ORDER[PeerPhase.SWITCHED]
    if event.term <= peer.known_term or busy:
        return Step(peer=peer, reply=ACCEPTED)
    role = Role.SUCCESSOR if leading_term(peer) == STANDBY else Role.INCUMBENT
    tomb = Side(
        handover_id=event.handover_id,
        role=role,
        phase=PeerPhase.ABORTED,
        term=event.term,
        other_id="",
        criteria=Criteria(lead_segments=0, verify_segments=0, psnr_min_db=0),
        deadline_us=0,
        reason=Refusal.ABORTED,
        message=event.reason,
    )
    return Step(peer=replace(peer, side=tomb, known_term=event.term), reply=ACCEPTED)


def _on_abort(peer: Peer, side: Side, event: Abort) -> Step:
    if side.phase in FINAL:
        if side.phase is PeerPhase.ABORTED:
            return Step(peer=peer, reply=ACCEPTED)
        return refuse(peer, Refusal.TOO_LATE, f"handover is {side.phase}")
    if event_has_passed(peer, side):
        return refuse(peer, Refusal.TOO_LATE, f"frame {side.frame} has been given out")
    given_up = give_up(peer, side, Refusal.ABORTED, event.reason)
    return replace(given_up, reply=ACCEPTED)


def _on_release(peer: Peer, side: Side) -> Step:
    if side.phase is PeerPhase.RELEASED:
        return Step(peer=peer, reply=ACCEPTED)
    if side.phase is not PeerPhase.SWITCHED:
        return refuse(peer, Refusal.WRONG_PHASE, f"can't release while {side.phase}")
    released = moved(peer, side, PeerPhase.RELEASED)
    if side.role is Role.SUCCESSOR:
        return Step(peer=released, reply=ACCEPTED)
    return Step(peer=replace(released, retired=True), effects=(Retire(),), reply=ACCEPTED)
