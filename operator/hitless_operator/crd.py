"""The CustomResourceDefinition of channels, made from the pydantic models.

Owns names, printer columns, CEL rules and what of the models' schema is put differently for the API
server; and the frame that the other resource's definition has too (`fleet/crd.py`). `hack/crds`
writes what `python -m hitless_operator.crd` prints to crds/ and into the chart. It applies nothing
to a cluster.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import yaml
from pydantic import BaseModel

from hitless_handover.parts import PART_US_MIN
from hitless_operator.schema import Schema, structural
from hitless_operator.status_model import EncoderDeploymentStatus
from hitless_wire.media_resources import CHANNEL_KBPS_MAX, CHANNELS_OF_RATE, AudioTrack
from hitless_wire.resources import (
    DISCONTINUITY_IN_PARTS,
    GROUP,
    KIND,
    PLURAL,
    SPARE_CEASES,
    VERSION,
    EncoderDeploymentSpec,
)
from hitless_wire.source_resources import (
    LIVE_SCHEMES,
    TIMECODE_LIVE,
    TIMECODE_OF_HLS,
    TIMECODE_OF_SENDER,
)
from hitless_wire.video_codecs import (
    ABR_TARGET,
    AV1_PARTS,
    LIMITS,
    MPEG2,
    MPEG4,
    NOT_MADE,
    TARGET_WITHOUT_ABR,
)

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
    {"name": "Image ID", "type": "string", "jsonPath": ".status.active.imageId", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
)


def document() -> Schema:
    """The CustomResourceDefinition as a plain document."""
    return definition(KIND, PLURAL, SHORT_NAME, PRINTER_COLUMNS, _root(), selectable=SELECTABLE)


def definition(
    kind: str,
    plural: str,
    short_name: str,
    columns: tuple[Schema, ...],
    root: Schema,
    *,
    selectable: tuple[str, ...],
) -> Schema:
    """The frame around a resource's schema. selectable: paths of fields for --field-selector."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short_name],
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "selectableFields": [{"jsonPath": path} for path in selectable],
                    "additionalPrinterColumns": [dict(c) for c in columns],
                    "schema": {"openAPIV3Schema": root},
                }
            ],
        },
    }


def as_yaml(made: Schema) -> str:
    """A definition as committed to crds/."""
    return _HEADER + _dump(made)


def as_chart_template(made: Schema) -> str:
    """A definition as the chart's template: kept when the release is removed."""
    kept = {**made, "metadata": dict(made["metadata"])}
    kept["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    return f"{{{{- if .Values.crds.enabled }}}}\n{_HEADER}{_dump(kept)}{{{{- end }}}}\n"


_HEADER = "# Made from the pydantic models by hack/crds: do not edit.\n"


def _dump(content: Schema) -> str:
    plain = json.loads(json.dumps(content))  # shared parts become copies: no YAML aliases
    text: str = yaml.safe_dump(plain, sort_keys=False, width=100, allow_unicode=True)
    return text


def _root() -> Schema:
    return root_of(
        "One live channel whose encoder is replaced without losing a frame.",
        _spec(),
        EncoderDeploymentStatus,
        rule(
            f"self.metadata.name.size() <= {CHANNEL_NAME_MAX}",
            f"metadata.name is the channel's name: choose one of at most {CHANNEL_NAME_MAX} "
            "characters, pods are named after it",
        ),
    )


def root_of(description: str, spec: Schema, status: type[BaseModel], named: Schema) -> Schema:
    """The schema of a resource as a whole. named: the rule on its name."""
    written = _without_defaults(structural(status))
    return {
        "description": description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            # No status at all would count as ready (kstatus): say "not seen yet" from the start.
            "status": {**written, "default": {"observedGeneration": -1}},
        },
        "x-kubernetes-validations": [named],
    }


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
        rule(
            "!has(self.audio) || self.audio.all(a, self.profiles.all(p, p.name != a.name))",
            "an audio track has the name of a profile: give every track its own name, it becomes "
            "part of its URLs",
        ),
        rule(
            "!(has(self.redundancy) && self.redundancy == 'HotSpare' && has(self.handover) && "
            "has(self.handover.mode) && self.handover.mode == 'Cease')",
            SPARE_CEASES,
        ),
        rule(
            "!(has(self.handover) && has(self.handover.allowDiscontinuity) && "
            "self.handover.allowDiscontinuity && has(self.timeline) && "
            "has(self.timeline.partFrames))",
            DISCONTINUITY_IN_PARTS,
        ),
        rule(
            "!(has(self.timeline) && has(self.timeline.partFrames)) || "
            "self.profiles.all(p, p.codec != 'av1' || p.rateControl == 'CBR')",
            AV1_PARTS,
        ),
    ]
    _bound_source(properties["source"])
    _bound_timeline(properties["timeline"])
    _bound_profile(properties["profiles"]["items"])
    _bound_event(properties["handover"]["properties"]["event"])
    properties["template"] = _without_defaults(properties["template"])
    sound = properties["audio"]["items"]
    sound["properties"]["name"]["maxLength"] = TRACK_NAME_MAX
    # the default of `audio` is checked before those of its fields are filled in
    channels = (
        f"(has(self.channels) ? self.channels : {AudioTrack.model_fields['channels'].default})"
    )
    sound["x-kubernetes-validations"] = [
        rule(f"self.kbps <= {CHANNEL_KBPS_MAX} * {channels}", CHANNELS_OF_RATE)
    ]
    return spec


def _bound_source(source: Schema) -> None:
    """The same demands as Source makes."""

    def only_for(asked: str, schemes: str) -> str:
        return f"!({asked}) || self.url.matches('^({schemes})://')"

    date = "has(self.timecode) && self.timecode == 'ProgramDateTime'"
    sender = "has(self.timecode) && self.timecode == 'ProducerReferenceTime'"
    source["x-kubernetes-validations"] = [
        rule(only_for("has(self.timecode)", "|".join(LIVE_SCHEMES)), TIMECODE_LIVE),
        rule(only_for(date, "https?"), TIMECODE_OF_HLS),
        rule(only_for(sender, "https?|rtsp"), TIMECODE_OF_SENDER),
    ]


def _bound_timeline(timeline: Schema) -> None:
    timeline["properties"]["frameRate"]["maxLength"] = FRAME_RATE_MAX
    timeline["x-kubernetes-validations"] = [
        rule(
            f"!has(self.gopFrames) || {_SEGMENT} % self.gopFrames == 0",
            "a segment must hold whole GOPs: choose gopFrames that divides segmentFrames (when "
            "that is not given: the frames of 2 seconds)",
        ),
        rule(
            f"{_SEGMENT} * {_RATE_DEN} >= {_RATE_NUM} && "
            f"{_SEGMENT} * {_RATE_DEN} <= 10 * {_RATE_NUM}",
            "a segment must last 1 to 10 seconds: change segmentFrames to between 1 and 10 times "
            "frameRate",
        ),
        rule(
            f"!has(self.partFrames) || {_GOP} % self.partFrames == 0",
            "a GOP must hold whole parts: choose partFrames that divides gopFrames (when that is "
            "not given: segmentFrames)",
        ),
        rule(
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
        rule(f"{given} <= 1", "give one of atFrame, atTimestamp and atTimecode"),
        rule(
            f"{given} == 0 || !(has(self.notBefore) || has(self.notAfter))",
            "notBefore and notAfter say nothing beside an exact event: drop them",
        ),
        rule(
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
        checked = {**rule(f"self.{side} % 2 == 0", message), "fieldPath": f".{side}"}
        profile["x-kubernetes-validations"].append(checked)
    profile["x-kubernetes-validations"] += [
        {**rule("!(self.codec in ['theora', 'rv40'])", NOT_MADE), "fieldPath": ".codec"},
        rule(
            "self.rateControl != 'ABR' || has(self.targetKbps) && self.targetKbps <= self.maxKbps",
            ABR_TARGET,
        ),
        rule("self.rateControl == 'ABR' || !has(self.targetKbps)", TARGET_WITHOUT_ABR),
        *(_within(codec) for codec in (MPEG2, MPEG4)),
    ]


def _within(codec: str) -> Schema:
    """A rule for a codec whose levels end below the limits that every profile has."""
    most = LIMITS[codec]
    return rule(
        f"self.codec != '{codec}' || self.width * self.height <= {most.picture} && "
        f"self.maxKbps <= {most.kbps}",
        f"{codec} goes up to {most.level}: {most.picture} pixels and {most.kbps} kbit/s; lower "
        "width, height or maxKbps, or choose another codec",
    )


def rule(condition: str, message: str) -> Schema:
    """A CEL rule; its message says what to do."""
    return {"rule": condition, "message": message}


def main(made: Schema) -> None:
    """Print a definition, or the chart's template of it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--chart", action="store_true", help="as the Helm chart's template")
    arguments = parser.parse_args()
    sys.stdout.write(as_chart_template(made) if arguments.chart else as_yaml(made))


if __name__ == "__main__":
    main(document())
