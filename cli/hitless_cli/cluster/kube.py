"""A thin synchronous client of the Kubernetes API: documents in and out, telling errors.

Owns kubeconfig and context, paths, deadlines and bounds. Foreign errors are chained here and go no
further. The `kubernetes` package is imported only when a connection is made: it takes a second.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from hitless_cli.cluster.answers import error_of, no_answer
from hitless_cli.cluster.errors import NoAccess, Rejected

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Document = dict[str, Any]
CALL_S = 10.0
PAGE_SIZE = 250
PAGES_MAX = 40  # 10,000 objects
WATCH_S_MAX = 240
WATCH_GRACE_S = 10.0
LINE_BYTES_MAX = 4 << 20  # etcd holds no object of more than 1.5 MB
READ_BYTES = 1 << 16
JSON_TYPE = "application/json"
MERGE_TYPE = "application/merge-patch+json"
APPLY_TYPE = "application/apply-patch+yaml"
FIELD_MANAGER = "hitless-cli"
POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which cluster. None: as kubectl would choose."""

    kubeconfig: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text of which no more than the bound was read."""

    content: bytes
    truncated: bool


class Kube:
    """The calls. Each raises a ClusterError and nothing else. Close it after use."""

    def __init__(self, client: ApiClient, *, namespace: str = "default") -> None:
        self._client = client
        self.namespace = namespace

    @property
    def server(self) -> str:
        """The API server's address."""
        host: str = self._client.configuration.host
        return host

    def close(self) -> None:
        """Drop the connections."""
        self._client.rest_client.close()

    def get(
        self, path: str, query: Mapping[str, Any] | None = None, *, within_s: float = CALL_S
    ) -> Document:
        """One document."""
        return self._document("GET", path, query=query, read_s=within_s)

    def items(
        self, path: str, query: Mapping[str, Any] | None = None
    ) -> tuple[list[Document], str]:
        """All of a list, by pages, and the resourceVersion to watch from."""
        found: list[Document] = []
        token = ""
        for _ in range(PAGES_MAX):
            asked = {**(query or {}), "limit": PAGE_SIZE, **({"continue": token} if token else {})}
            page = self._document("GET", path, query=asked)
            found.extend(page.get("items") or [])
            metadata = page.get("metadata") or {}
            token = metadata.get("continue") or ""
            if not token:
                return found, metadata.get("resourceVersion") or ""
        raise Rejected(
            f"{path}: more than {PAGE_SIZE * PAGES_MAX} objects: narrow it down with -n or -l"
        )

    def apply(
        self,
        path: str,
        body: Document,
        *,
        manager: str = FIELD_MANAGER,
        force: bool = False,
        dry_run: bool = False,
    ) -> Document:
        """Server-side apply. Raises Conflict when another manager holds a field."""
        query = {"fieldManager": manager, "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        return self._document("PATCH", path, query=query, body=body, kind=APPLY_TYPE)

    def merge(self, path: str, body: Document) -> Document:
        """JSON merge patch."""
        query = {"fieldManager": FIELD_MANAGER}
        return self._document("PATCH", path, query=query, body=body, kind=MERGE_TYPE)

    def watch(
        self, path: str, query: Mapping[str, Any], *, within_s: float
    ) -> Iterator[tuple[str, Document]]:
        """Events (type, object) until the server ends the watch, which it does after `within_s`."""
        seconds = max(1, min(WATCH_S_MAX, round(within_s)))
        asked = {**query, "watch": "true", "timeoutSeconds": seconds}
        patience_s = seconds + WATCH_GRACE_S
        with (
            self._response("GET", path, query=asked, read_s=patience_s) as response,
            _no_answer(self.server),
        ):
            for line in _lines(response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    code = int(event["object"].get("code") or 0)
                    raise error_of("GET", path, code, json.dumps(event["object"]).encode())
                yield event["type"], event["object"]

    def text(self, path: str, query: Mapping[str, Any] | None = None, *, bytes_max: int) -> Text:
        """A text, cut at the bound."""
        with (
            self._response("GET", path, query=query, read_s=CALL_S) as response,
            _no_answer(self.server),
        ):
            content: bytes = response.read(bytes_max + 1)
        return Text(content=content[:bytes_max], truncated=len(content) > bytes_max)

    def _document(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Document | None = None,
        kind: str = JSON_TYPE,
        read_s: float = CALL_S,
    ) -> Document:
        with (
            self._response(
                method, path, query=query, body=body, kind=kind, read_s=read_s
            ) as response,
            _no_answer(self.server),
        ):
            content: bytes = response.read()
        try:
            document = json.loads(content)
        except ValueError as error:
            raise Rejected(f"{method} {path}: the answer is not JSON") from error
        if not isinstance(document, dict):
            raise Rejected(f"{method} {path}: the answer is not an object")
        return document

    @contextmanager
    def _response(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Document | None = None,
        kind: str = JSON_TYPE,
        read_s: float = CALL_S,
    ) -> Iterator[Any]:
        """The raw response of a call that was accepted."""
        url = f"{path}?{urlencode(query)}" if query else path
        headers = {"Accept": "application/json, */*", "Content-Type": kind}
        with _no_answer(self.server):
            request = self._client.param_serialize(
                method, url, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            answer = self._client.call_api(*request, _request_timeout=(min(CALL_S, read_s), read_s))
        with closing(answer.response) as response:
            if not 200 <= answer.status < 300:
                with _no_answer(self.server):
                    content = response.read(LINE_BYTES_MAX)
                verb = "WATCH" if "watch" in (query or {}) else method
                raise error_of(verb, path, answer.status, content)
            yield response


def _lines(response: Any) -> Iterator[bytes]:
    """Whole lines of a streamed response."""
    rest = b""
    while chunk := response.read1(READ_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line)
        if len(rest) > LINE_BYTES_MAX:
            raise Rejected("watch: an event is longer than any object can be")


@contextmanager
def _no_answer(server: str) -> Iterator[None]:
    """Chain what the transport raises."""
    import urllib3  # noqa: PLC0415
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415
    from kubernetes.config import ConfigException  # noqa: PLC0415

    try:
        yield
    except ConfigException as error:
        raise NoAccess(f"no credentials for {server}: {_one_line(error)}; log in again") from error
    except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
        raise no_answer(server, error) from error


def connect(target: Target) -> Kube:
    """Reach the cluster that kubectl would, or from within a pod its own. Raises NoAccess."""
    from kubernetes.client import ApiClient, Configuration  # noqa: PLC0415

    configuration = Configuration()
    namespace = _load(target, configuration)
    configuration.retries = False
    return Kube(ApiClient(configuration), namespace=namespace)


def _load(target: Target, configuration: Any) -> str:
    """Fill in the configuration; the namespace that the context names."""
    from kubernetes import config  # noqa: PLC0415

    named = target.kubeconfig or os.environ.get("KUBECONFIG")
    in_pod = bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
    try:
        if in_pod and not named and target.context is None:
            config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
            return _namespace_of_pod()
        config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=named, context=target.context, client_configuration=configuration
        )
        contexts = config.list_kube_config_contexts(named)  # type: ignore[no-untyped-call]
        return _namespace_of(target.context, *contexts)
    except config.ConfigException as error:
        where = named or "~/.kube/config"
        raise NoAccess(
            f"no usable kubeconfig ({where}): {_one_line(error)}; "
            "give --kubeconfig FILE or --context NAME"
        ) from error
    except Exception as error:  # a broken file fails in the package in many ways
        raise NoAccess(f"the kubeconfig {named or ''} can't be read: {_one_line(error)}") from error


def _namespace_of_pod() -> str:
    try:
        return POD_NAMESPACE.read_text().strip() or "default"
    except OSError:
        return "default"


def _namespace_of(wanted: str | None, contexts: list[Document], active: Document) -> str:
    chosen = next((row for row in contexts if row["name"] == wanted), active)
    namespace: str = (chosen.get("context") or {}).get("namespace") or "default"
    return namespace


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
