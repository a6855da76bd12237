"""Other ends of an update, and a lost encoder: through the CR, without a lost frame."""

from __future__ import annotations

from typing import Any

from hack.lab import until
from tests.e2e.channel import CHANNEL, ENCODER, SMALL_LADDER, Channel
from tests.e2e.test_updates import faults

ABORT = "hitless.video/abort"


def live(channel: Channel, **spec: Any) -> None:
    channel.apply(f"{ENCODER}:v1", **spec)
    channel.until_phase("Live")
    channel.until_segment(channel.report()["lastSegment"] + 2)


def call_off(channel: Channel, handover_id: str) -> None:
    channel.kubectl("annotate", "--overwrite", "encd", CHANNEL, f"{ABORT}={handover_id}")


def until_delivering(channel: Channel, pod: str) -> None:
    """Until the origin has had a segment of this encoder."""

    def look() -> bool | None:
        return True if any(fed["encoder"] == pod for fed in channel.report()["inputs"]) else None

    until(f"{pod} delivers", look)


def test_called_off_before_the_frame_and_after_it(channel: Channel) -> None:
    live(channel, handover={"leadSegments": 8, "holdSegments": 100})
    before = channel.status()["active"]
    with channel.watched() as probe:
        channel.set_image(f"{ENCODER}:v2")
        call_off(channel, channel.until_handover("Armed")["id"])
        aborted = channel.until_handover("Aborted", "RolledBack", "Completed")
        undone = channel.status()["active"]
        channel.patch({"image": f"{ENCODER}:v1", "handover": {"leadSegments": 2}})
        channel.until_alone(before["pod"])
        channel.set_image(f"{ENCODER}:v2")
        call_off(channel, channel.until_handover("Holding")["id"])
        rolled_back = channel.until_handover("RolledBack", "Completed", term=aborted["term"] + 1)
        channel.until_segment(channel.report()["lastSegment"] + 3)
        report = probe.end()
    assert (aborted["phase"], aborted["reason"]) == ("Aborted", "AbortRequested")
    assert (undone["pod"], undone["term"]) == (before["pod"], before["term"])
    assert (rolled_back["phase"], rolled_back["reason"]) == ("RolledBack", "AbortRequested")
    assert faults(report) == {}
    origin, active = channel.report(), channel.status()["active"]
    assert active["pod"] == before["pod"]
    assert (origin["selectedEncoder"], origin["gaps"]) == (active["pod"], 0)
    assert origin["selectedPriority"] == active["term"] > rolled_back["term"]
    channel.until_alone(before["pod"])


def test_hot_spare_takes_over_from_a_deleted_pod(channel: Channel) -> None:
    live(channel, redundancy="HotSpare")
    status = channel.status()
    spare = status["standby"]["pod"]
    until_delivering(channel, spare)
    with channel.watched() as probe:
        channel.kubectl("delete", "pod", status["active"]["pod"], "--grace-period=0", "--force")

        def taken_over() -> bool | None:
            now = channel.status()
            return True if now["phase"] == "Live" and now["active"]["pod"] == spare else None

        until(f"{spare} takes over", taken_over)
        channel.until_segment(channel.report()["lastSegment"] + 3)
        report = probe.end()
    assert faults(report) == {}
    now, origin = channel.status(), channel.report()
    assert now["active"]["term"] > status["term"]
    assert now["standby"]["pod"] not in (spare, status["active"]["pod"])
    assert (origin["selectedEncoder"], origin["gaps"]) == (spare, 0)


def test_a_deleted_channel_takes_its_pods_with_it(channel: Channel) -> None:
    live(channel, redundancy="HotSpare")
    until("two encoders", lambda: True if len(channel.pods()) == 2 else None)
    channel.kubectl("delete", "encd", CHANNEL, "--wait=true")
    until("no pods", lambda: None if channel.pods() else True)
    budgets = channel.lab.get("-n", channel.namespace, "poddisruptionbudgets")["items"]
    assert budgets == [], "its budget goes with it"


def test_update_with_a_silent_standby(channel: Channel) -> None:
    """The successor sends nothing before the frame, the incumbent nothing from it on."""
    live(channel, handover={"mode": "SilentStandby", "holdSegments": 2})
    incumbent = channel.status()["active"]["pod"]
    with channel.watched() as probe:
        channel.set_image(f"{ENCODER}:v2")
        held = channel.until_handover("Holding", "Completed")
        event = held["event"]["segment"]
        inputs = {fed["encoder"]: fed for fed in channel.report()["inputs"]}
        done = channel.until_handover("Completed", "Aborted", "RolledBack")
        channel.until_segment(event + 3)
        report = probe.end()
    assert done["phase"] == "Completed"
    assert faults(report) == {}
    assert inputs[incumbent]["lastSegment"] == event - 1
    assert done["confirmations"]["origin"]["overlapFrames"] == 0
    assert (done["framesLost"], done["framesRepeated"]) == (0, 0)


def test_another_ladder_by_a_declared_discontinuity(channel: Channel) -> None:
    live(channel)
    ladder = [SMALL_LADDER[0], {"name": "v90", "width": 160, "height": 90, "maxKbps": 150}]
    with channel.watched("--allow-discontinuity") as probe:
        channel.patch({"profiles": ladder, "handover": {"allowDiscontinuity": True}})
        done = channel.until_handover("Completed", "Aborted", "RolledBack")
        channel.until_segment(done["event"]["segment"] + 3)
        report = probe.end()
    assert done["phase"] == "Completed"
    assert faults(report) == {}
    assert [track["playlist"]["discontinuities"] for track in report["renditions"]] == [1, 1, 1]
    origin = channel.report()
    assert (origin["gaps"], origin["discontinuities"]) == (0, 1)
