"""What the origin can carry, beside nginx on the same files.

    python -m hack.bench_origin [--rounds 3] [--seconds 4] [--channels 200] [--waiting 2000]

Servers run on one core, the load on another; contenders take turns. docs/bench-origin.md says
more. Exit code 1: a demand is not met, or something failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from hack.bench_origin import measures, report
from hack.bench_origin.processes import RunError
from hack.commands import ROOT

FOLDER = ROOT / ".build" / "bench"
Measure = Callable[[argparse.Namespace, Path], dict[str, object]]
PARTS: dict[str, Measure] = {
    "segments": measures.segments,
    "reloads": measures.reloads,
    "pushes": measures.pushes,
}


def say(text: str) -> None:
    """Progress, beside the figures."""
    print(f"bench-origin: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Run what is asked for; the exit code."""
    options = _options()
    found: dict[str, dict[str, object]] = {}
    try:
        for name in options.only:
            say(f"{name}: begins")
            with tempfile.TemporaryDirectory(prefix="bench-origin-") as folder:
                found[name] = PARTS[name](options, Path(folder))
    except (RunError, OSError) as error:
        say(str(error))
        return 1
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=2) + "\n")
    print(report.text(found))
    missed = report.missed(found)
    for line in missed:
        say(f"MISSED: {line}")
    return 1 if missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench-origin",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=PARTS, default=list(PARTS), help="not all")
    add("--rounds", type=int, default=3, help="of each contender, besides one that warms up")
    add("--seconds", type=int, default=4, help="of load, each")
    add("--connections", type=int, default=64, help="of the load on segments")
    add("--waiting", type=int, default=2000, help="players that wait for a part")
    add("--channels", type=int, default=200, help="that are pushed to at a time")
    add("--segments", type=int, default=60, help="of 2 s, that each channel gets")
    add("--json", type=Path, default=FOLDER / "origin.json", help="where the figures go")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
