"""How the operator's cost grows with the number of channels, beside the Deployment controller's.

    python -m hack.bench_operator [--channels 100 1000 5000] [--plot docs/scale.svg]

Real: etcd, API server, the operator as its own process, the Deployment controller, gRPC. Played:
nodes, origin, and encoders that have no media but the real machine of the handover. Times depend on
the machine: what counts are ratios and counts of API calls. docs/scale.md says more.
Exit code 1: a demand is not met, or something did not come to be.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from hack.bench_operator import plot, report
from hack.bench_operator.measures import Plan, measure
from hack.bench_operator.scene import BenchError, Document, say, segments_of
from hack.control_plane import ROOT, ClusterError

FOLDER = ROOT / ".build" / "bench"
STEPS = ("fleet", "restarts", "peer")


def main() -> int:
    """Run all numbers of channels; the exit code."""
    options = _options()
    runs: dict[int, dict[str, Document]] = {}
    try:
        for channels in options.channels:
            runs[channels] = {}
            for name, step in _measured(options, channels):
                runs[channels][name] = step
                _write(runs, options.json)
    except (BenchError, ClusterError) as error:
        say(str(error))
        return 1
    print(report.table(runs))
    if options.plot is not None:
        options.plot.write_text(plot.svg(runs))
        say(f"wrote {options.plot}")
    missed = report.missed(runs)
    for line in missed:
        say(f"MISSED: {line}")
    return 1 if missed else 0


def _measured(options: argparse.Namespace, channels: int) -> Iterator[tuple[str, Document]]:
    folder: Path = FOLDER / str(channels)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    start_s = time.monotonic()
    plan = Plan(
        channels=channels,
        fleet=options.fleet,
        concurrency=options.concurrency,
        start_s=options.start_seconds,
        idle_s=options.idle_seconds,
        steps=frozenset(options.steps),
        spec=segments_of(options.segment_seconds),
    )
    yield from measure(plan, folder)
    say(f"{channels} channels: done in {time.monotonic() - start_s:.0f} s")


def _write(runs: dict[int, dict[str, Document]], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({str(n): run for n, run in runs.items()}, indent=2) + "\n")


def _options() -> argparse.Namespace:
    default = [int(n) for n in os.environ.get("CHANNELS", "100 1000 5000").split()]
    parser = argparse.ArgumentParser(
        prog="make bench-operator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--channels", type=int, nargs="+", default=default, help="(CHANNELS) how many, one a run")
    add("--fleet", type=int, default=1000, help="channels of a fleet update, at most")
    add("--concurrency", type=int, default=100, help="of the fleet update, and pods of the peer")
    add("--start-seconds", type=float, default=2.0, help="from a pod's creation until it is ready")
    add("--segment-seconds", type=int, default=2, choices=range(1, 11), help="of all channels")
    add("--idle-seconds", type=float, default=330.0, help="how long the rest is watched")
    add("--steps", nargs="*", choices=STEPS, default=STEPS, help="besides: on air, rest, handover")
    add("--json", type=Path, default=FOLDER / "operator.json", help="where the figures go")
    add("--plot", type=Path, help="write a picture of them, too, e.g. docs/scale.svg")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
