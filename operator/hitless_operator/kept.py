"""Documents of the API server, kept as it told of them: by name, the newest of each.

Owns what is newer when answers, watches and own writes tell of the same object in any order, and
what counts as gone. It asks nobody and knows no time but what it is given. `mirror.py` keeps
channels and pods by it, `fleet/shelf.py` the channels that a fleet update looks at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]
READ_AGAIN_S = 600.0  # whatever is kept is read again at least so often: a watch may miss an end
INCOMPARABLE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A document as text, a tenth of what it takes as objects.

    version: its resourceVersion; INCOMPARABLE where that is no number, and then nothing is newer.
    """

    name: str
    uid: str
    version: int
    text: str
    at_s: float

    def document(self) -> Document:
        """A new copy."""
        found: Document = json.loads(self.text)
        return found


def kept(body: Document, at_s: float) -> Kept:
    """at_s: monotonic seconds."""
    metadata = body["metadata"]
    version = str(metadata.get("resourceVersion") or "")
    return Kept(
        name=metadata["name"],
        uid=metadata["uid"],
        version=int(version) if version.isdecimal() else INCOMPARABLE,
        text=json.dumps(body, separators=(",", ":")),
        at_s=at_s,
    )


@dataclass(slots=True, kw_only=True)
class Listing:
    """All objects of one kind in one place at `at_s`, and since then. gone: uids that ended."""

    at_s: float
    by_name: dict[str, Kept] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def all(self) -> list[Kept]:
        """By name."""
        return [self.by_name[name] for name in sorted(self.by_name)]

    def put(self, found: Kept) -> None:
        """The newest one stays."""
        known = self.by_name.get(found.name)
        if found.uid not in self.gone and (known is None or known.version < found.version):
            self.by_name[found.name] = found

    def drop(self, name: str, uid: str) -> None:
        """It is gone; what is told of it later is older."""
        self.gone.add(uid)
        known = self.by_name.get(name)
        if known is not None and known.uid == uid:
            del self.by_name[name]
