"""From a pydantic model to a structural OpenAPI v3 schema as Kubernetes wants it.

Owns the dialect: references inlined, no titles, no `anyOf` with null, no `additionalProperties:
false` (the API server prunes unknown fields itself), defaults kept so that the API server fills
them in. It knows nothing of Hitless. `crd.py` calls it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

INT_OR_STRING = "x-kubernetes-int-or-string"
_DROPPED = frozenset({"title", "$defs", "additionalProperties", "discriminator"})


class SchemaError(ValueError):
    """A model uses something that a structural schema can't say; the message names it."""


def structural(model: type[BaseModel]) -> Schema:
    """The schema of a model, camelCase, everything inlined. Raises SchemaError."""
    raw = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(raw, raw.get("$defs", {}))


def _convert(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    merged = _resolve(node, definitions)
    out: Schema = {k: v for k, v in merged.items() if k not in _DROPPED}
    if "const" in out:
        out["enum"] = [out.pop("const")]
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in out:  # a number in JSON Schema 2020-12, a flag in OpenAPI 3.0
            out[bound.lower()] = out[f"exclusive{bound}"]
            out[f"exclusive{bound}"] = True
    if "properties" in out:
        rows = merged["properties"].items()
        out["properties"] = {name: _convert(child, definitions) for name, child in rows}
    if isinstance(values := merged.get("additionalProperties"), Mapping):
        out["additionalProperties"] = _convert(values, definitions)
    if "items" in out:
        out["items"] = _convert(merged["items"], definitions)
    if "default" in out:
        # In full also for objects: CEL rules judge a default before nested defaults are filled in.
        out["default"] = _without_nulls(out["default"])
        if out["default"] is None:
            del out["default"]
    if "type" not in out and INT_OR_STRING not in out:
        raise SchemaError(f"no single type in {dict(node)}: a structural schema needs one")
    return out


def _resolve(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """The node with its reference, its single `allOf`, or its `anyOf` with null, put in place.

    What is said beside a reference (description, default) wins over what the target says.
    """
    out = dict(node)
    if "$ref" in out:
        name = out.pop("$ref").rpartition("/")[2]
        return {**_resolve(definitions[name], definitions), **out}
    for key in ("allOf", "anyOf"):
        if key in out and INT_OR_STRING not in out:
            options = [o for o in out.pop(key) if o.get("type") != "null"]
            if len(options) != 1:
                raise SchemaError(f"{key} of {len(options)} types: choose one")
            return {**_resolve(options[0], definitions), **out}
    return out


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(v) for v in value]
    return value
