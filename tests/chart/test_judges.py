"""What others' tools say of the chart: helm, the API server's schemas, kube-score, promtool.

docs/chart-judges.md gives the reason of everything that is ignored here.
"""

from __future__ import annotations

import copy
import json

import kubernetes_validate
import pytest
import yaml
from tests.chart.chart import ALL, CHART, KUBERNETES, ROOT, documents, rendered, run
from tests.unit.operator import samples

from hitless_operator.crd import document as crd
from hitless_operator.manifests import PodDefaults, encoder_pod

FOREIGN = {"monitoring.coreos.com/v1"}  # the Prometheus operator's: no schema to be had offline
IGNORED = {
    "container-ephemeral-storage-request-and-limit",
    "container-image-pull-policy",
    "deployment-has-host-podantiaffinity",
    "deployment-replicas",
    "deployment-strategy",
    "pod-probes-identical",
}
VALUES = [(), ("-f", str(ALL)), ("--set", "origin.enabled=false,origin.url=https://o.example")]


def encoder() -> dict[str, object]:
    """A pod as the operator makes it for a channel in the namespace `live`."""
    channel = samples.channel()
    assert channel.spec is not None
    defaults = PodDefaults(ingest_url="http://origin", media_claim="m", priority_class="on-air")
    return encoder_pod(channel, channel.spec, samples.encoder(7), None, defaults)


@pytest.mark.parametrize("values", ["", str(ALL)])
def test_helm_lint(values: str) -> None:
    more = ["-f", values] if values else []
    version = f"{KUBERNETES}.0"
    done = run("helm", "lint", "--strict", "--kube-version", version, *more, CHART)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", VALUES)
def test_the_api_servers_schemas_know_every_field(values: tuple[str, ...]) -> None:
    judged = 0
    for document in [*documents(*values), encoder()]:
        if document["apiVersion"] in FOREIGN:
            continue
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        judged += 1
    assert judged >= 9


def test_the_schemas_refuse_what_is_wrong() -> None:
    broken = copy.deepcopy(documents()[-1] | {"spce": {}})
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)
    kubernetes_validate.validate(crd(), KUBERNETES, strict=True)


@pytest.mark.parametrize("values", [(), ("-f", str(ALL))])
def test_kube_score_has_nothing_that_is_not_explained(values: tuple[str, ...]) -> None:
    text = rendered(*values)
    if values:  # its NetworkPolicies select encoders in `live`; those in `studio` are the same
        text += "\n---\n" + yaml.safe_dump(encoder())
        text = text.replace("namespace: studio", "namespace: live")
    ignore = [word for name in sorted(IGNORED) for word in ("--ignore-test", name)]
    done = run(
        "kube-score", "score", "--ignore-container-cpu-limit", *ignore, "-o", "json", "-", text=text
    )
    findings = [
        f"{scored['object_name']}: {check['check']['id']}"
        for scored in json.loads(done.stdout)
        for check in scored["checks"]
        if not check["skipped"] and check["grade"] < 10
    ]
    assert findings == []
    assert done.stdout.count('"object_name"') >= 5


def test_docs_explain_what_is_ignored() -> None:
    text = (ROOT / "docs" / "chart-judges.md").read_text()
    assert {name for name in IGNORED if f"`{name}`" not in text} == set()


def test_promtool_reads_the_alerts_and_each_fires_when_it_should() -> None:
    checked = run("promtool", "check", "rules", CHART / "files" / "alerts.yaml")
    assert "SUCCESS" in checked.stdout, checked.stdout + checked.stderr
    tested = run("promtool", "test", "rules", ROOT / "tests" / "chart" / "alerts_test.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
