"""A thin client of the Kubernetes API: the few calls that the operator makes, documents in and out.

Owns paths, deadlines and the error tree, which is split by who must act. Foreign errors are chained
here and go no further. Models are avoided: they cost 29 MB and 174 µs a pod. `observe.py` reads
through it; only `apply.py`, `fleet/writer.py` and `events.py` write.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config

from hitless_operator.channel import Document, Key
from hitless_operator.manifests import CHANNEL_LABEL, MANAGED_BY_LABEL, MANAGER
from hitless_wire.fleet_resources import FLEET_PLURAL
from hitless_wire.resources import API_VERSION, GROUP, PLURAL, VERSION

CALL_DEADLINE_S = 10.0
LIST_LIMIT = 100  # pods of one channel; two is usual
PAGE_LIMIT = 250  # objects in one answer: a page is read while other work waits
PAGES_MAX = 400
FIELD_MANAGER_CONFLICT = "FieldManagerConflict"  # metav1.CauseType
_JSON = {"Accept": "application/json", "Content-Type": "application/json"}
_APPLY = {"Accept": "application/json", "Content-Type": "application/apply-patch+yaml"}
_MERGE = {"Accept": "application/json", "Content-Type": "application/merge-patch+json"}


class KubeError(Exception):
    """Base. status: the HTTP status, 0 when there was no answer. reason: metav1.Status.reason."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class NotFound(KubeError):
    """Nothing of that name."""


class Conflict(KubeError):
    """The object has changed since it was read, or is another one: read again."""


class FieldConflict(KubeError):
    """Another field manager owns what was to be applied."""


class AlreadyExists(KubeError):
    """Something of that name is there."""


class Rejected(KubeError):
    """Quota, policy, admission, permissions or validation say no: people must act."""


class Unavailable(KubeError):
    """No answer, or one that says to try later: wait."""


async def configuration() -> Configuration:
    """How to reach the cluster: as a pod, else by the kubeconfig file. Raises ConfigException."""
    # Not by the environment: proxies and a netrc file would be looked up at each request.
    config = Configuration(client_session_kwargs={"trust_env": False})
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        load_incluster_config(client_configuration=config)  # type: ignore[no-untyped-call]
    else:
        await load_kube_config(client_configuration=config)  # type: ignore[no-untyped-call]
    return config


def _channel_path(key: Key) -> str:
    return f"/apis/{API_VERSION}/namespaces/{key.namespace}/{PLURAL}/{key.name}"


def _update_path(key: Key) -> str:
    return f"/apis/{API_VERSION}/namespaces/{key.namespace}/{FLEET_PLURAL}/{key.name}"


def _pods_path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _budgets_path(namespace: str) -> str:
    return f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"


def _secrets_path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets"


def _leases_path(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


class Kube:
    """The calls. Every one raises a KubeError and nothing else.

    called: told method, path and HTTP status of each; status 0: no answer.
    """

    def __init__(
        self, client: ApiClient, called: Callable[[str, str, int], None] | None = None
    ) -> None:
        self._client = client
        self._called = called or (lambda _method, _path, _status: None)

    async def is_served(self) -> bool:
        """Whether both CRDs are installed and served."""
        try:
            found = await self._call("GET", f"/apis/{GROUP}/{VERSION}")
        except NotFound:
            return False
        return {PLURAL, FLEET_PLURAL} <= {resource["name"] for resource in found["resources"]}

    async def channel(self, key: Key) -> Document | None:
        """The CR; None when there is none."""
        try:
            return await self._call("GET", _channel_path(key))
        except NotFound:
            return None

    async def put_status(self, body: Document) -> Document:
        """Write the status. Raises Conflict unless metadata.resourceVersion is the newest."""
        metadata = body["metadata"]
        path = _channel_path(Key(metadata["namespace"], metadata["name"]))
        return await self._call("PUT", f"{path}/status", body=body)

    async def channels(self, namespace: str) -> AsyncIterator[Document]:
        """All CRs of a namespace, page by page. Raises Unavailable when there are too many."""
        path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
        async for body in self._pages(path):
            yield body

    async def apply_channel(
        self, key: Key, body: Document, *, manager: str, force: bool
    ) -> Document:
        """Server-side apply. force: take fields from other managers.

        Raises Conflict unless metadata.resourceVersion is the newest, FieldConflict, Rejected.
        """
        query = [("fieldManager", manager), ("force", "true" if force else "false")]
        path = _channel_path(key)
        return await self._call("PATCH", path, query=query, body=body, headers=_APPLY)

    async def updates(self, namespace: str) -> list[Document]:
        """The EncoderUpdates of a namespace."""
        path = f"/apis/{API_VERSION}/namespaces/{namespace}/{FLEET_PLURAL}"
        return [body async for body in self._pages(path)]

    async def put_update_status(self, body: Document) -> Document:
        """Write it. Raises Conflict unless metadata.resourceVersion is the newest."""
        metadata = body["metadata"]
        path = _update_path(Key(metadata["namespace"], metadata["name"]))
        return await self._call("PUT", f"{path}/status", body=body)

    async def config_map(self, namespace: str, name: str) -> Document | None:
        """A ConfigMap; None when there is none."""
        try:
            return await self._call("GET", f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        except NotFound:
            return None

    def forget(self, key: Key) -> None:
        """Read the channel and its pods from the API server next time: as is always done here."""

    async def pods(self, key: Key) -> list[Document]:
        """The encoder pods that carry the channel's label."""
        selector = f"{MANAGED_BY_LABEL}={MANAGER},{CHANNEL_LABEL}={key.name}"
        query = [("labelSelector", selector), ("limit", LIST_LIMIT)]
        found = await self._call("GET", _pods_path(key.namespace), query=query)
        items: list[Document] = found["items"]
        return items

    async def pod(self, namespace: str, name: str) -> Document | None:
        """One pod; None when there is none."""
        try:
            return await self._call("GET", f"{_pods_path(namespace)}/{name}")
        except NotFound:
            return None

    async def create_pod(self, key: Key, pod: Document) -> Document:
        """Create a pod of a channel. Raises AlreadyExists, Rejected."""
        return await self._call("POST", _pods_path(key.namespace), body=pod)

    async def delete_pod(self, key: Key, name: str, uid: str) -> None:
        """Delete a pod of a channel if it still has that uid. Raises NotFound, Conflict."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        await self._call("DELETE", f"{_pods_path(key.namespace)}/{name}", body=body)

    async def budget(self, key: Key) -> Document | None:
        """The channel's PodDisruptionBudget; None when there is none."""
        try:
            return await self._call("GET", f"{_budgets_path(key.namespace)}/{key.name}")
        except NotFound:
            return None

    async def annotate_pod(
        self, namespace: str, name: str, uid: str, annotations: dict[str, str]
    ) -> None:
        """Set annotations. Raises NotFound, Rejected (as when it has another uid)."""
        body = {"metadata": {"uid": uid, "annotations": annotations}}
        path = f"{_pods_path(namespace)}/{name}"
        await self._call("PATCH", path, body=body, headers=_MERGE)

    async def create_budget(self, budget: Document) -> None:
        """Create a PodDisruptionBudget. Raises AlreadyExists, Rejected."""
        await self._call("POST", _budgets_path(budget["metadata"]["namespace"]), body=budget)

    async def delete_budget(self, key: Key) -> None:
        """Delete the channel's PodDisruptionBudget. Raises NotFound."""
        await self._call("DELETE", f"{_budgets_path(key.namespace)}/{key.name}")

    async def put_secret(self, secret: Document) -> None:
        """Write a Secret, whatever it holds: nothing is read. Raises NotFound, Rejected.

        The API server rejects another type, so a Secret of somebody else's is left as it is.
        """
        metadata = secret["metadata"]
        path = f"{_secrets_path(metadata['namespace'])}/{metadata['name']}"
        await self._call("PUT", path, body=secret)

    async def create_secret(self, secret: Document) -> None:
        """Create a Secret. Raises AlreadyExists, Rejected."""
        await self._call("POST", _secrets_path(secret["metadata"]["namespace"]), body=secret)

    async def lease(self, namespace: str, name: str) -> Document | None:
        """A Lease; None when there is none."""
        try:
            return await self._call("GET", f"{_leases_path(namespace)}/{name}")
        except NotFound:
            return None

    async def create_lease(self, lease: Document) -> None:
        """Create a Lease. Raises AlreadyExists."""
        await self._call("POST", _leases_path(lease["metadata"]["namespace"]), body=lease)

    async def put_lease(self, lease: Document) -> None:
        """Write a Lease. Raises Conflict unless metadata.resourceVersion is the newest."""
        metadata = lease["metadata"]
        path = f"{_leases_path(metadata['namespace'])}/{metadata['name']}"
        await self._call("PUT", path, body=lease)

    async def create_event(self, event: Document) -> None:
        """Post an Event."""
        namespace = event["metadata"]["namespace"]
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        await self._call("POST", path, body=event)

    async def _pages(self, path: str) -> AsyncIterator[Document]:
        token = ""
        for _ in range(PAGES_MAX):
            query: list[tuple[str, Any]] = [("limit", PAGE_LIMIT)]
            found = await self._call(
                "GET", path, query=[*query, ("continue", token)] if token else query
            )
            for item in found["items"]:
                yield item
            token = found.get("metadata", {}).get("continue") or ""
            if not token:
                return
        raise Unavailable(f"GET {path}: more than {PAGES_MAX * PAGE_LIMIT} objects")

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, Any]] | None = None,
        body: Document | None = None,
        headers: dict[str, str] = _JSON,
    ) -> Document:
        try:
            request = await self._client.param_serialize(
                method,
                path,
                query_params=query or [],
                header_params=dict(headers),
                body=body,
                auth_settings=["BearerToken"],
            )
            timeout = aiohttp.ClientTimeout(total=CALL_DEADLINE_S)
            response = await self._client.call_api(*request, _request_timeout=timeout)
            content: bytes = await response.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            self._called(method, path, 0)
            raise Unavailable(f"{method} {path}: no answer: {why}") from error
        self._called(method, path, response.status)
        if 200 <= response.status < 300:
            document: Document = json.loads(content)
            return document
        raise _error(f"{method} {path}", response.status, content)


def _error(what: str, status: int, content: bytes) -> KubeError:
    """The typed error of an answer that is not 2xx, from its metav1.Status."""
    try:
        said = json.loads(content)
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    reason = str(said.get("reason") or "")
    message = str(said.get("message") or content[:200].decode(errors="replace"))
    kind: type[KubeError] = Unavailable
    if status == 404:
        kind = NotFound
    elif status == 409:
        kind = AlreadyExists if reason == "AlreadyExists" else Conflict
        causes = (said.get("details") or {}).get("causes") or ()
        if any(cause.get("reason") == FIELD_MANAGER_CONFLICT for cause in causes):
            kind = FieldConflict
    elif status in (400, 403, 405, 413, 422):
        kind = Rejected
    return kind(f"{what}: {status} {message}", status=status, reason=reason)
