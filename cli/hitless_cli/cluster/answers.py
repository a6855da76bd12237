"""What the API server's refusals mean: from a status and a metav1.Status to a typed error.

Pure. Message texts are passed on, never matched. `kube.py` calls it.
"""

from __future__ import annotations

import json
from typing import Any

from hitless_cli.cluster.errors import (
    ClusterError,
    Conflict,
    Expired,
    Forbidden,
    NotFound,
    Rejected,
    Unreachable,
)

MESSAGE_MAX = 600
_VERBS = {
    "GET": "get",
    "WATCH": "watch",
    "PATCH": "patch",
    "POST": "create",
    "PUT": "update",
    "DELETE": "delete",
}
_CORE_DEPTH = 3  # /api/v1/…; a group's paths are one deeper


def error_of(method: str, path: str, status: int, content: bytes) -> ClusterError:
    """The typed error of an answer that is not 2xx."""
    said = _status_object(content)
    message = " ".join(str(said.get("message") or _plain(content)).split())[:MESSAGE_MAX]
    what = request_text(method, path)
    match status:
        case 401:
            return Forbidden(
                "the API server does not accept these credentials: log in again, or choose "
                "another --context",
                status=status,
            )
        case 403:
            return Forbidden(
                f"not allowed to {what}: {message}; ask for a role with that verb", status=status
            )
        case 404:
            return NotFound(f"{what}: not found", status=status)
        case 409:
            return Conflict(f"{what}: {message}", fields=_conflicting(said))
        case 410:
            return Expired(f"{what}: {message}", status=status)
        case 429 | 500 | 502 | 503 | 504:
            return Unreachable(
                f"the API server can't {what} now ({status}): {message}; try again", status=status
            )
        case _:
            return Rejected(f"refused to {what}: {message}", status=status)


def no_answer(server: str, error: Exception) -> Unreachable:
    """Nothing came back."""
    why = " ".join(str(error).split())[:MESSAGE_MAX] or type(error).__name__
    return Unreachable(
        f"no answer from the API server at {server}: {why}; check that it runs and that --context "
        "is the right one"
    )


def request_text(method: str, path: str) -> str:
    """`patch encoderdeployments/news in namespace live`, from an API path."""
    parts = path.split("?", maxsplit=1)[0].strip("/").split("/")
    rest = parts[_CORE_DEPTH - 1 :] if parts[0] == "api" else parts[_CORE_DEPTH:]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = f" in namespace {rest[1]}", rest[2:]
    verb = _VERBS.get(method, method)
    if method == "GET" and len(rest) == 1:
        verb = "list"
    return f"{verb} {'/'.join(rest) or path}{namespace}"


def _status_object(content: bytes) -> dict[str, Any]:
    try:
        said = json.loads(content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _plain(content: bytes) -> str:
    return content[:MESSAGE_MAX].decode(errors="replace")


def _conflicting(said: dict[str, Any]) -> tuple[str, ...]:
    causes = (said.get("details") or {}).get("causes") or []
    held = (cause for cause in causes if cause.get("reason") == "FieldManagerConflict")
    return tuple(str(cause.get("field") or "") for cause in held)
