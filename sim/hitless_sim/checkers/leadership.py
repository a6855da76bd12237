"""What encoders agree to and send: I9 and I12, judged by what they are worth and stamp."""

from __future__ import annotations

from dataclasses import dataclass

from hitless_handover.messages import HandoverMode, PeerPhase, Role
from hitless_handover.supervisor_model import BeginHandover
from hitless_sim.checkers.base import Checker
from hitless_sim.checkers.story import Story
from hitless_sim.facts import (
    Acted,
    Fact,
    Ordered,
    PeerMoved,
    Published,
    Quality,
    Stamped,
)

AGREEING = (PeerPhase.AGREED, PeerPhase.ARMED, PeerPhase.SWITCHED)
BINDING = (PeerPhase.ARMED, PeerPhase.SWITCHED)


class OnlyGoodIsAgreed(Checker):
    """I9: an encoder whose output does not fit or is bad takes over from a good one.

    A good incumbent takes nothing for its own that is declared otherwise, and agrees to no frame
    with what was bad when the handover began. Who is not good any more at the frame does not begin
    to lead. (Who replaces a lost encoder was judged by nobody.)
    """

    invariant = "I9"
    wants = (PeerMoved, Published, Stamped)

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.good: dict[int, str] = {}  # the good incumbent, by term of the handover
        self.begun: dict[int, Quality] = {}  # the successor's when it began
        self.bound: dict[str, int] = {}  # the term a successor is bound to, by instance
        self.bad: dict[int, Quality] = {}  # the successor's when it began to lead, if not good

    def _see(self, fact: Fact) -> None:
        match fact:
            case PeerMoved(role=Role.SUCCESSOR):
                self._see_successor(fact)
            case PeerMoved():
                self._see_incumbent(fact)
            case Stamped(instance=instance, priority=priority):
                if priority and self.bound.get(instance) == priority:
                    self._see_lead(fact)
            case Published(name=name, priority=priority) if priority in self.bad:
                message = f"{name} is {self.bad[priority]} and took over from {self.good[priority]}"
                raise self.object(fact, message)
            case _:
                pass

    def _see_successor(self, fact: PeerMoved) -> None:
        if fact.after is PeerPhase.BEGUN:
            self.begun[fact.term] = self.story.quality(fact.instance)
        elif fact.after is PeerPhase.ARMED:
            self.bound[fact.instance] = fact.term
        elif fact.after is PeerPhase.ABORTED:
            self.bound.pop(fact.instance, None)

    def _see_incumbent(self, fact: PeerMoved) -> None:
        if fact.after is PeerPhase.ANNOUNCED:
            self.good.pop(fact.term, None)
            if self.story.quality(fact.instance) is Quality.GOOD:
                self.good[fact.term] = fact.name
        quality = self.begun.get(fact.term, Quality.GOOD)
        if fact.term not in self.good or not self._is_bad(quality):
            return
        passes = fact.after is PeerPhase.SYNCHRONISED and quality is Quality.MISMATCH
        if passes or fact.after in AGREEING:
            message = f"{fact.name} is {fact.after} with a successor that is {quality}"
            raise self.object(fact, message)

    def _see_lead(self, fact: Stamped) -> None:
        """The first segment under its term: later on it is the one on air, whatever happens."""
        del self.bound[fact.instance]
        quality = self.story.quality(fact.instance)
        if fact.priority in self.good and self._is_bad(quality):
            self.bad[fact.priority] = quality

    def _is_bad(self, quality: Quality) -> bool:
        wanted = self.story.desired
        if quality is Quality.BAD_PICTURE and wanted is not None:
            return wanted.policy.criteria.verify_segments > 0
        return quality is not Quality.GOOD


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """An encoder is bound to the frame of a handover, which begins this segment."""

    handover_id: str
    term: int
    segment: int


class SilentWhenAsked(Checker):
    """I12: an encoder sends what its mode forbids.

    In the modes Cease and SilentStandby an incumbent that is bound to a frame sends nothing of it
    or later, unless the handover is called off or it is granted a newer term. In SilentStandby an
    encoder sends nothing before it leads.
    """

    invariant = "I12"
    wants = (Acted, Ordered, PeerMoved, Stamped)

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.modes: dict[str, HandoverMode] = {}  # by handover
        self.granted: set[str] = set()  # instances
        self.leads: dict[str, _Bound] = {}  # by instance of a successor
        self.yields: dict[str, _Bound] = {}  # by instance of an incumbent

    def _see(self, fact: Fact) -> None:
        match fact:
            case Acted(action=BeginHandover(handover_id=handover_id, criteria=criteria)):
                self.modes[handover_id] = criteria.mode
            case Ordered(accepted=True) if (fact.name, fact.term) in self.story.grants:
                self.granted.add(fact.instance)
                self.yields.pop(fact.instance, None)
            case PeerMoved():
                self._see_moved(fact)
            case Stamped(silent=False):
                self._see_sent(fact)
            case _:
                pass

    def _see_moved(self, fact: PeerMoved) -> None:
        bounds = self.yields if fact.role is Role.INCUMBENT else self.leads
        bound = bounds.get(fact.instance)
        if fact.after is PeerPhase.ABORTED:
            if bound is not None and bound.handover_id == fact.handover_id:
                del bounds[fact.instance]
            return
        mode = self.modes.get(fact.handover_id, HandoverMode.PRIORITY)
        timeline = self.story.timeline
        newly = fact.after in BINDING and fact.before not in BINDING
        if newly and fact.frame is not None and timeline is not None:
            if mode is HandoverMode.PRIORITY:
                bounds.pop(fact.instance, None)
                return
            bounds[fact.instance] = _Bound(
                handover_id=fact.handover_id,
                term=fact.term,
                segment=timeline.segment_of(fact.frame),
            )

    def _see_sent(self, fact: Stamped) -> None:
        ordered = (fact.name, fact.priority) in self.story.grants
        bound = self.yields.get(fact.instance)
        newer = bound is not None and ordered and fact.priority > bound.term
        if bound is not None and fact.segment >= bound.segment and not newer:
            message = f"{fact.name} sends segment {fact.segment}, it yielded {bound.segment}"
            raise self.object(fact, message)
        run = self.story.runs.get(fact.instance)
        if run is None or run.mode is not HandoverMode.SILENT_STANDBY:
            return
        if fact.instance not in self.granted and not ordered:
            self._see_standby(fact)

    def _see_standby(self, fact: Stamped) -> None:
        bound = self.leads.get(fact.instance)
        if bound is None:
            raise self.object(fact, f"{fact.name} stands by and sends segment {fact.segment}")
        if fact.segment < bound.segment:
            message = f"{fact.name} sends segment {fact.segment}, it leads from {bound.segment} on"
            raise self.object(fact, message)
