"""What is printed, from documents as the operator writes them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.cli.documents import (
    V2,
    V3,
    at_rest,
    called_off,
    channel,
    ended,
    under_way,
    updating,
)
from tests.unit.cli.documents import (
    body as document,
)

from hitless_cli.cluster.advice import next_steps
from hitless_cli.cluster.documents import channel_document, handover_document, status_document
from hitless_cli.cluster.reading import channel_of, handover_of, micros
from hitless_cli.cluster.timeline import StepState, steps
from hitless_cli.cluster.views import (
    ended_lines,
    head,
    history_lines,
    progress_line,
    row,
    status_lines,
)
from hitless_cli.cluster.wording import age, aligned, spent, version_of
from hitless_handover.supervisor_model import ChannelRecord, HandoverPhase, Problem

NOW_US = 1_795_388_811_000_000
PHASES = [HandoverPhase.STARTING, HandoverPhase.NEGOTIATING, HandoverPhase.ARMED]


def text_of(made: ChannelRecord, **more: Any) -> str:
    lines = status_lines(
        channel(made, **more), pods=(), events=(), next_steps=(), unknown=(), now_us=NOW_US
    )
    return "\n".join(lines)


# --- get ---


@pytest.mark.parametrize(
    ("made", "handover", "on_air"),
    [
        (at_rest(), "Completed, lost 0", "v2"),
        (updating(HandoverPhase.ARMED), "Armed to v2", "v1"),
        (updating(HandoverPhase.HOLDING), "Holding to v2", "v2"),
        (called_off(), "Aborted (SuccessorFailed)", "v1"),
        (ChannelRecord(), "-", "-"),
    ],
)
def test_a_row(made: ChannelRecord, handover: str, on_air: str) -> None:
    cells = dict(
        zip(
            head(namespaces=True, wide=True),
            row(channel(made), NOW_US, namespaces=True, wide=True, node="n1"),
            strict=True,
        )
    )
    assert (cells["HANDOVER"], cells["ON-AIR"]) == (handover, on_air)
    assert (cells["NAMESPACE"], cells["NODE"]) == ("live", "n1")


def test_a_row_tells_of_a_pause_and_of_what_is_not_ready() -> None:
    made = ChannelRecord(problem=Problem(reason="FailedCreate", message="quota"))
    cells = row(channel(made, paused=True), NOW_US, namespaces=False, wide=False)
    assert cells[1] == "Pending (paused)"
    assert cells[6] == "False (FailedCreate)"


# --- status ---


def test_the_event_is_told_in_every_notation() -> None:
    text = text_of(updating(HandoverPhase.ARMED))
    assert (
        "frame 53861664360, segment 897694406, timecode 23:06:52:00, "
        "2026-11-22T23:06:52.000000Z (in 1 s)" in text
    )
    assert "origin      not confirmed" in text


def test_confirmations_and_frames() -> None:
    text = text_of(at_rest())
    assert "incumbent   confirmed: last segment 897694405, gap 0 frames" in text
    assert "0 lost, 0 repeated" in text
    assert "took        20.0 s" in text


def test_before_a_frame_is_agreed() -> None:
    text = text_of(updating(HandoverPhase.NEGOTIATING))
    assert "no frame agreed" in text
    assert "not confirmed" not in text


def test_the_source_is_shown_without_its_password() -> None:
    source = {"url": "udp://user:hidden@239.1.1.1:5000?token=hidden"}
    assert "hidden" not in text_of(at_rest(), source=source)
    assert "hidden" not in str(channel_document(channel(at_rest(), source=source)))


def test_pods_that_nothing_relies_on_are_told() -> None:
    pod = {
        "metadata": {"name": "first-3", "deletionTimestamp": "2026-11-22T23:06:52Z"},
        "status": {"phase": "Running"},
    }
    lines = status_lines(
        channel(at_rest()), pods=[pod], events=(), next_steps=(), unknown=(), now_us=NOW_US
    )
    assert any(line.split()[:2] == ["leftover", "first-3"] for line in lines)
    assert any("Terminating" in line for line in lines)


def test_a_waiting_container_says_why() -> None:
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff"}}, "restartCount": 2}
    pod = {
        "metadata": {"name": "first-8"},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Pending", "containerStatuses": [waiting]},
    }
    text = "\n".join(
        status_lines(
            channel(updating(HandoverPhase.STARTING)),
            pods=[pod],
            events=(),
            next_steps=(),
            unknown=("Events: forbidden",),
            now_us=NOW_US,
        )
    )
    assert "ImagePullBackOff   2          n1" in text
    assert "Not known\n  Events: forbidden" in text


def test_the_image_that_runs_is_told_by_its_digest() -> None:
    image_id = "example.org/encoder@sha256:0123456789abcdef0123"
    body = document(at_rest())
    for encoder in (body["status"]["active"], body["status"]["history"][0]["to"]):
        encoder["imageId"] = image_id
    read = channel_of(body)
    lines = status_lines(read, pods=(), events=(), next_steps=(), unknown=(), now_us=NOW_US)
    assert f"Digest   {image_id}" in lines
    (on_air,) = (line.split() for line in lines if line.startswith("  on air"))
    assert on_air[4] == "0123456789ab"
    assert history_lines(read, NOW_US)[1].split()[4] == "0123456789ab"
    assert row(read, NOW_US, namespaces=False, wide=True)[-1] == image_id
    assert channel_document(read)["active"]["imageId"] == image_id


# --- the timeline ---


@pytest.mark.parametrize("phase", [*PHASES, HandoverPhase.HOLDING])
def test_steps_on_the_way(phase: HandoverPhase) -> None:
    update = channel(updating(phase)).handover
    assert update is not None
    made = steps(update)
    here = next(s for s in made if s.state is StepState.NOW)
    assert here.phase == phase
    assert [s.phase for s in made] == [*PHASES, HandoverPhase.HOLDING, HandoverPhase.COMPLETED]


def test_steps_of_an_update_called_off_before_its_frame() -> None:
    body = ended(HandoverPhase.ABORTED, frame=None, incumbent_confirmation=None)
    update = channel(at_rest(handover=body)).handover
    assert update is not None
    assert [s.phase for s in steps(update)] == ["Starting", "Negotiating", "Aborting", "Aborted"]
    assert {s.state for s in steps(update)} == {StepState.DONE}


def test_events_fill_in_what_the_status_does_not_keep() -> None:
    update = channel(at_rest()).handover
    assert update is not None
    events = [
        {"reason": "HandoverArmed", "eventTime": "2026-11-22T23:06:49.000000Z"},
        {"reason": "HandoverArmed", "eventTime": "2026-11-22T20:00:00.000000Z"},
        {"reason": "SomethingElse", "eventTime": "2026-11-22T23:06:50.000000Z"},
    ]
    entered = {s.phase: s.entered_us for s in steps(update, events)}
    assert entered["Armed"] == micros("2026-11-22T23:06:49Z")
    assert entered["Holding"] is None
    assert entered["Completed"] == update.finished_us


# --- history, progress ---


def test_history_newest_first() -> None:
    history = tuple(ended(HandoverPhase.COMPLETED, lost=n, term=n) for n in (3, 4))
    lines = history_lines(channel(at_rest(history=history)), NOW_US)
    assert [line.split()[5] for line in lines[1:]] == ["4", "3"]
    assert history_lines(channel(ChannelRecord()), NOW_US) == [
        "live/first: no update has ended yet"
    ]


def test_progress() -> None:
    assert progress_line(channel(updating(HandoverPhase.ARMED)), NOW_US) == (
        "Armed | frame 53861664360 in 1 s | confirmed by nobody yet | v1 -> v2"
    )
    stuck = updating(
        HandoverPhase.STARTING, problem=Problem(reason="ErrImagePull", message="not found")
    )
    assert progress_line(channel(stuck), NOW_US) == "Starting | v1 -> v2 | ErrImagePull: not found"


def test_the_end_of_an_update_that_agreed_on_no_frame() -> None:
    made = channel(at_rest(handover=ended(HandoverPhase.ABORTED, frame=None, segment=None)))
    assert made.handover is not None
    lines = ended_lines(made.handover)
    assert "  event      no frame agreed" in lines
    assert lines[-1] == "  because    SuccessorFailed: the origin fell back"


# --- advice ---


@pytest.mark.parametrize(
    ("made", "more", "expected"),
    [
        (updating(HandoverPhase.ARMED), {}, "kubectl hitless abort first -n live"),
        (called_off(), {}, "kubectl hitless rollback first -n live"),
        (at_rest(), {"paused": True}, "kubectl hitless resume first -n live"),
        (
            updating(HandoverPhase.STARTING, problem=Problem(reason="ErrImagePull", message="x")),
            {},
            "kubectl describe pod first-8 -n live",
        ),
        (ChannelRecord(problem=Problem(reason="FailedCreate", message="q")), {}, "raise the quota"),
    ],
)
def test_advice_names_the_command(made: ChannelRecord, more: dict[str, Any], expected: str) -> None:
    assert expected in " ".join(next_steps(channel(made, **more), "kubectl hitless"))


def test_no_advice_where_all_is_well() -> None:
    assert next_steps(channel(at_rest()), "hitless") == ()


def test_advice_when_the_operator_is_behind() -> None:
    body = channel(at_rest()).body
    body["metadata"]["generation"] = 9
    assert "has not acted on generation 9" in next_steps(channel_of(body), "hitless")[0]


# --- documents ---


def test_the_stable_document_has_all_its_fields() -> None:
    made = channel(updating(HandoverPhase.HOLDING), image=V2)
    assert made.handover is not None
    document = status_document(
        made, pods=(), events=(), phases=steps(made.handover), next_steps=(), unknown=()
    )
    assert list(document) == [
        "namespace", "name", "type", "image", "source", "paused", "generation",
        "observedGeneration", "phase", "ready", "term", "onAir", "active", "standby", "handover",
        "conditions", "endpoints", "createdAt", "phases", "pods", "events", "nextSteps", "unknown",
    ]  # fmt: skip
    assert list(document["handover"]) == [
        "id", "phase", "live", "generation", "term", "from", "to", "event", "confirmations",
        "framesLost", "framesRepeated", "startedAt", "begunAt", "phaseSince", "finishedAt",
        "durations", "reason", "message",
    ]  # fmt: skip
    assert document["handover"]["confirmations"]["successor"] == {
        "segment": 897694406,
        "gapFrames": 0,
        "overlapFrames": 0,
    }


def test_without_an_origin_the_successor_counts() -> None:
    made = channel(at_rest(handover=ended(HandoverPhase.COMPLETED, origin_confirmation=None)))
    assert made.handover is not None
    assert made.handover.frames_lost is None
    assert made.handover.lost == 0
    alone = under_way(HandoverPhase.ARMED)
    unknown = channel(at_rest(handover=alone)).handover
    assert unknown is not None
    assert handover_document(unknown)["framesLost"] is None


def test_a_document_without_a_status_is_read() -> None:
    made = channel_of({"metadata": {"name": "a", "namespace": "n"}, "spec": {"image": V3}})
    assert (made.phase, made.observed_generation, made.ready) == ("Pending", -1, False)
    assert handover_of({}).incumbent.pod == ""


# --- words ---


def test_ages_and_durations() -> None:
    assert [age(0, s * 1_000_000) for s in (0, 119, 120, 7200, 172_800)] == [
        "0s", "119s", "2m", "2h", "2d"
    ]  # fmt: skip
    assert age(None, 5) == "-"
    assert spent(0, 6_960_000) == "7.0 s"
    assert spent(None, 5) == "-"


def test_versions_and_columns() -> None:
    assert version_of("registry:5000/encoder") == "latest"
    assert version_of("") == "-"
    assert aligned([("a", "b"), ("long", "")], widths_min=[6]) == ["a        b", "long"]
