"""Ten image updates in a row on a channel fed by a real file, watched throughout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.channel import ENCODER, SEGMENT_FRAMES, Channel, multicast

UPDATES = 10
GROUP = "239.77.0.1:5004"


def faults(report: dict[str, Any]) -> dict[str, int]:
    """Everything that the probe counts as a fault, if it was seen."""
    counts: dict[str, int] = report["fault_counts"]
    return counts


def test_ten_updates_lose_nothing(channel: Channel, media: Path) -> None:
    with multicast(media, GROUP, channel.lab):
        channel.apply(
            f"{ENCODER}:v1",
            source={"url": f"udp://{GROUP}"},
            timeline={"frameRate": "30000/1001", "segmentFrames": SEGMENT_FRAMES},
        )
        status = channel.until_phase("Live")
        assert status["anchor"]["wrapTicks"] == 2**33
        channel.until_segment(channel.report()["lastSegment"] + 2)
        with channel.watched() as probe:
            handovers = [
                channel.update(f"{ENCODER}:v{1 + number % 2}") for number in range(1, UPDATES + 1)
            ]
            channel.until_segment(handovers[-1]["event"]["segment"] + 4)
            report = probe.end()
    assert faults(report) == {}
    assert report["ok"]
    history = channel.status()["history"]
    assert [h["phase"] for h in history] == ["Completed"] * UPDATES
    assert [h["id"] for h in history] == [h["id"] for h in handovers]
    assert {h["framesLost"] for h in history} == {0}
    agreed = [(h["event"]["segment"], h["event"]["frame"], h["to"]["pod"]) for h in history]
    for rendition in report["renditions"]:
        if rendition["kind"] == "video":
            changes = rendition["encoder_changes"]
            assert [(c["segment"], c["frame"], c["to_encoder"]) for c in changes] == agreed
    origin = [(s["segment"], s["frame"], s["toEncoder"]) for s in channel.report()["switches"]]
    assert origin[-UPDATES:] == agreed
    channel.until_alone(history[-1]["to"]["pod"])
