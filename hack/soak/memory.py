"""Resident memory of a channel's processes over time, by /proc; whether it stays."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import median

from hack.commands import below

GROWTH_MAX = 1.05
WARM_S = 120.0  # windows and caches fill
SAMPLES_MIN = 12
_NAMES = ("hitless_origin", "hitless_encoder")


def rss_mb(parent: int) -> dict[str, float]:
    """Of the origin and each encoder below a process; an encoder is named by its id."""
    found: dict[str, float] = {}
    for pid in below(parent):
        try:
            name = _name(pid)
            rows = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:  # it has just ended
            continue
        size = next((row.split()[1] for row in rows if row.startswith("VmRSS:")), None)
        if name and size is not None:
            found[name] = int(size) / 1024
    return found


def _name(pid: int) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    module = next((word for word in command if word in _NAMES), "")
    if module != "hitless_encoder":
        return "origin" if module else ""
    for pair in Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0"):
        if pair.startswith("HITLESS_ENCODER_CONFIG="):
            return str(json.loads(pair.partition("=")[2])["encoderId"])
    return "encoder"


class Memory:
    """Samples of each process. An encoder's life is short where there are many handovers."""

    def __init__(self) -> None:
        self._samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._born: dict[str, float] = {}

    def add(self, at_s: float, sizes: dict[str, float]) -> None:
        """One look."""
        for name, mb in sizes.items():
            born_s = self._born.setdefault(name, at_s)
            if at_s - born_s >= WARM_S:
                self._samples[name].append((at_s, mb))

    def table(self) -> str:
        """First and last quarter of each process that lived long enough."""
        lines = ["memory after warming up: first quarter, last quarter, growth"]
        lines += [f"  {n:<12} {a:7.1f} MB {b:7.1f} MB  x {b / a:.3f}" for n, a, b in self._rows()]
        return "\n".join(lines)

    def faults(self) -> list[str]:
        """Those that grew."""
        return [
            f"{name} grew from {a:.1f} to {b:.1f} MB"
            for name, a, b in self._rows()
            if b > GROWTH_MAX * a
        ]

    def _rows(self) -> list[tuple[str, float, float]]:
        rows = []
        for name, samples in sorted(self._samples.items()):
            if len(samples) >= SAMPLES_MIN:
                quarter = len(samples) // 4
                first = median(mb for _, mb in samples[:quarter])
                rows.append((name, first, median(mb for _, mb in samples[-quarter:])))
        return rows
