"""When a schedule opens and closes, to the minute, also where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hitless_operator.fleet.windows import Opening, WindowInvalid, opening
from hitless_wire.fleet_resources import Schedule

MINUTE_US = 60_000_000


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


def schedule(*windows: dict[str, Any], **more: Any) -> Schedule:
    return Schedule.model_validate({"windows": list(windows), **more})


def nightly(**more: Any) -> dict[str, Any]:
    return {"cron": "30 2 * * *", "durationMinutes": 60, "timeZone": "Europe/Berlin", **more}


def told(found: Opening) -> tuple[bool, str | None]:
    at_us = found.next_change_us
    if at_us is None:
        return found.open, None
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    return found.open, at.strftime("%Y-%m-%dT%H:%M:%S")


def test_no_schedule_is_always_open() -> None:
    assert opening(Schedule(), us("2026-05-01T00:00Z")) == Opening(open=True, next_change_us=None)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-05-01T00:29:59Z", (False, "2026-05-01T00:30:00")),
        ("2026-05-01T00:30:00Z", (True, "2026-05-01T01:30:00")),
        ("2026-05-01T01:29:59Z", (True, "2026-05-01T01:30:00")),
        ("2026-05-01T01:30:00Z", (False, "2026-05-02T00:30:00")),
    ],
)
def test_a_window_opens_and_closes_on_the_minute(
    now: str, expected: tuple[bool, str | None]
) -> None:
    assert told(opening(schedule(nightly()), us(now))) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # 2026-03-29: at 02:00 in Berlin it becomes 03:00; there is no 02:30.
        ("2026-03-29T00:59:00Z", (False, "2026-03-29T01:00:00")),
        ("2026-03-29T01:00:00Z", (True, "2026-03-29T02:00:00")),
        ("2026-03-29T02:00:00Z", (False, "2026-03-30T00:30:00")),
        # 2026-10-25: 02:30 comes twice, at 00:30 and 01:30 UTC; it counts once.
        ("2026-10-25T00:30:00Z", (True, "2026-10-25T01:30:00")),
        ("2026-10-25T01:30:00Z", (False, "2026-10-26T01:30:00")),
        ("2026-10-25T01:45:00Z", (False, "2026-10-26T01:30:00")),
    ],
)
def test_a_night_in_which_clocks_change(now: str, expected: tuple[bool, str | None]) -> None:
    assert told(opening(schedule(nightly()), us(now))) == expected


def test_a_window_across_a_change_of_clocks_keeps_its_length() -> None:
    late = nightly(cron="0 23 * * *", durationMinutes=8 * 60)
    for evening, morning in [
        ("2026-03-28T22:00:00Z", "2026-03-29T06:00:00"),
        ("2026-10-24T21:00:00Z", "2026-10-25T05:00:00"),
    ]:
        assert told(opening(schedule(late), us(evening))) == (True, morning)


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 1-3 * * *", "0 */6 * * *"])
def test_following_next_change_misses_nothing(day: str, cron: str) -> None:
    """Looking only when told to finds what looking every minute finds, over a day."""
    wanted = schedule(nightly(cron=cron, durationMinutes=7), nightly(cron="0 12 * * *"))
    start_us = us(f"{day}T00:00Z")
    minutes = [start_us + n * MINUTE_US for n in range(24 * 60)]
    polled = [(at, opening(wanted, at).open) for at in minutes]
    edges = [at for (at, now), (_, was) in zip(polled[1:], polled, strict=False) if now != was]
    followed, at_us = [], start_us
    is_open = opening(wanted, at_us).open
    while True:
        next_us = opening(wanted, at_us).next_change_us
        assert next_us is not None
        assert next_us > at_us
        if next_us > minutes[-1]:
            break
        at_us = next_us
        if opening(wanted, at_us).open != is_open:
            is_open = not is_open
            followed.append(at_us)
    assert followed == edges
    assert len(edges) >= 3


def test_limits_around_windows() -> None:
    limits = {"notBefore": "2026-05-02T01:00:00+00:00", "notAfter": "2026-05-03T01:00:00+00:00"}
    wanted = schedule(nightly(), **limits)
    rows = [
        ("2026-05-01T01:00:00Z", (False, "2026-05-02T01:00:00")),
        ("2026-05-02T01:00:00Z", (True, "2026-05-02T01:30:00")),
        ("2026-05-03T00:40:00Z", (True, "2026-05-03T01:00:00")),
    ]
    for now, expected in rows:
        assert told(opening(wanted, us(now))) == expected
    over = opening(wanted, us("2026-05-03T01:00:00Z"))
    assert over == Opening(open=False, next_change_us=None, over=True)


def test_a_window_as_short_as_a_minute_is_met() -> None:
    short = {"cron": "0 4 1 1 *", "durationMinutes": 1}
    before = opening(schedule(short), us("2026-06-01T00:00Z"))
    assert told(before) == (False, "2027-01-01T04:00:00")
    assert before.next_change_us is not None
    assert opening(schedule(short), before.next_change_us).open


def test_overlapping_windows_are_one() -> None:
    always = {"cron": "* * * * *", "durationMinutes": 10_080}
    now_us = us("2026-06-01T00:00Z")
    assert opening(schedule(always), now_us) == Opening(
        open=True, next_change_us=now_us + 10_080 * MINUTE_US
    )


@pytest.mark.parametrize("cron", ["0 0 31 2 *", "61 0 * * *", "0 0 * * 9"])
def test_a_window_that_never_comes_is_refused(cron: str) -> None:
    with pytest.raises(WindowInvalid, match="cron"):
        opening(schedule({"cron": cron, "durationMinutes": 1}), us("2026-06-01T00:00Z"))
