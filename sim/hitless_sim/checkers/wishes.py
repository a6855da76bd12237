"""That the user is heard: I16, judged by what was wanted when a record was stored.

A record is stored over the version that its writer read, which a change of the spec uses up. So
every stored record was decided from what the user wanted then.
"""

from __future__ import annotations

from hitless_handover.supervisor_model import ChannelRecord, Desired, HandoverPhase, HandoverRecord
from hitless_sim.checkers.base import Checker
from hitless_sim.checkers.story import handovers
from hitless_sim.facts import Fact, Stored


class UserIsHeard(Checker):
    """I16: an update goes on that the user does not ask for.

    None is begun while he has paused them, for a version that he does not ask for, or that was
    refused; none begins to negotiate when he asks for another version by then; none is Completed
    that he called off. The version on air is not replaced by itself, unless its node is being
    emptied. Nor does such a version replace an encoder that led and runs without any
    update.
    """

    invariant = "I16"
    wants = (Stored,)

    def _see(self, fact: Fact) -> None:
        assert isinstance(fact, Stored)
        wanted, update = self.story.desired, fact.record.handover
        if wanted is None:
            return
        self._see_active(fact, wanted)
        if update is None:
            return
        earlier = handovers(self.story.record).get(update.handover_id)
        if earlier is None:
            complaint = _begun(wanted, update, self.story.record) or self._moved(wanted, update)
        else:
            complaint = None if update.phase is earlier.phase else _went_on(wanted, update)
        if complaint is not None:
            raise self.object(fact, f"{update.handover_id} {complaint}")

    def _moved(self, wanted: Desired, update: HandoverRecord) -> str | None:
        pod = self.story.pods.get(update.incumbent.uid)
        if update.incumbent.digest != wanted.digest or (pod is not None and pod.leaving):
            return None
        return f"replaces {update.incumbent.name}, which is what is asked for"

    def _see_active(self, fact: Stored, wanted: Desired) -> None:
        before, active = self.story.record, fact.record.active
        if before.active is None or active is None or active.digest == before.active.digest:
            return
        led = before.active.since_us is not None
        update = fact.record.handover
        if (
            not led
            or not self.story.stands(before.active.name)
            or (update is not None and update.successor.name == active.name)
        ):
            return
        if wanted.paused:
            raise self.object(fact, f"{active.name} replaces {before.active.name} while paused")
        if before.refused_digest == active.digest:
            message = f"{active.name} replaces {before.active.name} with what was refused"
            raise self.object(fact, message)


def _begun(wanted: Desired, update: HandoverRecord, before: ChannelRecord) -> str | None:
    if wanted.paused:
        return "is begun while updates are paused"
    if update.successor.digest != wanted.digest:
        return f"brings {update.successor.digest}, {wanted.digest} is asked for"
    moved = update.incumbent.digest == wanted.digest
    if before.refused_digest == wanted.digest and not moved and not _excused(wanted, before):
        return f"brings {wanted.digest} again, which was refused"
    return None


def _excused(wanted: Desired, before: ChannelRecord) -> bool:
    """It was a mismatch, a discontinuity is allowed, and the spec was edited since."""
    last = before.handover
    return (
        wanted.policy.criteria.allow_discontinuity
        and last is not None
        and last.reason == "Mismatch"
        and last.generation != wanted.generation
    )


def _went_on(wanted: Desired, update: HandoverRecord) -> str | None:
    going_on = update.phase in (HandoverPhase.NEGOTIATING, HandoverPhase.COMPLETED)
    if going_on and wanted.abort_id == update.handover_id:
        return f"is {update.phase} though the user called it off"
    if update.phase is HandoverPhase.NEGOTIATING and update.successor.digest != wanted.digest:
        return f"negotiates for {update.successor.digest}, {wanted.digest} is asked for"
    return None
