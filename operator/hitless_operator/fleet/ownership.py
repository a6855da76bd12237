"""Which field manager owns what of a channel, read from metadata.managedFields.

Owns the reading of fieldsV1. Conflicts are foreseen by it, so that no message of the API server has
to be understood, and what this operator applied before is found again: server-side apply removes
what its manager no longer names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hitless_operator.fleet.fields import Fields, all_fields

Document = dict[str, Any]
FLEET_MANAGER = "hitless-fleet"


def foreign_owners(body: Document, wanted: Fields) -> frozenset[str]:
    """Managers other than the fleet's that own a field whose value would change."""
    held = all_fields(body.get("spec") or {})
    paths = [path for path, value in wanted.items() if held.get(path) != value]
    return frozenset(
        entry["manager"]
        for entry in _entries(body)
        if not _is_ours(entry) and any(_owns(entry, path) for path in paths)
    )


def owned_by_fleet(body: Document) -> Fields:
    """What this operator has applied before and still owns, with the present values."""
    ours = [entry for entry in _entries(body) if _is_ours(entry)]
    held = all_fields(body.get("spec") or {})
    return {p: v for p, v in held.items() if any(_owns(entry, p) for entry in ours)}


def _entries(body: Document) -> Iterable[Document]:
    """Those about the object itself, not about its status."""
    entries = body["metadata"].get("managedFields") or ()
    return (e for e in entries if not e.get("subresource") and e.get("fieldsV1"))


def _is_ours(entry: Document) -> bool:
    return bool(entry.get("manager") == FLEET_MANAGER and entry.get("operation") == "Apply")


def _owns(entry: Document, path: str) -> bool:
    node: Any = entry["fieldsV1"]
    for key in ("f:spec", *_keys(path)):
        node = node.get(key)
        if node is None:
            return False
    return True


def _keys(path: str) -> tuple[str, ...]:
    parts = path.split("/")
    if len(parts) == 1:
        return (f"f:{path}",)
    listed, name, key = parts
    item = json.dumps({"name": name}, separators=(",", ":"))
    return (f"f:{listed}", f"k:{item}", f"f:{key}")
