"""Bugs in the origin's rule."""

from __future__ import annotations

from hitless_sim.mutant_list.mutant import CORE, Mutant

ORIGIN: tuple[Mutant, ...] = (
    Mutant(
        "lower-term-preferred",
        f"{CORE}.selection",
        "        key=lambda d: (d.priority, d == viewed",
        "        key=lambda d: (-d.priority, d == viewed",
        "the stale encoder wins",
    ),
    Mutant(
        "incomplete-published",
        f"{CORE}.selection_model",
        "        return tuple(d for d in self.deliveries if d.complete_us is not None)",
        (
            "        return tuple(replace(d, complete_us=d.complete_us or 0) for d in "
            "self.deliveries)"
        ),
        "a track is missing",
    ),
    Mutant(
        "never-falls-back",
        f"{CORE}.selection",
        "    due_us = min(known) + state.rules.deadline_us",
        "    due_us = min(known) + 50 * state.rules.deadline_us",
        "viewers wait for an encoder that is dead",
    ),
    Mutant(
        "gives-up-early",
        f"{CORE}.selection",
        "    due_us = min(known) + state.rules.deadline_us",
        "    due_us = min(known)",
        "nobody gets the time to deliver",
    ),
    Mutant(
        "newcomer-makes-a-gap",
        f"{CORE}.selection",
        "        due_us = max(due_us, state.advanced_us + state.rules.gap_us)",
        "        pass",
        "a leader that is only late loses a segment to a newcomer that has just begun",
    ),
    Mutant(
        "decided-twice",
        f"{CORE}.selection",
        ("        last=slot.segment,\n        term=term,"),
        ("        last=slot.segment - 1,\n        term=term,"),
        "a segment is published again",
    ),
    Mutant(
        "fallback-uncounted",
        f"{CORE}.selection",
        "    fallback = best.priority < state.term",
        "    fallback = best.priority < 0",
        "nobody is told of a fallback",
    ),
    Mutant(
        "gap-over-a-delivery",
        f"{CORE}.selection",
        "_record_gap(state, state.last + 1, slot.segment - 1)",
        "_record_gap(state, state.last + 1, slot.segment)",
        "what has arrived is given up",
    ),
    Mutant(
        "term-falls",
        f"{CORE}.selection",
        "    term = max(state.term, best.priority)",
        "    term = best.priority",
        "after a fallback the lower term counts",
    ),
    Mutant(
        "gap-told-wrong",
        f"{CORE}.selection",
        "        gap_frames=(segment - before - 1) * state.rules.segment_frames,",
        "        gap_frames=(segment - before) * state.rules.segment_frames,",
        "the report of a switch",
    ),
    Mutant(
        "part-follows-anything",
        f"{CORE}.part_selection",
        "return all(own.get(start + i) == digests for i, digests in enumerate(parts.shown))",
        "return len(own) >= 0",
        "a decoder gets the rest of a GOP that it never saw the start of",
    ),
    Mutant(
        "part-follows-its-own-kind-only",
        f"{CORE}.part_selection",
        "    before = () if chosen.part == start else parts.shown",
        "    before = parts.shown",
        "after the first GOP nobody else may follow",
    ),
    Mutant(
        "part-falls-back-at-once",
        f"{CORE}.part_selection",
        "        return best, _first_us(able) + _deadline_us(parts)",
        "        return best, now_us",
        "the leader's part gets no time to come",
    ),
    Mutant(
        "parts-of-a-later-segment",
        f"{CORE}.part_selection",
        "        segment=last + 1,\n        following=0,",
        "        segment=last + 2,\n        following=0,",
        "viewers are given parts of what is not next",
    ),
    Mutant(
        "slower-leader-starves",
        f"{CORE}.part_selection",
        "    wanted_us = 2 * parts.lag_us",
        "    wanted_us = 0",
        "a fallback is always first",
    ),
    Mutant(
        "parts-ahead-forgotten",
        f"{CORE}.part_selection",
        "AHEAD_SEGMENTS = 8",
        "AHEAD_SEGMENTS = 4",
        "the rest of a GOP is lost that an encoder far ahead had delivered",
    ),
)
