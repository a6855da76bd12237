"""The origin's rule: of two encoders' outputs, which segment goes on air, and when.

Owns the choice for one channel. It must not touch bytes, disk or a clock: `step` takes an event and
the time and gives the new state, effects and the next wake-up. The origin's selection shell calls
it and carries out the effects.

Theory of operation. A *delivery* is one encoder's segment k; it is *complete* when every track of
the encoder's edition arrived from it, and its priority is the lowest of its tracks. Segments are
decided strictly in order, k = last + 1, each once:

- The *term* is the highest priority of any complete delivery of a segment up to k. A delivery that
  holds it is published at once.
- A complete delivery below the term waits until k's deadline and is then published as a *fallback*.
- If nothing of k is complete and a later segment is, k waits until its deadline and the range up to
  the next complete segment becomes a *gap*: one effect, however long.
- k's deadline is `deadline_us` after the channel first knew of it: after the first complete
  delivery of k, or of a later segment. In the second case the time starts again with each
  publication, so that an encoder which runs ahead, or has a wrong clock, makes no gap while another
  one delivers.
- A gap before deliveries that are all below the term waits `gap_us` after the last publication, if
  that is later: they are a newcomer's, which has nothing of k, and the leader may only be late.
- What is decided stays decided (I2). Later deliveries of it only raise the term and count as
  overlap.

The first complete segment starts the timeline at once: a channel is born with one encoder, and
waiting for a second would delay every channel's first picture to spare a switch that nobody sees.

A channel with parts shows them ahead of the whole segment, by the rule in `part_selection`.

Encoders may deliver different *editions* of the channel, which viewers can't be switched between
unseen. The choice is the same: only terms decide. Parts come from encoders of the edition on air
alone, and what is known of them is forgotten when another edition is published.
"""

from __future__ import annotations

from dataclasses import replace

from hitless_handover import part_selection
from hitless_handover.messages import OriginSwitch
from hitless_handover.part_selection import PartArrived
from hitless_handover.selection_model import (
    DELIVERIES_MAX,
    HISTORY_MAX,
    OVERLAP_REACH,
    PENDING_MAX,
    SWITCHES_MAX,
    Admission,
    Arrived,
    Delivery,
    Effect,
    Event,
    Publish,
    PublishFailed,
    RecordGap,
    RefusalReason,
    Refused,
    Rules,
    Selection,
    Slot,
    Step,
    Switched,
    TermRaised,
    Tick,
)


def step(state: Selection, event: Event, now_us: int) -> Step:
    """Take one event at a time in microseconds (monotonic, any origin)."""
    effects: list[Effect] = []
    match event:
        case Arrived():
            state, effects = _arrive(state, event, now_us)
        case PartArrived():
            if state.parts is not None:
                parts = part_selection.arrive(state.parts, event, state.term, now_us)
                state = replace(state, parts=parts)
        case PublishFailed():
            state, effects = _fail(state, event.segment)
        case Tick():
            pass
    wake_at_us = None
    for _ in range(2 * PENDING_MAX + 1):  # each round decides a slot, or the gap before one
        state, made, part_due_us = _advance_parts(state, now_us)
        effects += made
        due_us = _due_us(state, now_us)
        if due_us is None or due_us > now_us:
            wake_at_us = min((t for t in (due_us, part_due_us) if t is not None), default=None)
            break
        before = state
        state, decided = _decide(state, now_us)
        state, made = _close_parts(state, before, now_us)
        effects += [*made, *decided]
    return Step(state=state, effects=tuple(effects), wake_at_us=wake_at_us)


def admission(state: Selection, segment: int) -> Admission:
    """Whether a push of this segment is wanted, before anybody reads its body."""
    if state.last is not None and segment <= state.last:
        return Admission.GONE if _slot(state, segment) is None else Admission.LATE
    waiting = _undecided(state)
    beyond = bool(waiting) and segment > waiting[-1].segment
    full = len(waiting) >= PENDING_MAX and all(slot.complete() for slot in waiting)
    return Admission.TOO_FAR if beyond and full else Admission.OPEN


def fully_delivered(state: Selection, segment: int, encoder: str) -> bool:
    """Whether the encoder's delivery of the segment is complete, as far as is remembered."""
    slot = _slot(state, segment)
    delivery = slot.delivery(encoder) if slot else None
    return delivery is not None and delivery.complete_us is not None


# --- parts ------------------------------------------------------------------------------------


def _advance_parts(state: Selection, now_us: int) -> tuple[Selection, list[Effect], int | None]:
    if state.parts is None:
        return state, [], None
    parts, made, due_us = part_selection.advance(state.parts, state.term, now_us)
    return replace(state, parts=parts), [*made], due_us


def _close_parts(
    state: Selection, before: Selection, now_us: int
) -> tuple[Selection, list[Effect]]:
    """A segment or a gap was decided: what is left of its parts."""
    if state.parts is None or state.last is None:
        return state, []
    if state.edition != before.edition:
        parts = part_selection.begin(state.parts, state.last + 1, now_us)
        return replace(state, parts=parts), []
    encoder = state.encoder if state.published != before.published else None
    parts, made = part_selection.close(state.parts, encoder, before.term, state.last, now_us)
    return replace(state, parts=parts), [*made]


def _viewed_already(state: Selection, slot: Slot) -> Delivery | None:
    """The whole delivery of an encoder whose parts viewers have seen to the end of the segment."""
    parts = state.parts
    if parts is None or parts.source is None or not part_selection.is_through(parts, slot.segment):
        return None
    delivery = slot.delivery(parts.source)
    return delivery if delivery is not None and delivery.complete_us is not None else None


# --- arrivals ---------------------------------------------------------------------------------


def _arrive(state: Selection, event: Arrived, now_us: int) -> tuple[Selection, list[Effect]]:
    effects: list[Effect] = []
    match admission(state, event.segment):
        case Admission.GONE:
            state, effects = _raise_term(state, event.priority)
            return state, [*effects, _refused(event, RefusalReason.GONE)]
        case Admission.TOO_FAR:
            return state, [_refused(event, RefusalReason.TOO_FAR)]
    slot = _slot(state, event.segment)
    if slot is None:
        state, effects = _make_room(state)
        slot = Slot(segment=event.segment, touched_us=now_us)
    before = slot.delivery(event.encoder)
    if before is None and len(slot.deliveries) >= DELIVERIES_MAX:
        return state, [*effects, _refused(event, RefusalReason.CROWDED)]
    delivery = _with_track(before, event, state.rules, now_us)
    state = _put(state, _with_delivery(slot, delivery, now_us))
    if delivery.complete_us is None:
        return state, effects
    if before is None or before.complete_us is None:
        state, grown = _count_overlap(state, event.segment, event.encoder)
        effects += grown
    if state.last is not None and event.segment <= state.last:
        state, raised = _raise_term(state, delivery.priority)
        effects += raised
    return state, effects


def _with_track(before: Delivery | None, event: Arrived, rules: Rules, now_us: int) -> Delivery:
    tracks = dict(before.tracks) if before else {}
    tracks[event.track] = max(event.priority, tracks.get(event.track, 0))
    complete_us = before.complete_us if before else None
    needed = rules.tracks if event.tracks is None else event.tracks
    if complete_us is None and needed <= tracks.keys():
        complete_us = now_us
    return Delivery(
        encoder=event.encoder,
        tracks=tuple(tracks.items()),
        complete_us=complete_us,
        edition=event.edition,
    )


def _with_delivery(slot: Slot, delivery: Delivery, now_us: int) -> Slot:
    others = tuple(d for d in slot.deliveries if d.encoder != delivery.encoder)
    return replace(slot, deliveries=(*others, delivery), touched_us=now_us)


def _make_room(state: Selection) -> tuple[Selection, list[Effect]]:
    """Drop one undecided slot if there are too many.

    The incomplete one that waits longest for another track: so neither an encoder that never
    completes anything nor one far ahead can push out what another is just delivering. Else the
    newest.
    """
    waiting = _undecided(state)
    if len(waiting) < PENDING_MAX:
        return state, []
    incomplete = [slot for slot in waiting if not slot.complete()]
    broken = min(incomplete, key=lambda slot: slot.touched_us, default=None)
    victim = broken or waiting[-1]
    reason = RefusalReason.INCOMPLETE if broken else RefusalReason.TOO_FAR
    slots = tuple(slot for slot in state.slots if slot.segment != victim.segment)
    return replace(state, slots=slots), [
        Refused(segment=victim.segment, encoder=d.encoder, reason=reason) for d in victim.deliveries
    ]


def _count_overlap(state: Selection, segment: int, encoder: str) -> tuple[Selection, list[Effect]]:
    """A delivery became complete: it may be the second of a pair around a switch."""
    grown: list[OriginSwitch] = []
    switches = []
    for switch in state.switches:
        pair = {switch.from_encoder, switch.to_encoder}
        near = abs(segment - switch.segment) <= OVERLAP_REACH
        other = next(iter(pair - {encoder}), None) if encoder in pair else None
        counted = switch
        if near and other is not None and fully_delivered(state, segment, other):
            overlap = switch.overlap_frames + state.rules.segment_frames
            counted = replace(switch, overlap_frames=overlap)
            grown.append(counted)
        switches.append(counted)
    return replace(state, switches=tuple(switches)), [Switched(switch=s) for s in grown]


def _raise_term(state: Selection, priority: int) -> tuple[Selection, list[Effect]]:
    if priority <= state.term:
        return state, []
    return replace(state, term=priority), [TermRaised(term=priority)]


def _refused(event: Arrived, reason: RefusalReason) -> Refused:
    return Refused(segment=event.segment, encoder=event.encoder, reason=reason)


# --- decisions --------------------------------------------------------------------------------


def _due_us(state: Selection, now_us: int) -> int | None:
    """When the next decision is due: now, later, or None while nothing complete is waiting."""
    ready = _ready(state)
    if not ready:
        return None
    if state.last is None or (ready[0].segment == state.last + 1 and _may_go(state, ready[0])):
        return now_us
    own = [slot for slot in ready if slot.segment == state.last + 1]
    later = [slot for slot in ready if slot.segment > state.last + 1]
    known = [_first_complete_us(slot) for slot in own]
    if later:
        known.append(max(min(map(_first_complete_us, later)), state.advanced_us))
    due_us = min(known) + state.rules.deadline_us
    if not own and all(_best(state, slot).priority < state.term for slot in later):
        due_us = max(due_us, state.advanced_us + state.rules.gap_us)
    if own and state.parts is not None:
        stuck_us = part_selection.stuck_us(state.parts, own[0].segment)
        due_us = due_us if stuck_us is None else min(due_us, stuck_us)
    return due_us


def _may_go(state: Selection, slot: Slot) -> bool:
    """Whether nothing better is to be waited for."""
    best = _best(state, slot)
    return best.priority >= state.term or best == _viewed_already(state, slot)


def _decide(state: Selection, now_us: int) -> tuple[Selection, list[Effect]]:
    """Decide the next segment, or the gap before the next complete one; the decision is due."""
    slot = _ready(state)[0]
    if state.last is not None and slot.segment > state.last + 1:
        return _record_gap(state, state.last + 1, slot.segment - 1)
    return _publish(state, slot, now_us)


def _publish(state: Selection, slot: Slot, now_us: int) -> tuple[Selection, list[Effect]]:
    before, best = state.last, _best(state, slot)
    fallback = best.priority < state.term
    term = max(state.term, best.priority)
    effects: list[Effect] = [
        Publish(
            segment=slot.segment,
            encoder=best.encoder,
            priority=best.priority,
            fallback=fallback,
            term=term,
            edition=best.edition,
        )
    ]
    switches, count = state.switches, state.switch_count
    if _is_switch(state, best):
        switch = _switch(state, slot.segment, best, fallback=fallback)
        switches, count = (*switches, switch)[-SWITCHES_MAX:], count + 1
        effects.append(Switched(switch=switch))
    state = replace(
        state,
        last=slot.segment,
        term=term,
        published=slot.segment,
        encoder=best.encoder,
        priority=best.priority,
        fallbacks=state.fallbacks + fallback,
        switches=switches,
        switch_count=count,
        advanced_us=now_us,
        edition=best.edition,
    )
    state, dropped = _settle(state, before=before, published=slot.segment)
    return state, [*effects, *dropped]


def _is_switch(state: Selection, best: Delivery) -> bool:
    """Another encoder, or the same one under a newer term after it had been a fallback."""
    if state.encoder is None:
        return False
    led_before = state.term > 0
    return best.encoder != state.encoder or (led_before and best.priority > state.priority)


def _switch(state: Selection, segment: int, best: Delivery, *, fallback: bool) -> OriginSwitch:
    old = state.encoder or ""
    both = sum(
        abs(slot.segment - segment) <= OVERLAP_REACH
        and {old, best.encoder} <= {d.encoder for d in slot.complete()}
        and old != best.encoder
        for slot in state.slots
    )
    before = segment - 1 if state.published is None else state.published
    return OriginSwitch(
        segment=segment,
        from_encoder=old,
        to_encoder=best.encoder,
        from_priority=state.priority,
        to_priority=best.priority,
        fallback=fallback,
        gap_frames=(segment - before - 1) * state.rules.segment_frames,
        overlap_frames=both * state.rules.segment_frames,
    )


def _record_gap(state: Selection, first: int, last: int) -> tuple[Selection, list[Effect]]:
    after = replace(state, last=last, gaps=state.gaps + last - first + 1)
    after, dropped = _settle(after, before=state.last, published=None)
    return after, [RecordGap(first=first, last=last), *dropped]


def _settle(
    state: Selection, *, before: int | None, published: int | None
) -> tuple[Selection, list[Effect]]:
    """After `last` moved on from `before`: forget what was passed over, and the oldest history."""
    last = -1 if state.last is None else state.last
    passed = [
        slot
        for slot in state.slots
        if (before is None or slot.segment > before)
        and slot.segment <= last
        and slot.segment != published
    ]
    kept = [slot for slot in state.slots if slot not in passed]
    decided = [slot for slot in kept if slot.segment <= last]
    waiting = kept[len(decided) :]
    return replace(state, slots=(*decided[-HISTORY_MAX:], *waiting)), [
        Refused(segment=slot.segment, encoder=d.encoder, reason=RefusalReason.GONE)
        for slot in passed
        for d in slot.deliveries
    ]


def _fail(state: Selection, segment: int) -> tuple[Selection, list[Effect]]:
    """A publication came to nothing: it becomes a gap, for nobody has seen it."""
    if admission(state, segment) is not Admission.LATE:
        return state, []
    slots = tuple(slot for slot in state.slots if slot.segment != segment)
    published = [slot.segment for slot in slots if slot.segment <= (state.last or 0)]
    state = replace(
        state,
        slots=slots,
        gaps=state.gaps + 1,
        published=published[-1] if published else None,
    )
    return state, [RecordGap(first=segment, last=segment)]


# --- slots ------------------------------------------------------------------------------------


def _slot(state: Selection, segment: int) -> Slot | None:
    return next((slot for slot in state.slots if slot.segment == segment), None)


def _put(state: Selection, slot: Slot) -> Selection:
    others = [other for other in state.slots if other.segment != slot.segment]
    slots = sorted([*others, slot], key=lambda each: each.segment)
    return replace(state, slots=tuple(slots))


def _undecided(state: Selection) -> list[Slot]:
    return [slot for slot in state.slots if state.last is None or slot.segment > state.last]


def _ready(state: Selection) -> list[Slot]:
    """The undecided slots that an encoder has delivered completely."""
    return [slot for slot in _undecided(state) if slot.complete()]


def _first_complete_us(slot: Slot) -> int:
    return min(d.complete_us for d in slot.deliveries if d.complete_us is not None)


def _best(state: Selection, slot: Slot) -> Delivery:
    """The highest priority; among equals what is on air, so that nothing switches idly."""
    viewed = _viewed_already(state, slot)
    return max(
        slot.complete(),
        key=lambda d: (d.priority, d == viewed, d.encoder == state.encoder, -(d.complete_us or 0)),
    )
