"""That it comes to a good end, in time and at rest: I11, I13 and I17."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from hitless_handover.messages import PeerPhase
from hitless_handover.supervisor_model import (
    BeginHandover,
    ChannelPhase,
    ChannelRecord,
    Desired,
    HandoverPhase,
    HandoverRecord,
)
from hitless_handover.timeline import MICROSECONDS, Timeline
from hitless_sim.checkers.base import Checker
from hitless_sim.checkers.story import Story
from hitless_sim.facts import Acted, EncoderEnded, Ended, Fact, PeerMoved, Quality, Stored

SLACK_US = 20 * MICROSECONDS  # views that are old, calls that time out, back-off
WRONG_CLOCK_US = 60 * MICROSECONDS  # by so much a clock may have been wrong until all was healed
FLAPS_MAX = 8  # changes of the phase, more than any story needs
FLAPS_WITHIN_US = MICROSECONDS
MOVES_IN_VAIN = 2  # failures that say that another one will fail
STOOD_STILL_US = 40 * MICROSECONDS  # for so long an encoder may have
SETTLED = (PeerPhase.ARMED, PeerPhase.SWITCHED, PeerPhase.RELEASED, PeerPhase.ABORTED)


class ComesToRest(Checker):
    """I11: when all faults are over, the channel is not what the user asked for.

    It is live, no handover is under way, the active encoder is on air under its term, is of the
    version asked for (or the record says why not), no encoder is left over or missing, or stays on
    a node that is being emptied (unless moves go on failing).
    """

    invariant = "I11"
    wants = ()

    def _finish(self, ended: Ended) -> None:
        wanted = self.story.desired
        if wanted is None or self.story.healed_us is None:
            return
        if self._is_in_vain(ended, wanted):
            return
        if ended.record.active is None:
            raise self.object(ended, f"the channel is {ended.record.phase}")
        complaint = _not_leading(ended, anybody=self.story.blind and wanted.hot_spare)
        if not _moves_in_vain(ended.record):
            complaint = (
                _not_live(ended.record, wanted)
                or complaint
                or _not_current(ended.record, wanted)
                or _wrong_pods(ended, wanted)
                or self._on_a_leaving_node(ended, wanted)
            )
        if complaint is not None:
            raise self.object(ended, complaint)

    def _on_a_leaving_node(self, ended: Ended, wanted: Desired) -> str | None:
        active = ended.record.active
        assert active is not None
        if wanted.paused or active.digest != wanted.digest:
            return None
        kept = (active, ended.record.spare)
        leaving = [pod.uid for pod in self.story.pods.values() if pod.leaving]
        staying = [e.name for e in kept if e is not None and e.uid in leaving]
        return f"{', '.join(staying)} on a node that is being emptied" if staying else None

    def _is_in_vain(self, ended: Ended, wanted: Desired) -> bool:
        """Nobody is left to go back to, and what the user asks for can't be on air.

        Its image never started, or it declares what the channel's origin refuses; the record says
        so.
        """
        active = ended.record.active
        if active is None or active.digest != wanted.digest or ended.record.problem is None:
            return False
        pods = [pod for pod in self.story.pods.values() if pod.name == active.name]
        runs = [run for run in self.story.runs.values() if run.name == active.name]
        return bool(pods) and all(run.quality is Quality.MISMATCH for run in runs)


def _moves_in_vain(record: ChannelRecord) -> bool:
    """The last updates were to move the active encoder, and failed: it is tried now and then."""
    active, tried = record.active, record.history[-MOVES_IN_VAIN:]
    return (
        active is not None
        and len(tried) == MOVES_IN_VAIN
        and all(u.incumbent.name == active.name for u in tried)
        and all(u.successor.digest == active.digest for u in tried)
    )


def _not_live(record: ChannelRecord, wanted: Desired) -> str | None:
    if record.active is None or record.phase is not ChannelPhase.LIVE:
        return f"the channel is {record.phase}: {record.problem}"
    if record.handover is not None and record.handover.live:
        return f"{record.handover.handover_id} is still {record.handover.phase}"
    if record.observed_generation != wanted.generation:
        return f"generation {record.observed_generation} is observed, not {wanted.generation}"
    return None


def _not_leading(ended: Ended, *, anybody: bool) -> str | None:
    """anybody: a downstream that knows no priorities takes the spare as well."""
    active = ended.record.active
    assert active is not None
    leading = dict(ended.leading).get(active.name)
    if leading != active.term:
        return f"{active.name} leads with {leading} instead of {active.term}"
    if not anybody and ended.on_air != (active.name, active.term):
        return f"{ended.on_air} is on air instead of {active.name} with {active.term}"
    return None


def _not_current(record: ChannelRecord, wanted: Desired) -> str | None:
    assert record.active is not None
    if record.active.digest == wanted.digest:
        if record.refused_digest == wanted.digest:
            return f"{wanted.digest} is on air and counts as refused"
        return None if record.problem is None else f"a problem that is none: {record.problem}"
    if wanted.paused:
        return None
    if record.refused_digest != wanted.digest:
        return f"{record.active.digest} is on air, {wanted.digest} is wanted and was not refused"
    return None if record.problem is not None else f"nobody is told why {wanted.digest} was refused"


def _wrong_pods(ended: Ended, wanted: Desired) -> str | None:
    active, spare = ended.record.active, ended.record.spare
    assert active is not None
    if spare is not None and not wanted.hot_spare:
        return f"{spare.name} is a spare that nobody wants"
    if spare is None and wanted.hot_spare and active.digest == wanted.digest:
        return "there is no spare"
    needed = {active.name} if spare is None else {active.name, spare.name}
    if set(ended.pods) != needed:
        return f"pods {', '.join(sorted(ended.pods))} instead of {', '.join(sorted(needed))}"
    return None


@dataclass(slots=True)
class _Wait:
    """A phase that must end. limit_us: how long it may last."""

    what: str
    since_us: int
    limit_us: int


class EveryWaitEnds(Checker):
    """I13: a handover, or one encoder's side of it, waits longer than its deadline says."""

    invariant = "I13"
    wants = (Fact,)

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.update: tuple[str, HandoverPhase] | None = None
        self.record_wait: _Wait | None = None
        self.peer_waits: dict[str, _Wait] = {}  # by instance
        self.deadlines: dict[str, int] = {}  # by handover

    def _see(self, fact: Fact) -> None:
        match fact:
            case Stored():
                self._see_stored(fact)
            case Acted(action=BeginHandover(handover_id=handover_id, deadline_us=deadline_us)):
                self.deadlines[handover_id] = max(deadline_us, self.deadlines.get(handover_id, 0))
            case PeerMoved():
                self._see_moved(fact)
            case EncoderEnded():
                self.peer_waits.pop(fact.instance, None)
            case _:
                pass
        if self.story.desired is not None:
            self._updates_in_time(fact)
            self._encoders_in_time(fact)

    def _see_stored(self, fact: Stored) -> None:
        update, wanted = fact.record.handover, self.story.desired
        phase = None if update is None else (update.handover_id, update.phase)
        if phase == self.update:
            return
        self.update = phase
        self.record_wait = None
        if update is not None and update.live and wanted is not None:
            what = f"{update.handover_id} is {update.phase}"
            limit_us = _limit_us(wanted, update, fact.at_us)
            self.record_wait = _Wait(what, fact.at_us, limit_us)

    def _see_moved(self, fact: PeerMoved) -> None:
        self.peer_waits.pop(fact.instance, None)
        deadline_us = self.deadlines.get(fact.handover_id)
        if fact.after not in SETTLED and deadline_us is not None:
            what = f"{fact.name} as {fact.role} of {fact.handover_id} is {fact.after}"
            limit_us = max(0, deadline_us - fact.at_us)
            self.peer_waits[fact.instance] = _Wait(what, fact.at_us, limit_us)

    def _updates_in_time(self, fact: Fact) -> None:
        """Only once all is healed: an operator that can't write can't end anything."""
        wait, healed_us = self.record_wait, self.story.healed_us
        if wait is None or healed_us is None:
            return
        slack_us = SLACK_US + (WRONG_CLOCK_US if wait.since_us < healed_us else 0)
        self._in_time(fact, wait, max(wait.since_us, healed_us) + wait.limit_us + slack_us)

    def _encoders_in_time(self, fact: Fact) -> None:
        """At any time: an encoder needs nobody to give up."""
        for wait in self.peer_waits.values():
            slack_us = SLACK_US + WRONG_CLOCK_US + STOOD_STILL_US
            self._in_time(fact, wait, wait.since_us + wait.limit_us + slack_us)

    def _in_time(self, fact: Fact, wait: _Wait, until_us: int) -> None:
        if fact.at_us > until_us:
            waited_s = (fact.at_us - wait.since_us) // MICROSECONDS
            raise self.object(fact, f"{wait.what} for {waited_s} s")


def _limit_us(wanted: Desired, update: HandoverRecord, now_us: int) -> int:
    """How long the phase may last, by the deadlines of docs/protocol.md."""
    policy, line = wanted.policy, wanted.timeline
    match update.phase:
        case HandoverPhase.STARTING:
            return policy.start_s * MICROSECONDS
        case HandoverPhase.NEGOTIATING:
            return (policy.negotiate_s + policy.confirm_s) * MICROSECONDS
        case HandoverPhase.ARMED:
            return policy.confirm_s * MICROSECONDS + _until_us(update, line, now_us)
        case HandoverPhase.HOLDING:
            hold_us = (policy.hold_segments + 2) * line.segment_us
            return policy.confirm_s * MICROSECONDS + hold_us
        case _:
            return 2 * policy.confirm_s * MICROSECONDS


def _until_us(update: HandoverRecord, line: Timeline, now_us: int) -> int:
    """From now to the end of the successor's first segment, and one segment for lag."""
    event_us = now_us if update.frame is None else line.wall_us(update.frame)
    return max(0, event_us - now_us) + 2 * line.segment_us


class DoesNotFlap(Checker):
    """I17: the channel's phase goes to and fro: a write and an event each time, and for nothing."""

    invariant = "I17"
    wants = (Stored,)

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.changes: deque[int] = deque(maxlen=FLAPS_MAX + 1)  # when, the newest last

    def _see(self, fact: Fact) -> None:
        assert isinstance(fact, Stored)
        if fact.record.phase is self.story.record.phase:
            return
        self.changes.append(fact.at_us)
        if len(self.changes) > FLAPS_MAX and fact.at_us - self.changes[0] < FLAPS_WITHIN_US:
            before, after = self.story.record.phase, fact.record.phase
            raise self.object(
                fact, f"{before} to {after}, the {FLAPS_MAX + 1}th change in a second"
            )
