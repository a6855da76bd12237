"""What the operator creates: the encoder pod, its token and the Event, as plain documents.

Owns labels, owner reference, security context, probes and volumes. It is pure: the same encoder
record and spec give the same document. `apply.py` and `events.py` send them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Protocol

from hitless_handover.supervisor_model import EncoderRecord, Notice
from hitless_handover.timeline import MICROSECONDS, Anchor
from hitless_operator.channel import Channel, Document, Key
from hitless_operator.moments import micro_time
from hitless_operator.template import apply_template
from hitless_wire.encoder_config import encoder_config
from hitless_wire.ingest_tokens import TOKEN_FILE_VARIABLE
from hitless_wire.logs import FORMAT_VARIABLE
from hitless_wire.peers import GRPC_PORT, METRICS_PORT
from hitless_wire.resources import API_VERSION, EncoderDeploymentSpec

MANAGER = "hitless-operator"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
NAME_LABEL = "app.kubernetes.io/name"
CHANNEL_LABEL = "hitless.video/channel"
TERM_LABEL = "hitless.video/term"
ENCODER_NAME = "hitless-encoder"
CONTAINER_NAME = "encoder"
CONFIG_VARIABLE = "HITLESS_ENCODER_CONFIG"
MEDIA_PATH = "/media"
TOKEN_PATH = "/etc/hitless/ingest"
TOKEN_VOLUME = "ingest-token"
TOKEN_KEY = "token"
TOKEN_FILE = f"{TOKEN_PATH}/{TOKEN_KEY}"
TOKEN_SECRET_TYPE = "hitless.video/ingest-token"
NOBODY = 65532
GRACE_S = 10
FINISH_SPARE_S = 4  # after the segment in hand, which an encoder that is told to stop finishes
# grpc.health.v1: the server as a whole, which serves as long as the process works. It must not
# depend on the source: a restart would not bring that back.
HEALTH_SERVICE = ""
NOTE_MAX = 1024  # characters; limits of events.k8s.io/v1
REASON_MAX = 128


class Subject(Protocol):
    """What an Event is about: a channel, or a fleet update."""

    @property
    def kind(self) -> str:
        """Of the custom resource."""

    @property
    def key(self) -> Key:
        """Its namespace and name."""

    @property
    def uid(self) -> str:
        """Its uid."""

    @property
    def body(self) -> Document:
        """As the API server gave it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodDefaults:
    """What the operator's settings say about every encoder pod. Quantities as Kubernetes writes.

    tokens: encoders of the installed origin find their channel's token in a Secret.
    """

    ingest_url: str
    cpu_request: str = "200m"
    memory_request: str = "256Mi"
    memory_limit: str = "1Gi"
    media_claim: str = ""
    priority_class: str = ""
    log_format: str = ""
    tokens: bool = False


def encoder_pod(
    channel: Channel,
    spec: EncoderDeploymentSpec,
    encoder: EncoderRecord,
    anchor: Anchor | None,
    defaults: PodDefaults,
) -> Document:
    """The pod of one encoder; without a template it meets the restricted Pod Security Standard."""
    config = encoder_config(
        spec,
        namespace=channel.key.namespace,
        channel=channel.key.name,
        encoder_id=encoder.name,
        default_ingest_url=defaults.ingest_url,
        anchor=anchor,
    )
    tokened = has_token(spec, defaults)
    pod: Document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": encoder.name,
            "namespace": channel.key.namespace,
            "labels": labels_of(channel.key.name, encoder),
            "ownerReferences": [owner_of(channel)],
        },
        "spec": {
            "containers": [_container(encoder.image, config.to_json(), defaults, tokened)],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": _grace_s(spec),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": NOBODY,
                "runAsGroup": NOBODY,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": _volumes(channel.key.name if tokened else None, defaults),
            **({"priorityClassName": defaults.priority_class} if defaults.priority_class else {}),
        },
    }
    return apply_template(pod, spec.template, siblings_of(channel.key.name))


def has_token(spec: EncoderDeploymentSpec, defaults: PodDefaults) -> bool:
    """Whether the channel's encoders get a token: no origin of somebody else's is shown it."""
    url = spec.output.ingest_url
    return defaults.tokens and (url is None or url.rstrip("/") == defaults.ingest_url)


def token_secret(channel: Channel, token: str) -> Document:
    """The Secret with the channel's token. Its type, which can't change, tells it from others'."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": token_secret_name(channel.key.name),
            "namespace": channel.key.namespace,
            "labels": siblings_of(channel.key.name),
            "ownerReferences": [owner_of(channel)],
        },
        "type": TOKEN_SECRET_TYPE,
        "data": {TOKEN_KEY: base64.b64encode(token.encode()).decode()},
    }


def token_secret_name(channel: str) -> str:
    """Of the Secret with the channel's token."""
    return f"{channel}-hitless-ingest"


def eviction_guard(channel: Channel) -> Document:
    """A PodDisruptionBudget: the channel's encoders are not evicted, they are handed over.

    The operator deletes pods itself, which no budget forbids.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": channel.key.name,
            "namespace": channel.key.namespace,
            "labels": siblings_of(channel.key.name),
            "ownerReferences": [owner_of(channel)],
        },
        "spec": {
            "maxUnavailable": 0,
            "selector": {"matchLabels": siblings_of(channel.key.name)},
            # A broken encoder shields nothing.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def siblings_of(channel: str) -> dict[str, str]:
    """Labels that all encoder pods of a channel have, and no other pods."""
    return {MANAGED_BY_LABEL: MANAGER, CHANNEL_LABEL: channel}


def labels_of(channel: str, encoder: EncoderRecord) -> dict[str, str]:
    """All labels of an encoder pod: an allow-list, nothing is copied from the CR."""
    return {
        NAME_LABEL: ENCODER_NAME,
        MANAGED_BY_LABEL: MANAGER,
        CHANNEL_LABEL: channel,
        TERM_LABEL: str(encoder.term),
    }


def owner_of(channel: Channel) -> Document:
    """The garbage collector takes the pods along with the CR; nothing waits for them."""
    return {
        "apiVersion": API_VERSION,
        "kind": channel.kind,
        "name": channel.key.name,
        "uid": channel.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _grace_s(spec: EncoderDeploymentSpec) -> int:
    """Enough to make the segment in hand whole, and deliver it."""
    segment_s = -(-spec.timeline.resolve().segment_us // MICROSECONDS)
    return max(GRACE_S, segment_s + FINISH_SPARE_S)


def _container(image: str, config: str, defaults: PodDefaults, tokened: bool) -> Document:
    return {
        "name": CONTAINER_NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": CONFIG_VARIABLE, "value": config},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            *(
                [{"name": FORMAT_VARIABLE, "value": defaults.log_format}]
                if defaults.log_format
                else []
            ),
            *([{"name": TOKEN_FILE_VARIABLE, "value": TOKEN_FILE}] if tokened else []),
        ],
        "ports": [
            {"name": "grpc", "containerPort": GRPC_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "startupProbe": _probe(period_s=1, failures_max=60),
        "livenessProbe": _probe(period_s=10, failures_max=3),
        "readinessProbe": _probe(period_s=2, failures_max=3),
        "resources": {
            "requests": {"cpu": defaults.cpu_request, "memory": defaults.memory_request},
            "limits": {"memory": defaults.memory_limit},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _mounts(defaults, tokened),
    }


def _probe(*, period_s: int, failures_max: int) -> Document:
    return {
        "grpc": {"port": GRPC_PORT, "service": HEALTH_SERVICE},
        "periodSeconds": period_s,
        "timeoutSeconds": 2,
        "failureThreshold": failures_max,
    }


def _volumes(tokened: str | None, defaults: PodDefaults) -> list[Document]:
    """tokened: the channel whose token is mounted. Optional: a pod starts without it, and gets it
    when it is there.
    """
    volumes: list[Document] = [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    if defaults.media_claim:
        claim = {"claimName": defaults.media_claim, "readOnly": True}
        volumes.append({"name": "media", "persistentVolumeClaim": claim})
    if tokened is not None:
        secret = {"secretName": token_secret_name(tokened), "optional": True}
        volumes.append({"name": TOKEN_VOLUME, "secret": secret})
    return volumes


def _mounts(defaults: PodDefaults, tokened: bool) -> list[Document]:
    mounts: list[Document] = [{"name": "tmp", "mountPath": "/tmp"}]
    if defaults.media_claim:
        mounts.append({"name": "media", "mountPath": MEDIA_PATH, "readOnly": True})
    if tokened:
        mounts.append({"name": TOKEN_VOLUME, "mountPath": TOKEN_PATH, "readOnly": True})
    return mounts


def event(subject: Subject, notice: Notice, *, instance: str, now_us: int) -> Document:
    """An events.k8s.io/v1 Event. The same notice at the same microsecond has the same name."""
    regarding: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": subject.kind,
        "namespace": subject.key.namespace,
        "name": subject.key.name,
        "uid": subject.uid,
        "resourceVersion": subject.body["metadata"].get("resourceVersion", ""),
    }
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{subject.key.name}.{now_us:x}.{notice.reason.lower()}",
            "namespace": subject.key.namespace,
        },
        "eventTime": micro_time(now_us),
        "type": "Warning" if notice.warning else "Normal",
        "reason": notice.reason[:REASON_MAX],
        "note": notice.message[:NOTE_MAX],
        "action": "Supervise",
        "regarding": regarding,
        "reportingController": f"hitless.video/{MANAGER}",
        "reportingInstance": instance,
    }
