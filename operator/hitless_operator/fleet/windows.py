"""When channels may be changed: time limits and windows, computed and not polled.

Owns cron and time zones. `opening` is a function of the schedule and the time; its next change is
exact, so that a look armed for it misses no window however short. `reconcile.py` calls it.

A window lasts its whole length of real time, also across a change of clocks. As in Debian's cron,
one whose time of day is skipped begins when the clocks have gone forward, and one whose time of day
comes twice begins once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from hitless_wire.fleet_resources import Schedule, Window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Before the earliest start that still counts: clocks are never put forward or back by more.
_CLOCK_CHANGE = timedelta(hours=3)
_STARTS_MAX = 20_000  # every minute of the longest window, and of the change of clocks


class WindowInvalid(ValueError):
    """A window that can never open, or whose cron can't be read; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """open: channels may be changed. next_change_us: when to look again; None = never.

    over: they never may again.
    """

    open: bool
    next_change_us: int | None
    over: bool = False


def opening(schedule: Schedule, now_us: int) -> Opening:
    """What the schedule says at a time, microseconds since 1970. Raises WindowInvalid."""
    now = _EPOCH + timedelta(microseconds=now_us)
    if schedule.not_after is not None and now >= schedule.not_after:
        return Opening(open=False, next_change_us=None, over=True)
    if schedule.not_before is not None and now < schedule.not_before:
        return Opening(open=False, next_change_us=_us(schedule.not_before))
    is_open, change = _windows(schedule.windows, now)
    limits = [at for at in (change, schedule.not_after) if at is not None]
    return Opening(open=is_open, next_change_us=_us(min(limits)) if limits else None)


def _windows(windows: tuple[Window, ...], now: datetime) -> tuple[bool, datetime | None]:
    """Whether one of them is open, and the next time at which that may change."""
    if not windows:
        return True, None
    ends = [end for window in windows if (end := _open_until(window, now)) is not None]
    if ends:
        return True, max(ends)
    return False, min(_next_start(window, now) for window in windows)


def _open_until(window: Window, now: datetime) -> datetime | None:
    """When an open window ends; None when it is closed. The end itself is outside."""
    length = timedelta(minutes=window.duration_minutes)
    latest = None
    for start in islice(_starts(window, now - length - _CLOCK_CHANGE), _STARTS_MAX):
        if start > now:
            break
        latest = start
    return latest + length if latest is not None and now < latest + length else None


def _next_start(window: Window, now: datetime) -> datetime:
    return next(start for start in _starts(window, now - _CLOCK_CHANGE) if start > now)


def _starts(window: Window, after: datetime) -> Iterator[datetime]:
    """When the window begins, in UTC, from some time on. Raises WindowInvalid."""
    local = after.astimezone(ZoneInfo(window.time_zone))
    try:
        times = CronSim(window.cron, local)
    except CronSimError as error:
        raise WindowInvalid(f"schedule.windows: cron {window.cron}: {error}") from error
    found = False
    for start in times:
        found = True
        yield start.astimezone(UTC)
    if not found:
        raise WindowInvalid(f"schedule.windows: cron {window.cron} never comes")


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
