"""The figures as a table for people, and what is demanded of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Run = dict[str, dict[str, Any]]
WRITES_MAX = 12.0
"""API writes per handover, Events included."""
RATIO_MAX = 1.2
"""A fleet update's time to that which the encoders themselves need."""
NOUGHT = ("segmentsMissing", "lowerTermsOnAir", "framesLost", "notCompleted", "notUpdated")
HOUR_S = 3600.0

Value = Callable[[Run], float]
ROWS: tuple[tuple[str, Value, str], ...] = (
    ("all on air from nothing, s", lambda r: r["on air"]["seconds"], "{:.1f}"),
    ("  operator CPU, ms a channel", lambda r: _each(r, "on air") * 1000, "{:.1f}"),
    ("  API calls a channel", lambda r: r["on air"]["api_calls"] / _channels(r), "{:.1f}"),
    ("at rest: CPU, % of a core", lambda r: _share(r["rest"]) * 100, "{:.3f}"),
    ("  RSS, MB", lambda r: r["rest"]["rss_mb"], "{:.0f}"),
    ("  API calls an hour", lambda r: _hourly(r["rest"]), "{:.0f}"),
    ("one handover, s", lambda r: r["handover"]["more"]["handoverSeconds"], "{:.1f}"),
    ("  the encoders need, s", lambda r: r["handover"]["more"]["needSeconds"], "{:.1f}"),
    ("  API writes", lambda r: r["handover"]["more"]["writesPerHandover"], "{:.1f}"),
    ("  API reads", lambda r: r["handover"]["more"]["readsPerHandover"], "{:.1f}"),
    ("fleet update: channels", lambda r: r["fleet"]["more"]["channels"], "{:.0f}"),
    ("  time, s", lambda r: r["fleet"]["seconds"], "{:.0f}"),
    ("  to what the encoders need, x", lambda r: r["fleet"]["more"]["ratio"], "{:.2f}"),
    ("  operator CPU, % of a core", lambda r: _share(r["fleet"]) * 100, "{:.0f}"),
    ("  RSS after it, MB", lambda r: r["fleet"]["rss_mb"], "{:.0f}"),
    ("  API writes a channel", lambda r: r["fleet"]["more"]["writesPerHandover"], "{:.1f}"),
    ("  API reads a channel", lambda r: r["fleet"]["more"]["readsPerHandover"], "{:.1f}"),
    ("new operator, all on air, s", lambda r: r["taking over"]["seconds"], "{:.1f}"),
    ("  API writes", lambda r: r["taking over"]["api_writes"], "{:.0f}"),
    ("fleet update with restarts, s", lambda r: r["restarts"]["seconds"], "{:.0f}"),
    ("  to what the encoders need, x", lambda r: r["restarts"]["more"]["ratio"], "{:.2f}"),
    ("  frames lost", lambda r: r["restarts"]["more"]["framesLost"], "{:.0f}"),
    ("peer: Deployment of as many pods, s", lambda r: r["peer"]["seconds"], "{:.0f}"),
    ("  to what the pods need, x", lambda r: r["peer"]["more"]["ratio"], "{:.2f}"),
    ("  CPU, % of a core", lambda r: _share(r["peer"]) * 100, "{:.0f}"),
    ("  RSS, MB", lambda r: r["peer"]["rss_mb"], "{:.0f}"),
    ("  API writes a pod", lambda r: r["peer"]["more"]["writesPerPod"], "{:.1f}"),
)


def table(runs: dict[int, Run]) -> str:
    """A column for each number of channels."""
    lines = [_line("channels", [str(n) for n in runs])]
    for title, value, form in ROWS:
        cells = [_cell(run, value, form) for run in runs.values()]
        if any(cells):
            lines.append(_line(title, cells))
    return "\n".join(lines)


def missed(runs: dict[int, Run]) -> list[str]:
    """The demands that are not met."""
    return [f"{n} channels: {text}" for n, run in runs.items() for text in _missed(run)]


def _missed(run: Run) -> Iterator[str]:
    writes = run["handover"]["more"]["writesPerHandover"]
    if writes > WRITES_MAX:
        yield f"{writes:.1f} API writes per handover, at most {WRITES_MAX:.0f} are allowed"
    if "fleet" in run and run["fleet"]["more"]["ratio"] > RATIO_MAX:
        ratio = run["fleet"]["more"]["ratio"]
        yield f"the fleet update took x {ratio:.2f} of what encoders need, at most x {RATIO_MAX}"
    for step in ("fleet", "restarts"):
        for fault in NOUGHT:
            count = run.get(step, {}).get("more", {}).get(fault, 0)
            if count:
                yield f"{step}: {fault} is {count}"


def _channels(run: Run) -> int:
    return int(run["on air"]["more"]["channels"])


def _each(run: Run, step: str) -> float:
    return float(run[step]["cpu_seconds"]) / _channels(run)


def _share(step: dict[str, Any]) -> float:
    return float(step["cpu_seconds"]) / float(step["seconds"])


def _hourly(step: dict[str, Any]) -> float:
    return float(step["api_calls"]) * HOUR_S / float(step["seconds"])


def _cell(run: Run, value: Value, form: str) -> str:
    try:
        return form.format(value(run))
    except KeyError:
        return ""  # that step was left out


def _line(title: str, cells: list[str]) -> str:
    return f"{title:<38}" + "".join(f"{cell:>10}" for cell in cells)
