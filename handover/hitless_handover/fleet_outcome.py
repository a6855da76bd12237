"""What became of each channel of a fleet update, read off the channel and the record.

Owns the judgement of one channel, on the way forward and on the way back, and the counts. It
decides nothing about the update. `fleet.py` calls it at each look, for every channel.
"""

from __future__ import annotations

from collections.abc import Iterable

from hitless_handover.fleet_model import (
    ChannelResult,
    ChannelSeen,
    Counts,
    FleetDesired,
    FleetRecord,
    Mark,
    Outcome,
    Refusal,
    UpdatePhase,
)
from hitless_handover.supervisor_model import ChannelPhase

ADMITTED = "Admitted"
BUSY = "Busy"
TOO_MANY_FALLBACKS = "TooManyFallbacks"
_ON_AIR = (ChannelPhase.LIVE, ChannelPhase.UPDATING)


def judge(
    desired: FleetDesired, record: FleetRecord, seen: ChannelSeen, now_us: int
) -> ChannelResult:
    """What became of a channel. Rolling back, what counts is the way back."""
    mark = seen.mark
    if record.phase is UpdatePhase.ROLLING_BACK:
        if mark is not None:
            return _on_the_way_back(desired, record, seen, mark, now_us)
        return _untouched(record, seen)
    if mark is None or mark.change != desired.change:
        return _untouched(record, seen)
    if mark.rolled_back:
        return _result(seen, Outcome.ROLLED_BACK)
    return _touched(desired, record, seen, mark, now_us)


def refusal_of(record: FleetRecord, name: str) -> Refusal | None:
    """The remembered failure of a channel."""
    return next((r for r in record.refusals if r.name == name), None)


def tally(results: Iterable[ChannelResult]) -> Counts:
    """How many channels came to what."""
    of = dict.fromkeys(Outcome, 0)
    for result in results:
        of[result.outcome] += 1
    return Counts(
        total=sum(of.values()),
        updated=of[Outcome.UPDATED],
        in_progress=of[Outcome.IN_PROGRESS],
        failed=of[Outcome.FAILED] + of[Outcome.CONFLICT],
        skipped=of[Outcome.SKIPPED],
        rolled_back=of[Outcome.ROLLED_BACK],
        pending=of[Outcome.PENDING],
    )


def _untouched(record: FleetRecord, seen: ChannelSeen) -> ChannelResult:
    """Whether its turn may come."""
    found = _hindrance(record, seen)
    if found is not None:
        return found
    if seen.busy or seen.phase is ChannelPhase.UPDATING:
        return _result(seen, Outcome.PENDING, BUSY, "another handover is under way")
    if record.phase is not UpdatePhase.ROLLING_BACK and seen.name in record.admitted:
        return _result(seen, Outcome.IN_PROGRESS, ADMITTED, "about to be changed")
    return _result(seen, Outcome.PENDING)


def _hindrance(record: FleetRecord, seen: ChannelSeen) -> ChannelResult | None:
    """What keeps a channel from being changed, if anything does."""
    if not seen.exists:
        return _result(seen, Outcome.SKIPPED, "NotFound", "there is no such channel")
    if not seen.selected:
        return _result(seen, Outcome.SKIPPED, "NotSelected", "no longer selected")
    if seen.mark is None and seen.matches:
        return _result(seen, Outcome.SKIPPED, "AlreadyCurrent", "it asks for the change already")
    if (refusal := refusal_of(record, seen.name)) is not None:
        return _result(seen, Outcome.FAILED, refusal.reason, refusal.message)
    if seen.invalid:
        return _result(seen, Outcome.FAILED, "InvalidChange", seen.invalid)
    if seen.holder:
        return _result(seen, Outcome.CONFLICT, "AnotherUpdate", _held(seen))
    if seen.change_owner:
        return _result(seen, Outcome.CONFLICT, "FieldOwned", _owned(seen.change_owner))
    if seen.paused:
        return _result(seen, Outcome.SKIPPED, "ChannelPaused", "its spec.paused is true")
    if seen.phase not in _ON_AIR:
        message = f"it is {seen.phase}: there is nobody to hand over from"
        return _result(seen, Outcome.SKIPPED, "NotOnAir", message)
    return None


def _touched(
    desired: FleetDesired, record: FleetRecord, seen: ChannelSeen, mark: Mark, now_us: int
) -> ChannelResult:
    """How the handover goes that the change has brought about."""
    if not mark.intact:
        message = "somebody else has changed again what this update had changed"
        return _result(seen, Outcome.FAILED, "Reverted", message)
    if (refusal := refusal_of(record, seen.name)) is not None:
        return _result(seen, Outcome.FAILED, refusal.reason, refusal.message)
    if seen.refusal is not None and not seen.busy:
        return _result(seen, Outcome.FAILED, seen.refusal.reason, seen.refusal.message)
    if seen.on_target and not seen.busy and seen.phase is ChannelPhase.LIVE:
        return _arrived(desired, seen)
    if seen.on_target and seen.phase is ChannelPhase.DEGRADED:
        return _result(seen, Outcome.FAILED, "Degraded", "its encoder does not deliver any more")
    if now_us >= mark.at_us + desired.deadline_us:
        message = f"not there after {desired.deadline_us // 1_000_000} s: it is {seen.phase}"
        return _result(seen, Outcome.FAILED, "Overdue", message)
    return _result(seen, Outcome.IN_PROGRESS, str(seen.phase))


def _arrived(desired: FleetDesired, seen: ChannelSeen) -> ChannelResult:
    """On air with the change: what did it cost?"""
    lost = seen.frames_lost or 0
    if lost > desired.frames_lost_max:
        message = f"the handover lost {lost} frames, allowed are {desired.frames_lost_max}"
        return _result(seen, Outcome.FAILED, "FramesLost", message)
    if (seen.fallbacks or 0) > desired.fallbacks_max:
        message = (
            f"its origin fell back {seen.fallbacks} times since the handover, allowed are "
            f"{desired.fallbacks_max}"
        )
        return _result(seen, Outcome.FAILED, TOO_MANY_FALLBACKS, message)
    return _result(seen, Outcome.UPDATED)


def _on_the_way_back(
    desired: FleetDesired, record: FleetRecord, seen: ChannelSeen, mark: Mark, now_us: int
) -> ChannelResult:
    """What is settled is over, also where the earlier values had been refused before."""
    if mark.rolled_back:
        settled = not seen.busy and seen.phase is ChannelPhase.LIVE
        if settled and (seen.on_target or seen.refusal is not None):
            return _result(seen, Outcome.ROLLED_BACK)
        if now_us >= mark.at_us + desired.deadline_us:
            return _result(seen, Outcome.FAILED, "Overdue", f"not back yet: it is {seen.phase}")
        return _result(seen, Outcome.IN_PROGRESS, str(UpdatePhase.ROLLING_BACK))
    if not mark.restorable:
        message = "somebody else has changed it again; it is left as it is"
        return _result(seen, Outcome.FAILED, "Reverted", message)
    if (refusal := refusal_of(record, seen.name)) is not None:
        return _result(seen, Outcome.FAILED, refusal.reason, refusal.message)
    if seen.holder:
        return _result(seen, Outcome.CONFLICT, "AnotherUpdate", _held(seen))
    if seen.earlier_owner:
        return _result(seen, Outcome.CONFLICT, "FieldOwned", _owned(seen.earlier_owner))
    if seen.name in record.admitted:
        return _result(seen, Outcome.IN_PROGRESS, ADMITTED, "about to be restored")
    return _touched(desired, record, seen, mark, now_us)


def _held(seen: ChannelSeen) -> str:
    return f"EncoderUpdate {seen.holder} has changed it and is not over: wait for it, or delete it"


def _owned(owner: str) -> str:
    return (
        f"{owner} owns what would be changed: make the change there, have it leave these fields "
        "alone, or name it in spec.takeOverFrom"
    )


def _result(
    seen: ChannelSeen, outcome: Outcome, reason: str = "", message: str = ""
) -> ChannelResult:
    return ChannelResult(name=seen.name, outcome=outcome, reason=reason, message=message)
