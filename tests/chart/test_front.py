"""nginx before the origin, as the chart runs it."""

from __future__ import annotations

import re

from tests.chart.chart import CHART, named, of_kind, rendered
from tests.chart.test_rendered import allowed, pod_labels

FRONT = ("--set", "origin.front.enabled=true,origin.front.workers=3,origin.front.cacheGigabytes=5")


def front_text(*values: str) -> str:
    (found,) = (d for d in of_kind("ConfigMap", *values) if "-front-" in d["metadata"]["name"])
    text: str = found["data"]["nginx.conf"]
    return text


def test_viewers_get_the_configuration_that_is_tested() -> None:
    """tests/component/origin/test_front.py runs the file itself."""
    text = front_text(*FRONT)
    changed = {"worker_processes 3;": "worker_processes auto;", "max_size=5g": "max_size=8g"}
    for ours, theirs in changed.items():
        assert text.count(ours) == 1
        text = text.replace(ours, theirs)
    assert text == (CHART / "files" / "nginx.conf").read_text()


def test_the_front_is_where_its_configuration_says() -> None:
    text, deployment = front_text(*FRONT), named("Deployment", "hitless-origin", *FRONT)
    spec = deployment["spec"]["template"]["spec"]
    origin, front = spec["containers"]
    assert f"server 127.0.0.1:{origin['ports'][0]['containerPort']};" in text
    assert f"listen {front['ports'][0]['containerPort']};" in text
    mounts = {m["mountPath"]: m["name"] for m in front["volumeMounts"]}
    volumes = {v["name"]: v for v in spec["volumes"]}
    assert {"/tmp", "/var/cache/hitless", "/etc/hitless"} == set(mounts)
    written = re.findall(r"(?:_temp_path|proxy_cache_path) (\S+?)[ ;]", text)
    assert len(written) == 6
    assert all(path.startswith(("/tmp/", "/var/cache/hitless")) for path in written)
    assert volumes[mounts["/var/cache/hitless"]]["emptyDir"] == {"sizeLimit": "6Gi"}
    maps = {d["metadata"]["name"] for d in of_kind("ConfigMap", *FRONT)}
    assert volumes[mounts["/etc/hitless"]]["configMap"]["name"] in maps


def test_pushes_go_past_the_front_and_viewers_through_it() -> None:
    own, viewers = (named("Service", f"hitless-origin{n}", *FRONT) for n in ("", "-viewers"))
    assert own["spec"]["ports"][0]["targetPort"] == "http"
    assert viewers["spec"]["ports"][0]["targetPort"] == "viewers"
    assert own["spec"]["selector"] == viewers["spec"]["selector"]
    policy, stranger = named("NetworkPolicy", "hitless-origin", *FRONT), ("default", {"app": "x"})
    assert allowed(policy, stranger, "viewers")
    assert not allowed(policy, stranger, "http")
    assert allowed(policy, ("live", pod_labels("encoder")), "http")


def test_another_configuration_is_another_pod() -> None:
    def config(workers: int) -> str:
        values = ("--set", f"origin.front.enabled=true,origin.front.workers={workers}")
        spec = named("Deployment", "hitless-origin", *values)["spec"]["template"]["spec"]
        (name,) = (v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v)
        return str(name)

    assert config(1) == config(1) != config(2)


def test_there_is_no_front_unless_it_is_wanted() -> None:
    assert "nginx" not in rendered()
    assert "nginx" not in rendered(
        "--set", "origin.front.enabled=true,origin.enabled=false,origin.url=http://o"
    )
