"""Eight channels on air and one object that updates them: a bad version ends at the canary and is
taken back, a good one goes through, and no viewer of any channel sees either."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hack.lab import LabError, until
from tests.e2e.channel import ANY_SPEED, ENCODER, Channel, Probe
from tests.e2e.test_updates import faults

COUNT = 8
NAMES = [f"ch{number}" for number in range(1, COUNT + 1)]
TINY_LADDER = [{"name": "v90", "width": 160, "height": 90, "maxKbps": 100}]
NOWHERE = f"{ENCODER}:nowhere"
UPDATE = "to-next"


@contextlib.contextmanager
def watched(channels: list[Channel]) -> Iterator[list[Probe]]:
    """A probe on every channel."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(channel.watched()) for channel in channels]


def fleet(channel: Channel) -> list[Channel]:
    """Eight channels on air, small enough for a small machine; as people create them."""
    channels = [replace(channel, name=name) for name in NAMES]
    for member in channels:
        member.apply(
            f"{ENCODER}:v1",
            profiles=TINY_LADDER,
            timeline={"frameRate": "15", "segmentFrames": 30},
            handover={
                "holdSegments": 1,
                "verify": {**ANY_SPEED, "segments": 1},
                "deadlines": {"startSeconds": 600, "negotiateSeconds": 300, "confirmSeconds": 300},
            },
        )
    for member in channels:
        member.until_phase("Live", deadline_s=300)
    return channels


def order(channel: Channel, **spec: Any) -> None:
    update = {
        "apiVersion": "hitless.video/v1alpha1",
        "kind": "EncoderUpdate",
        "metadata": {"name": UPDATE},
        "spec": {
            "selector": {"types": ["live"]},
            "concurrency": 2,
            "progressDeadlineSeconds": 1800,
            "canary": {"steps": [{"channels": 1, "bakeSeconds": 10}]},
            "onFailure": "Rollback",
            **spec,
        },
    }
    channel.kubectl("apply", "-f", "-", text=json.dumps(update))


def ended(channel: Channel, deadline_s: int) -> dict[str, Any]:
    """The update's status once it is over."""

    def look() -> dict[str, Any] | None:
        found = channel.lab.get("-n", channel.namespace, "encu", UPDATE)
        status: dict[str, Any] = found["status"]
        seen = status["observedGeneration"] == found["metadata"]["generation"]
        over = status.get("phase") in ("Completed", "Failed", "RolledBack", "Paused")
        return status if seen and over else None

    return until(f"{channel.namespace} {UPDATE} over", look, deadline_s=deadline_s)


def told(channel: Channel, status: dict[str, Any]) -> str:
    """What the update says of its end, and its Events."""
    events = channel.kubectl(
        "get", "events", "-o", "jsonpath={range .items[*]}{.message}{'\\n'}{end}"
    )
    return f"{status['message']} {status['outcomes']}\n{events}"


def on_air(channels: list[Channel]) -> list[tuple[str, str]]:
    rows = [member.status()["active"] for member in channels]
    return [(row["pod"], row["image"]) for row in rows]


def test_a_fleet_with_a_bad_and_a_good_version(channel: Channel) -> None:
    channels = fleet(channel)
    before = on_air(channels)
    with watched(channels) as probes:
        channels[0].patch({"handover": {"deadlines": {"startSeconds": 20}}})
        channels[0].until_observed()  # else another is the canary, whose deadline is long
        order(channel, change={"image": NOWHERE})
        bad = ended(channel, deadline_s=300)
        assert bad["phase"] == "RolledBack", bad["message"]
        assert (bad["rolledBack"], bad["pending"], bad["total"]) == (1, COUNT - 1, COUNT)
        assert on_air(channels) == before
        asked = [member.spec()["image"] for member in channels]
        assert asked == [f"{ENCODER}:v1"] * COUNT

        channels[0].patch({"handover": {"deadlines": {"startSeconds": 600}}})
        order(channel, change={"image": f"{ENCODER}:v2"})
        good = ended(channel, deadline_s=900)
        assert good["phase"] == "Completed", told(channel, good)
        assert (good["updated"], good["failed"], good["currentStep"]) == (COUNT, 0, 1)
        channel.kubectl("wait", "encu", UPDATE, "--for=condition=Ready", "--timeout=10s")
        reports = [probe.end() for probe in probes]
    for member, report in zip(channels, reports, strict=True):
        assert (member.name, faults(report)) == (member.name, {})
        assert report["ok"]
        assert {image for _, image in on_air([member])} == {f"{ENCODER}:v2"}
        history = member.status()["history"]
        assert [h["framesLost"] for h in history if h["phase"] == "Completed"] == [0]
    events = channel.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}").split()
    assert {"Started", "RollingBack", "RolledBack", "CanaryPassed", "Completed"} <= set(events)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"selector": {}, "change": {"image": "i"}}, "give names, types or labels"),
        ({"selector": {"names": ["a"]}, "change": {}}, "give image, configuration"),
        (
            {"selector": {"names": ["a"]}, "change": {"image": "i"}, "concurrency": "200%"},
            "concurrency",
        ),
        (
            {
                "selector": {"matchExpressions": [{"key": "a", "operator": "In"}]},
                "change": {"image": "i"},
            },
            "In and NotIn need values",
        ),
    ],
)
def test_invalid_update(channel: Channel, spec: dict[str, object], says: str) -> None:
    with pytest.raises(LabError) as refused:
        order(channel, **spec)
    assert says in str(refused.value)
