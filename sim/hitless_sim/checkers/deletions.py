"""Which encoders the operator lets go: I5 and I6, judged by records and deeds."""

from __future__ import annotations

from hitless_handover.messages import PeerPhase, Role
from hitless_handover.supervisor_model import (
    ChannelRecord,
    DeleteEncoder,
    Desired,
    HandoverPhase,
    HandoverRecord,
    ReleaseHandover,
)
from hitless_handover.timeline import MICROSECONDS
from hitless_sim.checkers.base import Checker
from hitless_sim.checkers.story import handovers
from hitless_sim.facts import Acted, Fact, PeerMoved, PodDeleted, Stored

NOT_OPERATORS = ("user", "platform")
STALE_VIEW_US = 30 * MICROSECONDS  # what an operator saw running may have ended by so long


class CompletedBeforeGone(Checker):
    """I5: an incumbent is released or deleted before `Completed`, with confirmations, is stored.

    Of a handover that was called off it may go only when another encoder is the active one. There
    is no hold without confirmations, and no `Completed` before the hold is over with the successor
    on air at its end.
    """

    invariant = "I5"
    wants = (Acted, PodDeleted, PeerMoved, Stored)

    def _see(self, fact: Fact) -> None:
        if self.story.desired is None:
            return
        match fact:
            case Acted(action=DeleteEncoder(name=name)):
                self._see_deleted(fact, name, self.story.record_at(fact.version))
            case PodDeleted(by=by) if by not in NOT_OPERATORS:
                self._see_deleted(fact, fact.name, self.story.record)
            case Acted(action=ReleaseHandover(handover_id=handover_id)):
                self._see_released(fact, handover_id, self.story.record_at(fact.version))
            case Stored(record=record) if record.handover is not None:
                self._see_stored(fact, record.handover)
            case PeerMoved(role=Role.INCUMBENT, after=PeerPhase.RELEASED):
                self._see_released(fact, fact.handover_id, self.story.record)
            case _:
                pass

    def _see_deleted(self, fact: Fact, name: str, record: ChannelRecord | None) -> None:
        if record is None:
            raise self.object(fact, f"{name} is deleted by a record that was never stored")
        for update in handovers(record).values():
            if update.incumbent.name == name:
                self._see_incumbent_go(fact, update, record)

    def _see_stored(self, fact: Stored, update: HandoverRecord) -> None:
        wanted, before = self.story.desired, self.story.record.handover
        if wanted is None or (before is not None and before.phase is update.phase):
            return
        if update.phase in (HandoverPhase.HOLDING, HandoverPhase.COMPLETED):
            self._see_confirmed(fact, update)
        if update.phase is HandoverPhase.COMPLETED and wanted.has_origin:
            self._see_held(fact, update, wanted)

    def _see_held(self, fact: Stored, update: HandoverRecord, wanted: Desired) -> None:
        if update.segment is None:
            return
        until = update.segment + wanted.policy.hold_segments
        if not any(
            p.segment >= until and p.priority == update.term for p in self.story.published.values()
        ):
            message = f"{update.handover_id} is Completed, {until} is not on air with {update.term}"
            raise self.object(fact, message)

    def _see_incumbent_go(self, fact: Fact, update: HandoverRecord, record: ChannelRecord) -> None:
        name = update.incumbent.name
        if update.live:
            raise self.object(fact, f"{name} goes while {update.handover_id} is {update.phase}")
        if update.phase is HandoverPhase.COMPLETED:
            self._see_confirmed(fact, update)
        elif record.active is None or record.active.name == name:
            raise self.object(fact, f"{name} goes after {update.phase}, and none is active instead")

    def _see_confirmed(self, fact: Fact, update: HandoverRecord) -> None:
        if update.successor_confirmation is None:
            raise self.object(fact, f"the successor never confirmed {update.handover_id}")
        wanted = self.story.desired
        if wanted is not None and wanted.has_origin and update.origin_confirmation is None:
            raise self.object(fact, f"the origin never confirmed {update.handover_id}")

    def _see_released(self, fact: Fact, handover_id: str, record: ChannelRecord | None) -> None:
        update = None if record is None else handovers(record).get(handover_id)
        if update is None or update.phase is not HandoverPhase.COMPLETED:
            phase = "not recorded" if update is None else update.phase
            raise self.object(fact, f"{handover_id} is released and {phase}")
        self._see_confirmed(fact, update)


class NeverTheLast(Checker):
    """I6: we delete an encoder that the record needs, or the last one that runs."""

    invariant = "I6"
    wants = (Acted, PodDeleted)

    def _see(self, fact: Fact) -> None:
        if self.story.desired is None:
            return
        match fact:
            case Acted(action=DeleteEncoder(name=name)):
                self._see_deleted(fact, name)
            case PodDeleted(name=name, by=by) if by not in NOT_OPERATORS:
                self._see_deleted(fact, name)
            case _:
                pass

    def _see_deleted(self, fact: Fact, name: str) -> None:
        why = self._needs(name)
        if why is not None:
            raise self.object(fact, f"{name} is deleted and is {why}")
        since_us = fact.at_us - STALE_VIEW_US
        self._see_on_air(fact, name, since_us)
        others = {run.name for run in self.story.runs.values()} - {name}
        if not any(self.story.ran_since(other, since_us) for other in others):
            raise self.object(fact, f"{name} is deleted and no other encoder runs")

    def _see_on_air(self, fact: Fact, name: str, since_us: int) -> None:
        """The active encoder has been on air lately, or delivers where nobody can say."""
        newest, active = self.story.newest, self.story.record.active
        if newest is None or newest.name != name or active is None or self.story.blind:
            return
        lately = [p for p in self.story.published.values() if p.at_us >= since_us]
        if not self._is_told() and any(active.name in o for o in self.story.offers.values()):
            return
        if lately and not any(p.name == active.name for p in lately):
            raise self.object(fact, f"{name} is deleted and on air, {active.name} is not")

    def _is_told(self) -> bool:
        """Whether the operator can be told what is on air."""
        return self.story.desired is not None and self.story.desired.has_origin

    def _needs(self, name: str) -> str | None:
        record, wanted = self.story.record, self.story.desired
        if record.active is not None and record.active.name == name:
            return "the active encoder"
        update = record.handover
        if update is not None and update.live:
            if name == update.incumbent.name:
                return f"the incumbent of {update.handover_id}"
            if name == update.successor.name:
                return f"the successor of {update.handover_id}"
        spare = record.spare
        if wanted is not None and wanted.hot_spare and spare is not None and spare.name == name:
            return "the spare"
        return None
