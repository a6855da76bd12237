"""What `hitless local` prints: text for a terminal, plain lines elsewhere, or JSON lines.

Owns every word on standard output. The functions that make lines are pure; the two screens only
write them. A terminal has one live line, rewritten in place and always the last.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any, Protocol, TextIO

from hitless_cli.local.story import Addresses, Progress, Summary
from hitless_cli.terminal import LiveLine
from hitless_handover.supervisor_model import HandoverPhase, Notice


class Screen(Protocol):
    """Where the story of a run goes."""

    def addresses(self, addresses: Addresses) -> None:
        """The channel can be watched there."""

    def notice(self, notice: Notice) -> None:
        """Something happened."""

    def progress(self, progress: Progress | None) -> None:
        """Where a handover stands, at every look; None: none is under way."""

    def summary(self, summary: Summary) -> None:
        """A handover has ended."""

    def end(self) -> None:
        """The run has ended."""


# --- text ---


def address_lines(addresses: Addresses) -> list[str]:
    """Where to watch, one to a line."""
    return [
        f"Watch  {addresses.page}",
        f"HLS    {addresses.hls}",
        f"DASH   {addresses.dash}",
        f"Data   {addresses.data}",
    ]


def notice_line(notice: Notice, clock: str) -> str:
    """`12:01:03  OnAir  demo-1 is on air with term 1`, warnings marked."""
    mark = "!" if notice.warning else " "
    return f"{clock} {mark} {notice.reason:<18} {notice.message}"


def progress_line(progress: Progress) -> str:
    """One line, the most telling first: a narrow terminal cuts its end."""
    negotiating = progress.phase is HandoverPhase.NEGOTIATING and progress.step
    parts = [f"{progress.phase} ({progress.step})" if negotiating else str(progress.phase)]
    if progress.segments_to_go is not None:
        parts.append(_count(progress.segments_to_go, "segment") + " to go")
    if progress.frame is not None:
        parts.append(f"frame {progress.frame}")
        parts.append("confirmed by " + (", ".join(progress.confirmed) or "nobody yet"))
    parts.append(f"{progress.incumbent} -> {progress.successor}")
    return " | ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary_lines(summary: Summary) -> list[str]:
    """A table: label and value."""
    rows = [
        ("handover", f"{summary.handover_id} {summary.outcome}"),
        ("from", summary.incumbent),
        ("to", summary.successor),
        *_event_rows(summary),
        ("duration", f"{_seconds(summary.duration_us)}  {_phases(summary)}".rstrip()),
    ]
    if summary.reason:
        rows.append(("because", f"{summary.reason}: {summary.message}"))
    return [f"  {label:<10} {value}" for label, value in rows]


def _event_rows(summary: Summary) -> list[tuple[str, str]]:
    if summary.frame is None:
        return [("frame", "none was agreed")]
    rows = [
        ("frame", f"{summary.frame}  timecode {summary.timecode}"),
        ("segment", str(summary.segment)),
        ("gap", _frames(summary.lost_frames)),
        ("overlap", _frames(summary.overlap_frames)),
    ]
    if summary.confirmed:
        said = ", ".join(f"{who} (segment {segment})" for who, segment in summary.confirmed)
        rows.append(("confirmed", said))
    return rows


def _frames(count: int | None) -> str:
    return "not confirmed" if count is None else _count(count, "frame")


def _phases(summary: Summary) -> str:
    parts = ", ".join(f"{phase} {_seconds(spent)}" for phase, spent in summary.phase_us)
    return f"({parts})" if parts else ""


def _seconds(spent_us: int) -> str:
    return f"{spent_us // 1_000_000}.{spent_us // 100_000 % 10} s"


class TextScreen:
    """Lines for people. live: a terminal, where the last line is rewritten in place."""

    def __init__(self, stream: TextIO, *, live: bool) -> None:
        self._terminal = LiveLine(stream, live=live)
        self._line = ""

    def addresses(self, addresses: Addresses) -> None:
        """See Screen."""
        self._print(*address_lines(addresses))

    def notice(self, notice: Notice) -> None:
        """See Screen."""
        self._print(notice_line(notice, time.strftime("%H:%M:%S")))

    def summary(self, summary: Summary) -> None:
        """See Screen."""
        self._set("")
        self._print("", *summary_lines(summary), "")

    def progress(self, progress: Progress | None) -> None:
        """See Screen. Elsewhere than on a terminal: a line whenever it says something new."""
        line = "" if progress is None else progress_line(progress)
        if line == self._line:
            return
        self._line = line
        if self._terminal.live:
            self._terminal.show(line)
        elif line:
            self._print(f"{time.strftime('%H:%M:%S')}   {line}")

    def end(self) -> None:
        """See Screen. The shell's prompt is to find an empty line."""
        self._set("")
        self._print()

    def _set(self, line: str) -> None:
        """What the live line says from the next print on."""
        self._line = self._terminal.line = line

    def _print(self, *lines: str) -> None:
        self._terminal.print(*lines)


# --- JSON ---


class JsonScreen:
    """One JSON object a line, each with `type` and `at` (seconds since the epoch)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: Progress | None = None

    def addresses(self, addresses: Addresses) -> None:
        """See Screen."""
        self._write("addresses", asdict(addresses))

    def notice(self, notice: Notice) -> None:
        """See Screen."""
        self._write("notice", asdict(notice))

    def summary(self, summary: Summary) -> None:
        """See Screen."""
        body = asdict(summary)
        body["confirmed"] = dict(summary.confirmed)
        body["phase_us"] = dict(summary.phase_us)
        self._write("summary", body)

    def progress(self, progress: Progress | None) -> None:
        """See Screen. Only what is new is written."""
        if progress is not None and progress != self._last:
            self._write("progress", asdict(progress))
        self._last = progress

    def end(self) -> None:
        """See Screen. Lines are complete by themselves."""

    def _write(self, kind: str, body: dict[str, Any]) -> None:
        row = {"type": kind, "at": round(time.time(), 3), **body}
        self._stream.write(json.dumps(row) + "\n")
        self._stream.flush()
