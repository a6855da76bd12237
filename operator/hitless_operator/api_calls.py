"""What a request to the API server is to its authorizer: verb, API group and resource.

Owns the reading of method and path. Pure. Metrics label requests by it, and the test of the
chart's permissions compares these with the rules. Names and namespaces are left out.
"""

from __future__ import annotations

from typing import NamedTuple

_VERBS = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


class ApiCall(NamedTuple):
    """resource: with its subresource, as rules write it; empty for what is no resource."""

    verb: str
    group: str
    resource: str


def api_call(method: str, path: str, *, watch: bool = False) -> ApiCall:
    """The call that a request makes. A path that names no resource is the verb alone."""
    group, rest = _split(path)
    if not rest:
        return ApiCall(method.lower(), "", "")
    resource, name, subresource = (*rest, "", "")[:3]
    if method == "GET":
        verb = "get" if name else "watch" if watch else "list"
    elif method == "DELETE" and not name:
        verb = "deletecollection"
    else:
        verb = _VERBS.get(method, method.lower())
    return ApiCall(verb, group, f"{resource}/{subresource}" if subresource else resource)


def _split(path: str) -> tuple[str, tuple[str, ...]]:
    """API group, and what follows version and namespace."""
    match tuple(part for part in path.split("/") if part):
        case ("api", _, *rest):
            group = ""
        case ("apis", group, _, *rest):
            pass
        case _:
            return "", ()
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    return group, tuple(rest)
