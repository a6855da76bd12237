"""The texts of `get`, `status` and `history`, line by line. Pure; moments come as arguments."""

from __future__ import annotations

from collections.abc import Sequence

from hitless_cli.cluster.documents import event_document, pod_document
from hitless_cli.cluster.reading import PARTIES, Channel, Document, Encoder, Handover, micros
from hitless_cli.cluster.redaction import redacted_text, redacted_url
from hitless_cli.cluster.timeline import Step, StepState, steps
from hitless_cli.cluster.wording import (
    MICROSECONDS,
    age,
    aligned,
    clock,
    count,
    short_digest,
    shown,
    spent,
    version_of,
)

EVENTS_SHOWN = 8
_HEAD = ("NAME", "PHASE", "ON-AIR", "TERM", "FRAME", "HANDOVER", "READY", "AGE")
_WIDE = ("POD", "NODE", "SPARE", "IMAGE", "IMAGE-ID")
_MARKS = {StepState.DONE: "x", StepState.NOW: ">", StepState.AHEAD: " "}


# --- get ---


def head(*, namespaces: bool, wide: bool) -> tuple[str, ...]:
    """The table's first row."""
    return (*(("NAMESPACE",) if namespaces else ()), *_HEAD, *(_WIDE if wide else ()))


def row(
    channel: Channel, now_us: int, *, namespaces: bool, wide: bool, node: str = ""
) -> tuple[str, ...]:
    """One channel in the table. node: of the pod on air."""
    active, last = channel.on_air, channel.handover
    cells = (
        channel.key.name,
        channel.phase + (" (paused)" if channel.paused else ""),
        version_of(active.image if active else ""),
        str(channel.term),
        shown(last.frame if last else None),
        _handover_cell(last),
        _ready_cell(channel),
        age(channel.created_us, now_us),
    )
    more = (
        shown(active.pod if active else ""),
        shown(node),
        shown(channel.standby.pod if channel.standby else ""),
        channel.image,
        shown(active.image_id if active else ""),
    )
    front = (channel.key.namespace,) if namespaces else ()
    return (*front, *cells, *(more if wide else ()))


def _handover_cell(last: Handover | None) -> str:
    if last is None:
        return "-"
    if last.live:
        return f"{last.phase} to {version_of(last.successor.image)}"
    if last.completed:
        return f"Completed, lost {shown(last.lost)}"
    return f"{last.phase} ({last.reason})" if last.reason else last.phase


def _ready_cell(channel: Channel) -> str:
    ready = channel.condition("Ready")
    if ready is None:
        return "Unknown"
    return "True" if ready.status == "True" else f"{ready.status} ({ready.reason})"


# --- status ---


def status_lines(
    channel: Channel,
    *,
    pods: Sequence[Document],
    events: Sequence[Document],
    next_steps: Sequence[str],
    unknown: Sequence[str],
    now_us: int,
) -> list[str]:
    """Everything a streaming engineer wants to see before believing it."""
    parts = [
        _heading(channel),
        _section("Conditions", _conditions(channel, now_us)),
        _section("Encoders", _encoders(channel, pods, now_us)),
        _handover_part(channel, events, now_us),
        _section("Endpoints", _endpoints(channel)),
        _section("Events", _events(events, now_us)),
        _section("Not known", list(unknown)),
        _section("Next", list(next_steps)),
    ]
    lines: list[str] = []
    for part in parts:
        lines += [*([""] if lines and part else []), *part]
    return lines


def _endpoints(channel: Channel) -> list[str]:
    return [f"{name.upper():<5} {redacted_url(url)}" for name, url in channel.endpoints.items()]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *(f"  {line}" for line in lines)] if lines else []


def _heading(channel: Channel) -> list[str]:
    on_air = channel.on_air
    rows = [
        ("Channel", str(channel.key)),
        ("Phase", channel.phase + (" (updates are paused)" if channel.paused else "")),
        ("On air", "nothing" if on_air is None else on_air.image),
        ("Digest", shown("" if on_air is None else on_air.image_id)),
        ("Wanted", channel.image),
        ("Source", redacted_url(channel.source)),
    ]
    return [f"{label:<9}{value}" for label, value in rows]


def _conditions(channel: Channel, now_us: int) -> list[str]:
    table = [
        (c.type, c.status, c.reason, age(c.since_us, now_us), redacted_text(c.message))
        for c in channel.conditions
    ]
    return aligned(table)


def _encoders(channel: Channel, pods: Sequence[Document], now_us: int) -> list[str]:
    roles = {role.pod: (name, role) for name, role in _roles(channel)}
    seen = {pod["metadata"]["name"]: pod_document(pod) for pod in pods}
    table = [("ROLE", "POD", "VERSION", "DIGEST", "TERM", "SINCE", "POD STATE", "RESTARTS", "NODE")]
    for pod in dict.fromkeys((*roles, *seen)):
        name, encoder = roles.get(pod, ("leftover", None))
        version, digest, term, since = "-", "-", "-", "-"
        if encoder is not None:
            version, digest = version_of(encoder.image), short_digest(encoder.image_id)
            term, since = str(encoder.term), age(encoder.since_us, now_us)
        found = seen.get(pod, {})
        last = (_pod_state(found), shown(found.get("restarts")), shown(found.get("node")))
        table.append((name, pod, version, digest, term, since, *last))
    return aligned(table) if len(table) > 1 else []


def _roles(channel: Channel) -> list[tuple[str, Encoder]]:
    """Who is what; the later wins where one pod is two things."""
    update = channel.under_way
    rows: list[tuple[str, Encoder | None]] = [("on air", channel.active)]
    if update is not None:
        rows += [("incumbent", update.incumbent), ("successor", update.successor)]
        rows = [r for r in rows if r[0] != "on air"]
    rows.append(("spare", channel.standby))
    return [(name, encoder) for name, encoder in rows if encoder is not None]


def _pod_state(found: Document) -> str:
    if not found:
        return "not seen"
    if found["terminating"]:
        return "Terminating"
    if found["waiting"]:
        return str(found["waiting"])
    return f"{shown(found['phase'])}{', ready' if found['ready'] else ''}"


def _handover_part(channel: Channel, events: Sequence[Document], now_us: int) -> list[str]:
    last = channel.handover
    if last is None:
        return []
    title = f"Handover {last.id}: {last.phase}" + ("" if last.live else " (the last one)")
    lines = [
        f"{last.incumbent.pod} ({version_of(last.incumbent.image)}) -> "
        f"{last.successor.pod} ({version_of(last.successor.image)}), term {last.term}",
        *(_step_line(step, last, now_us) for step in steps(last, events)),
        *aligned(_facts(channel, last, now_us)),
    ]
    return _section(title, lines)


def _step_line(step: Step, handover: Handover, now_us: int) -> str:
    mark, at = _MARKS[step.state], ""
    since = f" for {age(step.entered_us, now_us)}" if step.state is StepState.NOW else ""
    if step.entered_us is not None and step.state is not StepState.AHEAD:
        at = clock(step.entered_us)
    told = f"{handover.reason}: {redacted_text(handover.message)}"
    why = f"  {told}" if handover.reason and step.phase == handover.phase else ""
    return f"[{mark}] {step.phase:<12} {at:<8}{since}{why}".rstrip()


def _facts(channel: Channel, handover: Handover, now_us: int) -> list[tuple[str, str]]:
    rows = [("event", _event_text(handover, now_us))]
    if handover.frame is not None:
        rows += [(who, _confirmation_text(handover, who)) for who in PARTIES]
        rows.append(("frames", _frames_text(handover)))
    if handover.phase == "Holding":
        rows.append(("hold", f"the incumbent stays for {count(channel.hold_segments, 'segment')}"))
    if not handover.live:
        rows.append(("took", spent(handover.started_us, handover.finished_us)))
    return rows


def _event_text(handover: Handover, now_us: int) -> str:
    if handover.frame is None:
        return "no frame agreed"
    text = f"frame {handover.frame}, segment {shown(handover.segment)}"
    if handover.timecode:
        text += f", timecode {handover.timecode}"
    if handover.timestamp:
        text += f", {handover.timestamp}"
    event_us = handover.event_us
    if handover.live and event_us is not None and event_us > now_us:
        text += f" (in {-(-(event_us - now_us) // MICROSECONDS)} s)"
    return text


def _confirmation_text(handover: Handover, who: str) -> str:
    said = handover.confirmations.get(who)
    if said is None:
        return "not confirmed"
    word = "last" if who == "incumbent" else "first"
    text = f"confirmed: {word} segment {said.segment}, gap {count(said.gap_frames, 'frame')}"
    return text + f", delivered by both {count(said.overlap_frames, 'frame')}"


def _frames_text(handover: Handover) -> str:
    if handover.lost is None:
        return "not counted yet" if handover.live else "not counted"
    repeated = handover.frames_repeated
    told = "repeated not counted" if repeated is None else f"{repeated} repeated"
    return f"{handover.lost} lost, {told}"


def _events(events: Sequence[Document], now_us: int) -> list[str]:
    rows = [event_document(event) for event in events[-EVENTS_SHOWN:]]
    return aligned(
        [
            (
                age(micros(row["at"]), now_us),
                "!" if row["type"] == "Warning" else " ",
                shown(row["reason"]),
                row["message"],
            )
            for row in rows
        ]
    )


# --- history ---


def history_lines(channel: Channel, now_us: int) -> list[str]:
    """Ended updates as a table, the newest first; numbers as in `rollback --to`."""
    table: list[tuple[str, ...]] = [
        ("AGE", "RESULT", "FROM", "TO", "TO DIGEST", "TERM", "FRAME", "LOST", "START", "TO FRAME",
         "AFTER", "TOTAL", "REASON")
    ]  # fmt: skip
    for done in reversed(channel.history):
        event_us = done.event_us
        table.append(
            (
                age(done.finished_us, now_us),
                done.phase,
                version_of(done.incumbent.image),
                version_of(done.successor.image),
                short_digest(done.successor.image_id),
                str(done.term),
                shown(done.frame),
                shown(done.lost),
                spent(done.started_us, done.begun_us),
                spent(done.begun_us, event_us),
                spent(event_us, done.finished_us),
                spent(done.started_us, done.finished_us),
                shown(done.reason),
            )
        )
    if len(table) == 1:
        return [f"{channel.key}: no update has ended yet"]
    return aligned(table)


# --- following one update ---


def progress_line(channel: Channel, now_us: int) -> str:
    """Where a handover stands, in one line; the most telling first."""
    update = channel.under_way
    if update is None:
        blocked = channel.condition("UpdateBlocked")
        why = f", {blocked.reason}: {redacted_text(blocked.message)}" if blocked else ""
        return f"{channel.phase}, no handover under way{why}"
    parts = [update.phase]
    if update.frame is not None:
        event_us = update.event_us
        ahead = event_us is not None and event_us > now_us
        left = f" in {-(-(event_us - now_us) // MICROSECONDS)} s" if ahead and event_us else ""
        parts.append(f"frame {update.frame}{left}")
        parts.append("confirmed by " + (", ".join(update.confirmations) or "nobody yet"))
    parts.append(f"{version_of(update.incumbent.image)} -> {version_of(update.successor.image)}")
    blocked = channel.condition("UpdateBlocked")
    if blocked is not None and blocked.status == "True":
        parts.append(f"{blocked.reason}: {redacted_text(blocked.message)}")
    return " | ".join(parts)


def ended_lines(handover: Handover) -> list[str]:
    """What came of an update."""
    rows = [
        ("handover", f"{handover.id} {handover.phase}"),
        ("from", f"{handover.incumbent.pod} ({version_of(handover.incumbent.image)})"),
        ("to", f"{handover.successor.pod} ({version_of(handover.successor.image)})"),
        ("event", _event_text(handover, 0)),
    ]
    if handover.frame is not None:
        rows += [
            ("confirmed", ", ".join(handover.confirmations) or "by nobody"),
            ("frames", _frames_text(handover)),
        ]
    rows.append(("took", spent(handover.started_us, handover.finished_us)))
    if handover.reason:
        rows.append(("because", f"{handover.reason}: {redacted_text(handover.message)}"))
    return [f"  {label:<10} {value}" for label, value in rows]
