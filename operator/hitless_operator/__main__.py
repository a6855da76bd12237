"""The operator process: `python -m hitless_operator`, told by HITLESS_* variables (settings.py).

Owns the composition: what runs, in which order it starts and stops. SIGTERM ends it at once, which
is safe at any point: all that must be remembered is in the CRs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import kopf
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import ConfigException
from pydantic import ValidationError

from hitless_operator.apply import Applier
from hitless_operator.channel import Key, readable
from hitless_operator.events import Announcer
from hitless_operator.eviction.certificate import ServingCertificate
from hitless_operator.eviction.server import EvictionServer
from hitless_operator.eviction.webhook import EvictionWebhook
from hitless_operator.fleet.index import ActiveUpdates
from hitless_operator.fleet.reconcile import FleetReconciler
from hitless_operator.fleet.shelf import ShelvedKube
from hitless_operator.fleet.writer import FleetWriter
from hitless_operator.health import HealthServer, WatchPulse, queue_fault
from hitless_operator.kube import Kube, KubeError, configuration
from hitless_operator.lease import Lease, LeaseLost
from hitless_operator.manifests import MANAGER, PodDefaults
from hitless_operator.metrics import Metrics
from hitless_operator.mirror import MirroredKube
from hitless_operator.nodes import Nodes
from hitless_operator.observe import Observer
from hitless_operator.queue import WorkQueue
from hitless_operator.reconcile import Origin, Reconciler, wall_us
from hitless_operator.settings import Settings, from_environment
from hitless_operator.watch import registry_of_kopf, settings_of_kopf
from hitless_wire import logs
from hitless_wire.fleet_resources import FLEET_PLURAL
from hitless_wire.ingest_tokens import KeyFile, KeysUnusable
from hitless_wire.peers import Peers
from hitless_wire.resources import GROUP, PLURAL

CRD_RETRY_S = 2.0
CRD_TRIES_MAX = 60
STREAMS_PER_NAMESPACE = 3  # channels, encoder pods and fleet updates
FLEET_WORKERS = 2  # a look goes through all channels of a namespace: not many at once
_log = logging.getLogger(__name__)


class NotInstalled(Exception):
    """A CRD is not served, and was not within the time allowed."""


async def run(settings: Settings) -> None:
    """Run until SIGTERM. Raises NotInstalled, LeaseLost, ConfigException, KeysUnusable, and what
    ends kopf.
    """
    config = await configuration()
    now_s = asyncio.get_running_loop().time
    metrics = Metrics()
    nodes = None if settings.namespaces else Nodes()  # a Role can't allow to watch nodes
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ApiClient(config))
        client.user_agent = MANAGER  # becomes the field manager of what is written
        kube = Kube(client, metrics.called)
        mirror = MirroredKube(client, metrics.called, now_s=now_s)
        peers = await stack.enter_async_context(Peers(settings.call_seconds))
        announcer = await stack.enter_async_context(Announcer(kube, settings.pod_name))
        origin = Origin(url=settings.origin_url, public_url=settings.public_url)
        asked = bool(settings.webhook_certificate)  # about evictions
        guards = nodes is not None or asked
        keys = KeyFile(Path(settings.ingest_keys_file)) if settings.ingest_keys_file else None
        defaults = pod_defaults(settings)
        applier = Applier(mirror, peers, defaults, metrics, guards=guards, keys=keys)
        reconciler = Reconciler(
            kube=mirror,
            observer=Observer(mirror, peers, nodes),
            applier=applier,
            announcer=announcer,
            origin=origin,
            metrics=metrics,
        )
        shelf = ShelvedKube(client, metrics.called, now_s=now_s)
        fleets = FleetReconciler(
            kube=shelf, writer=FleetWriter(shelf), peers=peers, announcer=announcer, origin=origin
        )
        look = metrics.timed(reconciler.look)
        queue: WorkQueue[Key] = WorkQueue(look, workers=settings.workers)
        metrics.attach(queue.state)
        fleet_queue: WorkQueue[Key] = WorkQueue(fleets.look, workers=FLEET_WORKERS)
        updates = ActiveUpdates(fleet_queue.add, fleet_queue.add_in, shelf)
        streams = STREAMS_PER_NAMESPACE * max(1, len(settings.namespaces)) + (nodes is not None)
        pulse = WatchPulse(streams, now_s)
        await stack.enter_async_context(
            HealthServer(
                settings.health_host,
                settings.health_port,
                pulse.fault,
                lambda: queue_fault(queue.state()),
                lambda: queue_fault(fleet_queue.state()),
                metrics=metrics.text,
            )
        )
        await until_served(kube)
        if asked:
            webhook = EvictionWebhook(
                kube=kube,
                applier=applier,
                announcer=announcer,
                now_us=wall_us,
                namespaces=settings.namespaces,
            )
            await serve_evictions(stack, settings, webhook)
        lease = lease_of(settings, kube)
        if lease is not None:
            await lease.acquire()
            stack.push_async_callback(lease.release)
        pulse.begin()
        await stack.enter_async_context(queue)
        await stack.enter_async_context(fleet_queue)
        registry = registry_of_kopf(
            queue.add, updates, config, pulse, mirror=mirror, called=metrics.called, nodes=nodes
        )
        await watch(settings, registry, lease)


async def serve_evictions(
    stack: AsyncExitStack, settings: Settings, webhook: EvictionWebhook
) -> None:
    """Answer the API server from now on, with the lease or without. Raises OSError."""
    folder = Path(settings.webhook_certificate)
    certificate = await stack.enter_async_context(ServingCertificate(folder))
    await stack.enter_async_context(
        EvictionServer(settings.health_host, settings.webhook_port, certificate, webhook)
    )


async def watch(settings: Settings, registry: kopf.OperatorRegistry, lease: Lease | None) -> None:
    """kopf, until SIGTERM or until the lease is lost. Raises LeaseLost, and what ends kopf."""
    stop = asyncio.Event()
    keeping = None
    if lease is not None:
        keeping = asyncio.create_task(lease.keep(), name="lease")
        keeping.add_done_callback(lambda _: stop.set())
    try:
        await kopf.operator(
            registry=registry,
            settings=settings_of_kopf(),
            # Else kopf looks up the user's name, which a container's numeric user need not have.
            identity=cast(Any, settings.pod_name),
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            stop_flag=stop,
        )
    finally:
        if keeping is not None and not keeping.done():
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
    if keeping is not None and keeping.done() and not keeping.cancelled():
        await keeping


def lease_of(settings: Settings, kube: Kube) -> Lease | None:
    """What to wait for before any work; None where this is the only replica."""
    if not settings.lease:
        return None
    namespace, _, name = settings.lease.partition("/")
    return Lease(
        kube,
        namespace=namespace,
        name=name,
        identity=settings.pod_name,
        now_s=asyncio.get_running_loop().time,
        wall_us=wall_us,
    )


def pod_defaults(settings: Settings) -> PodDefaults:
    """What every encoder pod gets."""
    return PodDefaults(
        ingest_url=settings.origin_url,
        cpu_request=settings.encoder_cpu_request,
        memory_request=settings.encoder_memory_request,
        memory_limit=settings.encoder_memory_limit,
        media_claim=settings.media_claim,
        priority_class=settings.encoder_priority_class,
        log_format=settings.log_format,
        tokens=bool(settings.ingest_keys_file),
    )


async def until_served(kube: Kube) -> None:
    """Wait for the CRDs: kopf looks for them once, at its start. Raises NotInstalled."""
    for _ in range(CRD_TRIES_MAX):
        try:
            if await kube.is_served():
                return
            _log.info("waiting for %s and %s to be served", PLURAL, FLEET_PLURAL)
        except KubeError as error:
            _log.warning("%s", error)
        await asyncio.sleep(CRD_RETRY_S)
    what = f"{PLURAL}.{GROUP} or {FLEET_PLURAL}.{GROUP}"
    raise NotInstalled(f"{what} is not served: apply crds/ or set crds.enabled")


def main() -> None:
    """Read the settings, run, and say in one line what was wrong."""
    try:
        settings = from_environment(os.environ)
    except ValidationError as error:
        sys.exit(f"HITLESS_* variables: {readable(error)}")
    logs.set_up({logs.FORMAT_VARIABLE: settings.log_format}, level=settings.log_level)
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # one line for each watch event
    logging.getLogger("grpc").setLevel(logging.INFO)  # several for each call
    try:
        asyncio.run(run(settings))
    except (NotInstalled, LeaseLost, ConfigException, KeysUnusable) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
