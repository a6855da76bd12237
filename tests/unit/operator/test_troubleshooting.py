"""Every reason that a user can read is explained, and none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

from hitless_operator.metrics import REASONS

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [
    *(ROOT / "handover" / "hitless_handover").glob("supervisor*.py"),
    *(ROOT / "operator" / "hitless_operator").glob("*.py"),
]
# Kubernetes' own, as pods.py passes them on.
OF_PODS = {
    "EncoderConfigInvalid",
    "ErrImagePull",
    "Unschedulable",
    "CrashLoopBackOff",
    "OOMKilled",
    "Evicted",
}


def explained() -> set[str]:
    rows = re.findall(
        r"^\| (`.*?) \|", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE
    )
    return {reason for row in rows for reason in re.findall(r"`(\w+)`", row)}


def problems() -> set[str]:
    """The literal reasons of problems, conditions and findings."""
    text = "\n".join(path.read_text() for path in SOURCES)
    literal = set(re.findall(r'(?:Problem|Finding)\([^()]*?reason="(\w+)"', text))
    named = re.findall(r'^(?:INVALID_SPEC|PAUSED|FAILED_CREATE) = "(\w+)"', text, re.MULTILINE)
    return literal | set(named) | {"SourceUnavailable", "OutputRefused"}


def test_the_sources_are_read() -> None:
    assert {"EncoderLost", "OriginUnreachable", "FailedCreate", "Paused", "OnAir"} <= problems()


def test_every_reason_is_explained() -> None:
    assert problems() | set(map(str, REASONS)) | OF_PODS <= explained()


def test_what_is_explained_exists() -> None:
    assert explained() <= problems() | set(map(str, REASONS)) | OF_PODS
