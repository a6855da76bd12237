"""Terms as one encoder holds them: from which segment on its output carries which priority.

Owns the rule that says the priority of a segment. A schedule is a short tuple of (first segment,
priority), ascending; what lies behind the newest stamped segment is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

STANDBY = 0


@dataclass(frozen=True, slots=True)
class Lead:
    """From `segment` on, priority `priority` (0: standby)."""

    segment: int
    priority: int


Schedule = tuple[Lead, ...]
NEVER_LED: Schedule = (Lead(0, STANDBY),)


def priority_of(schedule: Schedule, segment: int) -> int:
    """The priority of a segment's output."""
    return next((e.priority for e in reversed(schedule) if e.segment <= segment), STANDBY)


def highest_term(schedule: Schedule) -> int:
    """The highest term that this encoder holds or is about to hold."""
    return max(entry.priority for entry in schedule)


def lead_from(schedule: Schedule, segment: int, priority: int) -> Schedule:
    """The schedule with a change at `segment`; what was planned from there on is replaced."""
    kept = tuple(e for e in schedule if e.segment < segment)
    return (*kept, Lead(segment, priority))


def cancel_from(schedule: Schedule, segment: int) -> Schedule:
    """The schedule without any change at or after `segment`."""
    return tuple(e for e in schedule if e.segment < segment) or NEVER_LED


def forget_before(schedule: Schedule, segment: int) -> Schedule:
    """The schedule without entries that no longer say anything about `segment` or later."""
    current = [e for e in schedule if e.segment <= segment][-1:]
    return (*current, *(e for e in schedule if e.segment > segment))
