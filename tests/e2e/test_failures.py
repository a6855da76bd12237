"""What must not cost a frame: an operator that dies, a successor that dies, bad input."""

from __future__ import annotations

import pytest
from hack.lab import LabError, until
from tests.e2e.channel import CHANNEL, ENCODER, Channel, kill_operator
from tests.e2e.test_updates import faults


def live(channel: Channel) -> None:
    channel.apply(f"{ENCODER}:v1")
    channel.until_phase("Live")
    channel.until_segment(channel.report()["lastSegment"] + 2)


def test_operator_killed_in_each_phase(channel: Channel) -> None:
    """SIGKILL while each phase is the recorded one; every update completes all the same."""
    live(channel)
    phases = ["Starting", "Negotiating", "Armed", "Holding", "Completed"]
    with channel.watched() as probe:
        for number, phase in enumerate(phases):
            image = f"{ENCODER}:v{2 - number % 2}"
            term = channel.status()["term"] + 1
            channel.set_image(image)
            channel.until_handover(phase, term=term)
            kill_operator(channel.lab)
            done = channel.until_handover("Completed", "Aborted", "RolledBack", term=term)
            assert (phase, done["phase"]) == (phase, "Completed")
        channel.until_segment(done["event"]["segment"] + 4)
        report = probe.end()
    assert faults(report) == {}
    assert report["ok"]
    assert [h["phase"] for h in channel.status()["history"]] == ["Completed"] * len(phases)
    channel.until_alone(channel.status()["active"]["pod"])


def test_successor_killed_before_the_handover(channel: Channel) -> None:
    live(channel)
    before = channel.status()["active"]
    with channel.watched() as probe:
        channel.set_image(f"{ENCODER}:v2")
        successor = channel.until_handover("Negotiating", "Armed")["to"]["pod"]
        channel.kubectl("delete", "pod", successor, "--grace-period=0", "--force")
        ended = channel.until_handover("Completed", "Aborted", "RolledBack")
        channel.until_segment(channel.report()["lastSegment"] + 3)
        report = probe.end()
    assert (ended["phase"], ended["reason"]) == ("Aborted", "SuccessorLost")
    assert faults(report) == {}
    status = channel.status()
    assert status["active"]["pod"] == before["pod"]
    assert status["phase"] == "Live"
    assert channel.condition("Ready")["status"] == "True"


def test_image_that_does_not_exist(channel: Channel) -> None:
    live(channel)
    before = channel.status()["active"]["pod"]
    deadlines = {"startSeconds": 20}
    channel.patch({"handover": {"deadlines": deadlines}})
    with channel.watched() as probe:
        channel.set_image("localhost/hitless/encoder:nowhere")
        ended = channel.until_handover("Aborted")
        report = probe.end()
    assert "localhost/hitless/encoder:nowhere" in ended["message"]
    assert faults(report) == {}
    blocked = channel.condition("UpdateBlocked")
    assert blocked["status"] == "True"
    assert "localhost/hitless/encoder:nowhere" in blocked["message"]
    assert channel.condition("Ready")["status"] == "True"
    channel.until_alone(before)
    events = channel.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}")
    assert "HandoverAborted" in events.split()


def test_unreachable_source(channel: Channel) -> None:
    """Nobody sends there: the condition says so, and an update of it is refused, not looped."""
    channel.apply(f"{ENCODER}:v1", source={"url": "udp://239.77.9.9:5999"})

    def named() -> bool | None:
        ready = channel.condition("Ready")
        told = ready.get("reason") == "SourceUnavailable" and "239.77.9.9" in ready["message"]
        return True if told else None

    until("the source named in the condition", named)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"source": {"url": "ftp://x"}}, "source.url must be testpattern:"),
        ({"profiles": []}, "profiles"),
        (
            {"timeline": {"segmentFrames": 60, "gopFrames": 40}},
            "gopFrames that divides segmentFrames",
        ),
        ({"timeline": {"gopFrames": 30, "partFrames": 12}}, "partFrames that divides gopFrames"),
        ({"timeline": {"gopFrames": 30, "partFrames": 2}}, "a part must last at least 160 ms"),
        (
            {"profiles": [{"name": "v", "width": 321, "height": 180, "maxKbps": 400}]},
            "width must be even",
        ),
        ({"handover": {"leadSegments": 0}}, "leadSegments"),
        (
            {"handover": {"event": {"atFrame": 1, "atTimecode": "10:00:00:00"}}},
            "give one of atFrame, atTimestamp and atTimecode",
        ),
        (
            {"handover": {"mode": "Cease"}, "redundancy": "HotSpare"},
            "set handover.mode to Priority or SilentStandby",
        ),
        (
            {
                "handover": {"allowDiscontinuity": True},
                "timeline": {"gopFrames": 30, "partFrames": 15},
            },
            "drop handover.allowDiscontinuity or timeline.partFrames",
        ),
    ],
)
def test_invalid_spec(channel: Channel, spec: dict[str, object], says: str) -> None:
    with pytest.raises(LabError) as refused:
        channel.apply(f"{ENCODER}:v1", **spec)
    assert says in str(refused.value)
    assert channel.kubectl("get", "encd", CHANNEL, "--ignore-not-found") == ""
