"""What two encoders agree on and whether they keep to it: I14 and I15."""

from __future__ import annotations

from dataclasses import dataclass

from hitless_handover.messages import Criteria, PeerPhase, Role
from hitless_handover.supervisor_model import BeginHandover
from hitless_handover.timeline import Timeline, ceil_div
from hitless_sim.checkers.base import Checker
from hitless_sim.checkers.story import Story
from hitless_sim.facts import Acted, EncoderStarted, Fact, Ordered, PeerMoved, Stamped

BINDING = (PeerPhase.ARMED, PeerPhase.SWITCHED)


class WithinCriteria(Checker):
    """I14: a frame is agreed that the criteria of the handover rule out.

    It is the first of a segment, at least lead_segments ahead of the incumbent when that agrees,
    within its bounds, and not yet given out by the successor when that binds itself.
    """

    invariant = "I14"
    wants = (Acted, PeerMoved, Stamped)

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.criteria: dict[str, list[Criteria]] = {}  # as it was ordered, by handover
        self.heads: dict[str, int] = {}  # newest stamped segment, by instance

    def _see(self, fact: Fact) -> None:
        match fact:
            case Acted(action=BeginHandover(handover_id=handover_id, criteria=criteria)):
                self.criteria.setdefault(handover_id, []).append(criteria)
            case Stamped(instance=instance, segment=segment):
                self.heads[instance] = max(segment, self.heads.get(instance, segment))
            case PeerMoved(role=Role.INCUMBENT, after=PeerPhase.AGREED, frame=int(frame)):
                self._see_agreed(fact, frame)
            case PeerMoved(role=Role.SUCCESSOR, after=PeerPhase.ARMED, frame=int(frame)):
                self._see_bound(fact, frame)
            case _:
                pass

    def _see_agreed(self, fact: PeerMoved, frame: int) -> None:
        timeline = self.story.timeline
        if timeline is None:
            return
        if frame % timeline.segment_frames:
            raise self.object(fact, f"frame {frame} is not the first of a segment")
        complaints = [
            self._complaint(fact, frame, timeline, criteria)
            for criteria in self.criteria.get(fact.handover_id, ())
        ]
        if complaints and all(complaints):
            raise self.object(fact, f"{fact.handover_id}: {complaints[0]}")

    def _complaint(
        self, fact: PeerMoved, frame: int, timeline: Timeline, criteria: Criteria
    ) -> str | None:
        segment, head = timeline.segment_of(frame), self.heads.get(fact.instance, -1)
        if segment <= head + criteria.lead_segments:
            return f"segment {segment} is agreed at {head}, the lead is {criteria.lead_segments}"
        if segment < ceil_div(criteria.not_before_frame, timeline.segment_frames):
            return f"frame {frame} is agreed, not before {criteria.not_before_frame} is asked"
        if criteria.not_after_frame and frame > criteria.not_after_frame:
            return f"frame {frame} is agreed, not after {criteria.not_after_frame} is asked"
        return None

    def _see_bound(self, fact: PeerMoved, frame: int) -> None:
        timeline, head = self.story.timeline, self.heads.get(fact.instance, -1)
        if timeline is not None and timeline.segment_of(frame) <= head:
            raise self.object(fact, f"{fact.name} is bound to frame {frame}, {head} is given out")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Promise:
    """From `segment` on this priority.

    term: only an order of a higher one goes before it. handover_id: by which, empty for an order.
    """

    segment: int
    priority: int
    term: int
    handover_id: str = ""


class KeepsItsWord(Checker):
    """I15: an encoder stamps another priority than it is bound to.

    Bound to a frame, the incumbent leads up to it and no further, the successor from it on and not
    before, until the handover is called off before the frame or an order to lead follows. Nobody
    else leads than who was ordered to or is bound.
    """

    invariant = "I15"
    wants = (EncoderStarted, Ordered, PeerMoved, Stamped)

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.promises: dict[str, list[_Promise]] = {}  # ascending, by instance
        self.heads: dict[str, int] = {}

    def _see(self, fact: Fact) -> None:
        match fact:
            case EncoderStarted(instance=instance):
                self.promises[instance] = [_Promise(segment=0, priority=0, term=0)]
            case Ordered(accepted=True) if (fact.name, fact.term) in self.story.grants:
                self._see_ordered(fact)
            case PeerMoved():
                self._see_moved(fact)
            case Stamped():
                self._see_stamped(fact)
            case _:
                pass

    def _see_ordered(self, fact: Ordered) -> None:
        """An order that only repeats what holds changes nothing."""
        following = self._following(fact.instance)
        if self._promised(fact.instance, following).priority != fact.term:
            self._promise(
                fact.instance, _Promise(segment=following, priority=fact.term, term=fact.term)
            )

    def _see_moved(self, fact: PeerMoved) -> None:
        timeline, following = self.story.timeline, self._following(fact.instance)
        if fact.after is PeerPhase.ABORTED:
            self.promises[fact.instance] = [
                promise
                for promise in self.promises.get(fact.instance, [])
                if promise.handover_id != fact.handover_id or promise.segment < following
            ]
            return
        newly = fact.after in BINDING and fact.before not in BINDING
        if not newly or fact.frame is None or timeline is None:
            return
        segment = max(following, timeline.segment_of(fact.frame))
        priority = 0 if fact.role is Role.INCUMBENT else fact.term
        promise = _Promise(
            segment=segment, priority=priority, term=fact.term, handover_id=fact.handover_id
        )
        self._promise(fact.instance, promise)

    def _see_stamped(self, fact: Stamped) -> None:
        promised = self._promised(fact.instance, fact.segment)
        if fact.priority != promised.priority:
            ordered = (fact.name, fact.priority) in self.story.grants
            if not ordered or fact.priority <= promised.term:
                message = (
                    f"{fact.name} stamps segment {fact.segment} with {fact.priority}, "
                    f"it is bound to {promised.priority} from {promised.segment} on"
                )
                raise self.object(fact, message)
            term = fact.priority
            self._promise(fact.instance, _Promise(segment=fact.segment, priority=term, term=term))
        self.heads[fact.instance] = max(fact.segment, self.heads.get(fact.instance, -1))

    def _following(self, instance: str) -> int:
        return self.heads.get(instance, -1) + 1

    def _promised(self, instance: str, segment: int) -> _Promise:
        promises = self.promises.get(instance, [])
        held = [promise for promise in promises if promise.segment <= segment]
        return held[-1] if held else _Promise(segment=0, priority=0, term=0)

    def _promise(self, instance: str, promise: _Promise) -> None:
        earlier = [p for p in self.promises.get(instance, []) if p.segment < promise.segment]
        self.promises[instance] = [*earlier, promise]
