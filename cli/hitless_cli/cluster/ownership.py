"""Who holds a field of a document, from metadata.managedFields, and what to tell the user about it.

Pure. A manager that only created the object holds all of its defaults too; what it wrote itself is
in kubectl's last-applied annotation, where there is one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from hitless_cli.cluster.reading import Document

APPLY = "Apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_GITOPS = ("argocd", "kustomize-controller", "helm-controller", "flux", "fleet", "rancher")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A field manager. operation: Apply for server-side apply, else Update."""

    manager: str
    operation: str


def owners(body: Document, path: Sequence[str], *, but: str) -> tuple[Owner, ...]:
    """Those who hold the field at `path`, except `but`."""
    rows = body["metadata"].get("managedFields") or ()
    return tuple(
        Owner(manager=str(row.get("manager")), operation=str(row.get("operation")))
        for row in rows
        if row.get("manager") != but
        and not row.get("subresource")
        and _holds(row.get("fieldsV1") or {}, path)
    )


def is_only_default(body: Document, name: str, *, but: str) -> bool:
    """Whether others hold `spec.<name>` merely because they created the object."""
    held = owners(body, ("spec", name), but=but)
    return all(owner.operation != APPLY for owner in held) and not _was_applied(body, name)


def conflict_text(field: str, held: Sequence[Owner], *, gone: str = "another manager") -> str:
    """One line: who holds it, and where to change it instead. gone: when nobody is to be seen."""
    names = ", ".join(dict.fromkeys(owner.manager for owner in held)) or gone
    where = _where(tuple(owner.manager for owner in held))
    return f"{field} belongs to {names}: {where}, or take it over with --force-conflicts"


def _where(names: Sequence[str]) -> str:
    if any(name.startswith(_GITOPS) for name in names):
        return "change it in Git, or it will be set back"
    if any(name.startswith("kubectl") for name in names):
        return "change it in the file that is applied with kubectl"
    if any(name.startswith("helm") for name in names):
        return "change it in the values of the Helm release"
    return "change it there"


def _holds(fields: Document, path: Sequence[str]) -> bool:
    for name in path:
        inner = fields.get(f"f:{name}")
        if inner is None:
            return False
        fields = inner
    return True


def _was_applied(body: Document, name: str) -> bool:
    text = (body["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    try:
        applied = json.loads(text or "{}")
    except ValueError:
        return True  # unreadable: rather ask than take
    return name in (applied.get("spec") or {})
