"""Terms as one encoder holds them: from which segment on its output carries which priority.

Owns the rule that says the priority of a segment and whether it is sent at all. A schedule is a
short tuple of Lead, ascending; what lies behind the newest stamped segment is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

STANDBY = 0


@dataclass(frozen=True, slots=True)
class Lead:
    """From `segment` on, priority `priority` (0: standby). silent: nothing is sent."""

    segment: int
    priority: int
    silent: bool = False


Schedule = tuple[Lead, ...]
NEVER_LED: Schedule = (Lead(0, STANDBY),)
SILENT: Schedule = (Lead(0, STANDBY, silent=True),)  # a silent standby, before it ever leads


def lead_at(schedule: Schedule, segment: int) -> Lead:
    """What holds for a segment."""
    return next((e for e in reversed(schedule) if e.segment <= segment), schedule[0])


def priority_of(schedule: Schedule, segment: int) -> int:
    """The priority of a segment's output."""
    return lead_at(schedule, segment).priority


def lead_from(schedule: Schedule, segment: int, priority: int, *, silent: bool = False) -> Schedule:
    """The schedule with a change at `segment`; what was planned from there on is replaced."""
    kept = tuple(e for e in schedule if e.segment < segment)
    return (*kept, Lead(segment, priority, silent))


def cancel_from(schedule: Schedule, segment: int) -> Schedule:
    """The schedule without any change at or after `segment`."""
    return tuple(e for e in schedule if e.segment < segment) or schedule[:1]


def forget_before(schedule: Schedule, segment: int) -> Schedule:
    """The schedule without entries that no longer say anything about `segment` or later."""
    current = [e for e in schedule if e.segment <= segment][-1:]
    return (*current, *(e for e in schedule if e.segment > segment))
