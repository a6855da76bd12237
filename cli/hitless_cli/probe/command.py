"""`hitless probe`: options, signals, progress on stderr, the report on stdout, the exit code."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

import click

from hitless_cli.probe.errors import UnusableStreamError
from hitless_cli.probe.report import ProbeReport, Progress, report_json, report_text
from hitless_cli.probe.session import probe
from hitless_cli.probe.settings import (
    STALL_TOLERANCE_S,
    WAIT_S,
    PatternMode,
    ProbeSettings,
    StartAt,
)

_PLAIN_EVERY_S = 10.0
_TERMINAL_EVERY_S = 0.2
EXIT_CLEAN, EXIT_FAULTS, EXIT_UNUSABLE = 0, 1, 2


class ProgressPrinter:
    """One line that is rewritten on a terminal; else a plain line now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rewrite = stream.isatty()
        self._every_s = _TERMINAL_EVERY_S if self._rewrite else _PLAIN_EVERY_S
        self._next_s = time.monotonic() + (0 if self._rewrite else _PLAIN_EVERY_S)
        self._wrote = False

    def __call__(self, progress: Progress) -> None:
        """Show it, if it is time."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._every_s
        start, end = ("\r\x1b[K", "") if self._rewrite else ("", "\n")
        self._stream.write(start + progress_line(progress) + end)
        self._stream.flush()
        self._wrote = True

    def close(self) -> None:
        """Leave the rewritten line behind."""
        if self._rewrite and self._wrote:
            self._stream.write("\n")


def progress_line(progress: Progress) -> str:
    """How far it is, in one line."""
    lag = "" if progress.lag_s is None else f"  lag {progress.lag_s:.1f} s"
    encoder = "" if progress.encoder is None else f"  encoder {progress.encoder}"
    return (
        f"frames {progress.seen}  lost {progress.lost}  repeated {progress.repeated}  "
        f"out of order {progress.out_of_order}  faults {progress.faults}  late {progress.late}  "
        f"at frame {progress.frame}, segment {progress.segment}{lag}{encoder}"
    )


@click.command("probe")
@click.argument("url")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Play so long; default: until ^C.")
@click.option(
    "--from-start/--live", default=False, help="Begin at the oldest segment, or near the newest."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--pattern",
    type=click.Choice([mode.value for mode in PatternMode]),
    default=PatternMode.AUTO.value,
    show_default=True,
    help="Check the test pattern's picture numbers and tones.",
)
@click.option("--rendition", metavar="NAME|all", help="Decode this one; default: the smallest.")
@click.option("--until-segment", type=int, metavar="K", help="Stop after media sequence number K.")
@click.option(
    "--allow-discontinuity",
    is_flag=True,
    help="Count declared discontinuities, but don't call them faults.",
)
@click.option(
    "--record",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep what was fetched.",
)
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    default=WAIT_S,
    show_default=True,
    help="Seconds to wait for the stream to appear.",
)
@click.option(
    "--stall-tolerance",
    "stall_tolerance_s",
    type=click.FloatRange(min=0),
    default=STALL_TOLERANCE_S,
    show_default=True,
    help="Seconds that a playlist may be late before it is a fault.",
)
def probe_command(
    *,
    url: str,
    seconds: float | None,
    from_start: bool,
    as_json: bool,
    pattern: str,
    rendition: str | None,
    until_segment: int | None,
    allow_discontinuity: bool,
    record: Path | None,
    wait_s: float,
    stall_tolerance_s: float,
) -> None:
    """Play a live stream and report every frame lost, repeated or re-timed.

    URL is the channel's HLS multivariant playlist. Exit code: 0 no fault, 1 faults, 2 nothing to
    play.
    """
    settings = ProbeSettings(
        url=url,
        seconds=seconds,
        start_at=StartAt.FIRST if from_start else StartAt.LIVE,
        pattern=PatternMode(pattern),
        rendition=rendition,
        until_segment=until_segment,
        allow_discontinuity=allow_discontinuity,
        record=record,
        wait_s=wait_s,
        stall_tolerance_s=stall_tolerance_s,
    )
    try:
        report = asyncio.run(_run(settings))
    except UnusableStreamError as error:
        click.echo(f"hitless probe: {error}", err=True)
        sys.exit(EXIT_UNUSABLE)
    click.echo(report_json(report) if as_json else report_text(report))
    sys.exit(EXIT_CLEAN if report.ok else EXIT_FAULTS)


async def _run(settings: ProbeSettings) -> ProbeReport:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    printer = ProgressPrinter(sys.stderr)
    try:
        return await probe(settings, on_progress=printer, stop=stop)
    finally:
        printer.close()
