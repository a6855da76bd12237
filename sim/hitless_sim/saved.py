"""Plans that were kept: something went wrong in them once, or does with a planted bug."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hitless_sim.plan import Plan, plan_from_json

REGRESSIONS = Path(__file__).resolve().parents[2] / "tests" / "sim" / "regressions"


def saved_plans(folder: Path = REGRESSIONS) -> Iterator[tuple[str, Plan]]:
    """By name."""
    for path in sorted(folder.glob("*.json")):
        yield path.stem, plan_from_json(path.read_text())
