"""The CRD is structural, says what the models say, and its committed copies are fresh."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, Field

from hitless_operator import crd
from hitless_operator.fleet import crd as fleet_crd
from hitless_operator.schema import SchemaError, structural
from hitless_wire.fleet_resources import EncoderUpdateSpec
from hitless_wire.resources import EncoderDeploymentSpec

ROOT = Path(__file__).resolve().parents[3]
# https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/
# custom-resource-definitions/#specifying-a-structural-schema
ALLOWED = {
    "type", "format", "description", "default", "enum", "pattern", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems",
    "maxItems", "items", "properties", "required", "nullable", "x-kubernetes-validations",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "additionalProperties",
    "maxProperties", "x-kubernetes-preserve-unknown-fields",
}  # fmt: skip


INT_OR_STRING = {
    "x-kubernetes-int-or-string", "anyOf", "minimum", "pattern", "maxLength", "description",
    "default",
}  # fmt: skip
RESOURCES = {"encoderdeployments": crd.document(), "encoderupdates": fleet_crd.document()}
both = pytest.mark.parametrize("plural", RESOURCES)


def version(plural: str = "encoderdeployments") -> dict[str, Any]:
    found: dict[str, Any] = RESOURCES[plural]["spec"]["versions"][0]
    return found


def root(plural: str = "encoderdeployments") -> dict[str, Any]:
    found: dict[str, Any] = version(plural)["schema"]["openAPIV3Schema"]
    return found


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


@both
def test_every_node_is_structural(plural: str) -> None:
    for path, node in nodes(root(plural)):
        if "x-kubernetes-int-or-string" in node:
            assert set(node) <= INT_OR_STRING, path
            continue
        assert set(node) <= ALLOWED, path
        assert isinstance(node["type"], str), path
        assert set(node.get("required", [])) <= set(node.get("properties", {})), path


@both
def test_list_map_keys_are_required_or_defaulted(plural: str) -> None:
    for path, node in nodes(root(plural)):
        for key in node.get("x-kubernetes-list-map-keys", []):
            item = node["items"]
            assert key in item.get("required", []) or "default" in item["properties"][key], path


@pytest.mark.parametrize(("plural", "count"), [("encoderdeployments", 25), ("encoderupdates", 8)])
def test_every_rule_says_what_to_do(plural: str, count: int) -> None:
    rules = [r for _, n in nodes(root(plural)) for r in n.get("x-kubernetes-validations", [])]
    assert len(rules) == count
    assert all(len(rule["message"]) > 30 and "\n" not in rule["message"] for rule in rules)


def test_defaults_of_the_spec_are_those_of_the_model() -> None:
    given = {
        "image": "i",
        "source": {"url": "testpattern:"},
        "profiles": [{"name": "a", "width": 64, "height": 64, "maxKbps": 50}],
    }
    filled = fill(root()["properties"]["spec"], given)
    assert EncoderDeploymentSpec.model_validate(filled) == EncoderDeploymentSpec.model_validate(
        given
    )
    assert filled["handover"]["verify"] == {
        "segments": 2,
        "psnrMinDb": 26,
        "ssimMinPermille": 600,
        "loudnessMaxDb": 6,
        "avOffsetMaxMs": 20,
        "speedMinPercent": 100,
        "lateMaxMs": 4000,
    }


def fill(schema: dict[str, Any], value: Any) -> Any:
    """Defaulting as the API server does it."""
    if isinstance(value, dict):
        rows = schema["properties"].items()
        full = {k: c["default"] for k, c in rows if "default" in c} | value
        return {k: fill(schema["properties"][k], v) for k, v in full.items()}
    if isinstance(value, list):
        return [fill(schema["items"], v) for v in value]
    return value


@both
def test_no_default_holds_null(plural: str) -> None:
    for path, node in nodes(root(plural)):
        assert "null" not in yaml.safe_dump(node.get("default", "")), path


@both
def test_the_status_has_one_default_so_that_no_status_is_not_ready(plural: str) -> None:
    status = root(plural)["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    assert [p for p, n in nodes(status) if "default" in n] == [""]


def test_names_and_columns() -> None:
    names = crd.document()["spec"]["names"]
    assert (names["shortNames"], names["categories"]) == (["encd"], ["hitless"])
    columns = {c["name"]: c["jsonPath"] for c in version()["additionalPrinterColumns"]}
    assert list(columns) == [
        "Phase",
        "On Air",
        "Handover",
        "Frame",
        "Term",
        "Pod",
        "Image ID",
        "Age",
    ]
    known = {path for path, _ in nodes(root())} | {".metadata.creationTimestamp"}
    assert set(columns.values()) <= known


def test_names_and_columns_of_updates() -> None:
    names = RESOURCES["encoderupdates"]["spec"]["names"]
    assert (names["shortNames"], names["categories"]) == (["encu"], ["hitless"])
    shown = version("encoderupdates")["additionalPrinterColumns"]
    always = [c["name"] for c in shown if "priority" not in c]
    assert always == ["Phase", "Updated", "Failed", "Total", "Age"]
    known = {path for path, _ in nodes(root("encoderupdates"))} | {".metadata.creationTimestamp"}
    assert {c["jsonPath"] for c in shown} <= known


@both
def test_the_committed_copies_are_fresh(plural: str) -> None:
    made = RESOURCES[plural]
    committed = ROOT / "crds" / f"{plural}.hitless.video.yaml"
    template = ROOT / "charts" / "hitless" / "templates" / f"crd-{plural}.yaml"
    assert committed.read_text() == crd.as_yaml(made), "run hack/crds"
    assert template.read_text() == crd.as_chart_template(made), "run hack/crds"
    assert yaml.safe_load(crd.as_yaml(made)) == made


@both
def test_the_chart_s_copy_is_kept_and_holds_no_other_template(plural: str) -> None:
    text = crd.as_chart_template(RESOURCES[plural])
    assert text.startswith("{{- if .Values.crds.enabled }}\n")
    assert text.count("{{") == 2
    assert "helm.sh/resource-policy: keep" in text


def test_bounds_and_constants_of_other_dialects() -> None:
    class Inner(BaseModel):
        """A box."""

        above: int = Field(gt=0)

    class Outer(BaseModel):
        """Around it."""

        maybe: Inner | None = None

    schema = structural(Outer)
    assert schema["properties"]["maybe"]["properties"]["above"] == {
        "type": "integer",
        "minimum": 0,
        "exclusiveMinimum": True,
    }
    assert "default" not in schema["properties"]["maybe"]


def test_a_choice_of_types_is_refused() -> None:
    class Odd(BaseModel):
        """Neither."""

        either: int | str

    with pytest.raises(SchemaError, match="2 types"):
        structural(Odd)


def test_the_examples_are_valid() -> None:
    example = yaml.safe_load((ROOT / "examples" / "first-channel.yaml").read_text())
    spec = EncoderDeploymentSpec.model_validate(example["spec"])
    update = yaml.safe_load((ROOT / "examples" / "fleet-update.yaml").read_text())
    assert EncoderUpdateSpec.model_validate(update["spec"]).canary.steps
    assert [(p.width, p.height) for p in spec.profiles] == [(640, 360), (426, 240)]
