"""kopf's memory of objects, switched off.

kopf compares each object of each event with what it handled last, for handlers that this operator
has none of: it copies the object for that several times, a sixth of the operator's work in a fleet
update. Nothing is kept, so nothing is compared. `watch.py` sets these.
"""

# ruff: noqa: ARG002 - the signatures are kopf's

from __future__ import annotations

from typing import Any

import kopf


class NoDiffBase(kopf.DiffBaseStorage):
    """No object has an essence, and none was handled before."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:
        """Nothing, without looking at the body."""
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Nothing."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Keep nothing."""


class NoProgress(kopf.ProgressStorage):
    """No handler has progress."""

    def fetch(self, *, key: str, body: kopf.Body) -> Any:
        """Nothing."""
        return None

    def store(self, *, key: str, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """Keep nothing."""

    def purge(self, *, key: str, body: kopf.Body, patch: kopf.Patch) -> None:
        """There is nothing."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Change nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """The same, not a copy."""
        return essence
