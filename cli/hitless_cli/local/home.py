"""The data directory: what one run leaves on disk, and that only one run uses it.

record.json   the channel's record (record.py)
origin/       the origin's segments
logs/         output of the children, and hitless.log
lock          held while `hitless local` runs
"""

from __future__ import annotations

import fcntl
import logging
import logging.handlers
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hitless_cli.local.errors import DataDirError
from hitless_cli.local.processes import LOG_BYTES_MAX

ENCODER_LOGS_MAX = 20


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below the data directory."""

    root: Path

    @property
    def record(self) -> Path:
        """The record file."""
        return self.root / "record.json"

    @property
    def origin(self) -> Path:
        """The origin's own directory."""
        return self.root / "origin"

    @property
    def logs(self) -> Path:
        """Directory of log files."""
        return self.root / "logs"

    def encoder_log(self, name: str) -> Path:
        """The log of an encoder; makes room for it when there are many."""
        known = sorted(self.logs.glob("encoder-*.log"), key=lambda path: path.stat().st_mtime_ns)
        for old in known[: -(ENCODER_LOGS_MAX - 1)]:
            old.unlink()
            old.with_name(old.name + ".1").unlink(missing_ok=True)
        return self.logs / f"encoder-{name}.log"


@contextmanager
def opened(data: Path | None) -> Iterator[Home]:
    """The directory, locked; without a path a temporary one, removed at the end.

    Raises DataDirError.
    """
    with ExitStack() as stack:
        if data is None:
            temporary = tempfile.TemporaryDirectory(
                prefix="hitless-local-", ignore_cleanup_errors=True
            )
            data = Path(stack.enter_context(temporary))
        home = Home(data.resolve())
        try:
            for folder in (home.root, home.origin, home.logs):
                folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(home.root / "lock"))
        except OSError as error:
            raise DataDirError(f"{home.root}: {error.strerror or error}") from error
        stack.enter_context(_logging_to(home.logs / "hitless.log"))
        yield home


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataDirError(
                f"{path.parent}: another `hitless local` uses it; choose another --data"
            ) from error
        yield


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """This process's log goes to a bounded file: the screen is for the channel's story."""
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES_MAX, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
