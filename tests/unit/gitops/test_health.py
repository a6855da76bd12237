"""What Argo CD and Flux make of channels as the operator describes them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hack.gitops import made
from tests.unit.gitops.readers import (
    ARGOCD,
    FLUX,
    ROOT,
    argo_acted,
    argo_actions,
    argo_health,
    flux_health,
)
from tests.unit.operator import samples

from hitless_handover.supervisor_model import ChannelPhase, ChannelRecord, HandoverPhase, Problem
from hitless_handover.timeline import Timeline
from hitless_operator.conditions import Wanted, conditions_of
from hitless_operator.status import as_document, status_of
from hitless_operator.status_model import EncoderDeploymentStatus
from hitless_wire.handover_resources import Handover

Document = dict[str, Any]
NOW_US = 1_795_388_861_000_000
TIMELINE = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60)
CURRENT, NEWER = Wanted(digest="digest-9", image="v1"), Wanted(digest="digest-10", image="v2")
LOST = Problem(reason="SourceUnavailable", message="nothing on udp://239.0.0.1:5000")


def body(record: ChannelRecord, wanted: Wanted = CURRENT, generation: int = 3) -> Document:
    """A CR with the status that the operator writes for this record."""
    status = status_of(
        record,
        previous=EncoderDeploymentStatus(),
        timeline=TIMELINE,
        endpoints=None,
        conditions=conditions_of(record, wanted, (), NOW_US),
    )
    return {
        "apiVersion": "hitless.video/v1alpha1",
        "kind": "EncoderDeployment",
        "metadata": {"name": "first", "namespace": "live", "generation": generation},
        "spec": samples.spec(paused=wanted.paused),
        "status": as_document(status),
    }


def live(**more: Any) -> ChannelRecord:
    return samples.record(**{"handover": None, "problem": None, "refused_digest": "", **more})


def updating(phase: HandoverPhase) -> ChannelRecord:
    running = replace(samples.update(phase), finished_us=None, reason="", message="")
    return live(phase=ChannelPhase.UPDATING, handover=running)


def given_up() -> ChannelRecord:
    ended = samples.update(HandoverPhase.ROLLED_BACK)
    return live(handover=ended, refused_digest="digest-10")


STORIES = [
    ("never seen", body(ChannelRecord(observed_generation=-1)), "Progressing", "InProgress"),
    ("changed", body(live(), generation=4), "Progressing", "InProgress"),
    ("starting", body(live(phase=ChannelPhase.STARTING)), "Progressing", "InProgress"),
    ("on air", body(live()), "Healthy", "Current"),
    ("updating", body(updating(HandoverPhase.ARMED), NEWER), "Progressing", "InProgress"),
    ("in the hold", body(updating(HandoverPhase.HOLDING), NEWER), "Progressing", "InProgress"),
    ("given up", body(given_up(), NEWER), "Degraded", "Failed"),
    ("degraded", body(live(phase=ChannelPhase.DEGRADED, problem=LOST)), "Degraded", "Unknown"),
    (
        "unreadable",
        body(live(), Wanted(digest=None, invalid="image: missing")),
        "Degraded",
        "Failed",
    ),
    ("paused", body(live(), replace(NEWER, paused=True)), "Suspended", "Current"),
    ("paused at rest", body(live(), replace(CURRENT, paused=True)), "Healthy", "Current"),
]


@pytest.mark.parametrize(("name", "channel", "argo", "flux"), STORIES, ids=[s[0] for s in STORIES])
def test_channels(name: str, channel: Document, argo: str, flux: str) -> None:
    assert argo_health(channel)[0] == argo
    assert flux_health(channel) == flux


def test_messages_are_the_operators() -> None:
    assert argo_health(body(live()))[1] == "first-9 is on air with term 9"
    assert argo_health(body(given_up(), NEWER))[1] == "SuccessorFailed: the origin fell back"
    degraded = body(live(phase=ChannelPhase.DEGRADED, problem=LOST))
    assert argo_health(degraded)[1].startswith("SourceUnavailable: nothing on")


def test_a_channel_without_a_status_or_on_its_way_out_is_not_healthy() -> None:
    channel = body(live())
    assert argo_health({**channel, "status": None})[0] == "Progressing"
    leaving = {**channel["metadata"], "deletionTimestamp": "2026-11-23T00:00:00Z"}
    assert argo_health({**channel, "metadata": leaving})[0] == "Progressing"


# --- EncoderUpdate: its phases and conditions are its contract with these files ---

PHASES = {
    "Pending": ("Progressing", "InProgress"),
    "Waiting": ("Suspended", "InProgress"),
    "AwaitingApproval": ("Suspended", "InProgress"),
    "Progressing": ("Progressing", "InProgress"),
    "Baking": ("Progressing", "InProgress"),
    "Paused": ("Suspended", "InProgress"),
    "RollingBack": ("Progressing", "InProgress"),
    "Completed": ("Healthy", "Current"),
    "Failed": ("Degraded", "Failed"),
    "RolledBack": ("Degraded", "Failed"),
}


def roll_out(phase: str, **condition: str) -> Document:
    conditions = [{"status": "True", "reason": "X", "message": "3 of 7", **condition}]
    return {
        "kind": "EncoderUpdate",
        "metadata": {"name": "v2", "generation": 1},
        "spec": {},
        "status": {
            "observedGeneration": 1,
            "phase": phase,
            "conditions": conditions if condition else [],
        },
    }


@pytest.mark.parametrize("phase", PHASES)
def test_roll_outs(phase: str) -> None:
    assert (argo_health(roll_out(phase))[0], flux_health(roll_out(phase))) == PHASES[phase]


def test_a_roll_out_says_how_far_it_is() -> None:
    assert argo_health(roll_out("Progressing", type="Reconciling")) == ("Progressing", "3 of 7")
    assert argo_health(roll_out("Baking", type="Stalled")) == ("Degraded", "X: 3 of 7")
    assert argo_health({**roll_out("Pending"), "status": None})[0] == "Progressing"
    assert argo_health(roll_out("SomethingNew"))[0] == "Unknown"


# --- actions ---


def test_actions_that_make_sense_can_be_chosen() -> None:
    assert argo_actions(body(live())) == {
        "abort": False, "pause": True, "resume": False, "rollback": False,
    }  # fmt: skip
    armed = body(updating(HandoverPhase.ARMED), NEWER)
    assert argo_actions(armed)["abort"] is True
    assert argo_actions(body(updating(HandoverPhase.ABORTING), NEWER))["abort"] is False
    assert argo_actions(body(live(), replace(NEWER, paused=True)))["resume"] is True
    never_seen = {**body(live()), "status": None}
    assert argo_actions(never_seen)["abort"] is False


def test_abort_names_the_update_under_way_and_changes_nothing_else() -> None:
    channel = body(updating(HandoverPhase.ARMED), NEWER)
    acted = argo_acted(channel, "abort")
    assert acted["metadata"].pop("annotations") == {"hitless.video/abort": "c0ff0655-8"}
    assert acted["metadata"] == channel["metadata"]
    assert acted["spec"]["image"] == channel["spec"]["image"]
    noted = {**channel["metadata"], "annotations": {"kept": "yes"}}
    kept = argo_acted({**channel, "metadata": noted}, "abort")["metadata"]["annotations"]
    assert kept == {"kept": "yes", "hitless.video/abort": "c0ff0655-8"}


def test_pause_and_resume() -> None:
    channel = body(live())
    paused = argo_acted(channel, "pause")
    assert paused["spec"]["paused"] is True
    assert argo_acted(paused, "resume")["spec"]["paused"] is False


def test_rollback_goes_to_the_image_that_was_replaced() -> None:
    done = replace(samples.update(HandoverPhase.COMPLETED), reason="", message="")
    channel = body(live(handover=done), NEWER)
    channel["spec"]["image"] = "localhost/hitless/encoder:v2"
    assert argo_actions(channel)["rollback"] is True
    acted = argo_acted(channel, "rollback")
    assert acted["spec"]["image"] == samples.IMAGE
    assert argo_actions({**channel, "spec": acted["spec"]})["rollback"] is False


# --- the files around them ---


def test_argo_cds_patch_holds_the_files_as_they_are() -> None:
    data = yaml.safe_load(made())["data"]
    prefix = "resource.customizations"
    kind = "hitless.video_EncoderDeployment"
    health = (ARGOCD / "EncoderDeployment" / "health.lua").read_text()
    assert data[f"{prefix}.health.{kind}"] == health
    actions = yaml.safe_load(data[f"{prefix}.actions.{kind}"])
    names = [definition["name"] for definition in actions["definitions"]]
    assert names == ["abort", "pause", "resume", "rollback"]
    folder = ARGOCD / "EncoderDeployment" / "actions"
    for definition in actions["definitions"]:
        script = (folder / definition["name"] / "action.lua").read_text()
        assert definition["action.lua"] == script
    assert actions["discovery.lua"] == (folder / "discovery.lua").read_text()


def test_flux_waits_longer_than_a_handover_may_take() -> None:
    (kustomization,) = yaml.safe_load_all(FLUX.read_text())
    deadlines = Handover().deadlines
    together_s = deadlines.start_seconds + deadlines.negotiate_seconds + deadlines.confirm_seconds
    assert kustomization["spec"]["timeout"] == "10m"
    assert together_s * 2 < 600


def test_renovate_finds_the_image_of_a_channel() -> None:
    content = json.loads((ROOT / "gitops" / "renovate" / "renovate.json").read_text())
    (manager,) = content["customManagers"]
    (pattern,) = manager["matchStrings"]
    found = re.search(
        pattern.replace("(?<", "(?P<"), (ROOT / "examples" / "first-channel.yaml").read_text()
    )
    assert found is not None
    assert found.group("depName", "currentValue") == ("localhost/hitless/encoder", "v1")
    (path,) = manager["managerFilePatterns"]
    assert re.search(path.strip("/"), "channels/first.yaml")
