"""Counts requests by the API server's audit log: its own word, not that of who made them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Requests of one user by (verb, resource): events apart, and those that were refused."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All requests."""
        return self.rows.total()

    @property
    def writes(self) -> int:
        """Requests that change something, Events included, whether they succeeded or not."""
        return sum(count for (verb, _), count in self.rows.items() if verb in WRITES)

    def of(self, verb: str, resource: str) -> int:
        """Those of one kind."""
        return self.rows[verb, resource]

    def table(self) -> dict[str, int]:
        """`verb resource` to how many, the most frequent first."""
        return {f"{verb} {what}": count for (verb, what), count in self.rows.most_common()}


class AuditLog:
    """Reads on from where it stopped last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> dict[str, Calls]:
        """By user, what has come since the last time."""
        found: dict[str, Calls] = {}
        if not self._path.exists():
            return found
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                _count(json.loads(line), found)
        return found


def _count(entry: dict[str, Any], found: dict[str, Calls]) -> None:
    """A watch counts when it begins, any other request when it ends."""
    verb = entry["verb"]
    if (entry["stage"] == "ResponseComplete") is (verb == "watch"):
        return
    target = entry.get("objectRef") or {}
    what = target.get("resource", entry["requestURI"].partition("?")[0])
    if target.get("subresource"):
        what += f"/{target['subresource']}"
    calls = found.setdefault(entry["user"]["username"], Calls())
    calls.rows[verb, what] += 1
    if entry.get("responseStatus", {}).get("code", 0) >= 400:
        calls.refused[verb, what] += 1
