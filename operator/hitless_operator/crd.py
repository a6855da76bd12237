"""The CustomResourceDefinition, made from the pydantic models; `python -m hitless_operator.crd`.

Owns names, printer columns, CEL rules and what of the models' schema is put differently for the API
server. `hack/crds` writes it to crds/ and into the chart. It applies nothing to a cluster.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import yaml

from hitless_handover.parts import PART_US_MIN
from hitless_operator.schema import Schema, structural
from hitless_operator.status_model import EncoderDeploymentStatus
from hitless_wire.resources import (
    GROUP,
    KIND,
    PLURAL,
    SPARE_CEASES,
    VERSION,
    EncoderDeploymentSpec,
)

SINGULAR = "encoderdeployment"
SHORT_NAME = "encd"
CATEGORY = "hitless"
CHANNEL_NAME_MAX = 50  # a pod name and a label value (63) hold it, a hyphen and the term
TRACK_NAME_MAX = 30  # bounds the cost of the CEL rules; the pattern allows no more
FRAME_RATE_MAX = 12

# The grid in CEL; the same arithmetic as TimelineSpec.resolve.
_RATE_NUM = "int(self.frameRate.split('/')[0])"
_RATE_DEN = "(self.frameRate.contains('/') ? int(self.frameRate.split('/')[1]) : 1)"
_SEGMENT = (
    "(has(self.segmentFrames) ? self.segmentFrames : "
    f"(2 * {_RATE_NUM} + {_RATE_DEN} - 1) / {_RATE_DEN})"
)
_GOP = f"(has(self.gopFrames) ? self.gopFrames : {_SEGMENT})"

SELECTABLE = (".spec.type", ".spec.image", ".status.phase")
PRINTER_COLUMNS: tuple[Schema, ...] = (
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
    {"name": "On Air", "type": "string", "jsonPath": ".status.active.image"},
    {"name": "Handover", "type": "string", "jsonPath": ".status.handover.phase"},
    {
        "name": "Frame",
        "type": "integer",
        "jsonPath": ".status.handover.event.frame",
        "priority": 1,
    },
    {"name": "Term", "type": "integer", "jsonPath": ".status.term", "priority": 1},
    {"name": "Pod", "type": "string", "jsonPath": ".status.active.pod", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
)


def document() -> Schema:
    """The CustomResourceDefinition as a plain document."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": SINGULAR,
                "shortNames": [SHORT_NAME],
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "selectableFields": [{"jsonPath": path} for path in SELECTABLE],
                    "additionalPrinterColumns": [dict(c) for c in PRINTER_COLUMNS],
                    "schema": {"openAPIV3Schema": _root()},
                }
            ],
        },
    }


def as_yaml() -> str:
    """The document as committed to crds/."""
    return _HEADER + _dump(document())


def as_chart_template() -> str:
    """The document as the chart's template: kept when the release is removed."""
    kept = document()
    kept["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    return f"{{{{- if .Values.crds.enabled }}}}\n{_HEADER}{_dump(kept)}{{{{- end }}}}\n"


_HEADER = "# Made from the pydantic models by hack/crds: do not edit.\n"


def _dump(content: Schema) -> str:
    plain = json.loads(json.dumps(content))  # shared parts become copies: no YAML aliases
    text: str = yaml.safe_dump(plain, sort_keys=False, width=100, allow_unicode=True)
    return text


def _root() -> Schema:
    return {
        "description": "One live channel whose encoder is replaced without losing a frame.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _spec(),
            # No status at all would count as ready (kstatus): say "not seen yet" from the start.
            "status": {**_status(), "default": {"observedGeneration": -1}},
        },
        "x-kubernetes-validations": [
            _rule(
                f"self.metadata.name.size() <= {CHANNEL_NAME_MAX}",
                f"metadata.name is the channel's name: choose one of at most {CHANNEL_NAME_MAX} "
                "characters, pods are named after it",
            )
        ],
    }


def _status() -> Schema:
    schema: Schema = _without_defaults(structural(EncoderDeploymentStatus))
    return schema


def _without_defaults(node: Any) -> Any:
    """The API server adds nothing: to a status, which the operator writes in full, or to what
    people hardly ever give.
    """
    if isinstance(node, dict):
        return {k: _without_defaults(v) for k, v in node.items() if k != "default"}
    if isinstance(node, list):
        return [_without_defaults(v) for v in node]
    return node


def _spec() -> Schema:
    spec = structural(EncoderDeploymentSpec)
    properties = spec["properties"]
    spec["x-kubernetes-validations"] = [
        _rule(
            "!has(self.audio) || self.audio.all(a, self.profiles.all(p, p.name != a.name))",
            "an audio track has the name of a profile: give every track its own name, it becomes "
            "part of its URLs",
        ),
        _rule(
            "!(has(self.redundancy) && self.redundancy == 'HotSpare' && has(self.handover) && "
            "has(self.handover.mode) && self.handover.mode == 'Cease')",
            SPARE_CEASES,
        ),
    ]
    _bound_timeline(properties["timeline"])
    _bound_profile(properties["profiles"]["items"])
    _bound_event(properties["handover"]["properties"]["event"])
    properties["template"] = _without_defaults(properties["template"])
    properties["audio"]["items"]["properties"]["name"]["maxLength"] = TRACK_NAME_MAX
    return spec


def _bound_timeline(timeline: Schema) -> None:
    timeline["properties"]["frameRate"]["maxLength"] = FRAME_RATE_MAX
    timeline["x-kubernetes-validations"] = [
        _rule(
            f"!has(self.gopFrames) || {_SEGMENT} % self.gopFrames == 0",
            "a segment must hold whole GOPs: choose gopFrames that divides segmentFrames (when "
            "that is not given: the frames of 2 seconds)",
        ),
        _rule(
            f"{_SEGMENT} * {_RATE_DEN} >= {_RATE_NUM} && "
            f"{_SEGMENT} * {_RATE_DEN} <= 10 * {_RATE_NUM}",
            "a segment must last 1 to 10 seconds: change segmentFrames to between 1 and 10 times "
            "frameRate",
        ),
        _rule(
            f"!has(self.partFrames) || {_GOP} % self.partFrames == 0",
            "a GOP must hold whole parts: choose partFrames that divides gopFrames (when that is "
            "not given: segmentFrames)",
        ),
        _rule(
            f"!has(self.partFrames) || self.partFrames * {_RATE_DEN} * 100 >= "
            f"{PART_US_MIN // 10_000} * {_RATE_NUM}",
            f"a part must last at least {PART_US_MIN // 1000} ms: choose more partFrames",
        ),
    ]


def _bound_event(event: Schema) -> None:
    """The same demands as HandoverEvent makes."""
    exact = ("atFrame", "atTimestamp", "atTimecode")
    given = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in exact)
    event["x-kubernetes-validations"] = [
        _rule(f"{given} <= 1", "give one of atFrame, atTimestamp and atTimecode"),
        _rule(
            f"{given} == 0 || !(has(self.notBefore) || has(self.notAfter))",
            "notBefore and notAfter say nothing beside an exact event: drop them",
        ),
        _rule(
            "!has(self.notBefore) || !has(self.notAfter) || self.notBefore <= self.notAfter",
            "notAfter is before notBefore: nothing lies between",
        ),
    ]


def _bound_profile(profile: Schema) -> None:
    """Even sizes by rules that say what to do, in place of `multipleOf`."""
    profile["properties"]["name"]["maxLength"] = TRACK_NAME_MAX
    profile["x-kubernetes-validations"] = []
    for side in ("width", "height"):
        profile["properties"][side].pop("multipleOf", None)
        message = f"{side} must be even (4:2:0 pictures): add or take away one pixel"
        rule = {**_rule(f"self.{side} % 2 == 0", message), "fieldPath": f".{side}"}
        profile["x-kubernetes-validations"].append(rule)


def _rule(rule: str, message: str) -> Schema:
    return {"rule": rule, "message": message}


def main(argv: list[str] | None = None) -> None:
    """Print the CRD, or the chart's template of it."""
    parser = argparse.ArgumentParser(prog="hitless_operator.crd", description=main.__doc__)
    parser.add_argument("--chart", action="store_true", help="as the Helm chart's template")
    arguments = parser.parse_args(argv)
    sys.stdout.write(as_chart_template() if arguments.chart else as_yaml())


if __name__ == "__main__":
    main()
