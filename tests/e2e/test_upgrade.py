"""An upgrade, a removal and a restore of Hitless itself, under a live channel."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hack.lab import CHART, SYSTEM_NAMESPACE, Lab, until
from tests.e2e.channel import CHANNEL, ENCODER, Channel
from tests.e2e.conftest import ENCODER_CPU, SLOW_MACHINE_PERCENT
from tests.e2e.test_updates import faults

# Three seconds for each segment that may wait for an origin: 45 s, for slow machines.
TIMELINE = {"frameRate": "30", "segmentFrames": 90}
ROLES = ("operator", "origin")
# An origin with an emptyDir has lost what players have played already.
FORGOTTEN = {"SegmentVanished"}


def live(channel: Channel) -> None:
    channel.apply(f"{ENCODER}:v1", timeline=TIMELINE)
    channel.until_phase("Live")
    channel.until_segment(channel.report()["lastSegment"] + 6)


def system_pods(lab: Lab) -> dict[str, str]:
    """The uid of the one pod of each role."""
    found = {}
    for role in ROLES:
        label = f"app.kubernetes.io/name=hitless-{role}"
        items = lab.get("pods", "-n", SYSTEM_NAMESPACE, "-l", label)["items"]
        (pod,) = (i["metadata"] for i in items if not i["metadata"].get("deletionTimestamp"))
        found[role] = str(pod["uid"])
    return found


def encoders(channel: Channel) -> dict[str, tuple[str, int]]:
    """uid and restarts of each encoder pod."""
    items = channel.lab.get("-n", channel.namespace, "pods")["items"]
    return {
        str(pod["metadata"]["name"]): (
            str(pod["metadata"]["uid"]),
            sum(int(c["restartCount"]) for c in pod["status"]["containerStatuses"]),
        )
        for pod in items
    }


def upgrade(lab: Lab, name: str) -> None:
    """Other pods of operator and origin, as another chart version makes them."""
    changes = (f"{role}.podAnnotations.upgrade={name}" for role in ROLES)
    options = [word for change in changes for word in ("--set-string", change)]
    release = ("upgrade", "hitless", CHART, "-n", SYSTEM_NAMESPACE, "--reuse-values")
    lab.helm(*release, *options, "--wait", "--timeout", "180s")


def quiet_ms(report: dict[str, Any]) -> int:
    """For how long viewers saw no new segment."""
    return max(int(r["playlist"]["quiet_ms_max"]) for r in report["renditions"])


def test_operator_and_origin_are_upgraded_without_a_lost_frame(lab: Lab, channel: Channel) -> None:
    live(channel)
    before, running = system_pods(lab), encoders(channel)
    with channel.watched() as probe:
        channel.until_segment(channel.report()["lastSegment"] + 2)
        upgrade(lab, channel.namespace)
        after = system_pods(lab)
        channel.until_segment(int(channel.report()["lastSegment"] or 0) + 4)
        untouched = encoders(channel)
        done = channel.update(f"{ENCODER}:v2")
        channel.until_segment(done["event"]["segment"] + 3)
        report = probe.end()
    assert all(after[role] != before[role] for role in ROLES)
    assert untouched == running
    print(f"viewers saw no new segment for {quiet_ms(report)} ms")
    frames = report["frames"]
    assert (frames["lost"], frames["repeated"], frames["out_of_order"]) == (0, 0, 0)
    assert set(faults(report)) <= FORGOTTEN, report
    assert channel.report()["gaps"] == 0
    assert (done["framesLost"], done["framesRepeated"]) == (0, 0)


def test_a_removed_operator_leaves_channels_and_adopts_them_again(
    lab: Lab, channel: Channel
) -> None:
    live(channel)
    running, status = encoders(channel), channel.status()
    lab.helm("uninstall", "hitless", "-n", SYSTEM_NAMESPACE, "--wait", "--timeout", "120s")
    try:
        assert encoders(channel) == running
        assert channel.status() == status, "the CRDs and their objects are kept"
    finally:
        lab.install(deadline_percent=SLOW_MACHINE_PERCENT, encoder_cpu=ENCODER_CPU)

    def on_air() -> bool | None:
        with contextlib.suppress(OSError):  # it knows nothing of the channel, or is not there yet
            if channel.report()["selectedEncoder"] == status["active"]["pod"]:
                return True
        return None

    until("the origin to be fed again", on_air)
    channel.until_phase("Live")
    assert encoders(channel) == running
    assert channel.status()["active"] == status["active"]
    assert channel.update(f"{ENCODER}:v2")["framesLost"] == 0


def test_a_channel_is_restored_from_a_backup_without_its_status(channel: Channel) -> None:
    live(channel)
    backup = json.loads(channel.kubectl("get", "encd", CHANNEL, "-o", "json"))
    orphan = backup["status"]["active"]
    uid = encoders(channel)[orphan["pod"]][0]
    with channel.watched() as probe:
        channel.kubectl("delete", "encd", CHANNEL, "--cascade=orphan", "--wait=true")
        bare = {**backup, "metadata": {"name": CHANNEL}}
        del bare["status"]
        channel.kubectl("create", "-f", "-", text=json.dumps(bare))
        status = channel.until_phase("Live")
        assert encoders(channel)[orphan["pod"]][0] == uid, "what is nobody's goes on"
        channel.kubectl("delete", "pod", orphan["pod"])
        channel.until_segment(channel.report()["lastSegment"] + 4)
        report = probe.end()
    assert status["active"]["term"] > orphan["term"]
    assert faults(report) == {}
    origin = channel.report()
    assert (origin["selectedEncoder"], origin["gaps"]) == (status["active"]["pod"], 0)
