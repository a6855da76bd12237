"""Follows one media playlist from version to version: what to play next, and what it did wrong.

Pure: (state, what was loaded, when) -> (state, observation); the fetching is in rendition.py. Times
are monotonic seconds of whoever calls. Staleness is judged by when a load was *asked for*: a reader
that was itself slow never makes a playlist look late.

The rules are those of RFC 8216bis sections 4.4.3 and 6.2.1-6.2.2: a server may append segments
and remove them from the front, and nothing else; the media sequence number never decreases; no
segment is longer than the target duration (rounded); a live playlist is renewed within 1.5 of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hitless_cli.probe.faults import FaultKind, Finding
from hitless_cli.probe.playlist import ListedSegment, MediaPlaylist, Part
from hitless_cli.probe.settings import START_BEHIND_SEGMENTS, StartAt

_PARTS_KEPT_TARGETS = 3  # RFC 8216bis 6.2.2: parts stay listed this many target durations
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StallLimits:
    """When a playlist is late (percent of its target), and how much later it is a fault (s)."""

    stall_percent: int
    stall_tolerance_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """What is known of a playlist. next_sequence: the segment to play next.

    renewed_s: when the last load that brought something new arrived. late, stalled: what has been
    noted of the quiet time since then.
    """

    start_at: StartAt
    playlist: MediaPlaylist | None = None
    next_sequence: int = 0
    last_url: str | None = None
    renewed_s: float = 0.0
    late: bool = False
    stalled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one load showed. segments: those to play now. late: 1 when it became late just now."""

    renewed: bool = False
    segments: tuple[ListedSegment, ...] = ()
    findings: tuple[Finding, ...] = ()
    late: int = 0
    quiet_s: float = 0.0


def observe(
    state: Follower, new: MediaPlaylist, limits: StallLimits, *, asked_s: float, received_s: float
) -> tuple[Follower, Observation]:
    """A version of the playlist was loaded."""
    old = state.playlist
    if old is None:
        return _take(_begin(state, new), new, (*_too_long(new, new.first_sequence),), received_s)
    if new == old:
        return quiet(state, limits, asked_s=asked_s)
    if new.first_sequence < old.first_sequence:
        return _went_back(state, old, new, received_s)
    findings = (
        *_header_faults(old, new),
        *_segment_faults(old, new),
        *_part_faults(old, new),
        *_too_long(new, old.next_sequence),
        *_passed(state, new),
    )
    return _take(state, new, findings, received_s)


def quiet(state: Follower, limits: StallLimits, *, asked_s: float) -> tuple[Follower, Observation]:
    """A load asked for at asked_s brought nothing new, or failed."""
    if state.playlist is None or state.playlist.ended:
        return state, Observation()
    quiet_s = max(0.0, asked_s - state.renewed_s)
    late_s = state.playlist.target_s * limits.stall_percent / 100
    late = quiet_s > late_s and not state.late
    stalled = quiet_s > late_s + limits.stall_tolerance_s and not state.stalled
    findings = (
        Finding(
            kind=FaultKind.STALLED,
            segment=state.playlist.next_sequence,
            message=(
                f"nothing new for {quiet_s:.1f} s; want within {late_s:.1f} s "
                f"(target duration {state.playlist.target_s} s)"
            ),
        ),
    )
    state = replace(state, late=state.late or late, stalled=state.stalled or stalled)
    return state, Observation(
        findings=findings if stalled else (),
        late=int(late),
        quiet_s=quiet_s if state.late else 0.0,
    )


def _begin(state: Follower, first: MediaPlaylist) -> Follower:
    start = first.first_sequence
    if state.start_at is StartAt.LIVE and not first.ended:
        start = max(start, first.next_sequence - START_BEHIND_SEGMENTS)
    return replace(state, next_sequence=start)


def _take(
    state: Follower, new: MediaPlaylist, findings: tuple[Finding, ...], received_s: float
) -> tuple[Follower, Observation]:
    """Make `new` the known playlist and hand out what is to be played."""
    segments = tuple(s for s in new.segments if s.sequence >= state.next_sequence)
    state = replace(
        state,
        playlist=new,
        next_sequence=max(state.next_sequence, new.next_sequence),
        last_url=segments[-1].url if segments else state.last_url,
        renewed_s=received_s,
        late=False,
        stalled=False,
    )
    return state, Observation(renewed=True, segments=segments, findings=findings)


def _went_back(
    state: Follower, old: MediaPlaylist, new: MediaPlaylist, received_s: float
) -> tuple[Follower, Observation]:
    """One finding; then go on after the segment played last, wherever it is listed now."""
    finding = Finding(
        kind=FaultKind.MEDIA_SEQUENCE_BACK,
        segment=new.first_sequence,
        message=f"EXT-X-MEDIA-SEQUENCE went from {old.first_sequence} to {new.first_sequence}",
    )
    following = _after_known(state, old, new)
    if new.segments and following == new.next_sequence and new.segments[-1].url != state.last_url:
        # an older version of the same playlist: keep what is known, wait for a newer one
        return state, Observation(findings=(finding,))
    return _take(replace(state, next_sequence=following), new, (finding,), received_s)


def _after_known(state: Follower, old: MediaPlaylist, new: MediaPlaylist) -> int:
    """The number in `new` behind the last segment that was known before; its first if none was."""
    known = {segment.url for segment in old.segments} | {state.last_url}
    listed = [segment.sequence for segment in new.segments if segment.url in known]
    return max(listed) + 1 if listed else new.first_sequence


def _header_faults(old: MediaPlaylist, new: MediaPlaylist) -> Iterator[Finding]:
    if new.target_s != old.target_s:
        yield Finding(
            kind=FaultKind.TARGET_CHANGED,
            message=f"EXT-X-TARGETDURATION went from {old.target_s} to {new.target_s}",
        )
    if new.ended and not old.ended:
        yield Finding(
            kind=FaultKind.STREAM_ENDED,
            segment=new.next_sequence,
            message="EXT-X-ENDLIST appeared in a live playlist",
        )


def _segment_faults(old: MediaPlaylist, new: MediaPlaylist) -> Iterator[Finding]:
    """Each segment known before and not removed from the front must be what it was."""
    by_number = {segment.sequence: segment for segment in new.segments}
    urls = {segment.url for segment in new.segments}
    for was in old.segments:
        if was.sequence < new.first_sequence:
            continue
        now = by_number.get(was.sequence)
        if was.url not in urls and (now is None or now.url != was.url):
            replaced = f"; number {was.sequence} is now {now.url}" if now else ""
            yield _fault(FaultKind.SEGMENT_VANISHED, was, f"{was.url} vanished{replaced}")
        elif now is None or now.url != was.url:
            yield _fault(FaultKind.SEGMENT_CHANGED, was, f"{was.url} got another number")
        elif now.duration_us != was.duration_us:
            text = f"{was.url}: EXTINF went from {was.duration_us} to {now.duration_us} us"
            yield _fault(FaultKind.SEGMENT_CHANGED, was, text)


def _fault(kind: FaultKind, segment: ListedSegment, message: str) -> Finding:
    return Finding(kind=kind, segment=segment.sequence, message=message)


def _part_faults(old: MediaPlaylist, new: MediaPlaylist) -> Iterator[Finding]:
    """Known parts stay as they are until their segment is well behind the live edge."""
    now_parts = {s.sequence: s.parts for s in new.segments}
    now_parts[new.next_sequence] = new.open_parts
    behind_us = 0
    must_keep = {new.next_sequence}
    for segment in reversed(new.segments):
        if behind_us + segment.duration_us >= _PARTS_KEPT_TARGETS * new.target_s * _MICROSECONDS:
            break
        must_keep.add(segment.sequence)
        behind_us += segment.duration_us
    were = {s.sequence: s.parts for s in old.segments if s.sequence >= new.first_sequence}
    were[old.next_sequence] = old.open_parts
    for sequence, parts in were.items():
        now = now_parts.get(sequence, ())
        if parts and (now or sequence in must_keep):
            yield from _compare_parts(sequence, parts, now)


def _compare_parts(
    sequence: int, were: tuple[Part, ...], now: tuple[Part, ...]
) -> Iterator[Finding]:
    urls = {part.url: part for part in now}
    for part in were:
        same = urls.get(part.url)
        if same is None:
            yield Finding(
                kind=FaultKind.PART_VANISHED, segment=sequence, message=f"{part.url} vanished"
            )
        elif same != part:
            yield Finding(
                kind=FaultKind.PART_CHANGED,
                segment=sequence,
                message=f"{part.url}: {part.duration_us} us became {same.duration_us} us",
            )


def _too_long(new: MediaPlaylist, since: int) -> Iterator[Finding]:
    """RFC 8216bis 4.4.3.1: EXTINF, rounded to the nearest second, is at most the target."""
    for segment in new.segments:
        rounded_s = (segment.duration_us + _MICROSECONDS // 2) // _MICROSECONDS
        if segment.sequence >= since and rounded_s > new.target_s:
            text = f"{segment.duration_us} us is longer than the target duration {new.target_s} s"
            yield _fault(FaultKind.TARGET_EXCEEDED, segment, text)


def _passed(state: Follower, new: MediaPlaylist) -> Iterator[Finding]:
    missed = new.first_sequence - state.next_sequence
    if missed > 0:
        yield Finding(
            kind=FaultKind.WINDOW_PASSED,
            segment=state.next_sequence,
            count=missed,
            message=(
                f"segments {state.next_sequence} to {new.first_sequence - 1} left the playlist "
                "before they were seen in it"
            ),
        )
