"""A real cluster with Hitless in it for each worker of pytest; a namespace for each test."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hack.lab import SYSTEM_NAMESPACE, Lab, LabError, images
from tests.e2e.channel import Channel, make_media

CLUSTER_NAME = "-".join(filter(None, ("e2e", os.environ.get("PYTEST_XDIST_WORKER"))))
ENCODER_CPU = "150m"  # eight small channels and two successors fit a node of two cores
# Workers take whole files: what takes longest begins first, so that both end at about one time.
LONGEST_FIRST = (
    "test_bad_versions",
    "test_updates",
    "test_failures",
    "test_nodes",
    "test_outcomes",
)
OF_TESTS = "hitless.test=namespace"
NAMESPACE_GONE_S = 110  # at the end: nothing that the operator holds may keep one
STATE_CHARACTERS_MAX = 12_000  # of each answer, from its end
SLOW_MACHINE_PERCENT = 500  # a slow encoder is no dead encoder: speed is not judged here


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the cluster; a test may take as long as a slow machine needs."""
    for item in items:
        item.add_marker(pytest.mark.e2e)
        item.add_marker(pytest.mark.timeout(1200))
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the state of its namespace and the operator's last words."""
    report = yield
    channel = getattr(item, "funcargs", {}).get("channel")
    if report.failed and report.when == "call" and isinstance(channel, Channel):
        report.sections.append((f"Namespace {channel.namespace}", state(channel)))
    return report


def state(channel: Channel) -> str:
    """The channels and updates of a namespace, its pods and Events, the operator's log; bounded."""
    asked = [
        ("get", "encd,encu,pods", "-o", "wide"),
        ("get", "encu", "-o", "jsonpath={range .items[*]}{.metadata.name} {.status}{'\\n'}{end}"),
        ("get", "encd", "-o", "jsonpath={range .items[*]}{.metadata.name} {.status}{'\\n'}{end}"),
        ("get", "events", "--sort-by=.metadata.creationTimestamp"),
        ("logs", "-n", SYSTEM_NAMESPACE, "deploy/hitless-operator", "--tail=200"),
    ]
    told: list[str] = []
    for arguments in asked:
        try:
            told.append(channel.kubectl(*arguments)[-STATE_CHARACTERS_MAX:])
        except LabError as error:
            told.append(str(error))
    return "\n".join(told)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A fresh cluster with images and chart. HITLESS_E2E_KEEP=1 leaves it running."""
    archives = images()
    lab = Lab.up(CLUSTER_NAME, kind=os.environ.get("CLUSTER") or "auto")
    try:
        lab.load(*archives.values())
        lab.install(deadline_percent=SLOW_MACHINE_PERCENT, encoder_cpu=ENCODER_CPU)
        yield lab
        left = lab.kubectl("get", "namespaces", "-l", OF_TESTS, "-o", "name").split()
        if left:
            lab.kubectl("wait", "--for=delete", *left, f"--timeout={NAMESPACE_GONE_S}s")
    finally:
        if not os.environ.get("HITLESS_E2E_KEEP"):
            lab.down()


@pytest.fixture
def channel(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Channel]:
    """A channel in a namespace of its own, both removed while the next test runs."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    name = f"{name[:30].strip('-')}-{len(request.node.name)}"
    lab.namespace(name)
    lab.kubectl("label", "namespace", name, OF_TESTS)
    channel = Channel(lab=lab, namespace=name)
    yield channel
    lab.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real file: H.264 with B-frames and AAC in MPEG-TS at 29.97 fps, made by ffmpeg."""
    assert shutil.which("ffmpeg"), "ffmpeg is missing: hack/setup e2e installs it"
    return make_media(tmp_path_factory.mktemp("media") / "real.ts")
