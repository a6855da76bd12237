"""update, abort, rollback, pause and approve against a real API server."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
from hack.control_plane import MERGE
from tests.component.cli.conftest import Running, Stage
from tests.unit.cli.documents import (
    V1,
    V2,
    V3,
    at_rest,
    called_off,
    ended,
    under_way,
    updating,
)
from tests.unit.operator.samples import encoder

from hitless_handover.supervisor_model import ChannelRecord, HandoverPhase

ABORT = "hitless.video/abort"
LIVE_V1 = at_rest(active=encoder(7), handover=None, history=())


def _completed(lost: int = 0) -> ChannelRecord:
    done = ended(HandoverPhase.COMPLETED, lost=lost)
    return at_rest(handover=done, history=(done,))


# --- update ---


def test_update_sets_the_image_and_owns_nothing_else(stage: Stage) -> None:
    stage.create()
    result = stage.hitless("update", "first", "--image", V2, "--force-conflicts")
    assert result.exit_code == 0, result.stderr
    assert "v1 -> v2 asked for" in result.stdout
    found = stage.get()
    assert found["spec"]["image"] == V2
    rows = {row["manager"]: row for row in found["metadata"]["managedFields"]}
    assert rows["hitless-cli"]["operation"] == "Apply"
    assert rows["hitless-cli"]["fieldsV1"]["f:spec"] == {"f:image": {}}


def test_update_twice_needs_force_once(stage: Stage) -> None:
    stage.create()
    assert stage.hitless("update", "first", "--image", V2, "--force-conflicts").exit_code == 0
    assert stage.hitless("update", "first", "--image", V3).exit_code == 0
    assert stage.get()["spec"]["image"] == V3


def test_update_of_what_git_owns_names_the_manager(stage: Stage) -> None:
    stage.apply(manager="argocd-controller")
    result = stage.hitless("update", "first", "--image", V2)
    assert result.exit_code == 3
    assert result.stderr == (
        f"hitless update: spec.image of {stage.namespace}/first belongs to argocd-controller: "
        "change it in Git, or it will be set back, or take it over with --force-conflicts\n"
    )
    assert stage.get()["spec"]["image"] == V1
    assert stage.hitless("update", "first", "--image", V2, "--force-conflicts").exit_code == 0
    assert stage.get()["spec"]["image"] == V2


def test_update_keeps_a_pause_of_ours(stage: Stage) -> None:
    stage.create()
    assert stage.hitless("pause", "first").exit_code == 0
    result = stage.hitless("update", "first", "--image", V2, "--force-conflicts")
    assert "updates are paused: hitless resume first" in result.stdout
    assert stage.get()["spec"]["paused"] is True


def test_dry_run_changes_nothing(stage: Stage) -> None:
    stage.create()
    words = ("update", "first", "--image", V2, "--dry-run")
    assert stage.hitless(*words).exit_code == 3  # the conflict shows without a change, too
    result = stage.hitless(*words, "--force-conflicts")
    assert result.exit_code == 0
    assert "would hand over from v1 to v2; nothing has changed" in result.stdout
    assert stage.get()["spec"]["image"] == V1


def test_what_the_api_server_rejects_is_one_line(stage: Stage) -> None:
    stage.create()
    result = stage.hitless("update", "first", "--image", "x" * 600, "--force-conflicts")
    assert result.exit_code == 3
    assert "spec.image" in result.stderr
    assert result.stderr.count("\n") == 1


def test_update_to_what_is_on_air_does_nothing(stage: Stage) -> None:
    stage.create()
    stage.record(LIVE_V1)
    assert stage.json("update", "first", "--image", V1)["result"] == "NothingToDo"


def test_update_of_a_channel_that_is_not_there_makes_none(stage: Stage) -> None:
    assert stage.hitless("update", "first", "--image", V2).exit_code == 3
    assert stage.json("get")["channels"] == []


def test_update_waits_for_its_own_handover(stage: Stage) -> None:
    stage.create()
    stage.record(LIVE_V1)
    with _updating(stage) as running:
        for phase in (HandoverPhase.STARTING, HandoverPhase.ARMED, HandoverPhase.HOLDING):
            stage.record(updating(phase))
            running.until(str(phase))
        stage.record(_completed())
        code, out, err = running.end()
    assert (code, err.count("Traceback")) == (0, 0)
    assert "frames     0 lost, 0 repeated" in out


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        (_completed(lost=2), "FramesLost: completed, with 2 frames lost"),
        (called_off(), "Aborted: SuccessorFailed: the origin fell back"),
        (called_off(HandoverPhase.ROLLED_BACK), "RolledBack: SuccessorFailed"),
        (
            at_rest(active=encoder(8, image=V2), handover=None, history=()),
            "NotHandedOver: v2 is on air, but by a new start",
        ),
    ],
)
def test_update_fails_unless_completed_without_loss(
    stage: Stage, ends: ChannelRecord, reason: str
) -> None:
    stage.create()
    stage.record(LIVE_V1)
    with _updating(stage) as running:
        stage.record(updating(HandoverPhase.HOLDING))
        running.until("Holding")
        stage.record(ends)
        code, _, err = running.end()
    assert code == 1
    assert reason in err


def test_update_does_not_take_an_older_handover_for_its_own(stage: Stage) -> None:
    """The former update went to the same image, and completed."""
    stage.create(image=V2)
    stage.record(_completed())
    stage.patch(image=V1)
    stage.record(at_rest(active=encoder(9)))
    with _updating(stage) as running:
        running.until("no handover under way")
        second = replace(under_way(HandoverPhase.ARMED), handover_id="c0ff0655-9")
        stage.record(updating(HandoverPhase.ARMED, handover=second))
        running.until("Armed")
        done = replace(ended(HandoverPhase.COMPLETED, lost=1), handover_id="c0ff0655-9")
        stage.record(at_rest(handover=done))
        code, _, err = running.end()
    assert code == 1
    assert "1 frame lost" in err


def test_update_of_a_paused_channel_does_not_wait(stage: Stage) -> None:
    stage.create(paused=True)
    stage.record(LIVE_V1)
    with _updating(stage) as running:
        running.until("no handover under way")
        stage.record(LIVE_V1)
        code, _, err = running.end()
    assert code == 1
    assert "Paused: updates of this channel are paused: resume it first" in err


def test_update_is_superseded(stage: Stage) -> None:
    stage.create()
    stage.record(LIVE_V1)
    with _updating(stage) as running:
        running.until("no handover under way")
        stage.patch(image=V3)
        code, _, err = running.end()
    assert code == 1
    assert f"Superseded: the spec asks for {V3} now" in err


def test_the_wait_has_an_end(stage: Stage) -> None:
    stage.create()
    stage.record(LIVE_V1)
    result = stage.hitless(
        "update", "first", "--image", V2, "--force-conflicts", "--wait", "--timeout", "1s"
    )
    assert result.exit_code == 4
    assert "not ended after 1 s" in result.stderr


def _updating(stage: Stage) -> AbstractContextManager[Running]:
    return stage.following("update", "first", "--image", V2, "--force-conflicts", "--wait")


# --- abort ---


def test_abort_names_the_handover(stage: Stage) -> None:
    stage.create(image=V2)
    stage.record(updating(HandoverPhase.ARMED))
    result = stage.hitless("abort", "first")
    assert result.exit_code == 0
    assert stage.get()["metadata"]["annotations"] == {ABORT: "c0ff0655-8"}


def test_abort_waits_for_the_end(stage: Stage) -> None:
    stage.create(image=V2)
    stage.record(updating(HandoverPhase.HOLDING))
    with stage.following("abort", "first", "--wait") as running:
        running.until("Holding")
        stage.record(updating(HandoverPhase.ABORTING))
        running.until("Aborting")
        stage.record(called_off(HandoverPhase.ROLLED_BACK))
        code, out, _ = running.end()
    assert code == 0
    assert "c0ff0655-8 RolledBack" in out
    assert "the spec still asks for v2, which is not tried again" in out


def test_abort_that_comes_too_late_says_so(stage: Stage) -> None:
    stage.create(image=V2)
    stage.record(updating(HandoverPhase.HOLDING))
    with stage.following("abort", "first", "--wait") as running:
        running.until("Holding")
        stage.record(_completed())
        code, _, err = running.end()
    assert code == 1
    assert "Completed: it completed before it could be called off" in err


def test_abort_without_a_handover(stage: Stage) -> None:
    stage.create(image=V2)
    stage.record(at_rest())
    result = stage.hitless("abort", "first")
    assert result.exit_code == 1
    assert result.stderr == (
        f"hitless abort: {stage.namespace}/first: no handover is under way (the last one has "
        f"Completed: undo it with hitless rollback first -n {stage.namespace})\n"
    )
    assert "annotations" not in stage.get()["metadata"]


# --- rollback ---


def test_rollback_after_completion_asks_for_the_former_image(stage: Stage) -> None:
    stage.create(image=V2)
    stage.record(at_rest())
    result = stage.hitless("rollback", "first")
    assert result.exit_code == 1
    assert "confirm with --yes" in result.stderr
    assert "1 = localhost/hitless/encoder:v1" in result.stderr
    assert stage.get()["spec"]["image"] == V2
    assert stage.hitless("rollback", "first", "--yes", "--force-conflicts").exit_code == 0
    assert stage.get()["spec"]["image"] == V1


def test_rollback_during_the_hold_is_the_abort(stage: Stage) -> None:
    stage.create(image=V2)
    stage.record(updating(HandoverPhase.HOLDING))
    assert stage.hitless("rollback", "first", "--to", V3, "--yes").exit_code == 1
    assert stage.hitless("rollback", "first", "--yes").exit_code == 0
    found = stage.get()
    assert found["metadata"]["annotations"] == {ABORT: "c0ff0655-8"}
    assert found["spec"]["image"] == V2


def test_rollback_after_a_failure_asks_for_what_is_on_air(stage: Stage) -> None:
    stage.create(image=V2)
    stage.record(called_off())
    document = stage.json("rollback", "first", "--yes", "--force-conflicts")
    assert document["result"] == "Requested"
    assert stage.get()["spec"]["image"] == V1


def test_rollback_without_a_past(stage: Stage) -> None:
    stage.create()
    stage.record(LIVE_V1)
    result = stage.hitless("rollback", "first", "--yes")
    assert result.exit_code == 1
    assert "no former image in its record" in result.stderr


# --- pause, resume, approve ---


def test_pause_and_resume(stage: Stage) -> None:
    stage.create()
    assert "updates are paused now" in stage.hitless("pause", "first").stdout
    assert stage.get()["spec"]["paused"] is True
    assert "updates were paused already" in stage.hitless("pause", "first").stdout
    assert "updates are not paused now" in stage.hitless("resume", "first").stdout
    assert stage.get()["spec"]["paused"] is False


def test_pause_says_that_a_handover_goes_on(stage: Stage) -> None:
    stage.create(image=V2)
    stage.record(updating(HandoverPhase.ARMED))
    assert "handover c0ff0655-8 goes on" in stage.hitless("pause", "first").stdout


def test_pause_of_what_git_decides_is_a_conflict(stage: Stage) -> None:
    stage.apply(manager="argocd-controller", paused=False)
    result = stage.hitless("pause", "first")
    assert result.exit_code == 3
    assert "spec.paused" in result.stderr
    assert "argocd-controller" in result.stderr
    assert stage.hitless("pause", "first", "--force-conflicts").exit_code == 0
    assert stage.get()["spec"]["paused"] is True


def test_pause_of_what_kubectl_applied_is_a_conflict(stage: Stage) -> None:
    stage.create(manager="kubectl-client-side-apply")
    applied = json.dumps({"spec": {"image": V1, "paused": False}})
    annotation = {"kubectl.kubernetes.io/last-applied-configuration": applied}
    body = {"metadata": {"annotations": annotation}}
    stage.plane.call("PATCH", stage.path("first"), body, content_type=MERGE)
    assert stage.hitless("pause", "first").exit_code == 3
    assert stage.get()["spec"]["paused"] is False


def test_a_wait_survives_that_the_handover_is_one_of_many(stage: Stage) -> None:
    """An abort is judged by the record's history, too: the next update may have begun."""
    stage.create(image=V2)
    stage.record(updating(HandoverPhase.HOLDING))
    with stage.following("abort", "first", "--wait") as running:
        running.until("Holding")
        off = ended(HandoverPhase.ABORTED)
        next_one = replace(under_way(HandoverPhase.STARTING), handover_id="c0ff0655-9")
        stage.record(updating(HandoverPhase.STARTING, handover=next_one, history=(off,)))
        code, out, _ = running.end()
    assert code == 0
    assert "c0ff0655-8 Aborted" in out
