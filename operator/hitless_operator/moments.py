"""Wall time as Kubernetes writes it: RFC 3339 in UTC, and back, without loss.

Owns the two notations in use: microseconds (metav1.MicroTime) for what the record holds, whole
seconds (metav1.Time) for conditions.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micro_time(at_us: int) -> str:
    """2026-11-22T22:40:51.123456Z from microseconds since 1970."""
    return (_EPOCH + timedelta(microseconds=at_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def maybe_time(at_us: int | None) -> str | None:
    """`micro_time` of what may be missing."""
    return None if at_us is None else micro_time(at_us)


def maybe_us(text: str | None) -> int | None:
    """`from_time` of what may be missing. Raises ValueError."""
    return None if text is None else from_time(text)


def second_time(at_us: int) -> str:
    """2026-11-22T22:40:51Z from microseconds since 1970."""
    return (_EPOCH + timedelta(microseconds=at_us)).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_time(text: str) -> int:
    """Microseconds since 1970 from either. Raises ValueError."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone: write it as RFC 3339, with Z")
    return (at - _EPOCH) // _MICROSECOND
