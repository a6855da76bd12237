"""What a handover that is over leaves behind: I8 and I10, judged by records and what happened."""

from __future__ import annotations

from hitless_handover.messages import PeerPhase, Role
from hitless_handover.supervisor_model import HandoverPhase, HandoverRecord
from hitless_sim.checkers.base import Checker
from hitless_sim.checkers.story import Story, handovers
from hitless_sim.facts import AnchorTold, Ended, Fact, PeerMoved, Published, Stamped, Stored

CALLED_OFF = (HandoverPhase.ABORTED, HandoverPhase.ROLLED_BACK)
INCUMBENT_LOST = "IncumbentLost"


class KeepsItsEncoder(Checker):
    """I8: a handover that was called off leaves the channel without the encoder it had.

    The incumbent stays the active one, unless it was really lost; it leads in the end.
    """

    invariant = "I8"
    wants = (Stored,)

    def _see(self, fact: Fact) -> None:
        assert isinstance(fact, Stored)
        if fact.record is self.story.record:
            return
        before = handovers(self.story.record)
        for handover_id, update in handovers(fact.record).items():
            earlier = before.get(handover_id)
            if update.phase in CALLED_OFF and (earlier is None or earlier.live):
                self._see_called_off(fact, update)

    def _see_called_off(self, fact: Stored, update: HandoverRecord) -> None:
        active, incumbent = fact.record.active, update.incumbent
        if active is None:
            raise self.object(fact, f"no encoder is active after {update.handover_id}")
        if active.name == incumbent.name:
            if active.term < incumbent.term:
                message = f"{active.name} has term {active.term} after {incumbent.term}"
                raise self.object(fact, message)
            lost = self._was_lost(incumbent.name, incumbent.uid)
            won = active.term > update.term or update.phase is HandoverPhase.ABORTED
            if not won and not lost:
                message = f"{active.name} is to win with {active.term} against {update.term}"
                raise self.object(fact, message)
            return
        if not self._was_lost(incumbent.name, incumbent.uid):
            message = f"{active.name} is active after {update.handover_id}, {incumbent.name} runs"
            raise self.object(fact, message)

    def _was_lost(self, name: str, uid: str) -> bool:
        """Its pod was deleted, or its process ended at some time."""
        deleted = any(
            pod.deleted_us is not None
            for pod in self.story.pods.values()
            if pod.name == name and uid in ("", pod.uid)
        )
        ended = any(
            run.ended_us is not None for run in self.story.runs.values() if run.name == name
        )
        return deleted or ended or not self.story.running(name)

    def _finish(self, ended: Ended) -> None:
        update, active = ended.record.handover, ended.record.active
        if self.story.desired is None or update is None or update.phase not in CALLED_OFF:
            return
        if active is not None and active.name == update.incumbent.name:
            leading = dict(ended.leading).get(active.name)
            if leading != active.term:
                message = (
                    f"{active.name} leads with {leading} instead of {active.term} in the end, "
                    f"after {update.handover_id} was {update.phase}"
                )
                raise self.object(ended, message)


class NewestAnchor(Checker):
    """I10: the anchor in the record is not that which the encoder on air has just told.

    What has lost all its encoders then goes on with other numbers for the same pictures.
    """

    invariant = "I10"
    wants = (AnchorTold,)

    def _see(self, fact: Fact) -> None:
        assert isinstance(fact, AnchorTold)
        active, kept = fact.decided.active, fact.decided.anchor
        if active is None or (active.name, active.term) != (fact.name, fact.term):
            return
        if kept is None or kept.line != fact.anchor.line:
            message = f"{fact.name} goes by {fact.anchor}, the record keeps {kept}"
            raise self.object(fact, message)


class TrueHistory(Checker):
    """I10: the record of a finished handover differs from what happened.

    Confirmations name the segments that were really published and delivered; a handover that was
    Aborted before its frame was never on air; what is written stays written.
    """

    invariant = "I10"
    wants = (Stored, PeerMoved, Published, Stamped)

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.armed: dict[str, set[int]] = {}  # frames by handover
        self.first_led: dict[int, Published] = {}  # by priority
        self.before_led: dict[int, Published | None] = {}
        self.last_stamped: dict[tuple[str, int], int] = {}  # newest segment by (name, priority)
        self.stamped: dict[tuple[str, int], int] = {}  # priority by (name, segment)

    def _see(self, fact: Fact) -> None:
        match fact:
            case PeerMoved(role=Role.SUCCESSOR, after=PeerPhase.ARMED, frame=int(frame)):
                self.armed.setdefault(fact.handover_id, set()).add(frame)
            case Published(priority=priority) if priority > 0:
                if priority not in self.first_led:
                    self.first_led[priority] = fact
                    self.before_led[priority] = self.story.newest
                self._see_published(fact)
            case Stamped():
                key = (fact.name, fact.priority)
                self.last_stamped[key] = max(fact.segment, self.last_stamped.get(key, -1))
                self.stamped[fact.name, fact.segment] = fact.priority
            case Stored():
                self._see_stored(fact)
            case _:
                pass

    def _see_published(self, fact: Published) -> None:
        """A counted fallback to an encoder that nobody reaches any more is no lie."""
        for update in self.story.record.history:
            if update.term == fact.priority and self._never_on_air(update) and not fact.fallback:
                message = f"{update.handover_id} was Aborted, and its term is published"
                raise self.object(fact, message)

    def _see_stored(self, fact: Stored) -> None:
        before = handovers(self.story.record)
        last = fact.record.handover
        if last is not None and not last.live and last not in fact.record.history:
            raise self.object(fact, f"{last.handover_id} is over and not in the history")
        for handover_id, update in handovers(fact.record).items():
            earlier = before.get(handover_id)
            if earlier == update:
                continue
            if earlier is not None and not earlier.live:
                raise self.object(fact, f"{handover_id} was over and is told otherwise now")
            if not update.live:
                self._see_finished(fact, update)

    def _see_finished(self, fact: Stored, update: HandoverRecord) -> None:
        if update.frame is not None and update.frame not in self.armed.get(update.handover_id, ()):
            raise self.object(fact, f"{update.handover_id}: frame {update.frame} was never agreed")
        timeline, frame = self.story.timeline, update.frame
        if (
            timeline is not None
            and frame is not None
            and (timeline.segment_of(frame) != update.segment)
        ):
            raise self.object(fact, f"{update.handover_id}: segment {update.segment} for {frame}")
        if self._never_on_air(update) and update.term in self.first_led:
            raise self.object(fact, f"{update.handover_id} is Aborted, and its term was published")
        if update.phase is HandoverPhase.COMPLETED:
            active = fact.record.active
            if active is None or active.name != update.successor.name:
                raise self.object(fact, f"{update.handover_id} is Completed, {active} is active")
            self._see_switch(fact, update)
            self._see_successor(fact, update)
            self._see_incumbent(fact, update)

    def _see_switch(self, fact: Stored, update: HandoverRecord) -> None:
        told = update.origin_confirmation
        if told is None:
            return
        first, before = self.first_led.get(update.term), self.before_led.get(update.term)
        timeline = self.story.timeline
        if first is None or first.name != update.successor.name or timeline is None:
            raise self.object(fact, f"{update.successor.name} was never on air with {update.term}")
        if told.segment != first.segment:
            message = f"{update.handover_id}: switch told at {told.segment}, was {first.segment}"
            raise self.object(fact, message)
        missing = 0 if before is None else first.segment - before.segment - 1
        if told.gap_frames != missing * timeline.segment_frames:
            message = f"{update.handover_id}: a gap of {told.gap_frames} told, {missing} segments"
            raise self.object(fact, message)

    def _see_successor(self, fact: Stored, update: HandoverRecord) -> None:
        told = update.successor_confirmation
        if told is None:
            return
        offer = self.story.offers.get(told.segment, {}).get(update.successor.name)
        if offer is None or offer.priority < update.term:
            message = f"{update.successor.name} never delivered {told.segment} with {update.term}"
            raise self.object(fact, message)

    def _see_incumbent(self, fact: Stored, update: HandoverRecord) -> None:
        told = update.incumbent_confirmation
        if told is None:
            return
        last = self.last_stamped.get((update.incumbent.name, update.incumbent.term))
        if last is not None and last > told.segment:
            message = f"{update.incumbent.name} led until {last}, told {told.segment}"
            raise self.object(fact, message)
        priority = self.stamped.get((update.incumbent.name, told.segment))
        if priority is not None and priority != update.incumbent.term:
            message = f"{update.incumbent.name} did not lead {told.segment}, which it told"
            raise self.object(fact, message)

    def _never_on_air(self, update: HandoverRecord) -> bool:
        """Whether the record says so. Without an origin it can't know, and says nothing."""
        wanted = self.story.desired
        if wanted is None or not wanted.has_origin or update.reason == INCUMBENT_LOST:
            return False
        return update.phase is HandoverPhase.ABORTED
