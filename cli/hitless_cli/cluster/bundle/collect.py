"""What goes into a support archive: resources, Events, pods, logs, the origin's reports, versions.

Reads only, and never a Secret. What can't be read is noted with the reason, and the rest goes on.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hitless_cli.cluster.bundle.archive import Archive
from hitless_cli.cluster.channels import (
    CHANNEL_LABEL,
    MANAGED_ENCODERS,
    UPDATES,
    event_time,
    group_path,
    is_installed,
    read,
    read_all,
    selected,
)
from hitless_cli.cluster.errors import ClusterError, Forbidden, NotFound, NotInstalled
from hitless_cli.cluster.kube import Document, Kube
from hitless_cli.cluster.reading import Key
from hitless_wire.resources import GROUP, PLURAL

LOG_BYTES_MAX = 4 << 20
REPORT_BYTES_MAX = 1 << 20
CHANNELS_MAX = 200
SYSTEM = "app.kubernetes.io/name in (hitless-operator,hitless-origin)"
ORIGIN = "app.kubernetes.io/name=hitless-origin"
SYSTEM_NAMESPACE = "hitless-system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is asked for. namespace: None for all. names: empty for all."""

    namespace: str | None
    names: tuple[str, ...]
    log_lines: int


def collect(kube: Kube, archive: Archive, scope: Scope, version: str) -> None:
    """Fill the archive. Raises ClusterError only when the channels themselves can't be read."""
    channels = _channels(kube, scope)
    if len(channels) > CHANNELS_MAX:
        archive.lack(
            f"{len(channels) - CHANNELS_MAX} of {len(channels)} channels",
            f"an archive holds {CHANNELS_MAX}: name those that matter",
        )
        channels = channels[:CHANNELS_MAX]
    _versions(kube, archive, version)
    for body in channels:
        key = _key(body)
        archive.add_document(f"channels/{key}.json", f"EncoderDeployment {key}", body)
    _updates(kube, archive, scope)
    system = _system_pods(kube, archive)
    for namespace in dict.fromkeys(_key(body).namespace for body in channels):
        names = {_key(body).name for body in channels if _key(body).namespace == namespace}
        _namespace(kube, archive, namespace, names, scope.log_lines)
    _pods(kube, archive, system, scope.log_lines)
    _reports(kube, archive, [_key(body) for body in channels])


def _channels(kube: Kube, scope: Scope) -> list[Document]:
    if scope.names:
        namespace = scope.namespace or kube.namespace
        return [read(kube, Key(namespace, name)) for name in scope.names]
    return read_all(kube, scope.namespace)[0]


@contextmanager
def _noted(archive: Archive, what: str) -> Iterator[None]:
    """A refusal is noted and passed over."""
    try:
        yield
    except ClusterError as error:
        archive.lack(what, error)


def _versions(kube: Kube, archive: Archive, version: str) -> None:
    found: dict[str, Any] = {"hitless": version, "python": platform.python_version()}
    with _noted(archive, "version of the API server"):
        found["kubernetes"] = kube.get("/version")
    with _noted(archive, "resource types that the API server serves"):
        found["resources"] = kube.get(group_path()).get("resources")
    archive.add_document("versions.json", "versions", found)
    definition = f"{PLURAL}.{GROUP}"
    with _noted(archive, f"CustomResourceDefinition {definition}"):
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{definition}"
        archive.add_document(f"definitions/{definition}.json", definition, kube.get(path))


def _updates(kube: Kube, archive: Archive, scope: Scope) -> None:
    with _noted(archive, "EncoderUpdates"):
        if not is_installed(kube, UPDATES):
            raise NotInstalled(f"this cluster has no resource type {UPDATES}.{GROUP}")
        namespace = scope.namespace or (kube.namespace if scope.names else None)
        for body in read_all(kube, namespace, plural=UPDATES)[0]:
            key = _key(body)
            archive.add_document(f"updates/{key}.json", f"EncoderUpdate {key}", body)


def _namespace(
    kube: Kube, archive: Archive, namespace: str, names: set[str], log_lines: int
) -> None:
    """Encoder pods with their logs, and Events of both."""
    pods: list[Document] = []
    with _noted(archive, f"encoder pods in {namespace}"):
        found = kube.items(f"/api/v1/namespaces/{namespace}/pods", selected(MANAGED_ENCODERS))[0]
        pods = [p for p in found if p["metadata"].get("labels", {}).get(CHANNEL_LABEL) in names]
    with _noted(archive, f"Events in {namespace}"):
        events = kube.items(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")[0]
        ours = [event for event in events if _concerns(event, names)]
        archive.add_document(
            f"events/{namespace}.json", f"Events in {namespace}", sorted(ours, key=event_time)
        )
    _pods(kube, archive, pods, log_lines)


def _concerns(event: Document, names: set[str]) -> bool:
    """About a channel, or about a pod `<channel>-<term>`."""
    regarding = event.get("regarding") or {}
    name = str(regarding.get("name", ""))
    if regarding.get("kind") == "Pod":
        return name.rpartition("-")[0] in names
    return name in names


def _system_pods(kube: Kube, archive: Archive) -> list[Document]:
    """Operator and origin, wherever they are; else where the chart puts them."""
    try:
        return _anywhere(kube, "pods", SYSTEM)
    except ClusterError as error:
        archive.lack("operator and origin pods", error)
        return []


def _pods(kube: Kube, archive: Archive, pods: list[Document], log_lines: int) -> None:
    for pod in pods:
        key = _key(pod)
        archive.add_document(f"pods/{key}.json", f"Pod {key}", pod)
        for container in _containers(pod):
            _log(kube, archive, key, container, log_lines, previous=False)
            if _restarts(pod, container):
                _log(kube, archive, key, container, log_lines, previous=True)


def _log(
    kube: Kube, archive: Archive, key: Key, container: str, log_lines: int, *, previous: bool
) -> None:
    suffix = ".previous" if previous else ""
    what = f"log of {key} {container}{' before its restart' if previous else ''}"
    query = {
        "container": container,
        "previous": str(previous).lower(),
        "tailLines": log_lines,
        "timestamps": "true",
    }
    with _noted(archive, what):
        path = f"/api/v1/namespaces/{key.namespace}/pods/{key.name}/log"
        text = kube.text(path, query, bytes_max=LOG_BYTES_MAX)
        archive.add_text(
            f"logs/{key}/{container}{suffix}.log", what, text.content, truncated=text.truncated
        )


def _containers(pod: Document) -> list[str]:
    spec = pod.get("spec") or {}
    rows = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return [str(row["name"]) for row in rows]


def _restarts(pod: Document, container: str) -> bool:
    status = pod.get("status") or {}
    rows = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return any(row.get("name") == container and row.get("restartCount") for row in rows)


def _reports(kube: Kube, archive: Archive, keys: list[Key]) -> None:
    """What each origin did with the channels, through the API server's proxy."""
    services: list[Document] = []
    with _noted(archive, "the origin's reports"):
        services = _anywhere(kube, "services", ORIGIN)
        if not services:
            raise NotFound("no Service of a Hitless origin is to be found")
    for service in services:
        own = _key(service)
        port = (service["spec"].get("ports") or [{}])[0].get("name") or "http"
        proxy = f"/api/v1/namespaces/{own.namespace}/services/{own.name}:{port}/proxy"
        for key in keys:
            what = f"report of origin {own} on {key}"
            with _noted(archive, what):
                text = kube.text(f"{proxy}/api/v1/channels/{key}", bytes_max=REPORT_BYTES_MAX)
                path = f"origin/{own}/{key}.json"
                archive.add_text(path, what, text.content, truncated=text.truncated)


def _anywhere(kube: Kube, plural: str, selector: str) -> list[Document]:
    """In all namespaces; where that is forbidden, in the one that the chart is installed in."""
    try:
        return kube.items(f"/api/v1/{plural}", selected(selector))[0]
    except Forbidden:
        path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/{plural}"
        return kube.items(path, selected(selector))[0]


def _key(body: Document) -> Key:
    return Key(body["metadata"]["namespace"], body["metadata"]["name"])
