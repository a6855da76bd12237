"""The piece of a channel that a viewer asks for: `?start=…&end=…`, in whole segments. Pure.

`asked` reads a query, `cut` makes of the view what lies within; then the renderers make of that
what they make of every view. A span without an end goes on live (start-over); one with an end is
complete (catch-up) as soon as the segment before it is decided.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hitless_handover.timeline import MICROSECONDS, Timeline, ceil_div
from hitless_origin.errors import ViewRefused
from hitless_origin.view import ChannelView, Span, Stretch

START, END = "start", "end"
_UNIX = re.compile(r"(?P<seconds>[0-9]{1,11})(?:\.(?P<fraction>[0-9]{1,6}))?", re.ASCII)
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXPECTED = "seconds since 1970, or a date such as 2026-11-24T16:00:00Z"
_LATEST_US = 100_000_000_000 * MICROSECONDS  # in the year 5138
_RETRY_S_MAX = 3600
_HINT = "?start=… alone goes on live; &end=… ends it. In a query, + is written %2B"


def asked(query: Mapping[str, str], timeline: Timeline) -> Span | None:
    """The segments that hold what is asked for; None: no piece is. Raises ViewRefused (400)."""
    if not query.keys() & {START, END}:
        return None
    if START not in query:
        raise ViewRefused(400, f"{END} needs {START}", expected=_EXPECTED, hint=_HINT)
    start_us = _instant_us(query, START)
    first = timeline.segment_of(timeline.frame_at(start_us))
    if END not in query:
        return Span(first=first)
    end_us = _instant_us(query, END)
    if end_us <= start_us:
        raise ViewRefused(
            400, f"{END} is not after {START}", expected=f"> {start_us} us", got=f"{end_us} us"
        )
    return Span(first=first, last=timeline.segment_of(timeline.frame_at(end_us - 1)))


def query_of(span: Span | None, timeline: Timeline) -> str:
    """With its question mark: what `asked` reads as this span; one text for each. Else empty."""
    if span is None:
        return ""
    text = f"?{START}={_unix(timeline, span.first)}"
    return text if span.last is None else f"{text}&{END}={_unix(timeline, span.last + 1)}"


def cut(view: ChannelView, span: Span) -> ChannelView:
    """What there is of the span: what has left the window, and holes at the start, are left out.

    Raises ViewRefused (404, 410).
    """
    window = view.window
    if span.first > window.last:
        raise _early(view, span)
    last = window.last if span.last is None else min(span.last, window.last)
    if last < window.first:
        raise _gone(view)
    there = replace(window, first=max(span.first, window.first), last=last).trim(last)
    if there.first > last:
        raise _empty(view, span)
    gaps = tuple(gap for gap in there.gaps if gap[0] <= last)
    is_complete = last == span.last
    return _of_its_edition(
        replace(
            view,
            window=replace(there, gaps=gaps),
            published_us=0 if is_complete else view.published_us,  # it is as it was since long
            parts=view.parts if span.last is None else None,
            stretches=tuple(_within(view.stretches, there.first, last)),
            discontinuities_left=view.discontinuities_left + _leaving(view, there.first),
            span=span,
        )
    )


def _within(stretches: tuple[Stretch, ...], first: int, last: int) -> Iterator[Stretch]:
    for each in stretches:
        if each.first <= last and each.last >= first:
            yield replace(each, first=max(each.first, first), last=min(each.last, last))


def _leaving(view: ChannelView, first: int) -> int:
    """How many discontinuities of the window lie before a segment."""
    splices = [each.splice for each in view.stretches if each.splice is not None]
    return sum(view.window.first <= splice < first for splice in splices)


def _of_its_edition(view: ChannelView) -> ChannelView:
    """Described as what is on air at its end: the edition that is on air now may be another one."""
    newest = view.runs()[-1]
    names = {track.name for track in newest.description.tracks}
    others = tuple(track for track in view.listed_tracks() if track.name not in names)
    return replace(
        view,
        description=newest.description,
        init_revision=newest.init_revision,
        former_tracks=others,
    )


def _early(view: ChannelView, span: Span) -> ViewRefused:
    return ViewRefused(
        404,
        "this is not published yet",
        expected=f"{START} before {_date(view, view.window.last + 1)}",
        got=_date(view, span.first),
        retry_after_s=min((span.first - view.window.last) * _segment_s(view), _RETRY_S_MAX),
    )


def _gone(view: ChannelView) -> ViewRefused:
    return ViewRefused(
        410,
        "this has left the window",
        expected=f"{END} after {_date(view, view.window.first)}",
        hint=f"the window is {view.description.window_seconds} s long",
    )


def _empty(view: ChannelView, span: Span) -> ViewRefused:
    goes_on = span.last is None or span.last > view.window.last
    return ViewRefused(
        404,
        "nothing of this was published",
        hint="it goes on: ask again" if goes_on else "it is a gap of the channel",
        retry_after_s=_segment_s(view) if goes_on else None,
    )


def _instant_us(query: Mapping[str, str], name: str) -> int:
    """Microseconds since the epoch."""
    text, us = query[name], None
    unix = _UNIX.fullmatch(text)
    if unix:
        us = int(unix["seconds"]) * MICROSECONDS + int((unix["fraction"] or "").ljust(6, "0"))
    elif _ISO.fullmatch(text):
        with suppress(ValueError):  # such as the 30th of February
            us = (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    if us is None or not 0 <= us < _LATEST_US:
        raise ViewRefused(
            400, f"{name} is no instant", expected=_EXPECTED, got=text[:40], hint=_HINT
        )
    return us


def _unix(timeline: Timeline, segment: int) -> str:
    """When a segment starts: seconds since the epoch, to the microsecond that is not before it."""
    seconds, us = divmod(timeline.wall_us(timeline.first_frame(segment)), MICROSECONDS)
    return f"{seconds}.{us:06}".rstrip("0").rstrip(".")


def _date(view: ChannelView, segment: int) -> str:
    us = view.timeline.wall_us(view.timeline.first_frame(segment))
    return (_EPOCH + timedelta(microseconds=us)).isoformat()


def _segment_s(view: ChannelView) -> int:
    return ceil_div(view.timeline.segment_ticks, view.timeline.timescale)
