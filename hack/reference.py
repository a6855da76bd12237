"""Writes docs/reference.md: every field of the custom resources, from the committed CRDs.

With --check, changes nothing and fails when the committed file differs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "reference.md"
HEAD = """\
# Reference of the resources

Made by `hack/reference` from the CRDs, which are made from the models: do not edit.
`kubectl explain encd.spec` says the same. Rules that the API server checks beyond types stand below
each table.
"""
BOUNDS = {
    "minimum": "≥ {}",
    "maximum": "≤ {}",
    "minLength": "at least {} long",
    "maxLength": "at most {} long",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "maxProperties": "at most {}",
}


def page() -> str:
    parts = [HEAD]
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        crd = yaml.safe_load(path.read_text())["spec"]
        version = crd["versions"][0]
        schema = version["schema"]["openAPIV3Schema"]
        short = ", ".join(f"`{name}`" for name in crd["names"]["shortNames"])
        api = f"{crd['group']}/{version['name']}"
        parts.append(f"\n## {crd['names']['kind']}\n")
        parts.append(f"`{api}`, {short}. {schema['description']}\n")
        for section in ("spec", "status"):
            part = schema["properties"][section]
            parts += [f"\n### {section}\n", "| field | type | default | |", "|---|---|---|---|"]
            parts += rows(part, f"{section}")
            said = list(rules(part, section))
            parts += ["", *said] if said else []
    return "\n".join(parts) + "\n"


def rows(node: dict[str, Any], path: str) -> Iterator[str]:
    """A row for each field below a node."""
    required = node.get("required", ())
    for name, child in node.get("properties", {}).items():
        where = f"{path}.{name}"
        inner = child.get("items", child)
        default = "required" if name in required else shown(child)
        yield f"| `{where}` | {kind(child)} | {default} | {text(child)} |"
        yield from rows(inner, f"{where}[]" if inner is not child else where)


def kind(node: dict[str, Any]) -> str:
    """A type as people say it."""
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    if "x-kubernetes-int-or-string" in node:
        return "integer or string"
    if node["type"] == "array":
        return f"list of {kind(node['items'])}"
    if "additionalProperties" in node:
        return f"map of {kind(node['additionalProperties'])}"
    return str(node.get("format") or node["type"])


def shown(node: dict[str, Any]) -> str:
    """The default, where there is a plain one."""
    default = node.get("default")
    if default is None or default == "" or isinstance(default, dict | list):
        return ""
    return f"`{json.dumps(default)}`"


def text(node: dict[str, Any]) -> str:
    """What a field means, and its bounds."""
    said = " ".join(str(node.get("description", "")).split()).replace("|", "\\|")
    bounds = [words.format(node[key]) for key, words in BOUNDS.items() if key in node]
    return " ".join([said, f"({', '.join(bounds)})"] if bounds else [said]).strip()


def rules(node: dict[str, Any], path: str) -> Iterator[str]:
    """What CEL rules below a node say."""
    for rule in node.get("x-kubernetes-validations", ()):
        yield f"- `{path}`: {rule['message']}"
    for name, child in node.get("properties", {}).items():
        yield from rules(child, f"{path}.{name}")
    if "items" in node:
        yield from rules(node["items"], f"{path}[]")


def main(arguments: list[str]) -> int:
    made = page()
    if "--check" not in arguments:
        TARGET.write_text(made)
        return 0
    if TARGET.exists() and TARGET.read_text() == made:
        return 0
    sys.stderr.write("docs/reference.md is stale: run hack/reference\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
