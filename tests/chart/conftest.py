"""helm, kube-score and promtool on PATH: `make check` puts them there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.chart.chart import ROOT

TOOLS = ("helm", "kube-score", "promtool")
CLUSTER = ROOT / "hack" / "cluster" / "cluster.py"


@pytest.fixture(scope="session", autouse=True)
def _tools() -> Iterator[None]:
    """What is missing is built or fetched, as `make check` does."""
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{ROOT / '.venv' / 'bin'}:{before}"
    if any(shutil.which(tool) is None for tool in TOOLS):
        subprocess.run([ROOT / "hack" / "setup", "judges"], check=True)
        command = [sys.executable, str(CLUSTER), "tools", "--chart"]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        os.environ["PATH"] = f"{found}:{os.environ['PATH']}"
    yield
    os.environ["PATH"] = before
