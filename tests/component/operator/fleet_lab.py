"""A fleet on a small cluster: fake API server with server-side apply, channels that hand over by
themselves, the real shell of fleet updates but for kopf. Time is a number that `run` moves."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration
from tests.component.operator.fake_api import UPDATES, Document, FakeApi, answer, failure

from hitless_handover.fleet_model import UPDATE_FINAL
from hitless_handover.messages import OriginReport, OriginSwitch
from hitless_operator.channel import Key
from hitless_operator.events import Announcer
from hitless_operator.fleet.fields import Fields, all_fields
from hitless_operator.fleet.mark import ChannelMark, mark_of
from hitless_operator.fleet.reconcile import FleetReconciler
from hitless_operator.fleet.shelf import ShelvedKube
from hitless_operator.fleet.writer import FleetWriter
from hitless_operator.kube import Kube
from hitless_operator.moments import micro_time
from hitless_operator.queue import TryAgain
from hitless_operator.reconcile import Origin
from hitless_wire.resources import EncoderDeploymentSpec, spec_digest

SECOND_US = 1_000_000
KEY = Key("live", "to-v2")
V1, V2, V3 = (f"localhost/encoder:v{n}" for n in (1, 2, 3))
CHANNELS = "/apis/hitless.video/v1alpha1/namespaces/{namespace}/encoderdeployments"
HANDOVER_S = 6
PAGE = 3  # small, so that lists come in several pages


class Killed(Exception):
    """The operator process ends here."""


@dataclass
class FleetApi(FakeApi):
    """What fleet updates need besides. owners: field manager to fields, for each channel."""

    updates: dict[str, Document] = field(default_factory=dict)
    config_maps: dict[str, Document] = field(default_factory=dict)
    owners: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    applied: list[tuple[str, Document, bool]] = field(default_factory=list)
    reject: dict[str, str] = field(default_factory=dict)
    now_us: Callable[[], int] = lambda: 0

    def add_routes(self, app: web.Application) -> None:
        """The channels' routes, and those of updates."""
        super().add_routes(app)
        app.router.add_patch(CHANNELS + "/{name}", self._apply)
        app.router.add_put(UPDATES + "/{name}/status", self._put_update)
        app.router.add_get("/api/v1/namespaces/{namespace}/configmaps/{name}", self._config_map)

    # --- what people and other tools do ---

    def create(self, name: str, spec: Document, manager: str = "kubectl-create") -> Document:
        """A channel on air with what it asks for."""
        self.apply(name, spec)
        body = self.channels[name]
        digest = spec_digest(EncoderDeploymentSpec.model_validate(spec))
        body["status"] = {
            "observedGeneration": 1,
            "phase": "Live",
            "term": 1,
            "active": {"image": spec["image"], "digest": digest, "pod": f"{name}-1", "term": 1},
        }
        self.owners[name] = {manager: set(all_fields(spec))}
        return body

    def own(self, name: str, path: str, manager: str) -> None:
        """From now on a field is somebody else's."""
        for fields in self.owners[name].values():
            fields.discard(path)
        self.owners[name].setdefault(manager, set()).add(path)

    def order(self, spec: Document, name: str = KEY.name) -> Document:
        """kubectl apply of an update: a new generation when the spec differs."""
        known = self.updates.get(name)
        if known is None:
            self.updates[name] = {
                "apiVersion": "hitless.video/v1alpha1",
                "kind": "EncoderUpdate",
                "metadata": {
                    "namespace": KEY.namespace,
                    "name": name,
                    "uid": f"uid-of-{name}",
                    "generation": 1,
                },
                "spec": spec,
                "status": {"observedGeneration": -1},
            }
        elif known["spec"] != spec:
            known["spec"] = spec
            known["metadata"]["generation"] += 1
        self.touch(self.updates[name])
        return self.updates[name]

    # --- the API ---

    async def _list_channels(self, request: web.Request) -> web.Response:
        names = sorted(self.channels)
        start = int(request.query.get("continue", "0"))
        page = [self.with_owners(name) for name in names[start : start + PAGE]]
        more = str(start + PAGE) if start + PAGE < len(names) else ""
        metadata = {"continue": more, "resourceVersion": "1"}
        return web.json_response({"metadata": metadata, "items": page})

    async def _get_channel(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return answer(self.with_owners(name) if name in self.channels else None)

    def with_owners(self, name: str) -> Document:
        """As it is read."""
        body = copy.deepcopy(self.channels[name])
        body["metadata"]["managedFields"] = [
            {
                "manager": manager,
                "operation": "Apply" if manager == "hitless-fleet" else "Update",
                "fieldsV1": {"f:spec": _fields_v1(paths)},
            }
            for manager, paths in self.owners[name].items()
        ]
        return body

    async def _apply(self, request: web.Request) -> web.Response:
        """Server-side apply, as far as it matters: conflicts, force, and what is not named goes."""
        assert request.content_type == "application/apply-patch+yaml"
        name, patch = request.match_info["name"], json.loads(await request.text())
        manager, force = request.query["fieldManager"], request.query["force"] == "true"
        known, owners = self.channels.get(name), self.owners.get(name, {})
        if known is None:
            return failure(403, "Forbidden", "cannot create encoderdeployments")
        if patch["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"]:
            return failure(409, "Conflict", "the object has been modified")
        if name in self.reject:
            return failure(403, "Forbidden", self.reject[name])
        wanted, held = all_fields(patch["spec"]), all_fields(known["spec"])
        changed = {path for path, value in wanted.items() if held[path] != value}
        others = {m: paths & changed for m, paths in owners.items() if m != manager}
        if any(others.values()) and not force:
            return _field_conflict(others)
        for other in others:
            owners[other] -= changed
        dropped = owners.get(manager, set()) - set(wanted)
        assert not dropped, f"{dropped} of {name} would be removed"
        owners[manager] = set(wanted)
        self.applied.append((name, patch, force))
        self._change(known, wanted, patch["metadata"]["annotations"])
        return answer(known)

    def _change(self, known: Document, wanted: Fields, annotations: Document) -> None:
        known["metadata"].setdefault("annotations", {}).update(annotations)
        before = copy.deepcopy(known["spec"])
        for path, value in wanted.items():
            parts = path.split("/")
            if len(parts) == 1:
                known["spec"][path] = value
            else:
                listed, item, key = parts
                next(i for i in known["spec"][listed] if i["name"] == item)[key] = value
        if known["spec"] != before:
            known["metadata"]["generation"] += 1
        self.touch(known)

    async def _list_updates(self, _: web.Request) -> web.Response:
        items = copy.deepcopy(list(self.updates.values()))
        return web.json_response({"metadata": {}, "items": items})

    async def _put_update(self, request: web.Request) -> web.Response:
        body = await request.json()
        for hook in self.on_put:
            hook()
        known = self.updates.get(request.match_info["name"])
        if known is None:
            return failure(404, "NotFound", "no such update")
        if body["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"]:
            return failure(409, "Conflict", "the object has been modified")
        if body["status"] != known["status"]:
            known["status"] = body["status"]
            self.touch(known)
            self.writes.append("update status")
        return answer(known)

    async def _config_map(self, request: web.Request) -> web.Response:
        return answer(self.config_maps.get(request.match_info["name"]))


def _fields_v1(paths: set[str]) -> Document:
    tree: Document = {}
    for path in sorted(paths):
        parts = path.split("/")
        if len(parts) == 1:
            tree[f"f:{path}"] = {}
            continue
        listed, name, key = parts
        item = tree.setdefault(f"f:{listed}", {}).setdefault(f'k:{{"name":"{name}"}}', {})
        item[f"f:{key}"] = {}
    return tree


def _field_conflict(others: dict[str, set[str]]) -> web.Response:
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{m}"', "field": path}
        for m, paths in others.items()
        for path in paths
    ]
    status = {"kind": "Status", "code": 409, "reason": "Conflict", "details": {"causes": causes}}
    return web.json_response(status, status=409)


class MortalKube(ShelvedKube):
    """The real client; the process may end before or after each write."""

    def __init__(self, client: ApiClient, lab: FleetLab) -> None:
        super().__init__(client, now_s=lambda: lab.now_us / SECOND_US)
        self._lab = lab

    async def put_update_status(self, body: Document) -> Document:
        self._lab.before("status")
        written = await super().put_update_status(body)
        self._lab.done()
        return written

    async def apply_channel(
        self, key: Key, body: Document, *, manager: str, force: bool
    ) -> Document:
        self._lab.before(f"apply {key.name}")
        written = await super().apply_channel(key, body, manager=manager, force=force)
        self._lab.done()
        return written


@dataclass
class FleetLab:
    """bad: images that no channel takes. lossy: channels whose handover loses frames. fallbacks:
    what the origin says of a channel; None: nothing. kill_at: the write at which the operator ends.
    """

    api: FleetApi
    client: ApiClient
    announcer: Announcer
    now_us: int = 1_800_000_000 * SECOND_US
    bad: set[str] = field(default_factory=set)
    lossy: set[str] = field(default_factory=set)
    fallbacks: dict[str, int | None] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    kill_at: int = -1
    kill_after: bool = False
    most_under_way: int = 0
    delay_s: float | None = None
    late: bool = False  # the watch tells after a look what was there before it
    watched: dict[str, Document] = field(default_factory=dict)  # channels, as it told of them

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A new operator process: nothing is remembered."""
        kube = self.kube = MortalKube(self.client, self)
        self.reconciler = FleetReconciler(
            kube=kube,
            writer=FleetWriter(kube),
            peers=self,
            announcer=self.announcer,
            origin=Origin(url="http://origin", public_url="http://play.example"),
            now_us=lambda: self.now_us,
        )

    def before(self, what: str) -> None:
        self.writes.append(what)
        if len(self.writes) == self.kill_at and not self.kill_after:
            raise Killed(what)

    def done(self) -> None:
        if len(self.writes) == self.kill_at and self.kill_after:
            raise Killed(self.writes[-1])

    async def origin_report(
        self, base_url: str, namespace: str, channel: str
    ) -> OriginReport | None:
        assert (base_url, namespace) == ("http://origin", KEY.namespace)
        count = self.fallbacks.get(channel, 0)
        if count is None:
            return None
        switch = OriginSwitch(
            segment=10**9, from_encoder="b", to_encoder="a", from_priority=2, to_priority=1,
            fallback=True, gap_frames=0, overlap_frames=0,
        )  # fmt: skip
        return OriginReport(
            last_segment=10**9, selected_encoder="a", selected_priority=1, fallbacks=count, gaps=0,
            switches=(switch,) * count,
        )  # fmt: skip

    # --- what is seen ---

    @property
    def status(self) -> Document:
        found: Document = self.api.updates[KEY.name]["status"]
        return found

    @property
    def phase(self) -> str:
        return str(self.status.get("phase", ""))

    def condition(self, kind: str) -> Document | None:
        rows = self.status.get("conditions", [])
        return next((c for c in rows if c["type"] == kind), None)

    def outcome(self, name: str) -> Document:
        found: Document = next(o for o in self.status["outcomes"] if o["name"] == name)
        return found

    def images(self) -> dict[str, str]:
        return {name: body["spec"]["image"] for name, body in sorted(self.api.channels.items())}

    def on_air(self) -> dict[str, str]:
        rows = sorted(self.api.channels.items())
        return {name: body["status"]["active"]["image"] for name, body in rows}

    def mark(self, name: str) -> ChannelMark:
        found = mark_of(self.api.channels[name])
        assert found is not None
        return found

    async def event_reasons(self) -> list[str]:
        await self.announcer.sent()
        return [e["reason"] for e in self.api.events]

    # --- time ---

    async def step(self, key: Key = KEY) -> None:
        """A second: channels go on, then a look."""
        self.now_us += SECOND_US
        for body in self.api.channels.values():
            self._hand_over(body)
        under_way = sum(_is_updating(body) for body in self.api.channels.values())
        self.most_under_way = max(self.most_under_way, under_way)
        await self.look(key)

    def watch(self) -> None:
        """What kopf's handlers tell of all that has changed since the last time."""
        for name, body in self.api.channels.items():
            if self.watched.get(name) != self.api.with_owners(name):
                self.api.touch(body)
                self.watched[name] = self.api.with_owners(name)
                self.kube.channel_changed(self.watched[name], gone=False)
        for name in self.watched.keys() - self.api.channels.keys():
            self.kube.channel_changed(self.watched.pop(name), gone=True)

    async def look(self, key: Key = KEY) -> None:
        if not self.late:
            self.watch()
        await self._look(key)
        if self.late:
            self.watch()

    async def _look(self, key: Key) -> None:
        try:
            self.delay_s = await self.reconciler.look(key)
        except TryAgain:
            self.delay_s = 0.0
        except Killed:
            self.restart()

    async def run(self, seconds: int) -> None:
        for _ in range(seconds):
            await self.step()

    async def run_until(self, *phases: str, seconds: int = 300) -> None:
        for _ in range(seconds):
            if self.phase in phases:
                return
            await self.step()
        raise AssertionError(f"{phases}: {json.dumps(self.status, indent=1)}")

    async def run_to_the_end(self) -> None:
        await self.run_until(*UPDATE_FINAL)

    def _hand_over(self, body: Document) -> None:
        """What the channel's own supervisor would do."""
        status, metadata = body["status"], body["metadata"]
        spec = EncoderDeploymentSpec.model_validate(body["spec"])
        digest = spec_digest(spec)
        status["observedGeneration"] = metadata["generation"]
        if status.get("refusedDigest") not in (None, digest):
            del status["refusedDigest"]
        if _is_updating(body):
            self._advance(body, digest)
        elif digest not in (status["active"]["digest"], status.get("refusedDigest")):
            if not spec.paused:
                self._begin(status, spec, digest)
        else:
            return
        self.api.touch(body)

    def _begin(self, status: Document, spec: EncoderDeploymentSpec, digest: str) -> None:
        status["term"] += 1
        status["phase"] = "Updating"
        status["handover"] = {
            "phase": "Starting",
            "term": status["term"],
            "startedAt": micro_time(self.now_us),
            "to": {"digest": digest, "image": spec.image},
            "ends": self.now_us + HANDOVER_S * SECOND_US,
        }

    def _advance(self, body: Document, digest: str) -> None:
        status, handover = body["status"], body["status"]["handover"]
        to = handover["to"]
        superseded = to["digest"] != digest
        if not superseded and self.now_us < handover["ends"]:
            return
        status["phase"] = "Live"
        handover["finishedAt"] = micro_time(self.now_us)
        if superseded or to["image"] in self.bad:
            status["refusedDigest"] = to["digest"]
            reason = "Superseded" if superseded else "ErrImagePull"
            handover |= {"phase": "Aborted", "reason": reason, "message": "no such image"}
            return
        lost = 3 if body["metadata"]["name"] in self.lossy else 0
        handover |= {"phase": "Completed", "framesLost": lost, "event": {"segment": 5}}
        status["active"] = {**to, "pod": "next", "term": handover["term"]}
        status["history"] = [*status.get("history", []), copy.deepcopy(handover)][-10:]


def _is_updating(body: Document) -> bool:
    found: bool = body["status"].get("handover", {}).get("phase") == "Starting"
    return found


def channel_spec(image: str = V1, **more: Any) -> Document:
    return {
        "image": image,
        "type": "live",
        "source": {"url": "testpattern:"},
        "profiles": [{"name": "high", "width": 640, "height": 360, "maxKbps": 800, "crf": 24}],
        "audio": [{"name": "audio", "kbps": 96, "language": "und"}],
        **more,
    }


def update_spec(**more: Any) -> Document:
    return {
        "selector": {"types": ["live"]},
        "change": {"image": V2},
        "concurrency": 2,
        **more,
    }


@asynccontextmanager
async def fleet(count: int = 8) -> AsyncIterator[FleetLab]:
    """A namespace with so many channels on air with v1."""
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(FleetApi())
        client = await stack.enter_async_context(ApiClient(Configuration(host=api.url)))
        announcer = await stack.enter_async_context(Announcer(Kube(client), "test"))
        made = FleetLab(api=api, client=client, announcer=announcer)
        for number in range(1, count + 1):
            api.create(f"ch{number}", channel_spec())
        yield made
