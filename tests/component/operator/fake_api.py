"""A small API server in this process: what the operator uses of one, and no more.

GET, POST, PATCH of annotations and DELETE of pods, GET and PUT status of channels (resourceVersion
conflicts, no-op writes store nothing), uid preconditions, POST of Events, GET, POST and DELETE
of budgets, PUT and POST of secrets; discovery and watches, as kopf asks for them, that tell
nothing. Garbage collection is left out.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Document = dict[str, Any]
CHANNELS = "/apis/hitless.video/v1alpha1/namespaces/{namespace}/encoderdeployments/{name}"
ALL_CHANNELS = "/apis/hitless.video/v1alpha1/encoderdeployments"
ALL_UPDATES = "/apis/hitless.video/v1alpha1/encoderupdates"
UPDATES = "/apis/hitless.video/v1alpha1/namespaces/{namespace}/encoderupdates"
PODS = "/api/v1/namespaces/{namespace}/pods"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_VERSION = {"groupVersion": "hitless.video/v1alpha1", "version": "v1alpha1"}
_GROUP = {"name": "hitless.video", "versions": [_VERSION], "preferredVersion": _VERSION}
_CHANNEL = {
    "name": "encoderdeployments",
    "singularName": "encoderdeployment",
    "kind": "EncoderDeployment",
    "shortNames": ["encd"],
    "namespaced": True,
    "verbs": ["delete", "get", "list", "patch", "create", "update", "watch"],
}
_UPDATE = {
    **_CHANNEL,
    "name": "encoderupdates",
    "singularName": "encoderupdate",
    "kind": "EncoderUpdate",
    "shortNames": ["encu"],
}
_NAMESPACE = {
    "name": "namespaces",
    "singularName": "namespace",
    "kind": "Namespace",
    "namespaced": False,
    "verbs": ["get", "list", "watch"],
}
_POD = {
    "name": "pods",
    "singularName": "pod",
    "kind": "Pod",
    "namespaced": True,
    "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
}
_NODE = {
    "name": "nodes",
    "singularName": "node",
    "kind": "Node",
    "namespaced": False,
    "verbs": ["get", "list", "watch"],
}
SECRETS = "/api/v1/namespaces/{namespace}/secrets"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
BUDGETS = "/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"


@dataclass
class FakeApi:
    """An async context manager. Objects are by name: tests use one namespace."""

    channels: dict[str, Document] = field(default_factory=dict)
    pods: dict[str, Document] = field(default_factory=dict)
    budgets: dict[str, Document] = field(default_factory=dict)
    leases: dict[str, Document] = field(default_factory=dict)
    secrets: dict[str, Document] = field(default_factory=dict)
    events: list[Document] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    on_put: list[Callable[[], None]] = field(default_factory=list)
    on_list_pods: list[Callable[[], None]] = field(default_factory=list)  # once the answer is fixed
    asked: list[tuple[str, str, bool]] = field(default_factory=list)  # method, path, watch
    reject_pods: str = ""
    version: int = 100
    url: str = ""

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._note])
        self.add_routes(app)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    def add_routes(self, app: web.Application) -> None:
        """What is served."""
        app.router.add_get("/api", _discovered({"versions": ["v1"]}))
        app.router.add_get("/apis", _discovered({"groups": [_GROUP]}))
        app.router.add_get("/api/v1", _discovered({"resources": [_POD, _NAMESPACE, _NODE]}))
        served = _discovered({"resources": [_CHANNEL, _UPDATE]})
        app.router.add_get("/apis/hitless.video/v1alpha1", served)
        app.router.add_get("/api/v1/pods", self._list_pods)
        app.router.add_get("/api/v1/nodes", self._list_nodes)
        for path in (ALL_CHANNELS, CHANNELS.removesuffix("/{name}")):
            app.router.add_get(path, self._list_channels)
        for path in (ALL_UPDATES, UPDATES):
            app.router.add_get(path, self._list_updates)
        app.router.add_get(CHANNELS, self._get_channel)
        app.router.add_put(CHANNELS + "/status", self._put_status)
        app.router.add_get(PODS, self._list_pods)
        app.router.add_post(PODS, self._create_pod)
        app.router.add_get(PODS + "/{name}", self._get_pod)
        app.router.add_patch(PODS + "/{name}", self._annotate_pod)
        app.router.add_delete(PODS + "/{name}", self._delete_pod)
        app.router.add_get(LEASES + "/{name}", self._get_lease)
        app.router.add_post(LEASES, self._create_lease)
        app.router.add_put(LEASES + "/{name}", self._put_lease)
        app.router.add_post(BUDGETS, self._create_budget)
        app.router.add_get(BUDGETS + "/{name}", self._get_budget)
        app.router.add_delete(BUDGETS + "/{name}", self._delete_budget)
        app.router.add_post(SECRETS, self._create_secret)
        app.router.add_put(SECRETS + "/{name}", self._put_secret)
        app.router.add_post("/apis/events.k8s.io/v1/namespaces/{namespace}/events", self._event)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    # --- what a user and a kubelet do ---

    def apply(self, name: str, spec: Document) -> None:
        """kubectl apply: a new generation when the spec differs."""
        known = self.channels.get(name)
        if known is None:
            metadata = {
                "namespace": "live",
                "name": name,
                "uid": f"5eed0000-{name}",
                "generation": 1,
            }
            self.channels[name] = {
                "apiVersion": "hitless.video/v1alpha1",
                "kind": "EncoderDeployment",
                "metadata": metadata,
                "spec": spec,
                "status": {"observedGeneration": -1},
            }
        elif known["spec"] != spec:
            known["spec"] = spec
            known["metadata"]["generation"] += 1
        self.touch(self.channels[name])

    def touch(self, document: Document) -> None:
        """Any write gives a new resourceVersion."""
        self.version += 1
        document["metadata"]["resourceVersion"] = str(self.version)

    # --- the API ---

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        watch = request.query.get("watch") == "true"
        self.asked.append((request.method, request.path, watch))
        if not watch:
            return await handler(request)
        stream = web.StreamResponse()
        await stream.prepare(request)
        await asyncio.Event().wait()  # until the client goes away
        return stream

    async def _list_channels(self, _: web.Request) -> web.Response:
        items = list(self.channels.values())
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})

    async def _list_nodes(self, _: web.Request) -> web.Response:
        return _nothing()

    async def _list_updates(self, _: web.Request) -> web.Response:
        return _nothing()

    async def _get_channel(self, request: web.Request) -> web.Response:
        return answer(self.channels.get(request.match_info["name"]))

    async def _put_status(self, request: web.Request) -> web.Response:
        body = await request.json()
        for hook in self.on_put:
            hook()
        known = self.channels.get(request.match_info["name"])
        if known is None:
            return failure(404, "NotFound", "no such channel")
        if body["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"]:
            return failure(409, "Conflict", "the object has been modified")
        if body.get("status") != known.get("status"):
            known["status"] = body["status"]
            self.touch(known)
            self.writes.append("status")
        return answer(known)

    async def _list_pods(self, request: web.Request) -> web.Response:
        wanted = dict(w.split("=") for w in request.query["labelSelector"].split(","))
        items = [p for p in self.pods.values() if wanted.items() <= p["metadata"]["labels"].items()]
        response = web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})
        for hook in self.on_list_pods:
            hook()
        return response

    async def _get_pod(self, request: web.Request) -> web.Response:
        return answer(self.pods.get(request.match_info["name"]))

    async def _create_pod(self, request: web.Request) -> web.Response:
        pod = await request.json()
        name = pod["metadata"]["name"]
        if self.reject_pods:
            return failure(403, "Forbidden", self.reject_pods)
        if name in self.pods:
            return failure(409, "AlreadyExists", f'pods "{name}" already exists')
        self.touch(pod)
        pod["metadata"]["uid"] = f"uid-{self.version}"
        pod["status"] = {"phase": "Pending"}
        self.pods[name] = pod
        self.writes.append(f"create {name}")
        return answer(pod)

    async def _annotate_pod(self, request: web.Request) -> web.Response:
        pod, patch = self.pods.get(request.match_info["name"]), await request.json()
        if pod is None:
            return failure(404, "NotFound", "no such pod")
        if patch["metadata"]["uid"] != pod["metadata"]["uid"]:
            return failure(422, "Invalid", "metadata.uid: field is immutable")
        pod["metadata"].setdefault("annotations", {}).update(patch["metadata"]["annotations"])
        self.touch(pod)
        return answer(pod)

    async def _delete_pod(self, request: web.Request) -> web.Response:
        name, options = request.match_info["name"], json.loads(await request.text())
        pod = self.pods.get(name)
        if pod is None:
            return failure(404, "NotFound", "no such pod")
        if options["preconditions"]["uid"] != pod["metadata"]["uid"]:
            return failure(409, "Conflict", "the UID in the precondition does not match")
        del self.pods[name]
        self.writes.append(f"delete {name}")
        return answer(pod)

    async def _get_lease(self, request: web.Request) -> web.Response:
        return answer(self.leases.get(request.match_info["name"]))

    async def _create_lease(self, request: web.Request) -> web.Response:
        lease = await request.json()
        if lease["metadata"]["name"] in self.leases:
            return failure(409, "AlreadyExists", "there is one")
        self.touch(lease)
        self.leases[lease["metadata"]["name"]] = lease
        return answer(lease)

    async def _put_lease(self, request: web.Request) -> web.Response:
        lease = await request.json()
        known = self.leases[lease["metadata"]["name"]]
        if lease["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"]:
            return failure(409, "Conflict", "the object has been modified")
        self.touch(lease)
        self.leases[lease["metadata"]["name"]] = lease
        return answer(lease)

    async def _create_budget(self, request: web.Request) -> web.Response:
        budget = await request.json()
        name = budget["metadata"]["name"]
        if name in self.budgets:
            return failure(409, "AlreadyExists", f'"{name}" already exists')
        self.budgets[name] = budget
        return answer(budget)

    async def _get_budget(self, request: web.Request) -> web.Response:
        return answer(self.budgets.get(request.match_info["name"]))

    async def _delete_budget(self, request: web.Request) -> web.Response:
        return answer(self.budgets.pop(request.match_info["name"], None))

    async def _create_secret(self, request: web.Request) -> web.Response:
        secret = await request.json()
        if secret["metadata"]["name"] in self.secrets:
            return failure(409, "AlreadyExists", "there is one")
        self.secrets[secret["metadata"]["name"]] = secret
        return answer(secret)

    async def _put_secret(self, request: web.Request) -> web.Response:
        secret, known = await request.json(), self.secrets.get(request.match_info["name"])
        if known is None:
            return failure(404, "NotFound", "no such secret")
        if known["type"] != secret["type"]:
            return failure(422, "Invalid", "type: field is immutable")
        self.secrets[request.match_info["name"]] = secret
        return answer(secret)

    async def _event(self, request: web.Request) -> web.Response:
        self.events.append(await request.json())
        return answer(self.events[-1])


def _discovered(document: Document) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(document)

    return answer


def _nothing() -> web.Response:
    return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})


def answer(document: Document | None) -> web.Response:
    """The document, or 404."""
    if document is None:
        return failure(404, "NotFound", "nothing of that name")
    return web.json_response(copy.deepcopy(document))


def failure(code: int, reason: str, message: str) -> web.Response:
    """A metav1.Status."""
    status = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return web.json_response(status, status=code)
