"""kopf's part: it watches channels, encoder pods and fleet updates, and says what to look at.

Owns kopf's settings, credentials and handlers. The handlers only pass on what they see and post a
key into the work queue: they decide nothing, write nothing and never wait, so that no object's
events are held up. kopf gets no chance to write either: no finalizer, no annotation, no patch, no
Event. `__main__.py` runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import aiohttp
import kopf
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from hitless_operator.channel import Document, Key
from hitless_operator.fleet.index import ActiveUpdates
from hitless_operator.health import WatchPulse
from hitless_operator.manifests import CHANNEL_LABEL, MANAGED_BY_LABEL, MANAGER
from hitless_operator.no_storage import NoDiffBase, NoProgress
from hitless_operator.nodes import Nodes
from hitless_wire.fleet_resources import FLEET_PLURAL
from hitless_wire.resources import GROUP, PLURAL, VERSION

WATCH_S = 300  # the server ends a watch after this; shorter than any proxy's patience
INACTIVITY_S = 70  # bookmarks come every 60 s
EXIT_S = 20
EncoderPods = ("v1", "pods")


class Called(Protocol):
    """Told of a request that was made; code 0: no answer."""

    def __call__(self, method: str, path: str, code: int, *, watch: bool) -> None:
        """As the API server logs it."""


class Mirror(Protocol):
    """What is needed of MirroredKube."""

    def channel_changed(self, key: Key, body: Document, *, gone: bool) -> bool:
        """A CR was seen, or its end. Whether it is news: an own status is none."""

    def pods_listed(self, key: Key) -> None:
        """A watch has begun anew: pods may be gone."""

    def pod_changed(self, key: Key, pod: Document, *, gone: bool) -> None:
        """A pod of a channel was seen, or its end."""


def settings_of_kopf() -> kopf.OperatorSettings:
    """kopf without its own writes, with watches that notice their death."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.scanning.disabled = True  # needs no permission on CRDs and namespaces
    settings.peering.standalone = True
    settings.watching.server_timeout = WATCH_S
    settings.watching.inactivity_timeout = INACTIVITY_S
    settings.watching.label_selectors[EncoderPods] = f"{MANAGED_BY_LABEL}={MANAGER}"
    settings.process.ultimate_exiting_timeout = EXIT_S
    return settings


def registry_of_kopf(
    add: Callable[[Key], None],
    updates: ActiveUpdates,
    configuration: Configuration,
    pulse: WatchPulse,
    *,
    mirror: Mirror,
    called: Called | None = None,
    nodes: Nodes | None = None,
) -> kopf.OperatorRegistry:
    """The handlers.

    add: the work queue's, for channels; updates: feeds that of fleet updates. mirror: keeps what is
    seen. called: told of each request that kopf makes. nodes: None where nodes may not be watched.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> kopf.AiohttpSession:
        session = watch_session(configuration, pulse, called)
        return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def channel_changed(
        *, namespace: str | None, name: str, body: kopf.Body, type: str | None, **_: Any
    ) -> None:
        key, gone = Key(namespace or "", name), type == "DELETED"
        is_news = mirror.channel_changed(key, dict(body), gone=gone)
        if type is None:  # a list: the end of its last pod may have been missed, too
            mirror.pods_listed(key)
            updates.channel_listed(dict(body))
        else:
            updates.channel_changed(dict(body), gone=gone)
        if is_news or type is None:
            add(key)

    @kopf.on.event(GROUP, VERSION, FLEET_PLURAL, registry=registry)
    async def update_changed(*, event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        updates.update_changed(dict(body), deleted=event["type"] == "DELETED")

    @kopf.on.event(*EncoderPods, labels={MANAGED_BY_LABEL: MANAGER}, registry=registry)
    async def pod_changed(
        *,
        namespace: str | None,
        name: str,
        labels: Mapping[str, str],
        spec: Mapping[str, Any],
        body: kopf.Body,
        type: str | None,
        **_: Any,
    ) -> None:
        channel = labels.get(CHANNEL_LABEL)
        if not channel:
            return
        key, gone = Key(namespace or "", channel), type == "DELETED"
        if type is None:
            mirror.pods_listed(key)
        else:
            mirror.pod_changed(key, dict(body), gone=gone)
        if nodes is not None:
            nodes.pod_changed(key, name, str(spec.get("nodeName") or ""), gone=gone)
        add(key)

    if nodes is not None:
        _watch_nodes(registry, nodes, add)
    return registry


def _watch_nodes(registry: kopf.OperatorRegistry, nodes: Nodes, add: Callable[[Key], None]) -> None:
    @kopf.on.event("v1", "nodes", registry=registry)
    async def node_changed(
        *,
        name: str,
        spec: Mapping[str, Any],
        type: str | None,
        **_: Any,
    ) -> None:
        for key in nodes.node_changed(name, spec, gone=type == "DELETED"):
            add(key)


def watch_session(
    configuration: Configuration, pulse: WatchPulse, called: Called | None = None
) -> aiohttp.ClientSession:
    """kopf's connections: credentials as the Kubernetes client has them, fresh for each request."""

    async def authorise(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            request.headers["Authorization"] = token
        pulse.beat(request.url.path)
        status = 0
        try:
            response = await handler(request)
            status = response.status
        finally:
            if called is not None:
                watch = request.url.query.get("watch") == "true"
                called(request.method, request.url.path, status, watch=watch)
        return response

    tls = RESTClientObject(configuration).ssl_context
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=tls), middlewares=(authorise,)
    )
