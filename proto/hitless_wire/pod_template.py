"""What users may say of the encoder pods: `spec.template` of an `EncoderDeployment`.

Owns which fields of a pod are theirs. Everything else of it (image, configuration, probes, security
context, volumes) is the operator's. Scheduling terms are passed on as they are: the API server
judges them when the pod is created, and what it says is shown in the channel's status.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from hitless_wire.model import Model

_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
# As Kubernetes has it: a text, or a whole number.
Quantity = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
    Field(pattern=_QUANTITY),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": _QUANTITY}),
]
Texts = Annotated[dict[str, str], Field(max_length=32)]
Resources = Annotated[dict[str, Quantity], Field(max_length=16)]
# Kubernetes' own types; the CRD does not repeat their schemas.
Foreign = Annotated[
    dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
]


class ContainerResources(Model):
    """Requests and limits of the encoder's container; the rest is the operator's default."""

    requests: Resources = Field(default_factory=dict)
    limits: Resources = Field(
        default_factory=dict, description="Extended resources too, e.g. nvidia.com/gpu: 1."
    )


class PodTemplate(Model):
    """What users may say of the encoder pods. A change is an update, as it makes another pod."""

    labels: Texts = Field(
        default_factory=dict, description="Besides the operator's own, which win."
    )
    annotations: Texts = Field(default_factory=dict)
    resources: ContainerResources = ContainerResources()
    node_selector: Texts = Field(default_factory=dict)
    tolerations: Annotated[tuple[Foreign, ...], Field(max_length=16)] = ()
    affinity: Annotated[
        Foreign | SkipJsonSchema[None],
        Field(
            description="In place of the default, which is to prefer another node than the "
            "channel's other encoders are on."
        ),
    ] = None
    priority_class_name: Annotated[str, Field(max_length=253)] = ""
    runtime_class_name: Annotated[str, Field(max_length=253)] = ""
    service_account_name: Annotated[str, Field(max_length=253)] = ""
    image_pull_secrets: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Field(max_length=8)
    ] = ()
