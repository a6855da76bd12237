"""The origin's rule for parts: what of a segment goes on air before the whole of it is there.

Owns the choice of each part of the segment that is made just now. Whole segments are chosen by
`selection`, which calls this module and hands its effects to the same shell.

Theory of operation. Parts are published strictly in order, each once. A part is *complete* when
every track of it arrived from one encoder. Inside a GOP, a part of another encoder than the part
before may follow only if that encoder *agrees*: if each of its parts since the GOP began has the
very bytes of the published ones, so that what was decoded so far is what its encoder has coded on.
At the start of a GOP anybody may follow, for nothing there refers to a picture before it.

- The complete part of the highest priority that may follow is published at once if it holds the
  term, or inside a GOP if it comes from the encoder of the part before.
- Else it waits for a better one until its deadline, counted from the first delivery of it, and is
  then published as a fallback. The deadline is short, for viewers have little in hand; but where
  the encoder that holds the term was later than others lately, it is waited for twice as long as
  that, up to what a segment may wait. So being a little slower does not keep it off the air.
- If nobody may follow, and the start of a later GOP is there and has waited for as long, the parts
  before it are skipped: a viewer loses less than a GOP. Nobody who waits for whole segments does.
  A segment is never begun in its middle: what has no first part comes whole.
- When the whole segment is published, what is left of its parts follows at once by the same rules.
  Where none was on air yet and not all of them are remembered, there are none: viewers take it
  whole.

A segment of which all parts are published is published whole at once from the same encoder, even
below the term: viewers have it already. So is the best whole one when nobody may follow any more:
it ends the wait, and viewers of parts go on with the next segment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hitless_handover.parts import PartGrid

AHEAD_SEGMENTS = 8  # besides the one in the making, of which parts are kept: the last touched ones
ENCODERS_MAX = 8  # compared for one part
HEARD_SEGMENTS = 4  # whose parts are remembered to measure lags

Digests = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRules:
    """A channel's settings. tracks: names that make a part complete.

    deadline_us: for a part to wait; patience_us: at most, for one that is known to be later.
    """

    tracks: frozenset[str]
    per_segment: int
    per_gop: int
    deadline_us: int
    patience_us: int

    @classmethod
    def of(cls, grid: PartGrid, tracks: frozenset[str], percent: int) -> PartRules:
        """From the grid; the deadline is percent of a part, the patience percent of a segment."""
        return cls(
            tracks=tracks,
            per_segment=grid.per_segment,
            per_gop=grid.per_gop,
            deadline_us=grid.part_us * percent // 100,
            patience_us=grid.timeline.segment_us * percent // 100,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PartDelivery:
    """What one encoder delivered of one part. tracks: (name, priority, digest), by name."""

    segment: int
    part: int
    encoder: str
    tracks: tuple[tuple[str, int, str], ...]
    complete_us: int | None = None

    @property
    def priority(self) -> int:
        """The claim that every track carries."""
        return min(priority for _, priority, _ in self.tracks)

    @property
    def digests(self) -> Digests:
        """What its bytes are, by track."""
        return tuple((track, digest) for track, _, digest in self.tracks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """State: parts before `following` of `segment` are decided.

    source: encoder of the part before, None where nothing can be followed. shown: bytes of the
    published parts since the GOP began; empty after parts were skipped. heard: when a part was
    first heard of, for the newest. lag_us: how much later than that it came from the encoder that
    holds the term, lately. fallbacks, skipped: parts, counted.
    """

    rules: PartRules
    segment: int | None = None
    following: int = 0
    source: str | None = None
    shown: tuple[Digests, ...] = ()
    deliveries: tuple[PartDelivery, ...] = ()
    heard: tuple[tuple[tuple[int, int], int], ...] = ()
    lag_us: int = 0
    advanced_us: int = 0
    fallbacks: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartArrived:
    """One valid track of a part arrived. digest: of its bytes."""

    segment: int
    part: int
    track: str
    encoder: str
    priority: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishPart:
    """Put the encoder's tracks of the part on air."""

    segment: int
    part: int
    encoder: str
    priority: int
    fallback: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipParts:
    """Parts first to last of the segment, both included, never go on air as parts."""

    segment: int
    first: int
    last: int


PartEffect = PublishPart | SkipParts


def arrive(parts: Parts, event: PartArrived, term: int, now_us: int) -> Parts:
    """Remember a track of a part, unless it is decided."""
    parts = _hear(parts, event, term, now_us)
    if not is_wanted(parts, event.segment, event.part):
        return parts
    same = [d for d in parts.deliveries if (d.segment, d.part) == (event.segment, event.part)]
    before = next((d for d in same if d.encoder == event.encoder), None)
    if before is None and len(same) >= ENCODERS_MAX:
        return parts
    tracks = (
        {name: (priority, digest) for name, priority, digest in before.tracks} if before else {}
    )
    held = tracks.get(event.track)
    if held is None:
        tracks[event.track] = (event.priority, event.digest)
    else:
        tracks[event.track] = (max(held[0], event.priority), held[1])
    complete_us = before.complete_us if before else None
    if complete_us is None and parts.rules.tracks <= tracks.keys():
        complete_us = now_us
    delivery = PartDelivery(
        segment=event.segment,
        part=event.part,
        encoder=event.encoder,
        tracks=tuple((name, *tracks[name]) for name in sorted(tracks)),
        complete_us=complete_us,
    )
    others = tuple(d for d in parts.deliveries if d is not before)
    return _bounded(replace(parts, deliveries=(*others, delivery)))


def kept(parts: Parts) -> frozenset[int]:
    """The segments of which parts may still be published."""
    return frozenset(delivery.segment for delivery in parts.deliveries)


def _bounded(parts: Parts) -> Parts:
    """Without the segments that were not touched for longest; a gap may make any of them next."""
    touched = dict.fromkeys(d.segment for d in reversed(parts.deliveries))
    ahead = [segment for segment in touched if segment != parts.segment]
    if len(ahead) <= AHEAD_SEGMENTS:
        return parts
    gone = set(ahead[AHEAD_SEGMENTS:])
    remaining = tuple(d for d in parts.deliveries if d.segment not in gone)
    return replace(parts, deliveries=remaining)


def _hear(parts: Parts, event: PartArrived, term: int, now_us: int) -> Parts:
    """Learn how much later than others the encoder is that holds the term."""
    if event.track != min(parts.rules.tracks):
        return parts
    heard, place = dict(parts.heard), (event.segment, event.part)
    first_us = heard.setdefault(place, now_us)
    newest = tuple(heard.items())[-HEARD_SEGMENTS * parts.rules.per_segment :]
    lag_us = parts.lag_us
    if event.priority >= term:
        lag_us = max(now_us - first_us, lag_us * 7 // 8)  # jitter must not cut the patience
    return replace(parts, heard=newest, lag_us=lag_us)


def is_wanted(parts: Parts, segment: int, part: int) -> bool:
    """Whether a part may still be published, or be compared with what is."""
    if not 0 <= part < parts.rules.per_segment:
        return False
    if segment == parts.segment:
        return part >= _gop_start(parts, parts.following)
    return parts.segment is None or segment > parts.segment


def is_through(parts: Parts, segment: int) -> bool:
    """Whether all parts of the segment are published, the last ones by `source`."""
    whole = parts.segment == segment and parts.following == parts.rules.per_segment
    return whole and parts.source is not None


def stuck_us(parts: Parts, segment: int) -> int | None:
    """From when on it is clear that no further part of the segment will be published; None: not.

    It is begun, its next part is there, and none of those who have it may follow.
    """
    if parts.segment != segment or not parts.following:
        return None
    here = _complete(parts, parts.following)
    if not here or any(_may_follow(parts, d) for d in here):
        return None
    return _first_us(here) + _deadline_us(parts)


def advance(parts: Parts, term: int, now_us: int) -> tuple[Parts, list[PartEffect], int | None]:
    """Publish what is due; and when the next part is, if that is known."""
    effects: list[PartEffect] = []
    while parts.segment is not None and parts.following < parts.rules.per_segment:
        best, due_us = _next(parts, term, now_us)
        if best is None or due_us > now_us:
            return parts, effects, None if best is None else due_us
        if best.part > parts.following:
            parts, skipped = _skip(parts, best.part)
            effects += skipped
        parts, published = _publish(parts, best, term, now_us)
        effects.append(published)
    return parts, effects, None


def close(
    parts: Parts, encoder: str | None, term: int, last: int, now_us: int
) -> tuple[Parts, list[PartEffect]]:
    """The segment is decided: from `encoder`, or a gap. The rest of its parts, and on to the next.

    last: the newest decided segment now.
    """
    effects: list[PartEffect] = []
    if parts.segment is not None and parts.segment <= last:
        if encoder is not None and (parts.following or _has_all(parts, encoder)):
            parts, effects = _flush(parts, encoder, term, now_us)
        elif encoder is None and parts.following:
            parts, effects = _skip(parts, parts.rules.per_segment)
    return replace(
        parts,
        segment=last + 1,
        following=0,
        source=None,
        shown=(),
        deliveries=tuple(d for d in parts.deliveries if d.segment > last),
        advanced_us=now_us,
    ), effects


def begin(parts: Parts, segment: int, now_us: int) -> Parts:
    """Another edition is on air: nothing known of parts counts from this segment on."""
    return Parts(
        rules=parts.rules,
        segment=segment,
        advanced_us=now_us,
        fallbacks=parts.fallbacks,
        skipped=parts.skipped,
    )


def _flush(parts: Parts, encoder: str, term: int, now_us: int) -> tuple[Parts, list[PartEffect]]:
    effects: list[PartEffect] = []
    while parts.following < parts.rules.per_segment:
        able = [d for d in _complete(parts, parts.following) if _may_follow(parts, d)]
        if not able:
            next_gop = _gop_start(parts, parts.following) + parts.rules.per_gop
            parts, made = _skip(parts, next_gop)
            effects += made
            continue
        best = max(able, key=lambda d: (d.encoder == encoder, d.encoder == parts.source))
        parts, published = _publish(parts, best, term, now_us)
        effects.append(published)
    return parts, effects


# --- the choice ---------------------------------------------------------------------------------


def _next(parts: Parts, term: int, now_us: int) -> tuple[PartDelivery | None, int]:
    """The part to publish next, and when: at once, or at its deadline. None: nothing is there."""
    here = _complete(parts, parts.following)
    able = [d for d in here if _may_follow(parts, d)]
    if able:
        best = max(able, key=lambda d: (d.priority, d.encoder == parts.source))
        inside = parts.following != _gop_start(parts, parts.following)
        if best.priority >= term or (inside and best.encoder == parts.source):
            return best, now_us
        return best, _first_us(able) + _deadline_us(parts)
    if not parts.following:
        return None, now_us
    first = _gop_start(parts, parts.following) + parts.rules.per_gop
    for part in range(first, parts.rules.per_segment, parts.rules.per_gop):
        later = _complete(parts, part)
        if later:
            best = max(later, key=lambda d: d.priority)
            return best, max(_first_us(later), parts.advanced_us) + _deadline_us(parts)
    return None, now_us


def _first_us(deliveries: list[PartDelivery]) -> int:
    return min(d.complete_us for d in deliveries if d.complete_us is not None)


def _deadline_us(parts: Parts) -> int:
    rules = parts.rules
    wanted_us = 2 * parts.lag_us
    return wanted_us if rules.deadline_us < wanted_us <= rules.patience_us else rules.deadline_us


def _may_follow(parts: Parts, delivery: PartDelivery) -> bool:
    """Whether a decoder that was given the published parts can go on with this one."""
    start = _gop_start(parts, delivery.part)
    if delivery.part == start:
        return True
    if len(parts.shown) != delivery.part - start:
        return False  # the GOP's start was skipped
    if delivery.encoder == parts.source:
        return True
    own = {d.part: d.digests for d in parts.deliveries if _is_of(d, parts, delivery.encoder)}
    return all(own.get(start + i) == digests for i, digests in enumerate(parts.shown))


def _is_of(delivery: PartDelivery, parts: Parts, encoder: str) -> bool:
    return delivery.segment == parts.segment and delivery.encoder == encoder


def _complete(parts: Parts, part: int) -> list[PartDelivery]:
    return [
        d
        for d in parts.deliveries
        if d.segment == parts.segment and d.part == part and d.complete_us is not None
    ]


def _has_all(parts: Parts, encoder: str) -> bool:
    own = [d for d in parts.deliveries if _is_of(d, parts, encoder) and d.complete_us is not None]
    return len(own) == parts.rules.per_segment


def _gop_start(parts: Parts, part: int) -> int:
    return part - part % parts.rules.per_gop


# --- steps --------------------------------------------------------------------------------------


def _publish(
    parts: Parts, chosen: PartDelivery, term: int, now_us: int
) -> tuple[Parts, PublishPart]:
    fallback = chosen.priority < term
    start = _gop_start(parts, chosen.part)
    before = () if chosen.part == start else parts.shown
    effect = PublishPart(
        segment=chosen.segment,
        part=chosen.part,
        encoder=chosen.encoder,
        priority=chosen.priority,
        fallback=fallback,
    )
    return replace(
        parts,
        following=chosen.part + 1,
        source=chosen.encoder,
        shown=(*before, chosen.digests),
        advanced_us=now_us,
        fallbacks=parts.fallbacks + fallback,
        deliveries=tuple(
            d for d in parts.deliveries if d.segment != chosen.segment or d.part >= start
        ),
    ), effect


def _skip(parts: Parts, until: int) -> tuple[Parts, list[PartEffect]]:
    """Give up the parts from the next one to the one before `until`."""
    assert parts.segment is not None
    effect = SkipParts(segment=parts.segment, first=parts.following, last=until - 1)
    return replace(
        parts,
        following=until,
        source=None,
        shown=(),
        skipped=parts.skipped + until - parts.following,
    ), [effect]
