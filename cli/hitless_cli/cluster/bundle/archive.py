"""The support archive: a .tar.gz with a MANIFEST.json, bounded, whole or not there at all.

Owns redaction at the door: nothing gets in past `add_document` and `add_text`.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hitless_cli.cluster.redaction import redacted, redacted_text

ROOT = "hitless-bundle"
MANIFEST = "MANIFEST.json"
TOTAL_BYTES_MAX = 256 << 20
ENTRIES_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file in the archive. truncated: there was more of it."""

    path: str
    what: str
    bytes: int
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What is not in the archive, and why."""

    what: str
    why: str


class Archive:
    """A context manager. The file gets its name once complete; only its owner may read it."""

    def __init__(self, target: Path, about: dict[str, Any]) -> None:
        self.target = target
        self.entries: list[Entry] = []
        self.missing: list[Missing] = []
        self._about = about
        self._work = target.with_name(f".{target.name}.{os.getpid()}")
        self._bytes = 0

    def __enter__(self) -> Self:
        descriptor = os.open(self._work, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w:gz")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None:
                self._put(MANIFEST, _json(self.manifest()))
            self._tar.close()
            self._file.close()
            if exc_type is None:
                self._work.replace(self.target)
        finally:
            self._file.close()
            self._work.unlink(missing_ok=True)

    def manifest(self) -> dict[str, Any]:
        """What is in it, what is not, and why."""
        return {
            **self._about,
            "redacted": (
                "passwords in URLs, query parameters and settings that sound like secrets, bearer "
                "tokens, environment variables with such names; Secrets were never read"
            ),
            "files": [asdict(entry) for entry in self.entries],
            "missing": [asdict(missing) for missing in self.missing],
        }

    def add_document(self, path: str, what: str, document: Any) -> None:
        """As redacted JSON."""
        self._add(path, what, _json(redacted(document)), truncated=False)

    def add_text(self, path: str, what: str, content: bytes, *, truncated: bool = False) -> None:
        """A redacted text."""
        text = redacted_text(content.decode(errors="replace"))
        self._add(path, what, text.encode(), truncated=truncated)

    def lack(self, what: str, why: object) -> None:
        """Say that something could not be read, or does not fit."""
        self.missing.append(Missing(what=what, why=redacted_text(str(why))))

    def _add(self, path: str, what: str, content: bytes, *, truncated: bool) -> None:
        if self._bytes + len(content) > TOTAL_BYTES_MAX or len(self.entries) >= ENTRIES_MAX:
            self.lack(what, "the archive is full: ask for fewer channels, or fewer --log-lines")
            return
        self._bytes += len(content)
        self._put(path, content)
        self.entries.append(Entry(path=path, what=what, bytes=len(content), truncated=truncated))

    def _put(self, path: str, content: bytes) -> None:
        info = tarfile.TarInfo(f"{ROOT}/{path}")
        info.size, info.mode, info.mtime = len(content), 0o600, int(time.time())
        self._tar.addfile(info, io.BytesIO(content))


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
