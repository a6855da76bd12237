"""Writes gitops/argocd/argocd-cm.yaml, a patch of Argo CD's ConfigMap, from the Lua files there.

With --check, changes nothing and fails when it is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path

ARGOCD = Path(__file__).resolve().parent.parent / "gitops" / "argocd"
TARGET = ARGOCD / "argocd-cm.yaml"
HEAD = """\
# Made by hack/gitops: do not edit. Apply it with
#   kubectl patch configmap argocd-cm -n argocd --patch-file gitops/argocd/argocd-cm.yaml
data:
"""


def made() -> str:
    """The patch."""
    parts = [HEAD]
    for folder in sorted(path for path in ARGOCD.glob("*/*") if path.is_dir()):
        kind = f"{folder.parent.name}_{folder.name}"
        health = (folder / "health.lua").read_text()
        parts.append(f"  resource.customizations.health.{kind}: |\n{_indented(health, 4)}")
        actions = folder / "actions"
        if actions.is_dir():
            parts.append(f"  resource.customizations.actions.{kind}: |\n{_actions(actions)}")
    return "".join(parts)


def _actions(folder: Path) -> str:
    discovery = (folder / "discovery.lua").read_text()
    lines = ["    discovery.lua: |\n", _indented(discovery, 6), "    definitions:\n"]
    for action in sorted(folder.glob("*/action.lua")):
        lines.append(f"      - name: {action.parent.name}\n        action.lua: |\n")
        lines.append(_indented(action.read_text(), 10))
    return "".join(lines)


def _indented(text: str, by: int) -> str:
    return "".join(" " * by + line if line.strip() else line for line in text.splitlines(True))


def main() -> int:
    if "--check" in sys.argv[1:]:
        if not TARGET.is_file() or TARGET.read_text() != made():
            print("gitops/argocd/argocd-cm.yaml is stale: run hack/gitops", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(made())
    return 0


if __name__ == "__main__":
    sys.exit(main())
