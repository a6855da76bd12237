"""A real Kubernetes API server for tests and benchmarks: etcd and kube-apiserver, no node.

Server-side apply, CEL rules, watches and permissions are those of a cluster; pods are objects that
nobody runs, and controllers work only where they are asked for. Ready in about three seconds. The
programs come from the cache of hack/cluster, listen on 127.0.0.1 only and are ended with the block,
or with this process, however that ends. Use it as a session fixture:

    @pytest.fixture(scope="session")
    def plane(tmp_path_factory):
        with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
            yield plane
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "hack" / "cluster"))  # its modules import each other by bare name

import machine  # noqa: E402
import pki  # noqa: E402
import state  # noqa: E402
import toolchain  # noqa: E402

Document = dict[str, Any]
READY_S_MAX = 60.0
END_S_MAX = 10.0
CALL_S_MAX = 20.0
_LISTENS = "0A"  # in the kernel's tables of sockets
STARTS_MAX = 3  # a free port may be taken before the program has it
USERS_MAX = 32
AUDIT_MB_MAX = 10_000  # never rotated: who reads it reads it from its beginning
JSON = "application/json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
SERVICE_ACCOUNTS = "system:serviceaccounts"
ETCD, API_SERVER, CONTROLLERS = "etcd", "kube-apiserver", "kube-controller-manager"


ClusterError = machine.ClusterError


class ApiRefused(AssertionError):
    """The API server said no where the test expected yes."""


@dataclass(slots=True, kw_only=True)
class Program:
    """A program that listens on a port of 127.0.0.1. command: of a port; log: is appended to."""

    name: str
    folder: Path
    command: Callable[[int], list[str]]
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """On a free port, or again on that of before. Returns when it listens."""
        again = self.port
        for _ in range(STARTS_MAX):
            self.port = again or _free_port()
            self._launch()
            until(f"{self.name} on port {self.port}", self._listens_or_ended, log=self.log)
            if self._runs():
                return
        raise machine.ClusterError(f"{self.name} does not start: {machine.tail(self.log)}")

    def end(self, *, kill: bool = False) -> None:
        """End it if it runs. kill: give it no time to say goodbye."""
        process, self.process = self.process, None
        if process is None:
            return
        (process.kill if kill else process.terminate)()
        try:
            process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _launch(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self.command(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", "")},
            )

    def _runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _listens_or_ended(self) -> bool:
        return self.process is None or not self._runs() or _listens(self.process.pid, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """A running API server. folder: certificates, kubeconfigs and logs."""

    folder: Path
    server: Program

    @property
    def port(self) -> int:
        """Of the API server."""
        return self.server.port

    @property
    def url(self) -> str:
        """Base URL."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """Of the administrator."""
        return self.folder / "kubeconfig"

    def kubeconfig_of(self, user: int) -> Path:
        """Of `user-<n>`, who may do nothing until a role says otherwise."""
        return self.kubeconfig_with(f"token-{user}", f"user-{user}")

    def kubeconfig_with(self, token: str, name: str) -> Path:
        """Of whoever has that token."""
        value = json.loads(self.kubeconfig.read_text())
        value["users"][0]["user"] = {"token": token}
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(value))
        return path

    def restart(self) -> None:
        """Kill the API server and start it again, on the same port; returns when it is ready."""
        self.server.end(kill=True)
        self.server.start()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Until it serves."""
        until("the API server", lambda: _is_ready(self), log=self.server.log)

    def call(
        self, method: str, path: str, body: Document | None = None, *, content_type: str = JSON
    ) -> Document:
        """One request as the administrator; the answer. Raises ApiRefused."""
        tls = ssl.create_default_context(cafile=str(self.folder / "pki" / "ca.crt"))
        tls.load_cert_chain(self.folder / "pki" / "admin.crt", self.folder / "pki" / "admin.key")
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=CALL_S_MAX, context=tls
        )
        with contextlib.closing(connection):
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": content_type})
            answer = connection.getresponse()
            content = answer.read()
        if answer.status >= 300:
            raise ApiRefused(f"{method} {path}: {answer.status} {content.decode()}")
        try:
            found: Document = json.loads(content)
        except ValueError:
            return {"text": content.decode()}
        return found

    def create(self, path: str, body: Document) -> Document:
        """POST."""
        return self.call("POST", path, body)

    def namespace(self, name: str) -> str:
        """Make it."""
        self.create("/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def install(self, definition: Path) -> None:
        """A CustomResourceDefinition; returns when it is served."""
        body = yaml.safe_load(definition.read_text())
        made = self.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
        spec = made["spec"]
        version = next(v["name"] for v in spec["versions"] if v["served"])
        path = f"/apis/{spec['group']}/{version}/{spec['names']['plural']}"
        until(f"{path} to be served", lambda: self.serves(path))

    def allow(self, user: int, namespace: str, rules: list[Document]) -> None:
        """Give `user-<n>` these rules in a namespace."""
        roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        name = f"user-{user}"
        self.create(f"{roles}/roles", {"metadata": {"name": name}, "rules": rules})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        subject = {"kind": "User", "name": name}
        binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        self.create(f"{roles}/rolebindings", binding)

    def serves(self, path: str) -> bool:
        """Whether a GET of it succeeds."""
        try:
            self.call("GET", path)
        except ApiRefused:
            return False
        return True


@contextlib.contextmanager
def control_plane(folder: Path, *, audited: Sequence[str] = ()) -> Iterator[ControlPlane]:
    """Start one in an empty folder; end it with the block.

    audited: names of users whose requests are written to `audit.log` in the folder.
    """
    programs = _programs(ETCD, API_SERVER)
    _make_certificates(folder)
    _write_tokens(folder)
    _write_audit_policy(folder, audited)
    store = Program(
        name=ETCD, folder=folder, command=lambda port: _etcd(programs[ETCD], folder, port)
    )
    server = Program(
        name=API_SERVER,
        folder=folder,
        command=lambda port: _api_server(programs[API_SERVER], folder, port, store.port),
    )
    with contextlib.ExitStack() as stack:
        for program in (store, server):
            stack.callback(program.end)
            program.start()
        plane = ControlPlane(folder=folder, server=server)
        _write_server(plane)
        plane.wait_until_ready()
        yield plane


@contextlib.contextmanager
def controllers(plane: ControlPlane, *names: str) -> Iterator[Program]:
    """These controllers of Kubernetes, with a client as fast as that of hack/cluster."""
    program = _programs(CONTROLLERS)[CONTROLLERS]
    kubeconfig = plane.kubeconfig_with("token-controllers", "controllers")

    def command(port: int) -> list[str]:
        return [
            str(program),
            f"--kubeconfig={kubeconfig}",
            f"--controllers={','.join(names)}",
            *("--bind-address=127.0.0.1", f"--secure-port={port}", "--leader-elect=false"),
            *("--kube-api-qps=300", "--kube-api-burst=500"),
        ]

    running = Program(name=CONTROLLERS, folder=plane.folder, command=command)
    try:
        running.start()
        yield running
    finally:
        running.end()


def _programs(*wanted: str) -> dict[str, Path]:
    """Paths by name; built first where the cache has none."""
    steps = [step for step in toolchain.embedded_steps() if step.name in (*wanted, "go")]
    if not all(step.done for step in steps if step.name in wanted):
        toolchain.ensure(steps)
    return {step.name: step.folder / step.name for step in steps if step.name in wanted}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Certified(state.Cluster):
    """What pki needs to know, in a folder of the test's."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root


def _make_certificates(folder: Path) -> None:
    cluster = _Certified(
        name="tests",
        provider=state.Provider.EMBEDDED,
        node_count=0,
        slot=state.Slot(number=0),
        root=folder,
    )
    pki.make(cluster)


def _write_tokens(folder: Path) -> None:
    """token-<n> for user-<n>; `operator` and `controllers` in the groups that such programs have.

    The groups say how the API server shares itself out (flow control).
    """
    lines = [f"token-{n},user-{n},uid-{n}" for n in range(USERS_MAX)]
    lines.append(f"token-operator,operator,uid-operator,{SERVICE_ACCOUNTS}")
    lines.append("token-controllers,system:kube-controller-manager,uid-controllers,system:masters")
    (folder / "tokens.csv").write_text("".join(f"{line}\n" for line in lines))


def _write_audit_policy(folder: Path, users: Sequence[str]) -> None:
    rules: list[Document] = [{"level": "None"}]
    if users:
        rules.insert(0, {"level": "Metadata", "users": list(users)})
    policy: Document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}
    policy["omitStages"] = ["RequestReceived"]
    (folder / "audit-policy.json").write_text(json.dumps(policy))


def _write_server(plane: ControlPlane) -> None:
    value = json.loads(plane.kubeconfig.read_text())
    value["clusters"][0]["cluster"]["server"] = plane.url
    plane.kubeconfig.write_text(json.dumps(value))


def _etcd(program: Path, folder: Path, port: int) -> list[str]:
    client, peer = f"http://127.0.0.1:{port}", f"unix://{folder}/peer"
    return [
        str(program),
        *("--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--log-level", "warn"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"default={peer}"),
    ]


def _api_server(program: Path, folder: Path, port: int, store: int) -> list[str]:
    """Without the ServiceAccount admission: nobody here makes accounts, and pods need none."""
    keys = folder / "pki"
    return [
        str(program),
        f"--etcd-servers=http://127.0.0.1:{store}",
        *("--bind-address=127.0.0.1", f"--secure-port={port}", "--endpoint-reconciler-type=none"),
        f"--tls-cert-file={keys}/apiserver.crt",
        f"--tls-private-key-file={keys}/apiserver.key",
        f"--client-ca-file={keys}/ca.crt",
        f"--token-auth-file={folder}/tokens.csv",
        *(
            f"--audit-policy-file={folder}/audit-policy.json",
            f"--audit-log-path={folder}/audit.log",
        ),
        f"--audit-log-maxsize={AUDIT_MB_MAX}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={keys}/service-accounts.key",
        f"--service-account-signing-key-file={keys}/service-accounts.key",
        "--service-cluster-ip-range=198.18.128.0/22",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
        f"--kubelet-client-certificate={keys}/admin.crt",
        f"--kubelet-client-key={keys}/admin.key",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _listens(pid: int, port: int) -> bool:
    """Whether this process does: another one may have taken the port before it."""
    listening: set[str] = set()
    try:
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and fields[1].endswith(f":{port:04X}"):
                    listening.add(f"socket:[{fields[9]}]")
        return any(str(each.readlink()) in listening for each in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False  # it has closed one just now, or has ended


def _is_ready(plane: ControlPlane) -> bool:
    try:
        return plane.call("GET", "/readyz") == {"text": "ok"}
    except (OSError, http.client.HTTPException, ApiRefused):
        return False


def until(what: str, met: Callable[[], bool], *, log: Path | None = None) -> None:
    """Poll until it is so. Raises ClusterError past READY_S_MAX."""
    machine.wait_for(what, met, limit_s=READY_S_MAX, log=log)


def main() -> None:
    """Run one until ^C, to try things out by hand; with --tools only build what it needs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--tools", action="store_true", help="build etcd and kube-apiserver only")
    if parser.parse_args().tools:
        _programs(ETCD, API_SERVER)
        return
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder)) as plane:
        for definition in sorted((ROOT / "crds").glob("*.yaml")):
            plane.install(definition)
        print(f"export KUBECONFIG={plane.kubeconfig}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
