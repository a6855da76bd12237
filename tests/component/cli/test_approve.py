"""approve, on an API server that knows EncoderUpdates."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hack.control_plane import ROOT, ControlPlane, control_plane
from tests.component.cli.conftest import GROUP, Stage

ANNOTATION = "hitless.video/approve"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """With a definition of EncoderUpdate that takes any content."""
    folder = tmp_path_factory.mktemp("newer")
    with control_plane(folder) as running:
        running.install(ROOT / "crds" / "encoderdeployments.hitless.video.yaml")
        running.install(_definition(folder))
        yield running


def _definition(folder: Path) -> Path:
    names = {"kind": "EncoderUpdate", "plural": "encoderupdates", "singular": "encoderupdate"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "encoderupdates.hitless.video"},
        "spec": {
            "group": "hitless.video",
            "scope": "Namespaced",
            "names": names,
            "versions": [version],
        },
    }
    path = folder / "encoderupdates.yaml"
    path.write_text(yaml.safe_dump(definition))
    return path


@pytest.fixture
def fleet(newer: ControlPlane) -> Stage:
    return Stage(plane=newer, namespace=newer.namespace(f"fleet-{next(_numbers)}"))


def test_approve_annotates_once(fleet: Stage) -> None:
    path = f"{GROUP}/namespaces/{fleet.namespace}/encoderupdates"
    fleet.plane.create(
        path,
        {
            "apiVersion": "hitless.video/v1alpha1",
            "kind": "EncoderUpdate",
            "metadata": {"name": "nightly"},
        },
    )
    result = fleet.hitless("approve", "nightly")
    assert result.exit_code == 0, result.stderr
    found = fleet.plane.call("GET", f"{path}/nightly")
    assert found["metadata"]["annotations"] == {ANNOTATION: "true"}
    again = fleet.hitless("approve", "nightly")
    assert again.stdout == f"{fleet.namespace}/nightly was approved already\n"
    assert fleet.plane.call("GET", f"{path}/nightly") == found


def test_approve_of_a_wrong_name(fleet: Stage) -> None:
    result = fleet.hitless("approve", "nightly")
    assert result.exit_code == 3
    assert f"no EncoderUpdate nightly in namespace {fleet.namespace}" in result.stderr
