"""The CustomResourceDefinition of fleet updates; `python -m hitless_operator.fleet.crd` prints it.

Owns names, printer columns and CEL rules. `hack/crds` writes it to crds/ and into the chart.
"""

from __future__ import annotations

from hitless_operator.crd import definition, main, root_of, rule
from hitless_operator.fleet.status_model import EncoderUpdateStatus
from hitless_operator.schema import Schema, structural
from hitless_wire.fleet_resources import (
    CHANGE_SOMETHING,
    EMPTY_SPAN,
    FLEET_KIND,
    FLEET_PLURAL,
    ONE_CONFIGURATION,
    PROFILE_CHANGES,
    SELECT_SOMETHING,
    VALUES_MATTER,
    EncoderUpdateSpec,
)

SHORT_NAME = "encu"
UPDATE_NAME_MAX = 63

PRINTER_COLUMNS: tuple[Schema, ...] = (
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
    {"name": "Updated", "type": "integer", "jsonPath": ".status.updated"},
    {"name": "Failed", "type": "integer", "jsonPath": ".status.failed"},
    {"name": "Total", "type": "integer", "jsonPath": ".status.total"},
    {"name": "Image", "type": "string", "jsonPath": ".spec.change.image", "priority": 1},
    {"name": "ETA", "type": "string", "jsonPath": ".status.eta", "priority": 1},
    {"name": "Message", "type": "string", "jsonPath": ".status.message", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
)
SELECTABLE = (".status.phase",)


def document() -> Schema:
    """The CustomResourceDefinition as a plain document."""
    root = root_of(
        "One change of image or settings, brought to many channels a few at a time.",
        _spec(),
        EncoderUpdateStatus,
        rule(
            f"self.metadata.name.size() <= {UPDATE_NAME_MAX}",
            f"metadata.name is written to channels and Events: choose at most {UPDATE_NAME_MAX} "
            "characters",
        ),
    )
    return definition(
        FLEET_KIND, FLEET_PLURAL, SHORT_NAME, PRINTER_COLUMNS, root, selectable=SELECTABLE
    )


def _spec() -> Schema:
    spec = structural(EncoderUpdateSpec)
    properties = spec["properties"]
    selector, change = properties["selector"], properties["change"]
    given = ("names", "types", "matchLabels", "matchExpressions")
    something = " || ".join(f"(has(self.{name}) && self.{name}.size() > 0)" for name in given)
    selector["x-kubernetes-validations"] = [rule(something, SELECT_SOMETHING)]
    valued = "(has(self.values) && self.values.size() > 0)"
    selector["properties"]["matchExpressions"]["items"]["x-kubernetes-validations"] = [
        rule(f"{valued} == (self.operator in ['In', 'NotIn'])", VALUES_MATTER)
    ]
    change["x-kubernetes-validations"] = [
        rule(
            "has(self.image) || has(self.configuration) || has(self.configurationRef)",
            CHANGE_SOMETHING,
        ),
        rule("!has(self.configuration) || !has(self.configurationRef)", ONE_CONFIGURATION),
    ]
    profile = change["properties"]["configuration"]["properties"]["profiles"]["items"]
    profile["x-kubernetes-validations"] = [
        rule("has(self.maxKbps) || has(self.crf)", PROFILE_CHANGES)
    ]
    change["properties"]["configuration"]["x-kubernetes-validations"] = [
        rule(
            "(has(self.profiles) && self.profiles.size() > 0) || "
            "(has(self.audio) && self.audio.size() > 0)",
            CHANGE_SOMETHING,
        )
    ]
    properties["schedule"]["x-kubernetes-validations"] = [
        rule(
            "!has(self.notBefore) || !has(self.notAfter) || self.notBefore < self.notAfter",
            EMPTY_SPAN,
        )
    ]
    return spec


if __name__ == "__main__":
    main(document())
