"""Delivery directives of low-latency HLS: what a request waits for (RFC 8216bis 6.2.5). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hitless_handover.timeline import MICROSECONDS
from hitless_origin.view import ChannelView, following, target_duration_s
from hitless_wire.ingest import ChannelDescription

SEGMENT = "_HLS_msn"
PART = "_HLS_part"
SKIP = "_HLS_skip"
_SKIPS = {"YES", "v2"}  # the second: dates too, of which there are none
AHEAD_SEGMENTS_MAX = 2  # further than this from the last segment no player has to ask
WAIT_TARGETS_MAX = 3  # target durations that a request is held
# The URL names a moment that comes once, so caches may keep the answer: six, as Apple advises.
CACHE_TARGETS = 6
_NUMBER = re.compile(r"[0-9]{1,16}")


class DirectiveError(ValueError):
    """Directives that can't be followed; the message says why."""


def wanted(query: Mapping[str, str], view: ChannelView) -> tuple[int, int | None] | None:
    """Segment and part that the playlist must have. part None: the whole segment.

    None: the playlist is wanted as it is, or the channel has no parts. Raises DirectiveError.
    """
    if view.parts is None or not query.keys() & {SEGMENT, PART}:
        return None
    if SEGMENT not in query:
        raise DirectiveError(f"{PART} needs {SEGMENT}")
    segment = _number(query, SEGMENT)
    if segment > view.window.last + AHEAD_SEGMENTS_MAX:
        raise DirectiveError(
            f"{SEGMENT}={segment} is more than {AHEAD_SEGMENTS_MAX} after {view.window.last}"
        )
    if PART not in query:
        return segment, None
    return following(view.parts.grid, segment, _number(query, PART))


def takes_delta(query: Mapping[str, str]) -> bool:
    """Whether the player has the former playlist, and is content with what is new."""
    return query.get(SKIP) in _SKIPS


def wait_us_max(description: ChannelDescription) -> int:
    """How long a request is held, microseconds."""
    return WAIT_TARGETS_MAX * target_duration_s(description) * MICROSECONDS


def cache_control(view: ChannelView) -> str:
    """Of an answer to directives."""
    return f"public, max-age={CACHE_TARGETS * target_duration_s(view.description)}"


def _number(query: Mapping[str, str], name: str) -> int:
    text = query[name]
    if not _NUMBER.fullmatch(text):
        raise DirectiveError(f"{name}={text[:20]!r} is no number from 0 on")
    return int(text)
