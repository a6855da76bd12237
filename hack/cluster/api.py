"""The few questions `up` puts to a new API server, without a client to install or to start.

Reads only. Goes straight to the address: a proxy in the environment is not for this machine's own
veth. Called by embedded.py.
"""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

ANSWER_S_MAX = 2.0


class Api:
    """An API server at `host`:6443, asked as the administrator whose files are in `pki`."""

    def __init__(self, host: str, pki: Path) -> None:
        self._host = host
        self._tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def ready(self) -> bool:
        return self._get("/readyz") == b"ok"

    def default_namespace_ready(self) -> bool:
        """Pods are refused until their namespace has its default ServiceAccount."""
        return self._get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def nodes_ready(self) -> int:
        """How many nodes say that they are ready."""
        items = self._object("/api/v1/nodes").get("items", [])
        return sum(_condition(node, "Ready") for node in items)

    def dns_available(self) -> bool:
        path = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
        return _condition(self._object(path), "Available")

    def _object(self, path: str) -> dict[str, Any]:
        body = self._get(path)
        return json.loads(body) if body else {}

    def _get(self, path: str) -> bytes | None:
        """The body of a 200, or None for any other answer and for none."""
        connection = http.client.HTTPSConnection(
            self._host, 6443, timeout=ANSWER_S_MAX, context=self._tls
        )
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            return body if response.status == http.HTTPStatus.OK else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def _condition(value: dict[str, Any], kind: str) -> bool:
    conditions = value.get("status", {}).get("conditions", [])
    return any(c["type"] == kind and c["status"] == "True" for c in conditions)
