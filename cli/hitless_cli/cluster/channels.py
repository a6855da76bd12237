"""Reading channels and what belongs to them; the errors say what is missing.

Owns API paths. Reads only; the commands write through `kube.py` themselves.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from hitless_cli.cluster.errors import Expired, NotFound, NotInstalled, TimeIsOver, Unreachable
from hitless_cli.cluster.kube import WATCH_S_MAX, Document, Kube
from hitless_cli.cluster.reading import Key
from hitless_wire.resources import GROUP, PLURAL, VERSION

MATCHES_MAX = 3
FAILURES_MAX = 10
RETRY_S = 1.0
MANAGED_ENCODERS = "app.kubernetes.io/managed-by=hitless-operator"
CHANNEL_LABEL = "hitless.video/channel"
UPDATES = "encoderupdates"
NOUNS = {PLURAL: "channel", UPDATES: "EncoderUpdate"}


def group_path() -> str:
    """Discovery of Hitless' resources."""
    return f"/apis/{GROUP}/{VERSION}"


def list_path(namespace: str | None, plural: str = PLURAL) -> str:
    """namespace: None for all."""
    scope = "" if namespace is None else f"/namespaces/{namespace}"
    return f"{group_path()}{scope}/{plural}"


def item_path(key: Key, plural: str = PLURAL) -> str:
    """One object."""
    return f"{list_path(key.namespace, plural)}/{key.name}"


def read(kube: Kube, key: Key, plural: str = PLURAL) -> Document:
    """The document. Raises NotFound with names that are near, or NotInstalled."""
    try:
        return kube.get(item_path(key, plural))
    except NotFound as error:
        _require_installed(kube, plural)
        raise NotFound(missing_text(kube, key, plural), status=404) from error


def read_all(
    kube: Kube, namespace: str | None, *, selector: str = "", plural: str = PLURAL
) -> tuple[list[Document], str]:
    """Documents by namespace and name, and the resourceVersion to watch from."""
    try:
        found, version = kube.items(list_path(namespace, plural), selected(selector))
    except NotFound as error:
        _require_installed(kube, plural)
        raise error from None
    return sorted(found, key=lambda d: (d["metadata"]["namespace"], d["metadata"]["name"])), version


def selected(selector: str) -> dict[str, str]:
    """The query of a label selector."""
    return {"labelSelector": selector} if selector else {}


def is_installed(kube: Kube, plural: str = PLURAL) -> bool:
    """Whether the resource type is served."""
    try:
        found = kube.get(group_path())
    except NotFound:
        return False
    return any(resource["name"] == plural for resource in found.get("resources") or ())


def _require_installed(kube: Kube, plural: str) -> None:
    if not is_installed(kube, plural):
        raise NotInstalled(
            f"this cluster has no resource type {plural}.{GROUP}: install the Hitless chart (a "
            "newer one), or choose another --context"
        )


def missing_text(kube: Kube, key: Key, plural: str = PLURAL) -> str:
    """`no channel nws in namespace live; did you mean news?`"""
    names = [d["metadata"]["name"] for d in read_all(kube, key.namespace, plural=plural)[0]]
    noun = NOUNS.get(plural, plural)
    near = difflib.get_close_matches(key.name, names, n=MATCHES_MAX, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = f"there is {', '.join(names[:MATCHES_MAX])}" + (
            " and more" if len(names) > MATCHES_MAX else ""
        )
    else:
        hint = "there is none: look with -A, or choose another -n"
    return f"no {noun} {key.name} in namespace {key.namespace}; {hint}"


# --- what belongs to a channel ---


def pods_of(kube: Kube, key: Key) -> list[Document]:
    """Its encoder pods."""
    selector = f"{MANAGED_ENCODERS},{CHANNEL_LABEL}={key.name}"
    return kube.items(f"/api/v1/namespaces/{key.namespace}/pods", selected(selector))[0]


def events_of(kube: Kube, key: Key) -> list[Document]:
    """Events about it, the oldest first."""
    query = {"fieldSelector": f"regarding.kind=EncoderDeployment,regarding.name={key.name}"}
    path = f"/apis/events.k8s.io/v1/namespaces/{key.namespace}/events"
    return sorted(kube.items(path, query)[0], key=event_time)


def event_time(event: Document) -> str:
    """When it was, in RFC 3339; the notation sorts."""
    return str(
        event.get("eventTime")
        or event.get("deprecatedLastTimestamp")
        or event["metadata"].get("creationTimestamp")
        or ""
    )


# --- following ---


@dataclass(slots=True, kw_only=True)
class Deadline:
    """The end of a wait, on the monotonic clock. seconds: None for no end."""

    seconds: float | None
    started_s: float

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """From now on."""
        return cls(seconds=seconds, started_s=time.monotonic())

    @property
    def left_s(self) -> float:
        """What is left of it."""
        if self.seconds is None:
            return float(WATCH_S_MAX)
        return self.started_s + self.seconds - time.monotonic()


def follow(kube: Kube, key: Key, deadline: Deadline) -> Iterator[Document]:
    """The document now and after each change. Raises NotFound once it is deleted, TimeIsOver.

    A watch that breaks off is renewed; an API server that stays away ends it after some tries.
    """
    query = {"fieldSelector": f"metadata.name={key.name}"}
    failures, version = 0, ""
    while deadline.left_s > 0:
        try:
            if not version:
                body = read(kube, key)
                version = body["metadata"]["resourceVersion"]
                yield body
            asked = {**query, "resourceVersion": version}
            for kind, body in kube.watch(
                list_path(key.namespace), asked, within_s=max(1.0, deadline.left_s)
            ):
                if kind == "DELETED":
                    raise NotFound(f"channel {key} has been deleted", status=404)
                version = body["metadata"]["resourceVersion"]
                yield body
                if deadline.left_s <= 0:
                    break
            failures = 0
        except Expired:
            version = ""
        except Unreachable:
            failures, version = failures + 1, ""
            if failures > FAILURES_MAX:
                raise
            time.sleep(min(RETRY_S, max(0.0, deadline.left_s)))
    raise TimeIsOver(f"{key}: the time is over")
