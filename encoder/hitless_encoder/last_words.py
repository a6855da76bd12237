"""Why this process ends, in one line, for the kubelet to pass on. `__main__.py` calls it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from hitless_wire.exits import LAST_WORDS_MAX, LAST_WORDS_PATH, LAST_WORDS_VARIABLE


def say(why: str) -> None:
    """Write it to the container's termination log; outside of a container there is none."""
    log = Path(os.environ.get(LAST_WORDS_VARIABLE, LAST_WORDS_PATH))
    # Never made: only a kubelet does that. Where it can't be written, standard error has it too,
    # which the kubelet falls back to.
    with suppress(OSError), log.open("r+", encoding="utf-8") as file:
        file.truncate()
        file.write("; ".join(why.splitlines())[:LAST_WORDS_MAX])
