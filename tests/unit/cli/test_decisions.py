"""Outcomes, former images, field owners, answers of the API server."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.cli.documents import (
    V1,
    V2,
    V3,
    at_rest,
    called_off,
    channel,
    ended,
    updating,
)
from tests.unit.operator.samples import encoder

from hitless_cli.cluster.answers import error_of, no_answer, request_text
from hitless_cli.cluster.errors import (
    ClusterError,
    Conflict,
    Expired,
    Forbidden,
    NotDone,
    NotFound,
    Rejected,
    Unreachable,
)
from hitless_cli.cluster.former import chosen_image, former_images
from hitless_cli.cluster.outcome import Order, abort_outcome, asked_again, update_outcome
from hitless_cli.cluster.ownership import Owner, conflict_text, is_only_default, owners
from hitless_handover.supervisor_model import HANDOVER_FINAL, ChannelRecord, HandoverPhase

ORDER = Order(image=V2, generation=3)


def settled(phase: HandoverPhase, **more: Any) -> ChannelRecord:
    done = ended(phase, **more)
    return at_rest(handover=done, history=(done,))


# --- update ---


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (settled(HandoverPhase.COMPLETED), "Completed"),
        (settled(HandoverPhase.COMPLETED, lost=3), "FramesLost"),
        (settled(HandoverPhase.ABORTED), "Aborted"),
        (settled(HandoverPhase.ROLLED_BACK), "RolledBack"),
        (at_rest(handover=None, history=()), "NotHandedOver"),
    ],
)
def test_update_outcomes(made: ChannelRecord, reason: str) -> None:
    outcome = update_outcome(channel(made), ORDER)
    assert outcome is not None
    assert (outcome.reason, outcome.done) == (reason, reason == "Completed")


def test_nobody_has_counted() -> None:
    done = ended(HandoverPhase.COMPLETED, origin_confirmation=None, successor_confirmation=None)
    outcome = update_outcome(channel(at_rest(handover=done)), ORDER)
    assert outcome is not None
    assert outcome.reason == "NotCounted"


@pytest.mark.parametrize("phase", sorted(set(HandoverPhase) - HANDOVER_FINAL))
def test_undecided_while_under_way(phase: HandoverPhase) -> None:
    assert update_outcome(channel(updating(phase)), ORDER) is None


def test_undecided_until_the_operator_has_looked() -> None:
    made = at_rest(active=encoder(7), handover=None, history=(), observed_generation=2)
    assert update_outcome(channel(made), ORDER) is None


def test_an_older_handover_to_the_same_image_is_not_ours() -> None:
    older = settled(HandoverPhase.COMPLETED, generation=2)
    made = replace(older, active=encoder(9), observed_generation=2)
    assert update_outcome(channel(made), ORDER) is None


def test_to_ask_once_more_for_what_failed_fails_at_once() -> None:
    seen = channel(called_off())
    outcome = asked_again(seen, seen)
    assert outcome is not None
    assert (outcome.reason, outcome.done) == ("Aborted", False)
    assert outcome.message == "not tried again: SuccessorFailed: the origin fell back"


@pytest.mark.parametrize(
    ("before", "made"),
    [
        (at_rest(), at_rest()),
        (updating(HandoverPhase.ARMED), updating(HandoverPhase.ARMED)),
        (called_off(), replace(called_off(), observed_generation=4)),
        (at_rest(handover=None), at_rest(handover=None)),
    ],
)
def test_other_orders_are_waited_for(before: ChannelRecord, made: ChannelRecord) -> None:
    assert asked_again(channel(before), channel(made)) is None


def test_what_the_operator_gave_up_is_not_tried() -> None:
    made = called_off()
    failed = replace(ended(HandoverPhase.ABORTED), generation=2)
    outcome = update_outcome(channel(replace(made, handover=failed)), ORDER)
    assert outcome is not None
    assert (outcome.reason, outcome.done) == ("SuccessorFailed", False)


def test_superseded_and_paused() -> None:
    outcome = update_outcome(channel(at_rest(handover=None), image=V3), ORDER)
    assert outcome is not None
    assert outcome.reason == "Superseded"
    waits = at_rest(active=encoder(7), handover=None)
    outcome = update_outcome(channel(waits, paused=True), ORDER)
    assert outcome is not None
    assert outcome.reason == "Paused"


def test_back_to_what_is_on_air_needs_no_handover() -> None:
    made = called_off()
    order = Order(image=V1, generation=3, was_on_air=True)
    outcome = update_outcome(channel(made, image=V1), order)
    assert outcome is not None
    assert (outcome.reason, outcome.done) == ("OnAirAlready", True)


def test_an_update_back_to_the_incumbent_calls_the_former_one_off() -> None:
    off = ended(HandoverPhase.ROLLED_BACK, reason="Reverted", generation=2)
    made = at_rest(active=encoder(9), handover=off, history=(off,))
    outcome = update_outcome(channel(made, image=V1), Order(image=V1, generation=3))
    assert outcome is not None
    assert (outcome.reason, outcome.done) == ("RolledBack", False)
    assert "took the output back" in outcome.message


# --- abort ---


@pytest.mark.parametrize(
    ("made", "reason", "done"),
    [
        (settled(HandoverPhase.ABORTED), "Aborted", True),
        (settled(HandoverPhase.ROLLED_BACK), "RolledBack", True),
        (settled(HandoverPhase.COMPLETED), "Completed", False),
        (at_rest(handover=None, history=()), "Forgotten", False),
    ],
)
def test_abort_outcomes(made: ChannelRecord, reason: str, done: bool) -> None:
    outcome = abort_outcome(channel(made), "c0ff0655-8")
    assert outcome is not None
    assert (outcome.reason, outcome.done) == (reason, done)


def test_abort_is_undecided_while_aborting() -> None:
    assert abort_outcome(channel(updating(HandoverPhase.ABORTING)), "c0ff0655-8") is None


# --- former images ---


def test_former_images_latest_first() -> None:
    first = ended(HandoverPhase.COMPLETED, term=8)
    failed = ended(HandoverPhase.ABORTED, term=9, successor=encoder(9, image="x:bad"))
    second = ended(
        HandoverPhase.COMPLETED,
        term=10,
        incumbent=encoder(8, image=V2),
        successor=encoder(10, image=V3),
    )
    made = at_rest(active=encoder(10, image=V3), history=(first, failed, second))
    seen = channel(made, image=V3)
    assert former_images(seen) == (V2, V1)
    assert chosen_image(seen, None) == chosen_image(seen, "1") == V2
    assert chosen_image(seen, "2") == chosen_image(seen, V1) == V1
    with pytest.raises(NotDone, match=f"1 = {V2}, 2 = {V1}"):
        chosen_image(seen, "3")


def test_after_a_failure_the_former_image_is_on_air() -> None:
    assert former_images(channel(called_off(), image=V2)) == (V1,)


def test_no_former_image() -> None:
    with pytest.raises(NotDone, match="no former image"):
        chosen_image(channel(at_rest(history=())), None)


# --- owners ---


def managed(*rows: tuple[str, str, dict[str, Any]], applied: str = "") -> dict[str, Any]:
    fields = [
        {"manager": m, "operation": o, "fieldsV1": {"f:spec": {f"f:{k}": v for k, v in f.items()}}}
        for m, o, f in rows
    ]
    name = "kubectl.kubernetes.io/last-applied-configuration"
    annotations = {name: applied} if applied else {}
    return {"metadata": {"managedFields": fields, "annotations": annotations}}


def test_owners_but_ourselves() -> None:
    body = managed(
        ("argocd-controller", "Apply", {"image": {}}),
        ("hitless-cli", "Apply", {"image": {}}),
        ("other", "Update", {"paused": {}}),
    )
    assert owners(body, ("spec", "image"), but="hitless-cli") == (
        Owner(manager="argocd-controller", operation="Apply"),
    )
    assert owners({"metadata": {}}, ("spec", "image"), but="x") == ()


@pytest.mark.parametrize(
    ("body", "free"),
    [
        (managed(("kubectl-create", "Update", {"paused": {}})), True),
        (managed(("argocd-controller", "Apply", {"paused": {}})), False),
        (managed(("k", "Update", {"paused": {}}), applied='{"spec": {"paused": false}}'), False),
        (managed(("k", "Update", {"paused": {}}), applied='{"spec": {}}'), True),
        (managed(("k", "Update", {"paused": {}}), applied="{"), False),
        (managed(), True),
    ],
)
def test_a_default_is_nobodys(body: dict[str, Any], free: bool) -> None:
    assert is_only_default(body, "paused", but="hitless-cli-pause") is free


@pytest.mark.parametrize(
    ("manager", "where"),
    [
        ("argocd-controller", "change it in Git"),
        ("kustomize-controller", "change it in Git"),
        ("kubectl-client-side-apply", "in the file that is applied with kubectl"),
        ("helm", "in the values of the Helm release"),
        ("somebody", "change it there"),
    ],
)
def test_a_conflict_says_where_to_change_it(manager: str, where: str) -> None:
    text = conflict_text("spec.image", (Owner(manager=manager, operation="Apply"),))
    assert text.startswith(f"spec.image belongs to {manager}: ")
    assert where in text
    assert text.endswith("--force-conflicts")


# --- answers ---


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Forbidden),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Expired),
        (422, Rejected),
        (429, Unreachable),
        (503, Unreachable),
    ],
)
def test_a_status_becomes_an_error(status: int, kind: type[ClusterError]) -> None:
    error = error_of("GET", "/api/v1/pods", status, json.dumps({"message": "no\nway"}).encode())
    assert type(error) is kind
    assert "\n" not in str(error)


def test_a_body_that_is_no_status() -> None:
    assert "404 page" not in str(error_of("GET", "/api", 404, b"404 page not found"))
    assert "gateway down" in str(error_of("GET", "/api", 502, b"gateway\ndown"))


def test_only_field_conflicts_are_conflicts_of_fields() -> None:
    causes = [
        {"reason": "FieldManagerConflict", "field": ".spec.image"},
        {"reason": "FieldValueInvalid", "field": ".spec.x"},
    ]
    error = error_of("PATCH", "/a", 409, json.dumps({"details": {"causes": causes}}).encode())
    assert isinstance(error, Conflict)
    assert error.fields == (".spec.image",)


def test_no_answer_is_one_line() -> None:
    text = str(no_answer("https://h:6443", OSError("refused\nby peer")))
    assert text.startswith("no answer from the API server at https://h:6443: refused by peer")


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("GET", "/api/v1/pods", "list pods"),
        ("GET", "/api/v1/namespaces/live/pods?limit=1", "list pods in namespace live"),
        ("GET", "/api/v1/namespaces/live/pods/a/log", "get pods/a/log in namespace live"),
        (
            "PATCH",
            "/apis/hitless.video/v1alpha1/namespaces/live/encoderdeployments/a",
            "patch encoderdeployments/a in namespace live",
        ),
        ("GET", "/version", "get /version"),
    ],
)
def test_a_request_in_words(method: str, path: str, text: str) -> None:
    assert request_text(method, path) == text
