"""Bugs in what the operator decides and writes down."""

from __future__ import annotations

from hitless_sim.mutant_list.mutant import CORE, Mutant

OPERATOR: tuple[Mutant, ...] = (
    Mutant(
        "first-anchor-kept",
        f"{CORE}.supervisor",
        "    if record.anchor is not None and (not leads",
        "    if record.anchor is not None and (True or not leads",
        "a jump of the source is not recorded while a spare stands by",
    ),
    Mutant(
        "first-term-not-grown",
        f"{CORE}.supervisor",
        "    term = max(record.term, seen_term) + 1\n",
        "    term = max(1, record.term, seen_term)\n",
        "allotting is writing a new term",
    ),
    Mutant(
        "taken-back-by-hearsay",
        f"{CORE}.supervisor_abort",
        "is_on_air(desired, record.active, view) and not forgot\n",
        "is_on_air(desired, record.active, view)\n",
        "the origin's last word is from before the incumbent restarted",
    ),
    Mutant(
        "successor-without-a-uid",
        f"{CORE}.supervisor_handover",
        "        record = replace(record, handover=update)\n    record = _with_anchor",
        "    record = _with_anchor",
        "another pod of its name is taken for it",
    ),
    Mutant(
        "update-term-not-grown",
        f"{CORE}.supervisor_handover",
        ("    term = record.term + 1\n    successor ="),
        ("    term = record.term\n    successor ="),
        "allotting is writing a new term",
    ),
    Mutant(
        "heir-term-not-grown",
        f"{CORE}.supervisor_handover",
        ('    term = record.term + 1\n    message = f"{update.incumbent.name} was lost'),
        ('    term = record.term\n    message = f"{update.incumbent.name} was lost'),
        "an heir leads under the term of another",
    ),
    Mutant(
        "spare-term-not-grown",
        f"{CORE}.supervisor",
        ("    term = record.term + 1\n    spare = handover"),
        ("    term = record.term\n    spare = handover"),
        "a spare has the name and term of another",
    ),
    Mutant(
        "rollback-with-the-old-term",
        f"{CORE}.supervisor_abort",
        ("    term = record.term + 1\n    back ="),
        ("    term = update.incumbent.term\n    back ="),
        "what the successor does still wins",
    ),
    Mutant(
        "deleted-while-none-is-on-air",
        f"{CORE}.supervisor",
        ("    if updated.phase is ChannelPhase.LIVE:\n        updated, kept"),
        ("    if updated.phase is not ChannelPhase.PENDING:\n        updated, kept"),
        "encoders go before another one is on air",
    ),
    Mutant(
        "spare-deleted",
        f"{CORE}.supervisor",
        "        kept.add(record.spare.name)\n",
        "",
        "the spare is taken for a leftover",
    ),
    Mutant(
        "active-deleted",
        f"{CORE}.supervisor",
        "    kept = {record.active.name}\n",
        "    kept = {str(record.handover)}\n",
        "the encoder on air is taken for a leftover",
    ),
    Mutant(
        "nothing-cleared-away",
        f"{CORE}.supervisor",
        ("    actions: list[Action] = []\n    for name, seen in sorted(view.encoders.items()):"),
        (
            "    actions: list[Action] = []\n"
            "    for name, seen in sorted(view.encoders.items())[:0]:"
        ),
        "encoders are left over",
    ),
    Mutant(
        "no-spare",
        f"{CORE}.supervisor",
        ("    if not desired.hot_spare:\n        return replace(record, spare=None), ()"),
        ("    if desired.hot_spare:\n        return replace(record, spare=None), ()"),
        "the spare that the user asks for",
    ),
    Mutant(
        "restarted-encoder-not-granted",
        f"{CORE}.supervisor",
        "    if seen.report is not None and seen.report.leading_term != record.active.term:",
        "    if seen.report is not None and seen.report.leading_term > record.active.term:",
        "nobody leads after a restart",
    ),
    Mutant(
        "live-by-its-own-word",
        f"{CORE}.supervisor",
        (
            "    if not is_on_air(desired, record.active, view):\n"
            "        return replace(record, problem=_unheard"
        ),
        ("    if not desired.image:\n        return replace(record, problem=_unheard"),
        "what is on air is deleted for what is not",
    ),
    Mutant(
        "live-before-the-platform-says-so",
        f"{CORE}.supervisor",
        "    if record.phase is ChannelPhase.DEGRADED and not seen.ready:",
        "    if record.phase is ChannelPhase.DEGRADED and seen.ready and not seen.ready:",
        "the phase goes to and fro at every look",
    ),
    Mutant(
        "paused-ignored",
        f"{CORE}.supervisor",
        "    if desired.paused or desired.digest == record.active.digest:",
        "    if desired.digest == record.active.digest:",
        "the user's pause",
    ),
    Mutant(
        "refused-and-tried-again",
        f"{CORE}.supervisor",
        "    return desired.digest != record.refused_digest\n",
        "    return True\n",
        "an update that fails is repeated for ever",
    ),
    Mutant(
        "refused-by-the-back-door",
        f"{CORE}.supervisor",
        "    if desired.digest in (record.active.digest, record.refused_digest):",
        "    if desired.digest == record.active.digest:",
        "what was refused replaces the proven one when that is away for a moment",
    ),
    Mutant(
        "restart-in-place-not-seen",
        f"{CORE}.supervisor",
        (
            "    return bool(active.process) and bool(seen.process) and seen.process != "
            "active.process"
        ),
        "    return False",
        "the encoder on air has forgotten its term and nobody grants it again",
    ),
    Mutant(
        "gone-to-sleep",
        f"{CORE}.supervisor",
        "if resting else now_us + SETTLE_POLL_US,",
        "if updated else now_us + SETTLE_POLL_US,",
        "an operator that waits for nothing",
    ),
    Mutant(
        "handover-not-woken",
        f"{CORE}.supervisor_handover",
        "wake_at_us=max(now_us + POLL_US, due_us) if live else now_us)",
        "wake_at_us=None if live else now_us)",
        "an operator that waits for nothing",
    ),
    Mutant(
        "abort-by-the-user-ignored",
        f"{CORE}.supervisor_handover",
        (
            "    if desired.abort_id != update.handover_id or update.phase is "
            "HandoverPhase.ABORTING:"
        ),
        ("    if desired.abort_id or update.phase is HandoverPhase.ABORTING or desired.image:"),
        "the user calls an update off",
    ),
    Mutant(
        "never-overdue",
        f"{CORE}.supervisor_abort",
        "    if now_us < update.phase_since_us + patience_s * MICROSECONDS:",
        "    if now_us < update.phase_since_us + 99 * patience_s * MICROSECONDS:",
        "a deadline of the operator",
    ),
    Mutant(
        "superseded-and-begun",
        f"{CORE}.supervisor_abort",
        ("    if desired.digest == update.successor.digest:\n        return None\n"),
        ("    if desired.image:\n        return None\n"),
        "the user has asked for another version since",
    ),
    Mutant(
        "origin-not-waited-for",
        f"{CORE}.supervisor_confirm",
        ("    if desired.has_origin:\n        rows.append"),
        ("    if not rows:\n        rows.append"),
        "Completed without what viewers got",
    ),
    Mutant(
        "successor-not-waited-for",
        f"{CORE}.supervisor_confirm",
        '        ("the successor", update.successor_confirmation),\n',
        "",
        "Completed without the successor's word",
    ),
    Mutant(
        "hold-skipped",
        f"{CORE}.supervisor_confirm",
        "    if newest is None or newest < until:",
        "    if newest is None:",
        "the incumbent goes with no proof of the successor",
    ),
    Mutant(
        "segment-recorded-wrong",
        f"{CORE}.supervisor_handover",
        "    segment = desired.timeline.segment_of(theirs.frame)",
        "    segment = desired.timeline.segment_of(theirs.frame) + 1",
        "the record of the event",
    ),
    Mutant(
        "completed-and-not-active",
        f"{CORE}.supervisor_confirm",
        ("        finished(record, done), active=active, phase=ChannelPhase.LIVE, problem=None"),
        "        finished(record, done), phase=ChannelPhase.LIVE, problem=None",
        "the incumbent stays the active one",
    ),
    Mutant(
        "history-forgotten",
        f"{CORE}.supervisor_update",
        "    history = (*record.history, done)[-HISTORY_MAX:]",
        "    history = record.history[-HISTORY_MAX:]",
        "what happened is not written down",
    ),
    Mutant(
        "confirmation-of-another",
        f"{CORE}.supervisor_update",
        (
            "            if switch.to_encoder == update.successor.name and "
            "switch.to_priority == update.term"
        ),
        "            if switch.to_encoder != update.successor.name",
        "another switch is told as this one",
    ),
    Mutant(
        "lacks-nothing",
        f"{CORE}.supervisor_update",
        "    lacks = 0 if last is None else last + 1",
        "    lacks = None if last is None else None",
        "a silent encoder is not told what to send",
    ),
    Mutant(
        "thought-harmless",
        f"{CORE}.supervisor_abort",
        ("    if theirs is not None:\n        return theirs.phase is PeerPhase.ABORTED\n"),
        ("    if theirs is not None:\n        return True\n"),
        "called off while the successor is about to lead",
    ),
    Mutant(
        "thought-to-keep-its-term",
        f"{CORE}.supervisor_abort",
        (
            "    if report is None or report.leading_term != update.incumbent.term:\n"
            "        return False\n"
            "    ours = report_of(view, update.incumbent, update)\n"
            "    return ours is None or ours.phase is PeerPhase.ABORTED"
        ),
        "    return report is not None",
        "an incumbent that yielded is left without a term",
    ),
    Mutant(
        "led-denied",
        f"{CORE}.supervisor_abort",
        "    rolled_back = led(update, view) or unknown",
        "    rolled_back = False and unknown",
        "on air, and told as never on air",
    ),
    Mutant(
        "given-up-and-live",
        f"{CORE}.supervisor_abort",
        "        phase=ChannelPhase.LIVE if on_air else ChannelPhase.STARTING,",
        "        phase=ChannelPhase.LIVE,",
        "live, though the incumbent is not on air",
    ),
    Mutant(
        "moves-for-nothing",
        f"{CORE}.supervisor",
        "    if desired.paused or not active.leaving or not",
        "    if desired.paused or not",
        "an encoder that may stay is replaced by itself",
    ),
    Mutant(
        "moves-while-paused",
        f"{CORE}.supervisor",
        "    if desired.paused or not active.leaving or not",
        "    if not active.leaving or not",
        "the user has said that nothing is to start",
    ),
    Mutant(
        "failed-move-refuses-its-version",
        f"{CORE}.supervisor_abort",
        "    if update.successor.digest != update.incumbent.digest:",
        "    if update.successor.digest:",
        "what is on air counts as refused",
    ),
    Mutant(
        "never-moves-again",
        f"{CORE}.supervisor",
        "    return (failed[0].finished_us or 0) + wait_s * MICROSECONDS",
        "    return None",
        "a move that did not work is forgotten",
    ),
)
