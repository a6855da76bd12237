"""The planner of a fleet update: which channels to change, which to take back, when to stop.

Owns every decision about one EncoderUpdate. It must not act: `plan` returns a FleetDecision. The
caller stores its record (guarded against concurrent writes) and only then writes channels; it calls
again when a channel changes and at `wake_at_us`. The operator is the caller.

Theory of operation. The planner is level-triggered: what became of a channel is read off the
channel, which carries the mark of the update that changed it and what it had before. The record
holds the phase, the canary steps passed, and the channels admitted: they count as under way before
anything is written to them, so that a planner that ends between storing and writing, or a second
one, admits no more than the concurrency allows. Each call enters at most one phase. A roll-back
goes on until nothing that this update wrote is left, whatever else changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hitless_handover.fleet_model import (
    CONCURRENCY_MAX,
    REFUSALS_MAX,
    UPDATE_FINAL,
    CanaryStop,
    ChannelResult,
    ChannelSeen,
    Counts,
    FleetDecision,
    FleetDesired,
    FleetRecord,
    Outcome,
    Refusal,
    UpdatePhase,
    WriteChannel,
)
from hitless_handover.fleet_outcome import ADMITTED, BUSY, TOO_MANY_FALLBACKS, judge, tally
from hitless_handover.supervisor_model import Notice

BAKE_POLL_US = 10_000_000  # origins are asked so often while a canary step is watched
FAILURE_BUDGET = "FailureBudget"
ROLLBACK_INCOMPLETE = "RollbackIncomplete"
SCHEDULE_OVER = "ScheduleOver"
REJECTED = "Rejected"
_LATCHED = frozenset({TOO_MANY_FALLBACKS, "OriginSilent"})
_WARNINGS = frozenset({UpdatePhase.ROLLING_BACK, UpdatePhase.FAILED})
_QUIET = frozenset({UpdatePhase.PENDING, UpdatePhase.PROGRESSING, UpdatePhase.BAKING})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """All that one decision is made from."""

    desired: FleetDesired
    record: FleetRecord
    channels: dict[str, ChannelSeen]
    results: tuple[ChannelResult, ...]
    counts: Counts
    now_us: int

    @property
    def limit(self) -> int:
        """Channels that may be under way at once."""
        return max(1, min(CONCURRENCY_MAX, self.desired.concurrency.of(self.counts.total)))

    @property
    def stop(self) -> CanaryStop | None:
        """The canary step under way."""
        stops = self.desired.stops
        passed = self.record.stops_passed
        return stops[passed] if passed < len(stops) else None

    def named(self, *outcomes: Outcome, reason: str = "") -> list[str]:
        """Channels that came to this, in the order in which their turn comes."""
        return [r.name for r in self.results if r.outcome in outcomes and reason in ("", r.reason)]

    def tried(self) -> list[ChannelResult]:
        """Channels that this change was written to, or is to be, or can't be."""
        rows = ((r, self.channels[r.name].mark) for r in self.results)
        refused = {r.name for r in self.record.refusals}
        return [
            r
            for r, mark in rows
            if r.reason == ADMITTED
            or r.name in refused
            or (mark is not None and mark.change == self.desired.change and not mark.rolled_back)
        ]


def plan(
    desired: FleetDesired, record: FleetRecord, channels: Iterable[ChannelSeen], now_us: int
) -> FleetDecision:
    """Decide. channels: all that are selected or marked. now_us: microseconds since 1970."""
    record = _renewed(desired, record)
    by_name = {seen.name: seen for seen in sorted(channels, key=lambda seen: seen.name)}
    results = tuple(judge(desired, record, seen, now_us) for seen in by_name.values())
    look = _Look(
        desired=desired,
        record=_latched(record, results),
        channels=by_name,
        results=results,
        counts=tally(results),
        now_us=now_us,
    )
    decision = _decide(look)
    return replace(
        decision,
        results=results,
        counts=look.counts,
        eta_us=_eta_us(look, decision.record),
    )


def refused(record: FleetRecord, name: str, message: str) -> FleetRecord:
    """The record after the cluster would not let a channel be written."""
    return _remember(record, (Refusal(name=name, reason=REJECTED, message=message),))


def may_write(desired: FleetDesired, record: FleetRecord, seen: ChannelSeen, now_us: int) -> bool:
    """Whether a channel, read again just before it is written, is still to be written."""
    return judge(desired, record, seen, now_us).reason == ADMITTED


def _renewed(desired: FleetDesired, record: FleetRecord) -> FleetRecord:
    """What an edit of the update makes of its record: another change begins anew."""
    if record.change != desired.change:
        return FleetRecord(observed_generation=desired.generation, change=desired.change)
    if record.observed_generation == desired.generation:
        return record
    record = replace(record, observed_generation=desired.generation)
    if record.phase is not UpdatePhase.ROLLED_BACK:
        kept = tuple(r for r in record.refusals if r.reason in _LATCHED)
        record = replace(record, refusals=kept)
    if record.phase is UpdatePhase.FAILED and record.reason == ROLLBACK_INCOMPLETE:
        return replace(record, phase=UpdatePhase.ROLLING_BACK, finished_us=None)
    if record.phase in (UpdatePhase.FAILED, UpdatePhase.COMPLETED):
        return replace(record, phase=UpdatePhase.PROGRESSING, finished_us=None)
    return record


def _latched(record: FleetRecord, results: tuple[ChannelResult, ...]) -> FleetRecord:
    """Origins are asked during a bake only: what they said then is remembered."""
    found = (
        Refusal(name=r.name, reason=r.reason, message=r.message)
        for r in results
        if r.reason == TOO_MANY_FALLBACKS
    )
    return _remember(record, found)


def _remember(record: FleetRecord, found: Iterable[Refusal]) -> FleetRecord:
    known = {r.name for r in record.refusals}
    new = tuple(r for r in found if r.name not in known)
    admitted = tuple(n for n in record.admitted if n not in {r.name for r in new})
    return replace(record, refusals=(*record.refusals, *new)[:REFUSALS_MAX], admitted=admitted)


# --- the way forward ---


def _decide(look: _Look) -> FleetDecision:
    desired, record = look.desired, look.record
    if record.phase is UpdatePhase.ROLLED_BACK:
        return _wait(look, record)
    if record.phase is UpdatePhase.ROLLING_BACK:
        return _roll_back(look)
    if desired.rollback:
        return _turn_back(look, "Requested", "asked for by spec.rollback")
    failures = _over_budget(look)
    if failures:
        return _stop(look, failures)
    if not any(seen.exists for seen in look.channels.values()):
        message = "no channel is selected: change spec.selector or create the channels"
        phase = UpdatePhase.FAILED if desired.over else UpdatePhase.PENDING
        return _enter(look, phase, "NoChannels", message)
    if _is_done(look):
        return _enter(look, UpdatePhase.COMPLETED, "Completed", _summary(look.counts))
    return _held_up(look) or _go_on(look)


def _over_budget(look: _Look) -> str:
    """Why no further channel may be changed; empty when nothing speaks against it."""
    failed = look.named(Outcome.FAILED, Outcome.CONFLICT)
    budget = look.desired.failure_budget.of(look.counts.total)
    canaries = [r.name for r in look.tried() if r.outcome is Outcome.FAILED]
    if look.stop is not None and canaries:
        return f"canary failed: {_some(look, canaries)}"
    if len(failed) > budget:
        return f"{len(failed)} failed, allowed are {budget}: {_some(look, failed)}"
    if len(look.record.refusals) >= REFUSALS_MAX:
        return f"{len(look.record.refusals)} channels were refused: {_some(look, failed)}"
    return ""


def _some(look: _Look, names: list[str]) -> str:
    """The first of these channels, and why it failed."""
    first = next(r for r in look.results if r.name == names[0])
    why = f"{first.name}: {first.reason}: {first.message}"
    return why if len(names) == 1 else f"{why}; and {len(names) - 1} more"


def _stop(look: _Look, why: str) -> FleetDecision:
    """Too many have failed."""
    if look.desired.rolls_back:
        return _turn_back(look, FAILURE_BUDGET, why)
    if look.counts.pending + look.counts.in_progress == 0:
        return _enter(look, UpdatePhase.FAILED, FAILURE_BUDGET, why)
    return _enter(look, UpdatePhase.PAUSED, FAILURE_BUDGET, why)


def _is_done(look: _Look) -> bool:
    if look.counts.pending + look.counts.in_progress > 0:
        return False
    return look.stop is None or not look.tried()


def _held_up(look: _Look) -> FleetDecision | None:
    """What a person or the calendar has against changing further channels."""
    desired, left = look.desired, look.counts.pending
    if desired.paused:
        message = f"{left} channels are left: set spec.paused to false to go on"
        return _enter(look, UpdatePhase.PAUSED, "Requested", message)
    if not desired.approved:
        message = "set spec.approved to true, or annotate with hitless.video/approve=true"
        return _enter(look, UpdatePhase.AWAITING_APPROVAL, "AwaitingApproval", message)
    if desired.over and left and not look.counts.in_progress:
        message = f"{left} channels were left when spec.schedule.notAfter passed"
        return _enter(look, UpdatePhase.FAILED, SCHEDULE_OVER, message)
    if (desired.over or not desired.open) and left and not _bakes(look):
        message = f"{left} channels are left, {look.counts.in_progress} are under way"
        return _enter(look, UpdatePhase.WAITING, "OutsideWindow", message)
    return None


def _go_on(look: _Look) -> FleetDecision:
    """Admit channels, or watch those of the canary step."""
    if look.stop is not None and _bakes(look):
        return _bake(look, look.stop)
    tried, kept = len(look.tried()), look.named(Outcome.IN_PROGRESS, reason=ADMITTED)
    room = look.limit - look.counts.in_progress
    if look.stop is not None:
        room = min(room, _quota(look, look.stop) - tried)
    ready = [r.name for r in look.results if _is_ready(r)]
    admitted = (*kept, *ready[: max(0, room)])
    entered = _enter(look, UpdatePhase.PROGRESSING, "Progressing", _summary(look.counts))
    return replace(
        entered,
        record=replace(entered.record, admitted=admitted, bake_since_us=None),
        writes=tuple(WriteChannel(name=name) for name in admitted),
    )


def _is_ready(result: ChannelResult) -> bool:
    return result.outcome is Outcome.PENDING and result.reason != BUSY


def _quota(look: _Look, stop: CanaryStop) -> int:
    return max(1, stop.channels.of(look.counts.total, up=True))


def _bakes(look: _Look) -> bool:
    """Whether the canary step has all its channels, and all of them have arrived."""
    if look.stop is None or look.counts.in_progress:
        return False
    tried = len(look.tried())
    return tried > 0 and (tried >= _quota(look, look.stop) or look.counts.pending == 0)


def _bake(look: _Look, stop: CanaryStop) -> FleetDecision:
    since_us = look.record.bake_since_us
    since_us = look.now_us if since_us is None else since_us
    end_us = since_us + stop.bake_us
    if look.now_us >= end_us:
        silent = [r.name for r in look.tried() if _is_silent(look, r)]
        if not silent:
            return _pass_stop(look)
        if look.now_us >= end_us + look.desired.deadline_us:
            return _give_up_on(look, silent)
    number = look.record.stops_passed + 1
    message = f"canary step {number} of {len(look.desired.stops)}: watching {len(look.tried())}"
    entered = _enter(look, UpdatePhase.BAKING, f"CanaryStep{number}", message)
    record = replace(entered.record, bake_since_us=since_us, admitted=())
    end_us = end_us if look.now_us < end_us else look.now_us + BAKE_POLL_US
    wake_us = min(end_us, look.now_us + BAKE_POLL_US)
    return replace(entered, record=record, wake_at_us=_earliest(entered.wake_at_us, wake_us))


def _is_silent(look: _Look, result: ChannelResult) -> bool:
    updated = result.outcome is Outcome.UPDATED
    return updated and look.channels[result.name].fallbacks is None


def _give_up_on(look: _Look, silent: list[str]) -> FleetDecision:
    """Without the origin's word a canary proves nothing."""
    message = "its origin does not say whether it fell back since the handover"
    found = (Refusal(name=name, reason="OriginSilent", message=message) for name in silent)
    return FleetDecision(record=_remember(look.record, found), wake_at_us=look.now_us)


def _pass_stop(look: _Look) -> FleetDecision:
    number = look.record.stops_passed + 1
    message = f"canary step {number} of {len(look.desired.stops)} passed: {_summary(look.counts)}"
    passed = replace(
        look.record,
        stops_passed=number,
        bake_since_us=None,
        phase=UpdatePhase.PROGRESSING,
        reason="Progressing",
        message=_summary(look.counts),
    )
    notice = Notice(reason="CanaryPassed", message=message)
    return FleetDecision(record=passed, notices=(notice,), wake_at_us=look.now_us)


# --- the way back ---


def _turn_back(look: _Look, reason: str, message: str) -> FleetDecision:
    """From the next look on, what was changed is taken back."""
    entered = _enter(look, UpdatePhase.ROLLING_BACK, reason, message)
    record = replace(entered.record, admitted=(), refusals=(), bake_since_us=None)
    return replace(entered, record=record, wake_at_us=look.now_us)


def _roll_back(look: _Look) -> FleetDecision:
    """Restore those under way first: their incumbents have not stopped yet."""
    if look.desired.paused:
        return _wait(look, replace(look.record, admitted=()))
    left = [r for r in look.results if _to_restore(look, r)]
    kept = look.named(Outcome.IN_PROGRESS, reason=ADMITTED)
    moving = [r.name for r in left if r.outcome is Outcome.IN_PROGRESS and r.reason != ADMITTED]
    others = sorted(r.name for r in left if r.outcome in (Outcome.FAILED, Outcome.UPDATED))
    room = max(0, look.limit - look.counts.in_progress)
    admitted = (*kept, *moving, *others[:room])[:CONCURRENCY_MAX]
    if admitted or look.counts.in_progress:
        record = replace(look.record, admitted=admitted)
        writes = tuple(WriteChannel(name=name, restore=True) for name in admitted)
        return replace(_wait(look, record), writes=writes)
    stuck = [r.name for r in look.results if _is_stuck(look, r)]
    if stuck:
        why = f"{len(stuck)} could not be taken back: {_some(look, stuck)}"
        return _enter(look, UpdatePhase.FAILED, ROLLBACK_INCOMPLETE, why)
    return _enter(look, UpdatePhase.ROLLED_BACK, look.record.reason, _summary(look.counts))


def _to_restore(look: _Look, result: ChannelResult) -> bool:
    """It holds what this update wrote, and nothing stands in the way."""
    mark = look.channels[result.name].mark
    if mark is None or mark.rolled_back or not mark.restorable:
        return False
    if result.outcome is Outcome.CONFLICT:
        return False
    return result.name not in {r.name for r in look.record.refusals}


def _is_stuck(look: _Look, result: ChannelResult) -> bool:
    """This update wrote it, and it is not back: not those that somebody else changed since."""
    mark = look.channels[result.name].mark
    if mark is None or result.reason == "Reverted":
        return False
    return result.outcome in (Outcome.FAILED, Outcome.CONFLICT)


# --- the leaves ---


def _enter(look: _Look, phase: UpdatePhase, reason: str, message: str) -> FleetDecision:
    """The update in a phase, and the notice of it if it was not in it before."""
    before = look.record
    begins = phase is UpdatePhase.PROGRESSING and before.started_us is None
    record = replace(
        before,
        phase=phase,
        reason=reason,
        message=message,
        admitted=(),
        started_us=look.now_us if begins else before.started_us,
        finished_us=look.now_us if phase in UPDATE_FINAL else None,
    )
    told = _notice(before, record, begins)
    return replace(_wait(look, record), notices=() if told is None else (told,))


def _notice(before: FleetRecord, after: FleetRecord, begins: bool) -> Notice | None:
    if begins:
        return Notice(reason="Started", message=after.message)
    if after.phase is UpdatePhase.PROGRESSING and before.phase is UpdatePhase.PAUSED:
        return Notice(reason="Resumed", message=after.message)
    if after.phase in _QUIET or (before.phase, before.reason) == (after.phase, after.reason):
        return None
    warning = after.phase in _WARNINGS or after.reason == FAILURE_BUDGET
    return Notice(reason=str(after.phase), message=after.message, warning=warning)


def _wait(look: _Look, record: FleetRecord) -> FleetDecision:
    """Until a channel changes, the calendar does, or a channel is overdue."""
    if record.phase in UPDATE_FINAL:
        return FleetDecision(record=record)
    wake_us = look.desired.next_change_us
    for name in look.named(Outcome.IN_PROGRESS):
        mark = look.channels[name].mark
        if mark is not None:
            wake_us = _earliest(wake_us, mark.at_us + look.desired.deadline_us)
    return FleetDecision(record=record, wake_at_us=wake_us)


def _earliest(one_us: int | None, other_us: int) -> int:
    return other_us if one_us is None else min(one_us, other_us)


def _summary(counts: Counts) -> str:
    done = counts.rolled_back or counts.updated
    verb = "rolled back" if counts.rolled_back else "updated"
    parts = [f"{done} of {counts.total} {verb}"]
    rows = (("failed", counts.failed), ("skipped", counts.skipped))
    return ", ".join([*parts, *(f"{count} {name}" for name, count in rows if count)])


def _eta_us(look: _Look, record: FleetRecord) -> int | None:
    """From how long handovers took so far: batches to come, and bakes."""
    if record.phase not in (UpdatePhase.PROGRESSING, UpdatePhase.BAKING):
        return None
    took = [t for seen in look.channels.values() if (t := seen.took_us) is not None and seen.mark]
    if not took:
        return None
    left = look.counts.pending + look.counts.in_progress
    batches_us = -(-left // look.limit) * (sum(took) // len(took))
    bakes_us = sum(stop.bake_us for stop in look.desired.stops[record.stops_passed :])
    return look.now_us + batches_us + bakes_us
