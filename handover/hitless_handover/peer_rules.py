"""The leaves that both roles of the encoder's machine use: its transition table and what follows.

`peer.py`, `peer_incumbent.py` and `peer_successor.py` call them; nobody else does.
"""

from __future__ import annotations

from dataclasses import replace

from hitless_handover.leadership import (
    cancel_from,
    priority_of,
)
from hitless_handover.messages import (
    Confirmation,
    Criteria,
    PeerPhase,
    Refusal,
    Role,
)
from hitless_handover.peer_model import (
    Peer,
    Reply,
    SendAbort,
    Side,
    Step,
)

# From which phase a peer may go where. docs/protocol.md tells it in words.
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
ORDER = {phase: index for index, phase in enumerate(PeerPhase)}


class IllegalTransition(Exception):
    """The machine was asked for a transition that its table does not hold: a defect in it."""


ACCEPTED = Reply(accepted=True)


def leading_term(peer: Peer) -> int:
    """The term of the segment to be stamped next; 0 for a standby."""
    return priority_of(peer.schedule, next_segment(peer))


def is_too_late(criteria: Criteria, frame: int) -> bool:
    """Whether a frame lies behind the last that the operator allows."""
    return bool(criteria.not_after_frame) and frame > criteria.not_after_frame


def too_late_message(criteria: Criteria, frame: int) -> str:
    """Says which bound was missed."""
    return f"frame {frame} is the first possible, not after {criteria.not_after_frame} is asked"


def earliest_segment(peer: Peer, criteria: Criteria) -> int:
    """The first segment that this encoder could still change at, given the lead demanded."""
    soonest = next_segment(peer) + criteria.lead_segments
    bound = -(-criteria.not_before_frame // peer.timeline.segment_frames)
    return max(soonest, bound)


def next_segment(peer: Peer) -> int:
    """The segment that is stamped next: the first that can still be changed."""
    return 0 if peer.head is None else peer.head + 1


def may_not_join(peer: Peer, term: int) -> Reply | None:
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


def moved(
    peer: Peer,
    side: Side,
    phase: PeerPhase,
    *,
    frame: int | None = None,
    confirmation: Confirmation | None = None,
) -> Peer:
    """The peer with its side in the next phase. Raises IllegalTransition."""
    if phase not in TRANSITIONS[side.phase]:
        raise IllegalTransition(f"{side.role} {side.handover_id}: {side.phase} to {phase}")
    advanced = replace(
        side,
        phase=phase,
        frame=side.frame if frame is None else frame,
        confirmation=confirmation or side.confirmation,
    )
    return replace(peer, side=advanced)


def event_has_passed(peer: Peer, side: Side) -> bool:
    """Whether the event's segment has been given out."""
    if side.frame is None or side.phase not in (PeerPhase.ARMED, PeerPhase.SWITCHED):
        return False
    return peer.timeline.segment_of(side.frame) < next_segment(peer)


def give_up(peer: Peer, side: Side, reason: Refusal, message: str) -> Step:
    """Back to how it was before the handover. The successor tells the incumbent."""
    schedule = peer.schedule
    if side.phase is PeerPhase.ARMED and side.frame is not None:
        schedule = cancel_from(schedule, peer.timeline.segment_of(side.frame))
    aborted = moved(replace(peer, schedule=schedule), side, PeerPhase.ABORTED)
    assert aborted.side is not None
    aborted = replace(aborted, side=replace(aborted.side, reason=reason, message=message))
    if side.role is Role.INCUMBENT:
        return Step(peer=aborted)
    return Step(
        peer=aborted, effects=(SendAbort(handover_id=side.handover_id, reason=str(reason)),)
    )


def reject(peer: Peer, side: Side, reason: Refusal, message: str) -> Step:
    """The incumbent ends the handover and says why."""
    given_up = give_up(peer, side, reason, message)
    return replace(given_up, reply=Reply(accepted=False, reason=reason, message=message))


def refuse(peer: Peer, reason: Refusal, message: str) -> Step:
    """A call that changes nothing here."""
    return Step(peer=peer, reply=Reply(accepted=False, reason=reason, message=message))
