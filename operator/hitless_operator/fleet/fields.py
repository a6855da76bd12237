"""The few fields of a channel that a fleet update may write, by path.

Owns the notation: `image`, `profiles/high/maxKbps`, `audio/audio/kbps` to a value, and the way from
and to partial specs. An item of a list is named by its `name`, as server-side apply does it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from hitless_wire.fleet_resources import Change, Configuration

Document = dict[str, Any]
Fields = dict[str, str | int]
LISTS = ("profiles", "audio")


def fields_of(change: Change, configuration: Configuration | None) -> Fields:
    """What a change writes. configuration: given in the change, or read from its ConfigMap."""
    fields: Fields = {} if change.image is None else {"image": change.image}
    if configuration is not None:
        fields |= all_fields(configuration.model_dump(by_alias=True, exclude_none=True))
    return fields


def all_fields(partial: Document) -> Fields:
    """Every field of a partial spec."""
    fields: Fields = {"image": partial["image"]} if "image" in partial else {}
    for name in LISTS:
        for item in partial.get(name) or ():
            rows = ((key, value) for key, value in item.items() if key != "name")
            fields |= {f"{name}/{item['name']}/{key}": value for key, value in rows}
    return fields


def values_at(spec: Document, paths: Iterable[str]) -> Fields:
    """What a channel's spec holds there; what it does not hold is left out."""
    held = all_fields(spec)
    return {path: held[path] for path in paths if path in held}


def partial_spec(fields: Fields) -> Document:
    """The spec that holds these fields and nothing else."""
    spec: Document = {}
    items: dict[tuple[str, str], Document] = {}
    for path, value in sorted(fields.items()):
        parts = path.split("/")
        if len(parts) == 1:
            spec[path] = value
            continue
        listed, name, key = parts
        if (listed, name) not in items:
            items[listed, name] = {"name": name}
            spec.setdefault(listed, []).append(items[listed, name])
        items[listed, name][key] = value
    return spec


def digest_of(fields: Fields) -> str:
    """16 hex digits over a change."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
