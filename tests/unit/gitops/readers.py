"""How Argo CD and Flux read an object: Lua 5.1 and CEL, as they are shipped in gitops/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cel
import lupa.lua51
import yaml

ROOT = Path(__file__).resolve().parents[3]
ARGOCD = ROOT / "gitops" / "argocd" / "hitless.video"
FLUX = ROOT / "gitops" / "flux" / "channels.yaml"

Document = dict[str, Any]


def argo_health(body: Document) -> tuple[str, str]:
    """Status and message that Argo CD shows."""
    found = _lua(ARGOCD / body["kind"] / "health.lua", body)
    return found["status"], found["message"]


def argo_actions(body: Document) -> dict[str, bool]:
    """Action to whether it can be chosen."""
    found = _lua(ARGOCD / body["kind"] / "actions" / "discovery.lua", body)
    return {name: not action["disabled"] for name, action in found.items()}


def argo_acted(body: Document, action: str) -> Document:
    """The object as Argo CD writes it back after an action."""
    return _lua(ARGOCD / body["kind"] / "actions" / action / "action.lua", body)


def flux_health(body: Document) -> str:
    """InProgress, Failed, Current or Unknown: the first that holds, in Flux' order."""
    (kustomization,) = yaml.safe_load_all(FLUX.read_text())
    (rules,) = (r for r in kustomization["spec"]["healthCheckExprs"] if r["kind"] == body["kind"])
    for name, health in (
        ("inProgress", "InProgress"),
        ("failed", "Failed"),
        ("current", "Current"),
    ):
        if cel.evaluate(rules[name], {key: body[key] for key in ("metadata", "spec", "status")}):
            return health
    return "Unknown"


def _lua(path: Path, body: Document) -> Document:
    """Run one script with `obj`, as gopher-lua does: 5.1, without the system's libraries."""
    lua = lupa.lua51.LuaRuntime(register_eval=False)
    for library in ("io", "os", "package", "require", "dofile", "loadfile", "python"):
        lua.globals()[library] = None
    lua.globals().obj = _to_lua(lua, body)
    found: Document = _from_lua(lua.execute(path.read_text()))
    return found


def _to_lua(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({k: _to_lua(lua, v) for k, v in value.items() if v is not None})
    if isinstance(value, list | tuple):
        return lua.table_from([_to_lua(lua, v) for v in value])
    return value


def _from_lua(value: Any) -> Any:
    if lupa.lua51.lua_type(value) != "table":
        return value
    keys = list(value.keys())
    if keys and all(isinstance(key, int) for key in keys):
        return [_from_lua(value[key]) for key in sorted(keys)]
    return {key: _from_lua(value[key]) for key in keys}
