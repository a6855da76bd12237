"""A cluster of the benchmark: API server, nodes with encoders, origin, and the operator under test.

Owns what runs while channels of one number are measured. `measures.py` uses it.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.bench_operator.audit import AuditLog
from hack.bench_operator.processes import Child
from hack.commands import free_port
from hack.control_plane import MERGE, ROOT, ControlPlane, control_plane

from hitless_wire.handover_resources import Handover

Document = dict[str, Any]
NAMESPACE = "live"
GROUP_PATH = f"/apis/hitless.video/v1alpha1/namespaces/{NAMESPACE}"
IMAGE = "localhost/hitless/encoder:v{}"
FLEET_TYPE = "fleet"
USER = "kubectl"  # field manager of what users write
OPERATOR, CONTROLLERS = "operator", "system:kube-controller-manager"
FRAME_RATE = 30
POLL_S = 0.25
SAY_EVERY_S = 15.0
WRITERS = 4


class BenchError(Exception):
    """Something did not come to be; says what, and where to look."""


def say(text: str) -> None:
    """Progress goes to stderr: stdout is for the result."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


@dataclass(kw_only=True)
class Scene:
    """What runs. start_s: how long a pod takes to be ready. spec: see `scene`."""

    folder: Path
    plane: ControlPlane
    audit: AuditLog
    nodes: Child
    origin_port: int
    start_s: float
    spec: Document
    operator: Child | None = None
    health_port: int = 0
    server: str = ""

    # --- the operator ---

    def start_operator(self) -> None:
        """`python -m hitless_operator`, as it is installed but for its addresses."""
        self.health_port = free_port()
        kubeconfig = self.plane.kubeconfig_with("token-operator", OPERATOR)
        if self.server:
            text = kubeconfig.read_text().replace(self.plane.url, self.server)
            kubeconfig.write_text(text)
        env = {
            "KUBECONFIG": str(kubeconfig),
            "HITLESS_ORIGIN_URL": f"http://127.0.0.1:{self.origin_port}",
            "HITLESS_HEALTH_PORT": str(self.health_port),
            "HITLESS_HEALTH_HOST": "127.0.0.1",
        }
        log = self.folder / "operator.log"
        self.operator = Child("hitless_operator", log=log, env=env)

    def end_operator(self) -> None:
        """SIGTERM, as Kubernetes does."""
        if self.operator is not None:
            self.operator.end()
            self.operator = None

    @property
    def operator_pid(self) -> int:
        """Raises BenchError when it has ended by itself."""
        if self.operator is None or not self.operator.is_running():
            raise BenchError(f"the operator has ended: see {self.folder / 'operator.log'}")
        return self.operator.pid

    def metrics(self) -> dict[str, float]:
        """The operator's own, by name with labels; empty while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/metrics") as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
        rows = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in rows}

    def is_at_rest(self) -> bool:
        """Whether its queue is empty."""
        queue = {k: v for k, v in self.metrics().items() if k.startswith("hitless_queue_channels")}
        return bool(queue) and not any(queue.values())

    # --- the cluster ---

    def events(self) -> Document:
        """What the nodes saw since this was asked last."""
        url = f"http://127.0.0.1:{self.origin_port}/bench"
        with urllib.request.urlopen(url) as answer:
            found: Document = json.loads(answer.read())
            return found

    def create_channels(self, count: int, fleet: int) -> None:
        """channel-00001 and so on; the first `fleet` of them are those of a fleet update."""
        with ThreadPoolExecutor(WRITERS) as pool:
            kinds = (FLEET_TYPE if n < fleet else "other" for n in range(count))
            bodies = (channel(n, kind, self.spec) for n, kind in enumerate(kinds))
            path = f"{GROUP_PATH}/encoderdeployments?fieldManager={USER}"
            for _ in pool.map(lambda body: self.plane.create(path, body), bodies):
                pass

    def change_image(self, name: str, version: int) -> None:
        """kubectl patch."""
        body = {"spec": {"image": IMAGE.format(version)}}
        path = f"{GROUP_PATH}/encoderdeployments/{name}?fieldManager={USER}"
        self.plane.call("PATCH", path, body, content_type=MERGE)

    def channels(self) -> list[Document]:
        """All of them, in pages."""
        found: list[Document] = []
        more = ""
        while True:
            path = f"{GROUP_PATH}/encoderdeployments?limit=500&continue={more}"
            page = self.plane.call("GET", path)
            found += page["items"]
            more = page["metadata"].get("continue", "")
            if not more:
                return found

    def wait(
        self,
        what: str,
        progress: Callable[[], tuple[int, int]],
        limit_s: float,
        *,
        every_s: float = POLL_S,
    ) -> float:
        """Until `progress` says (n, n); how long it took, in seconds. Raises BenchError."""
        start_s = told_s = time.monotonic()
        while True:
            done, of = progress()
            now_s = time.monotonic()
            if done >= of:
                return now_s - start_s
            if self.operator is not None:
                _ = self.operator_pid
            if not self.nodes.is_running():
                raise BenchError(f"the nodes have ended: see {self.nodes.log}")
            if now_s - start_s > limit_s:
                raise BenchError(f"{what}: {done} of {of} after {limit_s:.0f} s: see {self.folder}")
            if now_s - told_s > SAY_EVERY_S:
                say(f"  {what}: {done} of {of} after {now_s - start_s:.0f} s")
                told_s = now_s
            time.sleep(every_s)


def channel(number: int, kind: str, more: Document) -> Document:
    """A channel as a user writes it, with all defaults but `more`."""
    return {
        "apiVersion": "hitless.video/v1alpha1",
        "kind": "EncoderDeployment",
        "metadata": {"name": name_of(number), "namespace": NAMESPACE},
        "spec": {
            "image": IMAGE.format(1),
            "type": kind,
            "source": {"url": "testpattern:"},
            "profiles": [
                {"name": "360p", "width": 640, "height": 360, "maxKbps": 1200},
                {"name": "240p", "width": 426, "height": 240, "maxKbps": 600},
            ],
            **more,
        },
    }


def segments_of(seconds: int) -> Document:
    """The spec's part that says how long segments are."""
    return {"timeline": {"frameRate": str(FRAME_RATE), "segmentFrames": seconds * FRAME_RATE}}


def name_of(number: int) -> str:
    """Of a channel."""
    return f"channel-{number + 1:05}"


@contextlib.contextmanager
def scene(folder: Path, start_s: float, spec: Document) -> Iterator[Scene]:
    """A cluster without channels and operator, in an empty folder; it ends with the block.

    spec: what channels have besides image, source and profiles; all else is default.
    """
    handover = Handover.model_validate(spec.get("handover", {}))
    with contextlib.ExitStack() as stack:
        plane = stack.enter_context(control_plane(folder, audited=(OPERATOR, CONTROLLERS)))
        for definition in sorted((ROOT / "crds").glob("*.yaml")):
            plane.install(definition)
        plane.namespace(NAMESPACE)
        plane.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", _binding())
        port = free_port()
        nodes = Child(
            "hack.bench_operator.nodes",
            *("--kubeconfig", str(plane.kubeconfig), "--port", str(port)),
            *("--start-seconds", str(start_s)),
            *("--hold-segments", str(handover.hold_segments)),
            log=folder / "nodes.log",
            env={},
        )
        stack.callback(nodes.end)
        made = Scene(
            folder=folder,
            plane=plane,
            audit=AuditLog(folder / "audit.log"),
            nodes=nodes,
            origin_port=port,
            start_s=start_s,
            spec=spec,
        )
        stack.callback(made.end_operator)
        made.wait("the nodes to answer", lambda: (_answers(made), 1), 60)
        yield made


def _answers(made: Scene) -> int:
    try:
        made.events()
    except OSError:
        return 0
    return 1


def _binding() -> Document:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"kind": "User", "name": OPERATOR}
    return {"metadata": {"name": OPERATOR}, "roleRef": role, "subjects": [subject]}
