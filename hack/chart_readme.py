"""Writes the table of values into the chart's README, from values.yaml and values.schema.json.

With --check, changes nothing and fails when the table is stale, or a value has no description, no
default, or no place in the schema.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parent.parent / "charts" / "hitless"
README = CHART / "README.md"
BEGIN, END = "<!-- values: made by hack/chart-readme -->\n", "<!-- end of values -->\n"
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
SHORT = 40  # characters of a default that are shown


class Stale(Exception):
    """What does not fit together, for people."""


def rows(schema: dict[str, Any], values: dict[str, Any], path: str = "") -> Iterator[str]:
    """One line for each value that is no object with named parts."""
    for name, part in schema["properties"].items():
        key = f"{path}{name}"
        if key == "global":
            continue
        text = part.get("description", "")
        if not text:
            raise Stale(f"values.schema.json: {key} has no description")
        if name not in values:
            raise Stale(f"values.yaml: {key} has no default")
        whole = _definition(part) if "$ref" in part else part
        if whole.get("properties"):
            yield from rows(whole, values[name], f"{key}.")
        else:
            yield f"| `{key}` | {shown(values[name])} | {text} |"


def shown(default: Any) -> str:
    """A default as one types it."""
    text = json.dumps(default, ensure_ascii=False)
    return f"`{text}`" if len(text) <= SHORT else "see values.yaml"


def unknown(schema: dict[str, Any], values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Values that the schema does not have."""
    for name, value in values.items():
        part = schema["properties"].get(name)
        if part is None:
            yield f"{path}{name}"
            continue
        whole = _definition(part) if "$ref" in part else part
        if whole.get("properties") and isinstance(value, dict):
            yield from unknown(whole, value, f"{path}{name}.")


def made(text: str) -> str:
    """The README with a fresh table. Raises Stale."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    if extra := list(unknown(SCHEMA, values)):
        raise Stale(f"values.schema.json lacks {', '.join(extra)}")
    table = "\n".join(["| value | default | meaning |", "|---|---|---|", *rows(SCHEMA, values)])
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table}\n{END}{after}"


def _definition(part: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA["definitions"][part["$ref"].rpartition("/")[2]]
    return found


def main() -> int:
    text = README.read_text()
    try:
        fresh = made(text)
        if "--check" in sys.argv[1:] and fresh != text:
            raise Stale("charts/hitless/README.md is stale: run hack/chart-readme")
    except Stale as error:
        print(error, file=sys.stderr)
        return 1
    if fresh != text:
        README.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
