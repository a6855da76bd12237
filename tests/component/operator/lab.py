"""A channel on a small cluster: fake API server, kubelet and origin; real encoders' machines, real
gRPC and HTTP, the real operator but for kopf. Time is a number that `run` moves."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from hack.stand_ins.encoder import Encoder
from kubernetes.aio.client import ApiClient, Configuration
from tests.component.operator.fake_api import Document, FakeApi

from hitless_handover.peer_model import Reply
from hitless_handover.supervisor_model import ChannelPhase, ChannelRecord, HandoverPhase
from hitless_operator.apply import Applier
from hitless_operator.channel import Channel, Key, channel_of
from hitless_operator.events import Announcer
from hitless_operator.eviction.webhook import EvictionWebhook, Question
from hitless_operator.kube import Kube
from hitless_operator.manifests import CONFIG_VARIABLE, PodDefaults
from hitless_operator.metrics import Metrics
from hitless_operator.mirror import MirroredKube
from hitless_operator.nodes import Nodes
from hitless_operator.observe import Observer
from hitless_operator.queue import TryAgain
from hitless_operator.reconcile import Origin, Reconciler
from hitless_operator.status import record_of
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.ingest import ChannelReport, SwitchReport, report_path
from hitless_wire.ingest_tokens import KeyFile
from hitless_wire.peers import Order, Peers

SECOND_US = 1_000_000
KEY = Key("live", "first")
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient cpu.",
}
NO_ENCODER = "profiles.high.codec: this image's FFmpeg has no h264_nvenc: use another image"
STEP_US = SECOND_US // 2


def spec(image: str = "localhost/encoder:v1", **more: Any) -> Document:
    """One-second segments and short notice, so that an update takes seven seconds."""
    return {
        "image": image,
        "source": {"url": "testpattern:"},
        "timeline": {"frameRate": "30", "segmentFrames": 30},
        "profiles": [{"name": "high", "width": 640, "height": 360, "maxKbps": 800}],
        "handover": {
            "leadSegments": 1,
            "holdSegments": 1,
            "verify": {"segments": 1},
            "deadlines": {"startSeconds": 20, "negotiateSeconds": 10, "confirmSeconds": 8},
        },
        **more,
    }


class Killed(Exception):
    """The operator process ends here."""


@dataclass
class Scythe:
    """Ends the operator at its n-th write or order: before it takes effect, or right after."""

    at: int = -1
    after: bool = False
    count: int = 0
    log: list[str] = field(default_factory=list)

    def before(self, what: str) -> None:
        self.log.append(what)
        self.count += 1
        if self.count == self.at and not self.after:
            raise Killed(what)

    def done(self, what: str) -> None:
        if self.count == self.at and self.after:
            self.at = -1
            raise Killed(what)


class MortalKube(MirroredKube):
    """The real client; the process may end at each write."""

    def __init__(self, client: ApiClient, scythe: Scythe, now_s: Callable[[], float]) -> None:
        super().__init__(client, now_s=now_s)
        self._scythe = scythe

    async def put_status(self, body: Document) -> Document:
        self._scythe.before("status")
        written = await super().put_status(body)
        self._scythe.done("status")
        return written

    async def create_pod(self, key: Key, pod: Document) -> Document:
        self._scythe.before("create")
        created = await super().create_pod(key, pod)
        self._scythe.done("create")
        return created

    async def delete_pod(self, key: Key, name: str, uid: str) -> None:
        self._scythe.before("delete")
        await super().delete_pod(key, name, uid)
        self._scythe.done("delete")


class MortalPeers(Peers):
    """The real clients; the process may end at each order."""

    def __init__(self, scythe: Scythe) -> None:
        super().__init__()
        self._scythe = scythe

    async def tell(self, order: Order, addresses: Mapping[str, str]) -> Reply | None:
        what = type(order).__name__
        self._scythe.before(what)
        reply = await super().tell(order, addresses)
        self._scythe.done(what)
        return reply


@dataclass
class Lab:
    """published: segment to (encoder, priority), as the origin decided."""

    api: FakeApi
    client: ApiClient
    scythe: Scythe
    peers: MortalPeers
    announcer: Announcer
    origin_url: str = ""
    now_us: int = 1_000_000 * SECOND_US
    encoders: dict[str, Encoder] = field(default_factory=dict)
    published: dict[int, tuple[str, int]] = field(default_factory=dict)
    unpullable: set[str] = field(default_factory=set)
    unschedulable: set[str] = field(default_factory=set)
    misconfigured: set[str] = field(default_factory=set)  # images whose encoder ends with 78
    ended: set[str] = field(default_factory=set)  # pods that are there and will not run again
    fingerprints: dict[str, str] = field(default_factory=dict)
    statuses: list[Document] = field(default_factory=list)
    restarts: int = 0
    nodes: Nodes = field(default_factory=Nodes)
    guards: bool = True
    keys: Path | None = None  # what tokens of channels are made from
    mirrors: list[MirroredKube] = field(default_factory=list)  # of the last two processes
    watched: dict[str, Document] = field(default_factory=dict)  # pods, as the watches told of them
    late: bool = False  # watches tell after a look what was there before it

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A new operator process: nothing is remembered."""
        kube = MortalKube(self.client, self.scythe, lambda: self.now_us / SECOND_US)
        self.mirrors = [*self.mirrors[-1:], kube]
        self.metrics = Metrics()
        origin = Origin(url=self.origin_url, public_url="http://play.example")
        applier = Applier(
            kube,
            self.peers,
            PodDefaults(ingest_url=self.origin_url, tokens=self.keys is not None),
            self.metrics,
            guards=self.guards,
            keys=None if self.keys is None else KeyFile(self.keys),
        )
        self.webhook = EvictionWebhook(
            kube=Kube(self.client),
            applier=applier,
            announcer=self.announcer,
            now_us=lambda: self.now_us,
        )
        self.reconciler = Reconciler(
            kube=kube,
            observer=Observer(kube, self.peers, self.nodes),
            applier=applier,
            announcer=self.announcer,
            origin=origin,
            now_us=lambda: self.now_us,
            metrics=self.metrics,
        )

    # --- what is seen ---

    @property
    def body(self) -> Document:
        return self.api.channels[KEY.name]

    @property
    def channel(self) -> Channel:
        return channel_of(self.body)

    @property
    def record(self) -> ChannelRecord:
        return record_of(self.channel.status)

    def condition(self, kind: str) -> Document | None:
        rows = self.body["status"].get("conditions", [])
        return next((c for c in rows if c["type"] == kind), None)

    async def event_reasons(self) -> list[str]:
        await self.announcer.sent()
        return [e["reason"] for e in self.api.events]

    # --- time ---

    async def run(self, seconds: float) -> None:
        for _ in range(int(seconds * SECOND_US / STEP_US)):
            await self.step()

    async def run_until(self, what: Callable[[Lab], bool], seconds: int = 60) -> None:
        for _ in range(seconds * SECOND_US // STEP_US):
            if what(self):
                return
            await self.step()
        raise AssertionError(json.dumps(self.body["status"], indent=1))

    async def step(self) -> None:
        """Half a second: the kubelet, a segment when one ends, a look."""
        self.now_us += STEP_US
        await self.tend_pods()
        if self.now_us % SECOND_US == 0:
            self.next_segment()
        if self.late:
            await self._look()
            self.watch()
        else:
            await self.look()

    def watch(self) -> None:
        """What kopf's handlers tell of all that has changed since the last time."""
        for name, pod in self.api.pods.items():
            if self.watched.get(name) != pod:
                self.api.touch(pod)
                self.watched[name] = copy.deepcopy(pod)
                for mirror in self.mirrors:
                    mirror.pod_changed(KEY, pod, gone=False)
        for name in self.watched.keys() - self.api.pods.keys():
            gone = self.watched.pop(name)
            for mirror in self.mirrors:
                mirror.pod_changed(KEY, gone, gone=True)
        body = self.api.channels.get(KEY.name)
        for mirror in self.mirrors:
            mirror.channel_changed(KEY, body or {}, gone=body is None)

    async def look(self) -> float | None:
        """Once the watches have told of everything."""
        self.watch()
        return await self._look()

    async def _look(self) -> float | None:
        before = self.body["status"]
        try:
            return await self.reconciler.look(KEY)
        except TryAgain:
            return 0.0
        except Killed:
            self.restarts += 1
            self.restart()
            return 0.0
        finally:
            self.check()
            if KEY.name in self.api.channels and self.body["status"] != before:
                self.statuses.append(self.body["status"])

    # --- the cluster around the operator ---

    async def tend_pods(self) -> None:
        for name in [n for n in self.encoders if n not in self.api.pods]:
            await self.encoders.pop(name).stop()
        for name, pod in self.api.pods.items():
            if name not in self.encoders and name not in self.ended:
                await self._start(name, pod)

    async def _start(self, name: str, pod: Document) -> None:
        container = pod["spec"]["containers"][0]
        if container["image"] in self.unschedulable:
            pod["status"] = {"phase": "Pending", "conditions": [UNSCHEDULABLE]}
            return
        if container["image"] in self.unpullable:
            waiting = {"reason": "ErrImagePull", "message": "manifest unknown"}
            pod["status"] = _pod_status("Pending", container["image"], {"waiting": waiting})
            return
        if container["image"] in self.misconfigured:
            pod["status"] = crashing(pod["status"], container)
            return
        config = next(e["value"] for e in container["env"] if e["name"] == CONFIG_VARIABLE)
        encoder = Encoder(
            EncoderConfig.model_validate_json(config), lambda: self.now_us, self.encoders
        )
        pod["spec"]["nodeName"] = f"node-of-{name}"
        encoder.fingerprint = self.fingerprints.get(container["image"], "same")
        await encoder.start()
        self.encoders[name] = encoder
        pod["status"] = _pod_status("Running", container["image"], {"running": {}}, encoder.ip)

    def cordon(self, name: str) -> None:
        """Nothing more is to come to the node of a pod."""
        self.nodes.node_changed(f"node-of-{name}", {"unschedulable": True}, gone=False)

    async def ask_to_evict(self, name: str, **more: Any) -> Document:
        """What the API server is answered when it asks whether a pod may be evicted."""
        question = {"uid": "1", "namespace": KEY.namespace, "name": name, **more}
        found: Document = await self.webhook.answer(Question.model_validate(question))
        response: Document = found["response"]
        return response

    async def evict(self, name: str) -> None:
        """The kubelet ends it and keeps the pod: the node is short of something."""
        await self._end(name)
        message = "The node was low on resource: memory."
        self.api.pods[name]["status"].update(phase="Failed", reason="Evicted", message=message)

    async def lose_node(self, name: str) -> None:
        """Nobody is left to say more of the pod than that it is not ready."""
        await self._end(name)
        status = self.api.pods[name]["status"]
        status["conditions"] = [{"type": "Ready", "status": "False", "reason": "NodeLost"}]
        status["containerStatuses"][0]["ready"] = False

    async def evict_from_lost_node(self, name: str) -> None:
        """The control plane deletes it; it stays, for no kubelet confirms its end."""
        self.api.pods[name]["metadata"]["deletionTimestamp"] = "1970-01-12T13:51:00Z"

    async def _end(self, name: str) -> None:
        self.ended.add(name)
        await self.encoders.pop(name).stop()

    async def crash(self, name: str) -> None:
        """The pod is deleted by somebody else, its process with it."""
        self.api.pods.pop(name)
        await self.encoders.pop(name).stop()

    def next_segment(self) -> None:
        segment = self.now_us // SECOND_US - 1
        offers = [
            (priority, name)
            for name, encoder in sorted(self.encoders.items())
            if (priority := encoder.deliver(segment)) is not None
        ]
        if offers:
            priority, winner = max(offers)
            self.published[segment] = (winner, priority)
        for _, name in offers:
            self.encoders[name].pushed(segment)

    async def origin_report(self, _: web.Request) -> web.Response:
        if not self.published:
            return web.Response(status=404)
        last = max(self.published)
        name, priority = self.published[last]
        report = ChannelReport(
            namespace=KEY.namespace,
            channel=KEY.name,
            fingerprint="same",
            first_segment=min(self.published),
            last_segment=last,
            selected_encoder=name,
            selected_priority=priority,
            fallbacks=0,
            gaps=0,
            mismatches=0,
            inputs=(),
            switches=tuple(self.switches()),
        )
        return web.json_response(report.model_dump(mode="json", by_alias=True))

    def switches(self) -> list[SwitchReport]:
        rows = []
        for k in sorted(self.published)[1:]:
            if k - 1 not in self.published:
                continue
            (was, before), (now, after) = self.published[k - 1], self.published[k]
            if was != now:
                rows.append(
                    SwitchReport(
                        segment=k,
                        frame=k * 30,
                        from_encoder=was,
                        to_encoder=now,
                        from_priority=before,
                        to_priority=after,
                        fallback=after < before,
                        gap_frames=0,
                        overlap_frames=90,
                    )
                )
        return rows

    # --- what must never be true ---

    def check(self) -> None:
        """I5, I6: while a channel is on air, its encoder is there."""
        if KEY.name not in self.api.channels:
            return
        record = self.record
        if record.active is not None and record.phase in (ChannelPhase.LIVE, ChannelPhase.UPDATING):
            assert record.active.name in self.api.pods, "I6: the encoder on air was deleted"
        done = record.handover
        if done is not None and done.phase is HandoverPhase.COMPLETED:
            assert done.successor_confirmation is not None, "I5"
            elsewhere = "output" in self.body["spec"]
            assert elsewhere or done.origin_confirmation is not None, "I5"

    def check_published(self) -> None:
        segments = sorted(self.published)
        assert segments == list(range(segments[0], segments[-1] + 1)), "I1: a segment is missing"
        led = [term for k in segments if (term := self.published[k][1])]
        assert led == sorted(led), "I4: a lower term after a higher one"


def image_id(image: str) -> str:
    """What the kubelet says of a pulled image."""
    return f"{image.partition(':')[0]}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def crashing(before: Document, container: Document) -> Document:
    """The next state on the circle that the kubelet goes with a container that ends at once."""
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    ended = {"exitCode": 78, "reason": "Error", "message": NO_ENCODER}
    circle: list[Document] = [
        {"terminated": ended},
        {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}},
        {"running": {}},
    ]
    seen = (before.get("containerStatuses") or [{"turn": -1}])[0]
    turn = seen["turn"] + 1
    state = circle[turn % len(circle)]
    status = _pod_status("Running", container["image"], state)
    status["conditions"][1]["status"] = "False"
    status["containerStatuses"][0] |= {
        "turn": turn,
        "ready": False,
        "restartCount": (turn + 1) // len(circle),
        "lastState": {} if turn == 0 else {"terminated": ended},
    }
    return status


def _pod_status(phase: str, image: str, state: Document, ip: str = "") -> Document:
    ready = "running" in state
    return {
        "phase": phase,
        "podIP": ip,
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "True" if ready else "False"},
        ],
        "containerStatuses": [
            {
                "name": "encoder",
                "image": image,
                "imageID": image_id(image) if ready else "",
                "ready": ready,
                "restartCount": 0,
                "state": state,
            }
        ],
    }


@asynccontextmanager
async def lab(
    scythe: Scythe | None = None,
    *,
    guards: bool = True,
    late: bool = False,
    keys: Path | None = None,
) -> AsyncIterator[Lab]:
    """A cluster without a channel. guards: whether the operator may keep evictions."""
    scythe = scythe or Scythe()
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(FakeApi())
        client = await stack.enter_async_context(ApiClient(Configuration(host=api.url)))
        peers = await stack.enter_async_context(MortalPeers(scythe))
        announcer = await stack.enter_async_context(Announcer(Kube(client), "test"))
        made = Lab(
            api=api,
            client=client,
            scythe=scythe,
            peers=peers,
            announcer=announcer,
            guards=guards,
            keys=keys,
        )
        app = web.Application()
        app.router.add_get(report_path(KEY.namespace, KEY.name), made.origin_report)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.late = late
        made.origin_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        made.restart()
        try:
            yield made
        finally:
            for encoder in made.encoders.values():
                await encoder.stop()


@asynccontextmanager
async def live_channel(
    scythe: Scythe | None = None, *, guards: bool = True, keys: Path | None = None
) -> AsyncIterator[Lab]:
    """A cluster with a channel that is on air with v1; what was published is checked at the end."""
    async with lab(scythe, guards=guards, keys=keys) as made:
        made.api.apply(KEY.name, spec())
        await made.run_until(lambda now: now.record.phase is ChannelPhase.LIVE)
        yield made
        made.check_published()
