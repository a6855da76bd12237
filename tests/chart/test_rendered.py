"""What the rendered objects say: Pod Security, NetworkPolicies, names, labels, monitoring."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import cel
import pytest
import yaml
from tests.chart.chart import (
    ALL,
    CHART,
    NAMESPACE,
    ROOT,
    alerts,
    documents,
    named,
    of_kind,
    rendered,
    run,
)
from tests.chart.test_judges import encoder
from tests.component.encoder.studio import make_config

from hitless_encoder import metrics as encoder_metrics
from hitless_encoder.session import Session
from hitless_handover.leadership import Lead
from hitless_operator.eviction.certificate import ServingCertificate
from hitless_operator.eviction.server import PATH
from hitless_operator.eviction.webhook import ANSWER_S
from hitless_operator.manifests import CHANNEL_LABEL
from hitless_operator.metrics import Metrics
from hitless_operator.queue import QueueState
from hitless_operator.settings import Settings
from hitless_origin import metrics as origin_metrics
from hitless_origin.__main__ import read_settings
from hitless_wire.peers import GRPC_PORT

EVERYTHING = ("-f", str(ALL))
RUNBOOK = ROOT / "docs" / "runbook.md"


def pod_specs() -> dict[str, dict[str, Any]]:
    """All pods that the chart and the operator make."""
    found = {"encoder": encoder()["spec"]}
    for document in documents(*EVERYTHING):
        if document["kind"] == "Deployment":
            found[document["metadata"]["name"]] = document["spec"]["template"]["spec"]
        elif document["kind"] == "Pod":
            found[document["metadata"]["name"]] = document["spec"]
    return found  # type: ignore[return-value]


def violations(pod: dict[str, Any]) -> list[str]:
    """Against the restricted Pod Security Standard."""
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    whole = pod.get("securityContext", {})
    allowed = {"emptyDir", "persistentVolumeClaim", "configMap", "secret", "projected"}
    found += [f"volume {v['name']}" for v in pod.get("volumes", []) if not (set(v) & allowed)]
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        own = container.get("securityContext", {})
        both = {**whole, **own}
        if own.get("allowPrivilegeEscalation") is not False:
            found.append("allowPrivilegeEscalation")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            found.append("capabilities")
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            found.append("runAsNonRoot")
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            found.append("seccompProfile")
        if own.get("readOnlyRootFilesystem") is not True:
            found.append("readOnlyRootFilesystem")
        found += [f"hostPort {p}" for p in container.get("ports", []) if "hostPort" in p]
    return found


def test_every_pod_is_restricted() -> None:
    specs = pod_specs()
    assert set(specs) == {"encoder", "hitless-operator", "hitless-origin", "hitless-test"}
    assert {name: v for name, spec in specs.items() if (v := violations(spec))} == {}
    assert violations({"containers": [{"name": "x"}]}) != []


def test_only_who_talks_to_the_api_server_has_a_token() -> None:
    specs = pod_specs()
    without = [n for n, s in specs.items() if s.get("automountServiceAccountToken") is False]
    assert sorted(without) == ["encoder", "hitless-origin"]


# --- NetworkPolicies: a small reader of what they allow ---


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def allowed(
    policy: dict[str, Any], source: tuple[str, dict[str, str]], port: object, protocol: str = "TCP"
) -> bool:
    """Whether a pod (namespace, labels) may reach the policy's pods at a port."""
    namespace, labels = source
    own = policy["metadata"]["namespace"]
    for rule in policy["spec"].get("ingress", []):
        ports = rule.get("ports")
        if ports and not any(
            p["protocol"] == protocol and p.get("port", port) == port for p in ports
        ):
            continue
        for peer in rule.get("from", [{"namespaceSelector": {}}]):
            where = peer.get("namespaceSelector")
            there = {"kubernetes.io/metadata.name": namespace}
            here = namespace == own if where is None else selects(where, there)
            if "ipBlock" not in peer and here and selects(peer.get("podSelector", {}), labels):
                return True
    return False


def pod_labels(name: str) -> dict[str, str]:
    if name == "encoder":
        found: dict[str, str] = encoder()["metadata"]["labels"]  # type: ignore[index]
        return found
    labels: dict[str, str] = named("Deployment", name)["spec"]["template"]["metadata"]["labels"]
    return labels


@pytest.mark.parametrize("values", [(), EVERYTHING])
def test_live_pushes_and_handovers_get_through(values: tuple[str, ...]) -> None:
    encoders = ("live", pod_labels("encoder"))
    operator = (NAMESPACE, pod_labels("hitless-operator"))
    origin = named("NetworkPolicy", "hitless-origin", *values)
    assert selects(origin["spec"]["podSelector"], pod_labels("hitless-origin"))
    assert allowed(origin, encoders, "http")
    assert allowed(origin, operator, "http")
    mine = named("NetworkPolicy", "hitless-operator", *values)
    assert selects(mine["spec"]["podSelector"], pod_labels("hitless-operator"))
    reached = [str(rule) for rule in mine["spec"]["egress"]]
    assert any(str(GRPC_PORT) in rule and "hitless-encoder" in rule for rule in reached)
    assert any("8080" in rule and "hitless-origin" in rule for rule in reached)


def test_encoders_are_reached_by_their_operator_and_their_siblings_only() -> None:
    every = of_kind("NetworkPolicy", *EVERYTHING)
    policies = [p for p in every if p["metadata"]["name"].endswith("encoders")]
    assert sorted(p["metadata"]["namespace"] for p in policies) == ["live", "studio"]
    live = next(p for p in policies if p["metadata"]["namespace"] == "live")
    labels = pod_labels("encoder")
    assert selects(live["spec"]["podSelector"], labels)
    assert allowed(live, ("live", labels), "grpc")
    assert allowed(live, (NAMESPACE, pod_labels("hitless-operator")), "grpc")
    assert not allowed(live, ("studio", labels), "grpc")
    assert not allowed(live, ("live", {"app": "curious"}), "grpc")
    assert not allowed(live, (NAMESPACE, pod_labels("hitless-origin")), "grpc")
    assert labels[CHANNEL_LABEL]


def test_viewers_are_kept_out_when_it_is_said_where_they_come_from() -> None:
    stranger = ("default", {"app": "curious"})
    assert allowed(named("NetworkPolicy", "hitless-origin"), stranger, "http")
    told = named("NetworkPolicy", "hitless-origin", *EVERYTHING)
    assert not allowed(told, stranger, "viewers")
    assert allowed(told, ("ingress", {"app": "proxy"}), "viewers")
    assert not allowed(named("NetworkPolicy", "hitless-operator", *EVERYTHING), stranger, "health")


def test_sources_stay_possible_unless_egress_is_restricted() -> None:
    values = ("--set", "watchNamespaces={live}")
    (free,) = (p for p in of_kind("NetworkPolicy", *values) if p["metadata"]["namespace"] == "live")
    assert free["spec"]["policyTypes"] == ["Ingress"]
    assert allowed(free, ("studio", {"app": "camera"}), 5000, "UDP")
    every = of_kind("NetworkPolicy", *EVERYTHING)
    (bound,) = (p for p in every if p["metadata"]["namespace"] == "live")
    assert bound["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "192.0.2.0/24" in str(bound["spec"]["egress"])
    assert "8080" in str(bound["spec"]["egress"])


def test_another_origin_is_reached_at_its_port() -> None:
    values = ("--set", "origin.enabled=false,origin.url=https://o.example:8443/x")
    egress = named("NetworkPolicy", "hitless-operator", *values)["spec"]["egress"]
    assert {"protocol": "TCP", "port": 8443} in [p for rule in egress for p in rule["ports"]]
    assert of_kind("NetworkPolicy", "--set", "networkPolicy.enabled=false") == []


# --- the eviction webhook ---

EVICTIONS = ("--set", "evictionWebhook.enabled=true")
CERT_MANAGER = ("--set", "evictionWebhook.enabled=true,evictionWebhook.certManager.enabled=true")
OWN = (
    "--set",
    "evictionWebhook.enabled=true,evictionWebhook.existingSecret=mine,evictionWebhook.caBundle=Y2E=",
)


def webhook(*values: str) -> dict[str, Any]:
    (configuration,) = of_kind("ValidatingWebhookConfiguration", *values)
    (found,) = configuration["webhooks"]
    return dict(found)


def served_secret(*values: str) -> str:
    """The Secret that the operator shows the certificate of."""
    pod = named("Deployment", "hitless-operator", *values)["spec"]["template"]["spec"]
    (volume,) = (v for v in pod["volumes"] if v["name"] == "webhook")
    return str(volume["secret"]["secretName"])


def test_without_the_webhook_there_is_nothing_of_it() -> None:
    assert of_kind("ValidatingWebhookConfiguration") == []
    assert of_kind("Secret") == []
    for kind, name in (("Deployment", "hitless-operator"), ("NetworkPolicy", "hitless-operator")):
        assert "webhook" not in str(named(kind, name)).lower()


def test_the_api_server_reaches_what_the_operator_serves() -> None:
    client = webhook(*EVICTIONS)["clientConfig"]["service"]
    service = named("Service", client["name"], *EVICTIONS)
    assert client["namespace"] == service["metadata"]["namespace"] == NAMESPACE
    assert selects({"matchLabels": service["spec"]["selector"]}, pod_labels("hitless-operator"))
    (port,) = service["spec"]["ports"]
    assert (client["port"], client["path"]) == (port["port"], PATH)
    pod = named("Deployment", "hitless-operator", *EVICTIONS)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (listens,) = (p for p in container["ports"] if p["name"] == port["targetPort"])
    assert listens["containerPort"] == Settings.model_fields["webhook_port"].default
    variables = {row["name"]: row.get("value") for row in container["env"]}
    (mount,) = (m for m in container["volumeMounts"] if m["name"] == "webhook")
    assert variables["HITLESS_WEBHOOK_CERTIFICATE"] == mount["mountPath"]
    assert webhook(*EVICTIONS)["timeoutSeconds"] > ANSWER_S


def test_the_api_server_trusts_the_certificate_that_helm_makes(tmp_path: Path) -> None:
    secret = named("Secret", served_secret(*EVICTIONS), *EVICTIONS)
    client = webhook(*EVICTIONS)["clientConfig"]
    (tmp_path / "ca").write_bytes(base64.b64decode(client["caBundle"]))
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_bytes(base64.b64decode(secret["data"][name]))
    host = f"{client['service']['name']}.{client['service']['namespace']}.svc"
    trusted = ("openssl", "verify", "-CAfile", tmp_path / "ca", "-verify_hostname")
    assert run(*trusted, host, tmp_path / "tls.crt").returncode == 0
    assert run(*trusted, "other.svc", tmp_path / "tls.crt").returncode != 0
    ServingCertificate(tmp_path)


def test_cert_manager_makes_the_certificate_and_says_who_is_trusted() -> None:
    assert of_kind("Secret", *CERT_MANAGER) == []
    (certificate,) = of_kind("Certificate", *CERT_MANAGER)
    (issuer,) = of_kind("Issuer", *CERT_MANAGER)
    assert certificate["spec"]["secretName"] == served_secret(*CERT_MANAGER)
    reference = certificate["spec"]["issuerRef"]
    assert reference == {"kind": "Issuer", "name": issuer["metadata"]["name"]}
    client = webhook(*CERT_MANAGER)["clientConfig"]
    assert "caBundle" not in client
    host = f"{client['service']['name']}.{NAMESPACE}.svc"
    assert certificate["spec"]["dnsNames"] == [host]
    (configuration,) = of_kind("ValidatingWebhookConfiguration", *CERT_MANAGER)
    injected = configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
    assert injected == f"{NAMESPACE}/{certificate['metadata']['name']}"
    theirs = "evictionWebhook.certManager.issuerRef.name=internal"
    assert of_kind("Issuer", *CERT_MANAGER, "--set", theirs) == []


def test_a_secret_of_ones_own_is_used_as_it_is() -> None:
    assert of_kind("Secret", *OWN) == []
    assert served_secret(*OWN) == "mine"
    assert webhook(*OWN)["clientConfig"]["caBundle"] == "Y2E="


def test_only_evictions_of_what_is_named_like_an_encoder_are_asked_about() -> None:
    found = webhook(*EVICTIONS)
    (rule,) = found["rules"]
    assert (rule["resources"], rule["operations"]) == (["pods/eviction"], ["CREATE"])
    assert (found["failurePolicy"], found["sideEffects"]) == ("Ignore", "NoneOnDryRun")
    (condition,) = found["matchConditions"]

    def asked(name: str) -> bool:
        return bool(cel.evaluate(condition["expression"], {"request": {"name": name}}))

    assert asked(encoder()["metadata"]["name"])  # type: ignore[index]
    assert not asked("hitless-operator-5d9c6bf7d-x2x7k")
    assert not asked("web")
    (everywhere,) = found["namespaceSelector"]["matchExpressions"]
    assert (everywhere["operator"], everywhere["values"]) == ("NotIn", ["kube-system"])
    (watched,) = webhook(*EVERYTHING)["namespaceSelector"]["matchExpressions"]
    assert (watched["operator"], watched["values"]) == ("In", ["live", "studio"])


def test_the_webhook_is_reached_from_where_it_is_said() -> None:
    anybody = ("default", {"app": "curious"})
    assert allowed(named("NetworkPolicy", "hitless-operator", *EVICTIONS), anybody, "webhook")
    told = named("NetworkPolicy", "hitless-operator", *EVERYTHING)
    assert not allowed(told, anybody, "webhook")
    assert "198.51.100.0/24" in str(told["spec"]["ingress"])


# --- the rest ---


def test_common_labels_and_annotations_are_on_every_object_but_crds() -> None:
    for document in documents(*EVERYTHING):
        if document["kind"] == "CustomResourceDefinition":
            continue
        where = f"{document['kind']} {document['metadata']['name']}"
        assert document["metadata"]["labels"]["team"] == "video", where
        assert document["metadata"]["annotations"]["example.com/owner"] == "video", where


def test_a_new_chart_version_restarts_nothing() -> None:
    for name in ("hitless-operator", "hitless-origin"):
        labels = pod_labels(name)
        assert set(labels) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}


def test_the_operator_knows_every_variable_that_it_is_given() -> None:
    known = {f"HITLESS_{field.upper()}" for field in Settings.model_fields}
    (container,) = named("Deployment", "hitless-operator", *EVERYTHING)["spec"]["template"]["spec"][
        "containers"
    ]
    given = {variable["name"] for variable in container["env"]}
    assert given <= known
    assert {"HITLESS_ENCODER_PRIORITY_CLASS", "HITLESS_LOG_FORMAT"} <= given


def test_origin_and_operator_have_the_same_keys_and_nobody_has_without() -> None:
    secret = ("--set", "origin.ingestAuth.secretName=keys")
    for deployment in of_kind("Deployment", *secret):
        spec = deployment["spec"]["template"]["spec"]
        (volume,) = [v for v in spec["volumes"] if v["name"] == "ingest-keys"]
        assert volume["secret"]["secretName"] == "keys"
        (mount,) = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]
        env = {row["name"]: row.get("value", "") for row in spec["containers"][0]["env"]}
        is_origin = "HITLESS_ORIGIN_INGEST_KEYS_FILE" in env
        name = "HITLESS_ORIGIN_INGEST_KEYS_FILE" if is_origin else "HITLESS_INGEST_KEYS_FILE"
        assert env[name] == f"{mount['mountPath']}/keys"
        if is_origin:
            settings = read_settings([], env)
            assert settings.ingest_keys == Path(env[name])
            assert settings.tokens_required
            env["HITLESS_ORIGIN_INGEST_TOKENS"] = "optional"
            assert not read_settings([], env).tokens_required
    assert len(of_kind("Deployment", *secret)) == 2
    assert "ingest-keys" not in str(documents())
    assert "value: optional" in rendered(*EVERYTHING)


def test_a_plain_input_is_said_to_the_origin() -> None:
    def given(*values: str) -> list[str]:
        args = named("Deployment", "hitless-origin", *values)["spec"]["template"]["spec"]
        return [each for each in args["containers"][0]["args"] if "plain" in each]

    assert given() == []
    assert given("--set", "origin.plainInputs={studio:7}") == ["--plain-input=studio:7"]


def test_values_that_make_no_sense_are_refused() -> None:
    for wrong in (
        "operator.replcias=1",
        "operator.logFormat=xml",
        "origin.enabled=false",
        "origin.plainInputs={studio:07}",
        "origin.plainInputs={a:1,b:2}",
        "networkPolicy.apiServerPorts={}",
        "metrics.podMonitor.interval=often",
        "evictionWebhook.existingSecret=mine",
        "evictionWebhook.timeoutSeconds=1",
        "evictionWebhook.failurePolicy=Maybe",
    ):
        done = run("helm", "template", CHART, "--kube-version", "1.37.0", "--set", wrong)
        assert done.returncode != 0, wrong
        assert "schema" in done.stderr


# --- monitoring ---


def served_metrics() -> set[str]:
    """Names that the three processes serve, and what a histogram or counter makes of them."""
    metrics = Metrics()
    idle = QueueState(waiting=0, running=0, delayed=0, failing=0, running_s_max=0)
    metrics.attach(lambda: idle)
    text = metrics.text().decode() + origin_metrics.render([], {200: 1}, 0, 0)
    encoder = encoder_metrics.Metrics(version="v1", preset="veryfast")
    encoder.attach(Session(make_config(), "v1", "veryfast", lambda k: Lead(k, 1)))
    text += encoder.text().decode()
    names = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    return names | {f"{name}_bucket" for name in names}


def mentioned(expression: str) -> set[str]:
    return set(re.findall(r"\bhitless_\w+", expression))


def test_alerts_and_dashboard_ask_for_what_is_served() -> None:
    served = served_metrics()
    assert "hitless_frames_lost_total" in served
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    expressions = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    expressions += [a["expr"] for a in dashboard["annotations"]["list"]]
    expressions += [rule["expr"] for rule in alerts()]
    assert len(expressions) > 40
    assert {name for e in expressions for name in mentioned(e)} - served == set()


def test_the_dashboards_expressions_can_be_read(tmp_path: Any) -> None:
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    rules = [
        {
            "record": f"panel:{panel['id']}:{target['refId']}",
            "expr": re.sub(r"\$__\w+", "5m", target["expr"]),
        }
        for panel in panels
        for target in panel["targets"]
    ]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = run("promtool", "check", "rules", path)
    assert f"{len(rules)} rules found" in checked.stdout, checked.stdout + checked.stderr


def test_the_dashboard_and_the_rules_arrive_whole() -> None:
    config = named("ConfigMap", "hitless-dashboard", *EVERYTHING)
    assert json.loads(config["data"]["hitless.json"])["uid"] == "hitless"
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    (rule,) = of_kind("PrometheusRule", *EVERYTHING)
    shipped = [r for group in rule["spec"]["groups"] for r in group["rules"]]
    assert [r["expr"] for r in shipped] == [r["expr"] for r in alerts()]
    assert all(r["annotations"]["runbook_url"].startswith("https://docs.example/") for r in shipped)
    monitors = of_kind("PodMonitor", *EVERYTHING)
    assert {m["spec"]["podMetricsEndpoints"][0]["port"] for m in monitors} == {
        "health",
        "http",
        "metrics",
    }
    for kind in ("PodMonitor", "PrometheusRule", "ConfigMap"):
        assert of_kind(kind) == []


def test_each_alert_has_a_section_in_the_runbook_and_a_case() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names))
    sections = re.findall(r"^## (Hitless\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(sections) == sorted(names)
    cases = (ROOT / "tests" / "chart" / "alerts_test.yaml").read_text()
    assert [name for name in names if f'alertname="{name}"' not in cases] == []
    for rule in alerts():
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning", "info")


def test_each_section_says_what_viewers_see_and_what_to_do() -> None:
    _, *sections = re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)
    for section in sections:
        for part in ("**Viewers:**", "**Look:**", "**Do:**"):
            assert section.count(part) == 1, f"{section.split()[0]} lacks {part}"


def test_helm_tests_checks_tell_good_from_bad(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("installed", CHART / "files" / "installed.py")
    assert spec is not None
    assert spec.loader is not None
    installed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(installed)
    answers = {"/healthz": b'{"healthy": true}', "/metrics": b"hitless_frames_lost_total 0.0"}
    monkeypatch.setattr(installed, "get", lambda url, *_: answers["/" + url.rpartition("/")[2]])
    monkeypatch.setenv("OPERATOR_URL", "http://operator")
    assert installed.holds(installed.operator_is_healthy, 0)
    assert installed.holds(installed.operator_is_measured, 0)
    answers.update({"/healthz": b'{"healthy": false, "faults": ["stuck"]}', "/metrics": b""})
    assert not installed.holds(installed.operator_is_healthy, 0)
    assert not installed.holds(installed.operator_is_measured, 0)
    assert "FAILED  operator is healthy: the operator says ['stuck']" in capsys.readouterr().out
