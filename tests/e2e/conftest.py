"""A real cluster with Hitless in it for each worker of pytest; a namespace for each test."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hack.lab import Lab, images
from tests.e2e.channel import Channel, make_media

CLUSTER_NAME = "-".join(filter(None, ("e2e", os.environ.get("PYTEST_XDIST_WORKER"))))
ENCODER_CPU = "150m"  # eight small channels and two successors fit a node of two cores
SLOW_MACHINE_PERCENT = 500  # a slow encoder is no dead encoder: speed is not judged here


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the cluster; a test may take as long as a slow machine needs."""
    for item in items:
        item.add_marker(pytest.mark.e2e)
        item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A fresh cluster with images and chart. HITLESS_E2E_KEEP=1 leaves it running."""
    archives = images()
    lab = Lab.up(CLUSTER_NAME, kind=os.environ.get("CLUSTER") or "auto")
    try:
        lab.load(*archives.values())
        lab.install(deadline_percent=SLOW_MACHINE_PERCENT, encoder_cpu=ENCODER_CPU)
        yield lab
    finally:
        if not os.environ.get("HITLESS_E2E_KEEP"):
            lab.down()


@pytest.fixture
def channel(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Channel]:
    """A channel in a namespace of its own, both removed after the test."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    name = f"{name[:30].strip('-')}-{len(request.node.name)}"
    lab.namespace(name)
    channel = Channel(lab=lab, namespace=name)
    yield channel
    lab.kubectl("delete", "namespace", name, "--wait=true", "--timeout=90s")


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real file: H.264 with B-frames and AAC in MPEG-TS at 29.97 fps, made by ffmpeg."""
    assert shutil.which("ffmpeg"), "ffmpeg is missing: hack/setup e2e installs it"
    return make_media(tmp_path_factory.mktemp("media") / "real.ts")
