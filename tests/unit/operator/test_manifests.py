"""The encoder pod and the Event, as documents."""

from __future__ import annotations

import base64
import json

from tests.unit.operator import samples
from tests.unit.operator.samples import Document

from hitless_handover.supervisor_model import Notice
from hitless_handover.timeline import Anchor
from hitless_operator.manifests import (
    NOTE_MAX,
    PodDefaults,
    encoder_pod,
    event,
    has_token,
    token_secret,
)
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.ingest_tokens import TOKEN_FILE_VARIABLE
from hitless_wire.pod_template import PodTemplate
from hitless_wire.resources import spec_digest

ANCHOR = Anchor(source_ticks=1, source_timescale=90_000, wrap_ticks=2**33, frame=2, wall_us=3)


def pod(media_claim: str = "", anchor: Anchor | None = ANCHOR) -> Document:
    channel = samples.channel()
    assert channel.spec is not None
    defaults = PodDefaults(ingest_url="http://origin:8080", media_claim=media_claim)
    return encoder_pod(channel, channel.spec, samples.encoder(7), anchor, defaults)


def container() -> Document:
    found: Document = pod()["spec"]["containers"][0]
    return found


def test_metadata_is_an_allow_list() -> None:
    metadata = pod()["metadata"]
    assert metadata == {
        "name": "first-7",
        "namespace": "live",
        "labels": {
            "app.kubernetes.io/name": "hitless-encoder",
            "app.kubernetes.io/managed-by": "hitless-operator",
            "hitless.video/channel": "first",
            "hitless.video/term": "7",
        },
        "ownerReferences": [
            {
                "apiVersion": "hitless.video/v1alpha1",
                "kind": "EncoderDeployment",
                "name": "first",
                "uid": samples.UID,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }


def test_the_encoder_is_told_its_configuration() -> None:
    env = {e["name"]: e for e in container()["env"]}
    config = EncoderConfig.model_validate_json(env["HITLESS_ENCODER_CONFIG"]["value"])
    assert (config.namespace, config.channel, config.encoder_id) == ("live", "first", "first-7")
    assert config.ingest_url == "http://origin:8080"
    assert config.anchor is not None
    assert config.anchor.value() == ANCHOR
    assert env["POD_IP"]["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}


def test_the_same_encoder_is_the_same_document() -> None:
    assert json.dumps(pod()) == json.dumps(pod())
    assert pod(anchor=None) != pod()


def test_it_satisfies_the_restricted_pod_security_standard() -> None:
    spec, box = pod("media")["spec"], container()["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert box["allowPrivilegeEscalation"] is False
    assert box["capabilities"] == {"drop": ["ALL"]}
    assert box["readOnlyRootFilesystem"] is True
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds == {"emptyDir", "persistentVolumeClaim"}
    assert spec["automountServiceAccountToken"] is False


def test_probes_ask_the_encoder_s_own_server() -> None:
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container()[probe]["grpc"] == {"port": 7400, "service": ""}
    assert container()["ports"] == [
        {"name": "grpc", "containerPort": 7400, "protocol": "TCP"},
        {"name": "metrics", "containerPort": 7401, "protocol": "TCP"},
    ]


def test_media_is_mounted_read_only_where_there_is_a_claim() -> None:
    with_claim = pod("films")["spec"]
    assert with_claim["volumes"][1] == {
        "name": "media",
        "persistentVolumeClaim": {"claimName": "films", "readOnly": True},
    }
    mounts = with_claim["containers"][0]["volumeMounts"]
    assert mounts[1] == {"name": "media", "mountPath": "/media", "readOnly": True}
    assert len(pod()["spec"]["volumes"]) == 1


def test_memory_is_limited_and_cpu_is_not() -> None:
    assert container()["resources"] == {
        "requests": {"cpu": "200m", "memory": "256Mi"},
        "limits": {"memory": "1Gi"},
    }


def test_an_event() -> None:
    notice = Notice(reason="HandoverArmed", message="x" * 2000)
    made = event(samples.channel(), notice, instance="pod-1", now_us=1_795_388_861_234_567)
    assert made["apiVersion"] == "events.k8s.io/v1"
    assert made["metadata"] == {
        "name": f"first.{1_795_388_861_234_567:x}.handoverarmed",
        "namespace": "live",
    }
    assert made["eventTime"] == "2026-11-22T23:07:41.234567Z"
    assert (made["type"], made["reason"], made["action"]) == (
        "Normal",
        "HandoverArmed",
        "Supervise",
    )
    assert len(made["note"]) == NOTE_MAX
    assert made["regarding"]["uid"] == samples.UID
    warning = Notice(reason="X", message="y", warning=True)
    assert event(samples.channel(), warning, instance="i", now_us=1)["type"] == "Warning"


def test_priority_class_and_log_format_are_there_when_they_are_set() -> None:
    channel = samples.channel()
    assert channel.spec is not None
    defaults = PodDefaults(ingest_url="http://o", priority_class="on-air", log_format="json")
    made = encoder_pod(channel, channel.spec, samples.encoder(7), ANCHOR, defaults)
    env = {e["name"]: e.get("value") for e in made["spec"]["containers"][0]["env"]}
    assert (made["spec"]["priorityClassName"], env["HITLESS_LOG_FORMAT"]) == ("on-air", "json")
    assert "priorityClassName" not in pod()["spec"]
    assert "HITLESS_LOG_FORMAT" not in str(pod())


def test_a_token_is_mounted_where_there_are_keys_and_nowhere_told() -> None:
    channel = samples.channel()
    assert channel.spec is not None
    defaults = PodDefaults(ingest_url="http://origin:8080", tokens=True)
    made = encoder_pod(channel, channel.spec, samples.encoder(7), None, defaults)
    secret = token_secret(channel, "T0KEN")
    assert made["spec"]["volumes"][-1] == {
        "name": "ingest-token",
        "secret": {"secretName": secret["metadata"]["name"], "optional": True},
    }
    (box,) = made["spec"]["containers"]
    env = {row["name"]: row.get("value", "") for row in box["env"]}
    folder, _, file = env[TOKEN_FILE_VARIABLE].rpartition("/")
    mount = {"name": "ingest-token", "mountPath": folder, "readOnly": True}
    assert box["volumeMounts"][-1] == mount
    assert base64.b64decode(secret["data"][file]) == b"T0KEN"
    assert secret["metadata"]["ownerReferences"] == made["metadata"]["ownerReferences"]
    assert "ingest-token" not in json.dumps(pod()), "without keys it is as before"


def test_only_the_installed_origin_is_shown_a_token() -> None:
    channel = samples.channel()
    assert channel.spec is not None
    defaults = PodDefaults(ingest_url="http://origin:8080", tokens=True)
    for url, shown in (
        (None, True),
        ("http://origin:8080/", True),
        ("http://origin:8080.example", False),
        ("https://cdn.example/in", False),
    ):
        output = channel.spec.output.model_copy(update={"ingest_url": url})
        spec = channel.spec.model_copy(update={"output": output})
        assert has_token(spec, defaults) is shown


def templated(**template: object) -> Document:
    channel = samples.channel()
    assert channel.spec is not None
    wanted = PodTemplate.model_validate(template)
    spec = channel.spec.model_copy(update={"template": wanted})
    defaults = PodDefaults(ingest_url="http://origin:8080")
    return encoder_pod(channel, spec, samples.encoder(7), None, defaults)


def test_encoders_of_a_channel_prefer_different_nodes() -> None:
    (term,) = pod()["spec"]["affinity"]["podAntiAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term["podAffinityTerm"] == {
        "labelSelector": {
            "matchLabels": {
                "app.kubernetes.io/managed-by": "hitless-operator",
                "hitless.video/channel": "first",
            }
        },
        "topologyKey": "kubernetes.io/hostname",
    }


def test_what_users_say_of_the_pod_is_in_it() -> None:
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists"}
    made = templated(
        labels={"team": "sport", "hitless.video/channel": "stolen"},
        annotations={"note": "x"},
        resources={"requests": {"memory": "2Gi"}, "limits": {"nvidia.com/gpu": 1}},
        tolerations=[toleration],
        affinity={"nodeAffinity": {}},
        priorityClassName="live",
        imagePullSecrets=["registry"],
    )
    assert made["metadata"]["labels"]["team"] == "sport"
    assert made["metadata"]["labels"]["hitless.video/channel"] == "first", "ours win"
    assert made["metadata"]["annotations"] == {"note": "x"}
    assert made["spec"]["tolerations"] == [toleration]
    assert made["spec"]["affinity"] == {"nodeAffinity": {}}
    assert made["spec"]["priorityClassName"] == "live"
    assert made["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    (made_container,) = made["spec"]["containers"]
    assert made_container["resources"] == {
        "requests": {"cpu": "200m", "memory": "2Gi"},
        "limits": {"nvidia.com/gpu": "1"},
    }
    assert made["spec"]["securityContext"]["runAsNonRoot"] is True


def test_an_empty_template_is_no_change() -> None:
    channel = samples.channel()
    assert channel.spec is not None
    named = channel.spec.model_copy(
        update={"template": PodTemplate.model_validate({"labels": {"team": "sport"}})}
    )
    explicit = channel.spec.model_copy(update={"template": PodTemplate()})
    assert spec_digest(explicit) == spec_digest(channel.spec)
    assert spec_digest(named) != spec_digest(channel.spec)
