"""The cases that are recorded of every protocol version: who does what, and how it ends.

Each plays on a Stage and raises NotAsTold if the machines of this version end otherwise. A case
says only what every version can do; what one version adds gets a case of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hack.transcripts.stage import (
    CRITERIA,
    FIRST_SEGMENT,
    INCUMBENT,
    RIVAL,
    SUCCESSOR,
    TIMELINE,
    Stage,
)

from hitless_handover.messages import HandoverMode, PeerPhase, Refusal

FAR_PROTOCOL = 1000  # more than PROTOCOL_SKEW_MAX from any version that will ever replay this
ROUNDS = 5
ATTEMPTS = 5

Play = Callable[[Stage], None]


def on_air(stage: Stage, *, term: int = 1) -> None:
    """The incumbent leads and the successor encodes beside it."""
    stage.enter(INCUMBENT)
    stage.take(INCUMBENT, term)
    stage.deliver(3)


def beside(stage: Stage, *, fingerprint: str = "5eed", fault: str = "") -> None:
    """A channel on air, its successor delivering."""
    on_air(stage)
    stage.enter(SUCCESSOR, fingerprint=fingerprint, fault=fault)
    stage.deliver(2)


def proposed(stage: Stage) -> None:
    """Both are at Verified; the proposal is about to be made."""
    beside(stage)
    stage.begin(SUCCESSOR)
    stage.talk(SUCCESSOR, until="Verify")
    stage.deliver(CRITERIA.verify_segments)
    stage.talk(SUCCESSOR, until="Propose")


def armed(stage: Stage) -> None:
    """Both are bound to a frame."""
    proposed(stage)
    stage.talk(SUCCESSOR)
    stage.report()


def switched(stage: Stage) -> None:
    """The frame has passed."""
    armed(stage)
    stage.deliver(CRITERIA.lead_segments + 2)
    stage.report()


def ended(stage: Stage, reason: Refusal, at_the_incumbent: Refusal | None) -> None:
    """The successor gave up and the incumbent leads on."""
    stage.talk(SUCCESSOR)
    stage.expect(SUCCESSOR, PeerPhase.ABORTED, reason)
    phase = None if at_the_incumbent is None else PeerPhase.ABORTED
    stage.expect(INCUMBENT, phase, at_the_incumbent)
    stage.deliver(CRITERIA.lead_segments + 2)
    stage.report()


def completed(stage: Stage) -> None:
    """A handover from the first call to the release of both."""
    switched(stage)
    stage.release(INCUMBENT)
    stage.release(SUCCESSOR)
    stage.expect(INCUMBENT, PeerPhase.RELEASED)
    stage.expect(SUCCESSOR, PeerPhase.RELEASED)
    stage.report()


def countered(stage: Stage) -> None:
    """The incumbent is ahead of the successor: it counters, and its frame is taken."""
    proposed(stage)
    stage.deliver(1, INCUMBENT)
    stage.talk(SUCCESSOR)
    stage.deliver(1, SUCCESSOR)
    stage.deliver(CRITERIA.lead_segments + 2)
    stage.expect(INCUMBENT, PeerPhase.SWITCHED)
    stage.expect(SUCCESSOR, PeerPhase.SWITCHED)
    stage.report()


def rounds_exhausted(stage: Stage) -> None:
    """The incumbent runs away from every proposal, one segment a round."""
    proposed(stage)
    for _ in range(ROUNDS + 1):
        stage.deliver(1, INCUMBENT)
        stage.talk_once(SUCCESSOR)
    ended(stage, Refusal.ROUNDS_EXHAUSTED, Refusal.ROUNDS_EXHAUSTED)


def mismatch(stage: Stage) -> None:
    """The outputs are not interchangeable: another fingerprint."""
    beside(stage, fingerprint="0dd")
    stage.begin(SUCCESSOR)
    ended(stage, Refusal.MISMATCH, Refusal.MISMATCH)


def not_verified(stage: Stage) -> None:
    """The successor's segments fail the judgement."""
    beside(stage, fault="v: 12 dB below 26 dB")
    stage.begin(SUCCESSOR)
    ended(stage, Refusal.VERIFICATION, Refusal.VERIFICATION)


def aborted_while_armed(stage: Stage) -> None:
    """The operator calls off what both are bound to, and tells both."""
    armed(stage)
    stage.abort(SUCCESSOR)
    stage.talk(SUCCESSOR)
    stage.abort(INCUMBENT)
    ended(stage, Refusal.ABORTED, Refusal.ABORTED)


def rolled_back(stage: Stage) -> None:
    """Calling off comes too late; the incumbent gets a newer term instead."""
    switched(stage)
    stage.abort(SUCCESSOR)
    stage.abort(INCUMBENT)
    stage.take(INCUMBENT, 3)
    stage.deliver(2)
    stage.expect(INCUMBENT, PeerPhase.SWITCHED)
    stage.report()


def stale_term(stage: Stage) -> None:
    """The incumbent has led under a higher term than the successor is given."""
    on_air(stage, term=5)
    stage.enter(SUCCESSOR)
    stage.deliver(2)
    stage.begin(SUCCESSOR)
    ended(stage, Refusal.STALE_TERM, None)


def busy(stage: Stage) -> None:
    """A third encoder wants to take over from an incumbent that is bound already."""
    armed(stage)
    stage.enter(RIVAL)
    stage.deliver(1)
    stage.begin(RIVAL, term=3, handover_id="0123456789ab-3")
    stage.talk(RIVAL)
    stage.expect(RIVAL, PeerPhase.ABORTED, Refusal.BUSY)
    stage.deliver(CRITERIA.lead_segments + 2)
    stage.expect(INCUMBENT, PeerPhase.SWITCHED)
    stage.report()


def protocol_too_far(stage: Stage) -> None:
    """The successor speaks a protocol that is not one apart."""
    on_air(stage)
    stage.enter(SUCCESSOR, protocol=FAR_PROTOCOL)
    stage.deliver(2)
    stage.begin(SUCCESSOR)
    ended(stage, Refusal.PROTOCOL_VERSION, Refusal.ABORTED)


def not_leading(stage: Stage) -> None:
    """The encoder that is asked to hand over is a standby itself."""
    stage.enter(INCUMBENT)
    stage.enter(SUCCESSOR)
    stage.deliver(2)
    stage.begin(SUCCESSOR)
    ended(stage, Refusal.NOT_LEADING, Refusal.ABORTED)  # told by CallOff: it remembers the term


def restarted(stage: Stage) -> None:
    """The successor's process is replaced before the verdict; it is not ready, then starts over."""
    beside(stage)
    stage.begin(SUCCESSOR)
    stage.talk(SUCCESSOR, until="Verify")
    stage.restart(SUCCESSOR)
    stage.begin(SUCCESSOR)
    stage.expect(SUCCESSOR, None)
    stage.deliver(1)
    stage.begin(SUCCESSOR)
    stage.talk(SUCCESSOR)
    stage.deliver(CRITERIA.lead_segments + 2)
    stage.expect(INCUMBENT, PeerPhase.SWITCHED)
    stage.expect(SUCCESSOR, PeerPhase.SWITCHED)
    stage.report()


def restarted_while_armed(stage: Stage) -> None:
    """The successor's process is replaced after it was bound: it may not join again."""
    armed(stage)
    stage.restart(SUCCESSOR)
    stage.deliver(1)
    stage.begin(SUCCESSOR)
    ended(stage, Refusal.BUSY, Refusal.ABORTED)


def answers_lost(stage: Stage) -> None:
    """Every call is answered the second time; the incumbent has heard it the first time."""
    beside(stage)
    stage.begin(SUCCESSOR)
    for _ in ("Announce", "Synchronise", "Verify", "Propose", "Arm"):
        stage.lose(SUCCESSOR, "reply")
        stage.talk_once(SUCCESSOR)
    stage.expect(INCUMBENT, PeerPhase.ARMED)
    stage.expect(SUCCESSOR, PeerPhase.ARMED)
    stage.report()


def unanswered(stage: Stage) -> None:
    """The incumbent hears no Announce; it hears that it is called off."""
    beside(stage)
    stage.begin(SUCCESSOR)
    for _ in range(ATTEMPTS):
        stage.lose(SUCCESSOR, "request")
    ended(stage, Refusal.UNREACHABLE, Refusal.ABORTED)


def arm_lost(stage: Stage) -> None:
    """The last message never arrives: both lead from the frame on, the successor's term wins."""
    proposed(stage)
    stage.talk(SUCCESSOR, until="Arm")
    for _ in range(ATTEMPTS):
        stage.lose(SUCCESSOR, "request")
    stage.deliver(CRITERIA.lead_segments + 2)
    stage.expect(INCUMBENT, PeerPhase.AGREED)
    stage.expect(SUCCESSOR, PeerPhase.SWITCHED)
    stage.report()


def too_slow(stage: Stage) -> None:
    """The deadline passes while the successor's segments are being judged."""
    beside(stage)
    stage.begin(SUCCESSOR)
    stage.talk(SUCCESSOR, until="Verify")
    stage.deadline()
    ended(stage, Refusal.DEADLINE, Refusal.DEADLINE)


def ceased(stage: Stage) -> None:
    """Version 2: from the frame on the incumbent withholds; on air again it sends it."""
    stage.demand(replace(CRITERIA, mode=HandoverMode.CEASE))
    switched(stage)
    stage.expect(INCUMBENT, PeerPhase.SWITCHED)
    stage.take(INCUMBENT, 3, from_segment=0)
    stage.deliver(2)
    stage.report()


def out_of_bounds(stage: Stage) -> None:
    """Version 2: no frame is left that the operator allows."""
    last = FIRST_SEGMENT + CRITERIA.lead_segments
    stage.demand(replace(CRITERIA, not_after_frame=TIMELINE.first_frame(last)))
    beside(stage)
    stage.begin(SUCCESSOR)
    stage.talk(SUCCESSOR, until="Verify")
    stage.deliver(CRITERIA.verify_segments)
    ended(stage, Refusal.TOO_LATE, Refusal.ABORTED)


def never_begun(stage: Stage) -> None:
    """Version 2: both hear that it is off before they hear of it; the order to begin comes late."""
    beside(stage)
    stage.abort(SUCCESSOR)
    stage.abort(INCUMBENT)
    stage.begin(SUCCESSOR)
    ended(stage, Refusal.ABORTED, Refusal.ABORTED)


CASES: dict[str, Play] = {
    "abort-while-armed": aborted_while_armed,
    "answers-lost": answers_lost,
    "arm-lost": arm_lost,
    "busy": busy,
    "ceased": ceased,
    "completed": completed,
    "counter-proposal": countered,
    "deadline": too_slow,
    "mismatch": mismatch,
    "never-begun": never_begun,
    "not-leading": not_leading,
    "out-of-bounds": out_of_bounds,
    "protocol-too-far": protocol_too_far,
    "restart": restarted,
    "restart-while-armed": restarted_while_armed,
    "rolled-back": rolled_back,
    "rounds-exhausted": rounds_exhausted,
    "stale-term": stale_term,
    "unanswered": unanswered,
    "verification": not_verified,
}
