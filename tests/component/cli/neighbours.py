"""What answers behind the API server: a kubelet that has logs, an origin that has a report."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hack.control_plane import MERGE, ControlPlane, until

NODE = "node1"


@contextlib.contextmanager
def serving(
    answers: Mapping[str, bytes], *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[tuple[int, list[str]]]:
    """A server of fixed answers by path; its port, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = answers.get(self.path.split("?")[0])
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"nothing here")

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def kubelet(plane: ControlPlane, answers: Mapping[str, bytes]) -> Iterator[list[str]]:
    """Of a node that the API server asks for logs. answers: `/containerLogs/…` to text."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    keys = plane.folder / "pki"
    tls.load_cert_chain(keys / "apiserver.crt", keys / "apiserver.key")
    with serving(answers, tls=tls) as (port, asked):
        plane.create("/api/v1/nodes", {"metadata": {"name": NODE}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        path = f"/api/v1/nodes/{NODE}"
        plane.call("PATCH", f"{path}/status", {"status": status}, content_type=MERGE)
        try:
            yield asked
        finally:
            plane.call("DELETE", path)


def own_address() -> str | None:
    """An address of this machine that is not loopback: a Service may lead to no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address


def origin_service(plane: ControlPlane, namespace: str, address: str, port: int, path: str) -> None:
    """The chart's Service of the origin, leading to an address; returns when `path` answers."""
    labels = {"app.kubernetes.io/name": "hitless-origin"}
    ports = [{"name": "http", "port": 80}]
    services = f"/api/v1/namespaces/{namespace}/services"
    plane.create(services, {"metadata": {"name": "o", "labels": labels}, "spec": {"ports": ports}})
    pod = _origin_pod(plane, namespace, address)
    slice_ = {
        "metadata": {"name": "o-1", "labels": {"kubernetes.io/service-name": "o"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}, "targetRef": pod}],
        "ports": [{"name": "http", "port": port}],
    }
    plane.create(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices", slice_)
    until("the Service", lambda: plane.serves(f"{services}/o:http/proxy{path}"))


def _origin_pod(plane: ControlPlane, namespace: str, address: str) -> dict[str, Any]:
    """A reference to a pod of that address: the API server asks it whose address it is."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    containers = [{"name": "origin", "image": "origin", "ports": [{"containerPort": 80}]}]
    made = plane.create(pods, {"metadata": {"name": "o-0"}, "spec": {"containers": containers}})
    ready = {"type": "Ready", "status": "True"}
    made["status"] = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [ready],
    }
    plane.call("PUT", f"{pods}/o-0/status", made)
    return {"kind": "Pod", "namespace": namespace, "name": "o-0", "uid": made["metadata"]["uid"]}
