"""All nodes, encoders and the origin of the benchmark's cluster, played by one process.

    python -m hack.bench_operator.nodes --kubeconfig FILE --port PORT --start-seconds 2

It binds each pod, and says of it what a kubelet would: running after half of the start-up time,
ready after all of it, gone when it is deleted. An encoder pod gets an encoder without media that
speaks the real gRPC at the pod's address; any other pod nothing. The HTTP server answers as the
origin, and `/bench` with what happened. `scene.py` starts it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import ssl
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from hack.bench_operator.programme import Programme, TimedEncoder, Work, need_s
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import load_kube_config

from hitless_operator.manifests import CONFIG_VARIABLE, CONTAINER_NAME
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.handover_resources import Handover
from hitless_wire.ingest import report_path

Document = dict[str, Any]
NODE = "node-1"
CONNECTIONS_MAX = 32
RETRY_S = 0.2
WATCH_S = 3600
LINE_BYTES_MAX = 4 * 1024 * 1024
STATUS_PATCH = "application/merge-patch+json"
_log = logging.getLogger("nodes")


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class Api:
    """The API server as a kubelet sees it. Writes are tried until they are answered."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session, self._server = session, server

    async def pods(self) -> AsyncIterator[tuple[str, Document]]:
        """All pods and what becomes of them, as (type, pod); lists anew whenever a watch ends."""
        while True:
            try:
                async with self._session.get(f"{self._server}/api/v1/pods") as answer:
                    found = json.loads(await answer.read())
                for pod in found["items"]:
                    yield "LISTED", pod
                yield "SYNCED", found
                async for event in self._watch(found["metadata"]["resourceVersion"]):
                    yield event
            except (aiohttp.ClientError, TimeoutError, KeyError) as error:
                _log.info("watch: %r", error)
            await asyncio.sleep(RETRY_S)

    async def _watch(self, version: str) -> AsyncIterator[tuple[str, Document]]:
        query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(WATCH_S)}
        async with self._session.get(f"{self._server}/api/v1/pods", params=query) as answer:
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]

    async def send(self, method: str, path: str, body: Document) -> None:
        """Until there is an answer; what it refuses is the pod's end or was done before."""
        kind = STATUS_PATCH if method == "PATCH" else "application/json"
        while True:
            try:
                async with self._session.request(
                    method,
                    self._server + path,
                    data=json.dumps(body),
                    headers={"Content-Type": kind},
                ) as answer:
                    await answer.read()
                    if answer.status < 500 and answer.status != 429:
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                _log.info("%s %s: %r", method, path, error)
            await asyncio.sleep(RETRY_S)


class Nodes:
    """start_s: from a pod's creation until it is ready, seconds. hold_segments: of all channels."""

    def __init__(self, api: Api, start_s: float, hold_segments: int) -> None:
        self._api, self._start_s, self._hold_segments = api, start_s, hold_segments
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._started: set[str] = set()  # uids; an event may tell late how a pod was before
        self._encoders: dict[str, tuple[Programme, str]] = {}  # by uid of the pod
        self._programmes: dict[tuple[str, str], Programme] = {}
        self._numbers = 0
        self._needs_s: list[float] = []

    async def run(self) -> None:
        """Follow the pods; ends by being cancelled."""
        listed: set[str] = set()
        try:
            async for kind, pod in self._api.pods():
                if kind == "SYNCED":
                    await self._forget_all_but(listed)
                    listed.clear()
                    continue
                uid = pod["metadata"]["uid"]
                if kind == "LISTED":
                    listed.add(uid)
                if kind == "DELETED":
                    await self._stopped(uid)
                    self._started.discard(uid)
                elif pod["metadata"].get("deletionTimestamp"):
                    self._begin(f"end {uid}", self._end(pod))
                elif uid not in self._started and not pod["status"].get("podIP"):
                    self._started.add(uid)
                    self._begin(uid, self._start(pod))
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            for programme in self._programmes.values():
                for encoder in programme.encoders.values():
                    await encoder.stop()

    def _begin(self, name: str, work: Any) -> None:
        if name in self._tasks:
            work.close()
            return
        task = self._tasks[name] = asyncio.create_task(work, name=name)
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def _start(self, pod: Document) -> None:
        seen_us = now_us()
        metadata, container = pod["metadata"], pod["spec"]["containers"][0]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        binding = {"apiVersion": "v1", "kind": "Binding", "target": target}
        await self._api.send("POST", f"{path}/binding", {**binding, "metadata": metadata})
        await self._pause_until(seen_us, self._start_s / 2)
        ip = "10.0.0.1"
        if container["name"] == CONTAINER_NAME:
            ip = await self._encoder(metadata["uid"], container, seen_us)
        for ready, after_s in ((False, self._start_s / 2), (True, self._start_s)):
            await self._pause_until(seen_us, after_s)
            status = _status(container, metadata["uid"], ip, ready=ready)
            await self._api.send("PATCH", f"{path}/status", {"status": status})

    @staticmethod
    async def _pause_until(seen_us: int, after_s: float) -> None:
        await asyncio.sleep(max(0.0, after_s - (now_us() - seen_us) / 1e6))

    async def _encoder(self, uid: str, container: Document, seen_us: int) -> str:
        text = next(e["value"] for e in container["env"] if e["name"] == CONFIG_VARIABLE)
        config = EncoderConfig.model_validate_json(text)
        key = (config.namespace, config.channel)
        programme = self._programmes.get(key)
        if programme is None:
            programme = Programme(namespace=config.namespace, channel=config.channel, now_us=now_us)
            self._programmes[key] = programme
        encoder = TimedEncoder(config, programme, now_us, Work(seen_us=seen_us))
        await encoder.start()
        programme.add(encoder)
        self._encoders[uid] = (programme, config.encoder_id)
        return encoder.ip

    async def _end(self, pod: Document) -> None:
        metadata = pod["metadata"]
        await self._stopped(metadata["uid"])
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        now = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
        await self._api.send("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **now})

    async def _stopped(self, uid: str) -> None:
        starting = self._tasks.get(uid)
        if starting is not None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        programme, name = self._encoders.pop(uid, (None, ""))
        if programme is None:
            return
        encoder = programme.remove(name)
        if encoder is not None:
            await encoder.stop()
        for other in programme.encoders.values():
            need = need_s(other, self._hold_segments)
            if need is not None:
                self._needs_s.append(need)

    async def _forget_all_but(self, uids: set[str]) -> None:
        for uid in [uid for uid in self._encoders if uid not in uids]:
            await self._stopped(uid)
        self._started &= uids

    # --- what is asked over HTTP ---

    async def report(self, request: web.Request) -> web.Response:
        """The origin's report of a channel."""
        key = (request.match_info["namespace"], request.match_info["channel"])
        programme = self._programmes.get(key)
        found = None if programme is None else programme.report()
        if found is None:
            return web.Response(status=404)
        return web.Response(
            text=found.model_dump_json(by_alias=True), content_type="application/json"
        )

    async def bench(self, _: web.Request) -> web.Response:
        """What happened since this was asked last; faults since the beginning."""
        needs_s, self._needs_s = self._needs_s, []
        for programme in self._programmes.values():
            programme.catch_up()
        rows = self._programmes.values()
        return web.json_response(
            {
                "encoders": sum(len(row.encoders) for row in rows),
                "onAir": sum(row.selected[0] > 0 for row in rows),
                "handovers": len(needs_s),
                "needSeconds": statistics.mean(needs_s) if needs_s else 0.0,
                "segmentsMissing": sum(row.gaps for row in rows),
                "lowerTermsOnAir": sum(row.steps_back for row in rows),
            }
        )


def _status(container: Document, uid: str, ip: str, *, ready: bool) -> Document:
    yes, now = "True" if ready else "False", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    said = {"PodScheduled": "True", "Initialized": "True", "ContainersReady": yes, "Ready": yes}
    conditions = [{"type": k, "status": v, "lastTransitionTime": now} for k, v in said.items()]
    running = {
        "name": container["name"],
        "image": container["image"],
        "imageID": f"{container['image']}@sha256:{uid}",
        "containerID": f"stand-in://{uid}",
        "ready": ready,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": now}},
    }
    return {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "hostIP": "127.0.0.1",
        "conditions": conditions,
        "containerStatuses": [running],
    }


async def run(options: argparse.Namespace) -> None:
    """Until SIGTERM."""
    configuration = Configuration()
    await load_kube_config(  # type: ignore[no-untyped-call]
        config_file=str(options.kubeconfig), client_configuration=configuration
    )
    tls: ssl.SSLContext = RESTClientObject(configuration).ssl_context
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX, ssl=tls)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, read_bufsize=LINE_BYTES_MAX
    ) as session:
        nodes = Nodes(
            Api(session, configuration.host), options.start_seconds, options.hold_segments
        )
        app = web.Application()
        app.router.add_get(report_path("{namespace}", "{channel}"), nodes.report)
        app.router.add_get("/bench", nodes.bench)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", options.port).start()
        following = asyncio.create_task(nodes.run())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((following, stopping), return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
        finally:
            for task in (following, stopping):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
            await runner.cleanup()


def main() -> None:
    """Play until SIGTERM."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True, help="of the origin, on 127.0.0.1")
    parser.add_argument("--start-seconds", type=float, default=2.0)
    parser.add_argument("--hold-segments", type=int, default=Handover().hold_segments)
    logging.basicConfig(level=logging.INFO)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
