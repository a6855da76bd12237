"""Evictions on a real API server that asks the real webhook over TLS."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hack.control_plane import MERGE, ROOT, ApiRefused, ControlPlane, control_plane
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config
from tests.unit.operator import samples

from hitless_handover.supervisor_model import ChannelPhase, ChannelRecord
from hitless_operator.apply import Applier
from hitless_operator.channel import channel_of
from hitless_operator.events import Announcer
from hitless_operator.eviction.certificate import CERTIFICATE, KEY, ServingCertificate
from hitless_operator.eviction.mark import ANNOTATION, is_fresh
from hitless_operator.eviction.server import PATH, EvictionServer
from hitless_operator.eviction.webhook import EvictionWebhook, Question
from hitless_operator.kube import Kube, Rejected
from hitless_operator.manifests import PodDefaults, eviction_guard, labels_of, owner_of
from hitless_operator.reconcile import wall_us
from hitless_operator.status import as_document, status_of
from hitless_operator.status_model import EncoderDeploymentStatus
from hitless_wire.peers import Peers

Document = dict[str, Any]
NAMESPACE = "live"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
CHANNELS = f"/apis/hitless.video/v1alpha1/namespaces/{NAMESPACE}/encoderdeployments"
BUDGETS = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
USER, READER = 1, 2
READS: list[Document] = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    {"apiGroups": ["hitless.video"], "resources": ["encoderdeployments"], "verbs": ["get"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
]
MARKS: Document = {"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}
LEASES: Document = {
    "apiGroups": ["coordination.k8s.io"],
    "resources": ["leases"],
    "verbs": ["get", "update"],
}
HEARD_S_MAX = 60  # until the API server has read of the webhook, on a busy machine
IN_PLACE = "evictions.hitless.video"  # named where it denies, not where a budget does


def make_certificate(folder: Path) -> Path:
    """A self-signed one for 127.0.0.1, which is its own issuer; the folder."""
    folder.mkdir(exist_ok=True)
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=evictions"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / KEY), "-out", str(folder / CERTIFICATE)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


class Noted(EvictionWebhook):
    """The real one, which remembers what it was asked about."""

    asked: list[str]

    async def answer(self, question: Question) -> Document:
        self.asked.append(question.name)
        return await super().answer(question)


@dataclass(kw_only=True)
class Cluster:
    """The API server, with what a kubelet and those who evict do there."""

    plane: ControlPlane

    async def call(self, method: str, path: str, body: Document | None = None) -> Document:
        """As the administrator, who waits in a thread: the webhook answers in this one."""
        content = {"content_type": MERGE} if method == "PATCH" else {}
        return await asyncio.to_thread(self.plane.call, method, path, body, **content)

    async def pod(self, name: str, owner: Document | None = None) -> Document:
        """One that is ready, of the channel where an owner is given."""
        labels = labels_of("first", samples.encoder(1)) if owner else {}
        body = {
            "metadata": {
                "name": name,
                "labels": labels,
                "ownerReferences": [owner] if owner else [],
            },
            "spec": {"containers": [{"name": "encoder", "image": samples.IMAGE}]},
        }
        await self.call("POST", PODS, body)
        status = samples.status("Running", samples.container({"running": {}}, imageID="1"))
        status = {**status, "podIP": None, "conditions": [samples.READY]}
        return await self.call("PATCH", f"{PODS}/{name}/status", {"status": status})

    async def evict(self, name: str, *, query: str = "", **options: Any) -> str:
        """What the API server says to `kubectl`: code and reason, and its message."""
        body: Document = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "deleteOptions": options,
        }
        try:
            await self.call("POST", f"{PODS}/{name}/eviction{query}", body)
        except ApiRefused as refused:
            return str(refused)
        return "evicted"

    async def mark(self, name: str = "first-1") -> str | None:
        found = await self.call("GET", f"{PODS}/{name}")
        mark: str | None = (found["metadata"].get("annotations") or {}).get(ANNOTATION)
        return mark


@dataclass(kw_only=True)
class Stage(Cluster):
    """A channel `first`, on air with first-1; the server asks the webhook about evictions."""

    kube: Kube
    webhook: Noted
    server: EvictionServer
    announcer: Announcer


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("control-plane")) as made:
        for definition in sorted((ROOT / "crds").glob("*.yaml")):
            made.install(definition)
        made.namespace(NAMESPACE)
        made.allow(USER, NAMESPACE, [*READS, MARKS, LEASES])
        made.allow(READER, NAMESPACE, READS)
        yield made


def configuration_of(url: str, ca: bytes) -> Document:
    """As the chart has it, with a URL in place of a Service."""
    everywhere = {"apiGroups": [""], "apiVersions": ["v1"], "scope": "Namespaced"}
    rule = {**everywhere, "resources": ["pods/eviction"], "operations": ["CREATE"]}
    condition = {"name": "named", "expression": "request.name.matches('.-[0-9]+$')"}
    return {
        "metadata": {"name": "evictions"},
        "webhooks": [
            {
                "name": "evictions.hitless.video",
                "clientConfig": {"url": url, "caBundle": base64.b64encode(ca).decode()},
                "rules": [rule],
                "matchConditions": [condition],
                "failurePolicy": "Ignore",
                "timeoutSeconds": 10,
                "sideEffects": "NoneOnDryRun",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }


WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


@pytest.fixture
async def stage(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(plane, tmp_path, USER) as made:
        yield made


@asynccontextmanager
async def staged(plane: ControlPlane, tmp_path: Path, user: int) -> AsyncIterator[Stage]:
    """user: whose rights the operator has."""
    folder = make_certificate(tmp_path / "serving")
    config = Configuration()
    kubeconfig = str(plane.kubeconfig_of(user))
    await load_kube_config(config_file=kubeconfig, client_configuration=config)  # type: ignore[no-untyped-call]
    async with AsyncExitStack() as stack:
        kube = Kube(await stack.enter_async_context(ApiClient(config)))
        announcer = await stack.enter_async_context(Announcer(kube, "test"))
        peers = await stack.enter_async_context(Peers())
        applier = Applier(kube, peers, PodDefaults(ingest_url=""))
        webhook = Noted(kube=kube, applier=applier, announcer=announcer, now_us=wall_us)
        webhook.asked = []
        certificate = await stack.enter_async_context(ServingCertificate(folder))
        server = EvictionServer("127.0.0.1", 0, certificate, webhook)
        await stack.enter_async_context(server)
        made = Stage(plane=plane, kube=kube, webhook=webhook, server=server, announcer=announcer)
        async with asked(made, folder, server.port):
            yield made


@asynccontextmanager
async def asked(cluster: Cluster, folder: Path, port: int) -> AsyncIterator[None]:
    """The API server asks at that port, and there is a channel to ask about."""
    ca = (folder / CERTIFICATE).read_bytes()
    url = f"https://127.0.0.1:{port}{PATH}"
    await cluster.call("POST", WEBHOOKS, configuration_of(url, ca))
    try:
        await on_air(cluster)
        yield
    finally:
        await cluster.call("DELETE", f"{WEBHOOKS}/evictions")
        await cluster.call("DELETE", f"{CHANNELS}/first")
        await cluster.call("DELETE", PODS)


async def on_air(stage: Cluster) -> None:
    """The channel and its encoder; the server asks from now on."""
    body = {
        "apiVersion": "hitless.video/v1alpha1",
        "kind": "EncoderDeployment",
        "metadata": {"name": "first"},
        "spec": samples.spec(),
    }
    made = await stage.call("POST", CHANNELS, body)
    record = ChannelRecord(phase=ChannelPhase.LIVE, term=1, active=samples.encoder(1))
    empty = EncoderDeploymentStatus()
    status = status_of(record, previous=empty, timeline=None, endpoints=None, conditions=())
    await stage.call("PUT", f"{CHANNELS}/first/status", {**made, "status": as_document(status)})
    await stage.pod("first-1", owner_of(channel_of(made)))
    end_s, said = time.monotonic() + HEARD_S_MAX, ""
    while IN_PLACE not in said:
        assert time.monotonic() < end_s, said
        await asyncio.sleep(0.1)
        said = await stage.evict("first-1", query="?dryRun=All")


async def test_who_asks_to_evict_is_told_to_come_back_and_the_wish_is_noted(stage: Stage) -> None:
    said = await stage.evict("first-1")
    assert f"{PODS}/first-1/eviction: 429" in said
    assert IN_PLACE in said
    status = json.loads(said.partition(": 429 ")[2])
    assert (status["code"], status["reason"]) == (429, "TooManyRequests")
    assert "channel live/first is being handed over from pod first-1" in status["message"]
    pod = await stage.call("GET", f"{PODS}/first-1")
    assert is_fresh(pod, wall_us())
    await stage.announcer.sent()
    events = await stage.call("GET", f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events")
    notes = [e["note"] for e in events["items"] if e["reason"] == "EvictionRequested"]
    assert notes == ["admin asked to evict first-1: Moves"]


async def test_a_dry_run_is_refused_alike_and_notes_nothing(stage: Stage) -> None:
    assert ": 429 " in await stage.evict("first-1", query="?dryRun=All")
    assert ": 429 " in await stage.evict("first-1", dryRun=["All"])
    assert await stage.mark() is None


async def test_others_are_evicted_and_not_asked_about_if_named_otherwise(stage: Stage) -> None:
    await stage.pod("web-0")
    await stage.pod("web")
    assert await stage.evict("web-0") == "evicted"
    assert await stage.evict("web") == "evicted"
    assert "web-0" in stage.webhook.asked
    assert "web" not in stage.webhook.asked


async def test_a_channel_that_lets_its_encoders_go_lets_them_go(stage: Stage) -> None:
    await stage.call("PATCH", f"{CHANNELS}/first", {"spec": {"evictionStrategy": "None"}})
    assert await stage.evict("first-1") == "evicted"


async def test_another_pod_was_meant(stage: Stage) -> None:
    said = await stage.evict("first-1", preconditions={"uid": "another"})
    assert ": 409 " in said
    assert await stage.mark() is None
    with pytest.raises(Rejected):
        await stage.kube.annotate_pod(NAMESPACE, "first-1", "another", {ANNOTATION: "now"})


async def test_while_no_operator_answers_the_budget_holds(stage: Stage) -> None:
    channel = channel_of(await stage.call("GET", f"{CHANNELS}/first"))
    await stage.call("POST", BUDGETS, eviction_guard(channel))
    await stage.server.__aexit__(None, None, None)
    said = await stage.evict("first-1")
    assert ": 429 " in said
    assert "disruption budget" in said
    assert IN_PLACE not in said
    await stage.call("DELETE", f"{BUDGETS}/first")


async def test_what_can_not_be_noted_is_held_all_the_same(
    plane: ControlPlane, tmp_path: Path
) -> None:
    async with staged(plane, tmp_path, READER) as stage:
        said = await stage.evict("first-1")
        assert ": 429 " in said
        assert "The wish could not be noted: PATCH" in said
        assert await stage.mark() is None


async def test_a_question_that_can_not_be_read_is_no_answer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def shown(body: str) -> int:
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", stage.server.port, ssl=trusting_nobody()
        )
        writer.write(f"{head}Connection: close\r\n\r\n{body}".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return int(answer.split()[1])

    assert await shown("{}") == 400
    request = {"uid": "1", "namespace": "elsewhere", "name": "first-1"}
    assert await shown(json.dumps({"request": request})) == 503, "not one of its namespaces"
    monkeypatch.setattr(stage.webhook, "_namespaces", (NAMESPACE,))
    assert await shown(json.dumps({"request": request})) == 200


def trusting_nobody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def test_a_replica_that_stands_by_answers_too(plane: ControlPlane, tmp_path: Path) -> None:
    """The process as it is: another one holds the lease for longer than this test lasts."""
    lease = {
        "metadata": {"name": "hitless-operator"},
        "spec": {"holderIdentity": "another", "leaseDurationSeconds": 3600},
    }
    plane.create(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases", lease)
    folder = make_certificate(tmp_path / "serving")
    port = free_port()
    told = {
        "ORIGIN_URL": "http://127.0.0.1:1",
        "NAMESPACES": NAMESPACE,
        "LEASE": f"{NAMESPACE}/hitless-operator",
        "WEBHOOK_CERTIFICATE": str(folder),
        "WEBHOOK_PORT": str(port),
        "HEALTH_PORT": "0",
    }
    said = tmp_path / "operator.log"
    with said.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hitless_operator"),
            env={
                **os.environ,
                **{f"HITLESS_{name}": value for name, value in told.items()},
                "KUBECONFIG": str(plane.kubeconfig_of(USER)),
            },
            stdout=log,
            stderr=log,
        )
    try:
        cluster = Cluster(plane=plane)
        async with asked(cluster, folder, port):
            assert "is being handed over" in await cluster.evict("first-1")
            assert await cluster.mark() is not None
        end_s = time.monotonic() + HEARD_S_MAX
        while "standing by: another holds the lease" not in said.read_text():
            assert time.monotonic() < end_s, said.read_text()
            await asyncio.sleep(0.1)
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), HEARD_S_MAX)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_helm_keeps_its_certificate_over_upgrades(plane: ControlPlane) -> None:
    namespace = plane.namespace("installed")
    command = [sys.executable, str(ROOT / "hack" / "cluster" / "cluster.py"), "tools", "--chart"]
    tools = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    values = ("crds.enabled=false", "evictionWebhook.enabled=true")
    elsewhere = ("evictionWebhook.namespaceSelector.matchLabels.none=such",)

    def helm(*words: str) -> None:
        where = ("--namespace", namespace, "--kubeconfig", str(plane.kubeconfig))
        env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["helm", *words, *where], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def installed(*more: str) -> tuple[Document, str]:
        options = [word for value in (*values, *elsewhere, *more) for word in ("--set", value)]
        helm("upgrade", "--install", "hitless", str(ROOT / "charts" / "hitless"), *options)
        secret = plane.call("GET", f"/api/v1/namespaces/{namespace}/secrets/hitless-evictions-tls")
        found = plane.call("GET", f"{WEBHOOKS}/hitless-evictions.{namespace}")
        return secret["data"], found["webhooks"][0]["clientConfig"]["caBundle"]

    data, bundle = installed()
    assert bundle == data["ca.crt"]
    assert installed("operator.logLevel=DEBUG") == (data, bundle)
    plane.call("DELETE", f"/api/v1/namespaces/{namespace}/secrets/hitless-evictions-tls")
    other, bundle = installed()
    assert bundle == other["ca.crt"] != data["ca.crt"]
    helm("uninstall", "hitless")


async def test_a_renewed_certificate_is_shown_to_who_connects_next(tmp_path: Path) -> None:
    folder = make_certificate(tmp_path / "serving")
    first = (folder / CERTIFICATE).read_text()
    async with ServingCertificate(folder, look_s=0.02) as certificate:
        listener = await asyncio.start_server(
            lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=certificate.context
        )
        async with listener:
            port = listener.sockets[0].getsockname()[1]

            async def shown() -> str:
                return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))

            assert await shown() == first
            (folder / KEY).write_text("half a key")
            with pytest.raises(OSError, match=r"."):
                certificate.renew()
            assert await shown() == first, "what can't be read changes nothing"
            make_certificate(folder)
            second = (folder / CERTIFICATE).read_text()
            end_s = time.monotonic() + HEARD_S_MAX
            while await shown() != second:
                assert time.monotonic() < end_s
                await asyncio.sleep(0.02)
    assert second != first


def test_without_a_certificate_there_is_no_server(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ServingCertificate(tmp_path)
