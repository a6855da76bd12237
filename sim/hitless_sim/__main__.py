"""The command line of the simulator: python -m hitless_sim --help."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

SEEDS = 2000
MUTANT_SEEDS_MAX = 400
INTERRUPTED = 130

DESCRIPTION = """\
Runs the real machines of hitless_handover (encoders, supervisor, origin's selection) in virtual
time against seeded faults, and judges what happens by docs/invariants.md. A seed is a whole world:
it replays exactly. PYTHONPATH must hold the folder sim/."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0: nothing was wrong. 1: something was. 2: a wrong command line."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no process is left behind
    try:
        return int(options.command(options))
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hitless_sim",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    run = verbs.add_parser("run", help="run many seeds; shrink and show the first that fails")
    run.add_argument(
        "--seeds", type=_positive, default=SEEDS, metavar="N", help="how many (%(default)s)"
    )
    run.add_argument("--start", type=int, default=0, metavar="S", help="the first (%(default)s)")
    _add_jobs(run)
    run.add_argument(
        "--keep-going", action="store_true", help="run all; list every seed that fails"
    )
    run.add_argument(
        "--require-coverage", action="store_true", help="fail if something reachable was not seen"
    )
    run.set_defaults(command=_run)

    replay = verbs.add_parser("replay", help="run one seed, or one saved plan, exactly")
    what = replay.add_mutually_exclusive_group(required=True)
    what.add_argument("seed", type=int, nargs="?", metavar="SEED")
    what.add_argument("--file", type=Path, metavar="JSON", help="a plan that `save` wrote")
    replay.add_argument("--trace", action="store_true", help="print every line of the trace")
    replay.add_argument("--shrink", action="store_true", help="leave out what it fails without")
    replay.set_defaults(command=_replay)

    save = verbs.add_parser("save", help="write a seed's plan, shrunk if it fails, as a regression")
    save.add_argument("seed", type=int, metavar="SEED")
    save.add_argument("name", metavar="NAME", help="what it is: words-with-hyphens")
    save.set_defaults(command=_save)

    mutants = verbs.add_parser("mutants", help="plant bugs; each must be caught by a checker")
    mutants.add_argument("--only", metavar="NAME", help="this one")
    mutants.add_argument(
        "--seeds-max", type=_positive, default=MUTANT_SEEDS_MAX, metavar="N", help="(%(default)s)"
    )
    _add_jobs(mutants)
    mutants.set_defaults(command=_mutants)
    return parser


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    cores = os.cpu_count() or 1
    parser.add_argument(
        "--jobs", type=_positive, default=cores, metavar="J", help="processes (cores: %(default)s)"
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number


# The core is imported by the commands that need it, not above: a mutant has to come first, and
# `mutants` itself must not have imported it when it starts others.


def _run(options: argparse.Namespace) -> int:
    from hitless_sim import coverage, report, runner  # noqa: PLC0415

    seeds = range(options.start, options.start + options.seeds)
    keep_going = options.keep_going
    tell = report.say_line if keep_going else None
    tally = runner.run_many(seeds, jobs=options.jobs, keep_going=keep_going, tell=tell)
    if tally.failed:
        report.say_failed(*tally.failed[0])
    if not tally.failed or keep_going:
        sys.stdout.write("\n".join(coverage.table(tally.counts)) + "\n")
    if tally.failed:
        return 1
    absent = coverage.missing(tally.counts)
    if options.require_coverage and absent:
        sys.stdout.write(f"FAILED: {len(absent)} reachable things were not seen\n")
        return 1
    sys.stdout.write(f"{tally.saved} saved plans, {tally.seeds} seeds: nothing wrong\n")
    return 0


def _replay(options: argparse.Namespace) -> int:
    from hitless_sim import report  # noqa: PLC0415
    from hitless_sim.plan import plan_from_json, plan_of  # noqa: PLC0415

    plan = (
        plan_of(options.seed) if options.file is None else plan_from_json(options.file.read_text())
    )
    return report.replay(plan, trace=options.trace, smaller=options.shrink)


def _save(options: argparse.Namespace) -> int:
    from hitless_sim import report  # noqa: PLC0415
    from hitless_sim.saved import REGRESSIONS  # noqa: PLC0415

    return report.save(options.seed, REGRESSIONS / f"{options.name}.json")


def _mutants(options: argparse.Namespace) -> int:
    from hitless_sim.mutant_report import report  # noqa: PLC0415

    return report(options.only, seeds_max=options.seeds_max, jobs=options.jobs)


if __name__ == "__main__":
    sys.exit(main())
