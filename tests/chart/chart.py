"""The chart as helm renders it, and what else its tests look at."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "hitless"
ALL = ROOT / "tests" / "chart" / "values-all.yaml"
KUBERNETES = "1.37"
NAMESPACE = "hitless-system"
RUN_S_MAX = 60

Document = dict[str, Any]


def run(*command: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """A tool, with all that it says; the caller judges the exit code."""
    words = [str(word) for word in command]
    return subprocess.run(
        words, input=text, capture_output=True, text=True, timeout=RUN_S_MAX, check=False
    )


@functools.cache
def rendered(*options: str) -> str:
    """`helm template`. The version is given: one built by `go install` claims to be ancient."""
    version = f"{KUBERNETES}.0"
    command = ("helm", "template", "hitless", "--namespace", NAMESPACE, "--kube-version", version)
    done = run(*command, CHART, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def documents(*options: str) -> tuple[Document, ...]:
    """All objects of the release; shared by all tests, so not to be changed."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(document for document in yaml.load_all(rendered(*options), loader) if document)


def of_kind(kind: str, *options: str) -> list[Document]:
    """Those of one kind."""
    return [document for document in documents(*options) if document["kind"] == kind]


def named(kind: str, name: str, *options: str) -> Document:
    """The one of that kind and name."""
    (found,) = (d for d in of_kind(kind, *options) if d["metadata"]["name"] == name)
    return found


def alerts() -> list[Document]:
    """The alert rules."""
    content = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]
