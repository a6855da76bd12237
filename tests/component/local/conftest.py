"""A channel file that the stand-ins play at one segment a second."""

from __future__ import annotations

from pathlib import Path

import pytest

CHANNEL = """\
apiVersion: hitless.video/v1alpha1
kind: EncoderDeployment
metadata:
  name: demo
spec:
  image: example.org/encoder:v1
  source: {url: "testpattern:"}
  timeline: {frameRate: "10", segmentFrames: 10}
  profiles:
    - {name: v180, width: 320, height: 180, maxKbps: 300}
  handover:
    leadSegments: 1
    holdSegments: 1
    verify: {segments: 1, speedMinPercent: 0, lateMaxMs: 60000}
"""


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    path = tmp_path / "channel.yaml"
    path.write_text(CHANNEL)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"
