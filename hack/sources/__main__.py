"""Each kind of live source for real, with handovers in the middle, and what a viewer saw.

    python -m hack.sources [KIND...]

ffmpeg sends a film with numbered pictures and tones, again and again; `hitless local` makes a
channel of it and is updated twice, to the same version of the encoder and to another preset;
`hitless probe` plays all of it. Where the source states its time, all encoders are then ended, and
a channel that knows nothing of them must give the same pictures the same numbers. Prints the table
of docs/sources.md. Exit code 1: a frame was lost, repeated, re-timed, or did not show or sound as
sent; a handover was not hitless; two encoders of the same version did not give the same bytes; or
pictures were numbered otherwise.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from hack.sources.film import write
from hack.sources.senders import KINDS, TIMECODES
from hack.sources.watch import Result, table, watch

ALL = (*KINDS, *TIMECODES)
WHY_LINES_MAX = 12


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def watched(kind: str, film: Path, folder: Path) -> Result:
    """One row, with its story on standard error."""
    say(f"{kind}: watching")
    folder.mkdir()
    result = watch(kind, film, folder)
    say(f"{kind}: {'as it should be' if result.ok else 'FAILED'}")
    why = list(result.why())
    for line in why[:WHY_LINES_MAX]:
        say(f"  {line}")
    if len(why) > WHY_LINES_MAX:
        say(f"  and {len(why) - WHY_LINES_MAX} more")
    return result


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m hack.sources",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(ALL)}; or all")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and segments there")
    options = parser.parse_args()
    unknown = set(options.kinds) - set(ALL)
    if unknown:
        parser.error(f"no such kind: {', '.join(sorted(unknown))}; choose of {', '.join(ALL)}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended on the way
    with tempfile.TemporaryDirectory(prefix="hitless-sources-") as made:
        folder = options.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        film = folder / "film.ts"
        write(film)
        results = [watched(kind, film, folder / kind) for kind in options.kinds or ALL]
    print(table(results))
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
