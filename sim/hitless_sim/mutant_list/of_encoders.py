"""Bugs in what encoders agree to and do."""

from __future__ import annotations

from hitless_sim.mutant_list.mutant import CORE, Mutant

ENCODERS: tuple[Mutant, ...] = (
    Mutant(
        "take-stale-term",
        f"{CORE}.peer",
        ('    if event.term <= peer.known_term:\n        message = f"term'),
        ('    if event.term < 0:\n        message = f"term'),
        "the fence: an order that comes late gives an old term back",
    ),
    Mutant(
        "join-stale-term",
        f"{CORE}.peer_rules",
        ("    if term <= peer.known_term:\n        return Reply("),
        ("    if term < 0:\n        return Reply("),
        "the fence: a handover of an old term begins",
    ),
    Mutant(
        "mismatch-ignored",
        f"{CORE}.peer_incumbent",
        "    if mismatch is not None:",
        "    if mismatch is not None and not event.handover_id:",
        "outputs that do not fit are taken over",
    ),
    Mutant(
        "anchor-not-compared",
        f"{CORE}.messages",
        '("fingerprint", ours.fingerprint, theirs.fingerprint), anchor]',
        '("fingerprint", ours.fingerprint, theirs.fingerprint)]',
        "another timeline passes for the same",
    ),
    Mutant(
        "verdict-ignored",
        f"{CORE}.peer_incumbent",
        "    if not event.ok:",
        "    if not event.ok and not event.handover_id:",
        "bad pictures are taken over",
    ),
    Mutant(
        "frame-in-the-past-accepted",
        f"{CORE}.peer_incumbent",
        "    if inside or segment < earliest:",
        "    if inside:",
        "a frame is agreed that has been given out",
    ),
    Mutant(
        "lead-ignored",
        f"{CORE}.peer_rules",
        "next_segment(peer) + criteria.lead_segments",
        "next_segment(peer)",
        "no time to tell anybody",
    ),
    Mutant(
        "not-before-ignored",
        f"{CORE}.peer_rules",
        "    return max(soonest, bound)",
        "    return soonest",
        "the user's earliest frame",
    ),
    Mutant(
        "not-after-ignored",
        f"{CORE}.peer_rules",
        "    return bool(criteria.not_after_frame) and frame > criteria.not_after_frame",
        "    return False",
        "the user's latest frame",
    ),
    Mutant(
        "incumbent-keeps-its-term",
        f"{CORE}.peer_incumbent",
        (
            "    yielding = replace(peer, schedule=lead_from(peer.schedule, first, STANDBY, "
            "silent=silent))"
        ),
        ("    yielding = replace(peer, schedule=peer.schedule) if silent is not None else peer"),
        "both lead from the frame on",
    ),
    Mutant(
        "incumbent-yields-early",
        f"{CORE}.peer_incumbent",
        "    first = max(segment, next_segment(peer))",
        "    first = next_segment(peer)",
        "nobody leads before the frame",
    ),
    Mutant(
        "cease-does-not-cease",
        f"{CORE}.peer_incumbent",
        "    silent = side.criteria.mode is not HandoverMode.PRIORITY",
        "    silent = False",
        "a downstream without priorities gets both",
    ),
    Mutant(
        "successor-never-leads",
        f"{CORE}.peer_successor",
        "    armed = replace(agreed, schedule=lead_from(peer.schedule, segment, side.term))",
        "    armed = agreed if segment else peer",
        "it tells the incumbent to yield and is not bound itself",
    ),
    Mutant(
        "successor-leads-at-once",
        f"{CORE}.peer_successor",
        "lead_from(peer.schedule, segment, side.term))",
        "lead_from(peer.schedule, next_segment(peer), side.term))",
        "it does not wait for the frame",
    ),
    Mutant(
        "bound-to-the-past",
        f"{CORE}.peer_successor",
        ("    if segment < next_segment(peer):\n        return give_up"),
        ("    if segment < 0:\n        return give_up"),
        "the accepted frame has passed meanwhile",
    ),
    Mutant(
        "refusal-taken-for-consent",
        f"{CORE}.peer_successor",
        ("    if reply.accepted:\n        return _on_accepted"),
        ("    if reply.accepted or reply.frame is None:\n        return _on_accepted"),
        "it takes over unasked",
    ),
    Mutant(
        "confirms-early",
        f"{CORE}.peer",
        "    if late < 0:",
        "    if late < -1:",
        "a segment before the frame is told as the first",
    ),
    Mutant(
        "calls-off-too-late",
        f"{CORE}.peer",
        ("    if event_has_passed(peer, side):\n        return refuse(peer, Refusal.TOO_LATE"),
        ("    if peer.head is None:\n        return refuse(peer, Refusal.TOO_LATE"),
        "abort is accepted when the frame has been given out",
    ),
    Mutant(
        "called-off-and-still-bound",
        f"{CORE}.peer_rules",
        "        schedule = cancel_from(schedule, peer.timeline.segment_of(side.frame))",
        "        schedule = tuple(schedule)",
        "calling off does not undo",
    ),
    Mutant(
        "jump-ignored",
        f"{CORE}.peer",
        "    return give_up(peer, side, Refusal.MISMATCH, message)",
        (
            "    return Step(peer=peer) if message else give_up(peer, side, "
            "Refusal.MISMATCH, message)"
        ),
        "the timelines came apart after the comparison",
    ),
    Mutant(
        "discontinuity-excuses-another-anchor",
        f"{CORE}.messages",
        "        return [*rows, anchor]",
        "        return rows",
        "frames get other numbers",
    ),
    Mutant(
        "handover-survives-a-new-term",
        f"{CORE}.peer",
        ('    peer, effects = _without_handover(peer, f"it leads with term {event.term} now")'),
        "    effects: tuple[Effect, ...] = ()",
        "an old handover undoes a newer leadership",
    ),
    Mutant(
        "resend-forgotten",
        f"{CORE}.peer",
        "        effects = (*effects, lacking)",
        "        effects = tuple(effects)",
        "what was withheld is lost",
    ),
    Mutant(
        "deadline-forgotten",
        f"{CORE}.peer",
        "    return side.deadline_us\n",
        "    return None\n",
        "an encoder waits for ever",
    ),
)
