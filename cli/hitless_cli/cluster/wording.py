"""Small words that every table and view uses: versions, ages, durations, counts, aligned columns.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hitless_cli.local.versions import tag_of

MINUTE, HOUR, DAY = 60, 3600, 86_400
MICROSECONDS = 1_000_000
NONE = "-"
DIGEST_DIGITS = 12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def version_of(image: str) -> str:
    """The image's tag, digest or `latest`; `-` for no image."""
    return tag_of(image) if image else NONE


def short_digest(image_id: str) -> str:
    """The first twelve digits of the digest, as container tools shorten it; `-` for none."""
    return image_id.rpartition("sha256:")[2][:DIGEST_DIGITS] or NONE


def age(since_us: int | None, now_us: int) -> str:
    """`45s`, `7m`, `3h`, `2d`, as kubectl shortens; `-` when not known."""
    if since_us is None:
        return NONE
    seconds = max(0, now_us - since_us) // MICROSECONDS
    if seconds < 2 * MINUTE:
        return f"{seconds}s"
    if seconds < 2 * HOUR:
        return f"{seconds // MINUTE}m"
    if seconds < 2 * DAY:
        return f"{seconds // HOUR}h"
    return f"{seconds // DAY}d"


def spent(from_us: int | None, until_us: int | None) -> str:
    """`7.5 s` between two moments; `-` when one is not known."""
    if from_us is None or until_us is None:
        return NONE
    tenths = (max(0, until_us - from_us) + MICROSECONDS // 20) // (MICROSECONDS // 10)
    return f"{tenths // 10}.{tenths % 10} s"


def seconds_between(from_us: int | None, until_us: int | None) -> float | None:
    """The same as a number."""
    if from_us is None or until_us is None:
        return None
    return max(0, until_us - from_us) / MICROSECONDS


def count(number: int, noun: str) -> str:
    """`1 frame`, `2 frames`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shown(value: object) -> str:
    """The value, or `-`."""
    return NONE if value is None or value == "" else str(value)


def aligned(rows: Sequence[Sequence[str]], *, widths_min: Sequence[int] = ()) -> list[str]:
    """Columns three blanks apart, as kubectl's."""
    columns = max((len(row) for row in rows), default=0)
    least = [*widths_min, *([0] * columns)][:columns]
    widths = [
        max([least[i], *(len(row[i]) for row in rows if i < len(row))]) for i in range(columns)
    ]
    return [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]


def rfc3339(at_us: int | None) -> str | None:
    """A moment in UTC; None for none."""
    if at_us is None:
        return None
    moment = _EPOCH + timedelta(microseconds=at_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def clock(at_us: int | None) -> str:
    """`22:40:51`, in UTC; `-` when not known."""
    text = rfc3339(at_us)
    return NONE if text is None else text[11:19]
