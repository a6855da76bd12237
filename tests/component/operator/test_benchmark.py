"""The benchmark of the operator still runs: few channels, short handovers, no demands on time."""

from __future__ import annotations

from pathlib import Path

from hack.bench_operator import plot, report
from hack.bench_operator.measures import Plan, measure
from hack.bench_operator.scene import segments_of


def test_a_small_benchmark(tmp_path: Path) -> None:
    short = {"leadSegments": 1, "holdSegments": 1, "verify": {"segments": 1}}
    plan = Plan(
        channels=3,
        fleet=3,
        concurrency=3,
        start_s=0.2,
        idle_s=0.2,
        steps=frozenset(),
        spec={**segments_of(1), "handover": short},
    )
    runs = {3: dict(measure(plan, tmp_path))}
    handover = runs[3]["handover"]
    assert handover["more"]["handovers"] == 3
    assert handover["more"]["writesPerHandover"] <= report.WRITES_MAX, handover["calls"]
    assert handover["more"]["needSeconds"] > 0
    assert "API writes" in report.table(runs)
    assert plot.svg(runs).startswith("<svg")
