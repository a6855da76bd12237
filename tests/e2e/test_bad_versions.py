"""Every bad version in turn on one channel: refused, or rolled back, without a lost frame."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hack.lab import ROOT, run
from hack.stand_ins import bad_encoder
from tests.e2e.channel import ANY_SPEED, ENCODER, Channel
from tests.e2e.test_updates import faults

IMAGES_DEADLINE_S = 1800
ENDED = ("Aborted", "RolledBack", "Completed")

# How each update ends, and words of its message. What the origin itself refuses to take never comes
# as far as the incumbent's judgement.
REFUSED = {
    "green": ({"Verification"}, "PictureFrozen: v144: the picture stands still from frame "),
    "frozen": ({"Verification"}, "PictureFrozen: v144: the picture stands still from frame "),
    "early": ({"Verification"}, "PictureShifted: v144: one frame early: "),
    "late": ({"Verification"}, "PictureShifted: v144: one frame late: "),
    "range": ({"Verification"}, "LevelsDiffer: v144: luma levels from frame "),
    "swapped": ({"Verification"}, "ColoursSwapped: v144: Cb and Cr are swapped "),
    "corrupted": ({"Verification"}, "PictureDiffers: v144: luma PSNR of frame "),
    "silent": ({"Verification"}, "SoundDiffers: audio: loudness from frame "),
    "sound-late": ({"Verification"}, "SoundShifted: audio: sound from frame "),
    "slow": ({"Verification"}, "TooSlow: speed in segments "),
    "boundary": ({"Verification", "StartDeadline"}, "tfdt"),
    "init": ({"Mismatch", "StartDeadline"}, "init"),
    "old-protocol": ({"ProtocolVersion"}, "incumbent speaks 2, successor 0"),
}
# Shows only on air: the origin falls back to the incumbent, which takes the output back. On a slow
# machine it may crash before it is that far.
CRASHES = {"SuccessorLost", "SuccessorRestarted", "SuccessorFailed", "HoldDeadline"}


@pytest.fixture
def bad_images(channel: Channel) -> None:
    """An image for each fault, in the cluster."""
    build = ROOT / "hack" / "images" / "build.py"
    command: list[str | Path] = [sys.executable, build, "bad", "--fault", *bad_encoder.FAULTS]
    built: dict[str, str] = json.loads(run(command, deadline_s=IMAGES_DEADLINE_S))
    channel.lab.load(*{Path(archive) for archive in built.values()})


@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("bad_images")
def test_bad_versions_are_refused_or_rolled_back(channel: Channel) -> None:
    # held for longer than the one that crashes 40 s after its start lives
    channel.apply(
        f"{ENCODER}:v1",
        handover={
            "holdSegments": 60,
            "deadlines": {"startSeconds": 20},
            "verify": {**ANY_SPEED, "speedMinPercent": 100},
        },
    )
    channel.until_phase("Live")
    channel.until_segment(channel.report()["lastSegment"] + 2)
    before, said = channel.status()["active"]["pod"], {}
    with channel.watched() as probe:
        for fault in bad_encoder.FAULTS:
            term = channel.status()["term"]
            channel.set_image(f"{ENCODER}:bad-{fault}")
            ended = channel.until_handover(*ENDED, term=term + 1, deadline_s=600)
            said[fault] = ended
            blocked = channel.condition("UpdateBlocked")
            assert (blocked["status"], blocked["reason"]) == ("True", ended["reason"]), fault
            channel.until_alone(before)
        channel.until_segment(channel.report()["lastSegment"] + 3)
        report = probe.end()
    assert faults(report) == {}
    assert report["ok"]
    for fault, (reasons, words) in REFUSED.items():
        assert said[fault]["phase"] == "Aborted", (fault, said[fault])
        assert said[fault]["reason"] in reasons, (fault, said[fault])
        assert words in said[fault]["message"], (fault, said[fault])
    assert said["crash"]["phase"] in ("RolledBack", "Aborted")
    assert said["crash"]["reason"] in CRASHES, said["crash"]
    assert channel.status()["active"]["pod"] == before
    assert channel.report()["gaps"] == 0
    events = channel.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}").split()
    assert "HandoverAborted" in events
