"""Log lines of operator, origin and encoder: text, or one JSON object a line.

Owns the variable HITLESS_LOG_FORMAT, the names of the fields, and what a line is about: its
channel, and its handover where there is one. Composition roots call `set_up`; whoever works on
one channel says so with `about`, or gives one line `extra={"channel": ...}`. Standard library only.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

FORMAT_VARIABLE = "HITLESS_LOG_FORMAT"
TEXT, JSON = "text", "json"
TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
FIELDS = ("channel", "handover", "encoder")
LINE_MAX = 8192  # characters of a message; container runtimes split lines beyond 16 KiB

_about: ContextVar[Mapping[str, str] | None] = ContextVar("about", default=None)


def set_up(environment: Mapping[str, str], *, level: str | int = "INFO", **fixed: str) -> None:
    """Log to standard error, unless somebody else has set logging up, as basicConfig has it.

    fixed: fields of every line of this process; a later call replaces them.
    """
    wanted = environment.get(FORMAT_VARIABLE) or TEXT
    handler = _Handler()
    handler.setFormatter(JsonLines(fixed) if wanted == JSON else logging.Formatter(TEXT_FORMAT))
    root = logging.getLogger()
    for former in [known for known in root.handlers if isinstance(known, _Handler)]:
        root.removeHandler(former)
    logging.basicConfig(level=level, handlers=[handler])
    if wanted not in (TEXT, JSON):
        logging.getLogger(__name__).warning("%s=%s: use text or json", FORMAT_VARIABLE, wanted)


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """What all lines of this task say they are about, until the block ends."""
    token = _about.set({**(_about.get() or {}), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def also(**fields: str) -> None:
    """More of the same, until the surrounding `about` ends."""
    _about.set({**(_about.get() or {}), **fields})


class _Handler(logging.StreamHandler[TextIO]):
    """Known again when it is to be replaced."""


class JsonLines(logging.Formatter):
    """time, level, logger, message, error (a traceback), and FIELDS as far as they are known."""

    def __init__(self, fixed: Mapping[str, str]) -> None:
        super().__init__()
        self._fixed = dict(fixed)

    def format(self, record: logging.LogRecord) -> str:
        """One line: what the text says of line breaks is escaped."""
        said: dict[str, str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:LINE_MAX],
        }
        known = {**self._fixed, **(_about.get() or {})}
        for field in FIELDS:
            value = str(record.__dict__.get(field) or known.get(field) or "")
            if value:
                said[field] = value
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)[-LINE_MAX:]
        return json.dumps(said, ensure_ascii=False)
