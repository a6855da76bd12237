"""What users said of the encoder pods, put into the pod; and what is done where they said nothing.

Owns the merging of `spec.template`. It is pure. `manifests.py` calls it.
"""

from __future__ import annotations

from typing import Any

from hitless_operator.channel import Document
from hitless_wire.pod_template import PodTemplate

HOSTNAME = "kubernetes.io/hostname"


def apply_template(pod: Document, template: PodTemplate, siblings: dict[str, str]) -> Document:
    """The pod with the template in it. siblings: labels of the channel's encoders.

    The operator's own labels win. Without an affinity of theirs, encoders of a channel prefer nodes
    without another of them: one lost node then takes one of them.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    merged = {**metadata, "labels": {**template.labels, **metadata["labels"]}}
    if template.annotations:
        merged["annotations"] = dict(template.annotations)
    container = spec["containers"][0]
    resources = _resources(container["resources"], template)
    affinity = template.affinity if template.affinity is not None else _apart(siblings)
    given: dict[str, Any] = {
        "affinity": affinity,
        "nodeSelector": dict(template.node_selector),
        "tolerations": [dict(toleration) for toleration in template.tolerations],
        "priorityClassName": template.priority_class_name,
        "runtimeClassName": template.runtime_class_name,
        "serviceAccountName": template.service_account_name,
        "imagePullSecrets": [{"name": name} for name in template.image_pull_secrets],
    }
    return {
        **pod,
        "metadata": merged,
        "spec": {
            **spec,
            **{name: value for name, value in given.items() if value},
            "containers": [{**container, "resources": resources}],
        },
    }


def _resources(defaults: Document, template: PodTemplate) -> Document:
    """Each resource by itself; a request above the default limit lifts it."""
    requests = {**defaults["requests"], **template.resources.requests}
    limits = {
        name: value
        for name, value in defaults["limits"].items()
        if name not in template.resources.requests
    }
    return {"requests": requests, "limits": {**limits, **template.resources.limits}}


def _apart(siblings: dict[str, str]) -> Document:
    term = {"labelSelector": {"matchLabels": siblings}, "topologyKey": HOSTNAME}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
