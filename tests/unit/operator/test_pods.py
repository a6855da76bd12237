"""What the platform says of an encoder, read off recorded pod statuses."""

from __future__ import annotations

import pytest
from tests.unit.operator import samples
from tests.unit.operator.samples import container, pod, status, terminated, waiting

from hitless_handover.supervisor_model import ChannelRecord, EncoderState, Problem
from hitless_operator.observe import encoders_of, refused_encoder
from hitless_operator.pods import MESSAGE_MAX, encoder_view

PULL = (
    'failed to pull and unpack image "localhost/hitless/encoder:v1": failed to resolve image: '
    "connection refused"
)
BACK_OFF = f'Back-off pulling image "localhost/hitless/encoder:v1": ErrImagePull: {PULL}'
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient cpu.",
}
RUNNING = {"running": {"startedAt": "2026-11-22T23:07:16Z"}}
CRASH = "the encoder ended with exit code 1 (Error): no such codec, restarted 2 times"
ENDED = terminated(1, "Error", "no such codec\n")
INVALID = terminated(78, "Error", "profiles.a.codec: no h264_nvenc here")
NO_CODEC = "the encoder can't work as configured: profiles.a.codec: no h264_nvenc here"

PENDING = EncoderState.PENDING
CASES = {
    "accepted": (status("Pending"), PENDING, "", ""),
    "unschedulable": (
        {"phase": "Pending", "conditions": [UNSCHEDULABLE]},
        PENDING,
        "Unschedulable",
        "0/1 nodes are available: 1 Insufficient cpu.",
    ),
    "creating": (status("Pending", container(waiting("ContainerCreating"))), PENDING, "", ""),
    "pull failed": (
        status("Pending", container(waiting("ErrImagePull", PULL))),
        PENDING,
        "ErrImagePull",
        PULL,
    ),
    "pull backs off": (
        status("Pending", container(waiting("ImagePullBackOff", BACK_OFF))),
        PENDING,
        "ErrImagePull",
        PULL,
    ),
    "bad name": (
        status("Pending", container(waiting("InvalidImageName", "invalid reference format"))),
        PENDING,
        "InvalidImageName",
        f"{samples.IMAGE}: invalid reference format",
    ),
    "bad config": (
        status("Pending", container(waiting("CreateContainerConfigError", "no such secret"))),
        PENDING,
        "CreateContainerConfigError",
        "no such secret",
    ),
    "running": (status("Running", container(RUNNING)), EncoderState.RUNNING, "", ""),
    "ended once": (
        status("Running", container(ENDED)),
        PENDING,
        "Error",
        "the encoder ended with exit code 1 (Error): no such codec",
    ),
    "ended again": (
        status("Running", container(ENDED, restartCount=2)),
        PENDING,
        "CrashLoopBackOff",
        CRASH,
    ),
    "backs off": (
        status(
            "Running",
            container(
                waiting("CrashLoopBackOff", "back-off 20s restarting failed container"),
                restartCount=2,
                lastState=ENDED,
            ),
        ),
        PENDING,
        "CrashLoopBackOff",
        CRASH,
    ),
    "runs again": (
        status("Running", container(RUNNING, restartCount=2, lastState=ENDED)),
        EncoderState.RUNNING,
        "CrashLoopBackOff",
        CRASH,
    ),
    "runs well again": (
        status("Running", container(RUNNING, restartCount=2, lastState=ENDED, ready=True)),
        EncoderState.RUNNING,
        "",
        "",
    ),
    "can't work": (
        status("Running", container(INVALID)),
        PENDING,
        "EncoderConfigInvalid",
        NO_CODEC,
    ),
    "can't work, backs off": (
        status(
            "Running",
            container(
                waiting("CrashLoopBackOff", "back-off 20s restarting failed container"),
                restartCount=2,
                lastState=INVALID,
            ),
        ),
        PENDING,
        "EncoderConfigInvalid",
        NO_CODEC,
    ),
    "can't work, tried again": (
        status("Running", container(RUNNING, restartCount=3, lastState=INVALID)),
        EncoderState.RUNNING,
        "EncoderConfigInvalid",
        NO_CODEC,
    ),
    "its log stands in": (
        status("Running", container(terminated(1, "Error", "Traceback:\n  in f\nError: why\n"))),
        PENDING,
        "Error",
        "the encoder ended with exit code 1 (Error): Error: why",
    ),
    "evicted": (
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."},
        EncoderState.FAILED,
        "Evicted",
        "The node was low on memory.",
    ),
    "failed": (
        status("Failed", container(terminated(137, "OOMKilled"))),
        EncoderState.FAILED,
        "OOMKilled",
        "the encoder ended with exit code 137 (OOMKilled)",
    ),
    "succeeded": (
        {"phase": "Succeeded"},
        EncoderState.FAILED,
        "Succeeded",
        "the pod has succeeded",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_state_reason_and_message(name: str) -> None:
    given, state, reason, message = CASES[name]
    view = encoder_view(pod(given))
    assert (view.state, view.reason, view.message) == (state, reason, message)
    assert not view.ready


def test_a_ready_pod() -> None:
    given = status("Running", container(RUNNING, ready=True), conditions=[samples.READY])
    view = encoder_view(pod(given))
    assert (view.name, view.uid, view.ready) == ("first-1", "uid-1", True)
    assert view.address == "198.19.17.11:7400"


def test_a_pod_that_goes_is_not_ready_whatever_it_says() -> None:
    given = status("Running", container(RUNNING, ready=True), conditions=[samples.READY])
    view = encoder_view(pod(given, deletionTimestamp="2026-11-22T23:07:16Z"))
    assert (view.state, view.ready) == (EncoderState.TERMINATING, False)


@pytest.mark.parametrize(
    ("said", "image_id"),
    [
        ("docker.io/hitless/encoder@sha256:4f", "docker.io/hitless/encoder@sha256:4f"),
        ("docker-pullable://hitless/encoder@sha256:4f", "hitless/encoder@sha256:4f"),
        ("docker://sha256:4f", "sha256:4f"),
        ("sha256:4f", "sha256:4f"),
        ("", ""),
    ],
)
def test_the_image_that_runs_in_the_notations_of_container_runtimes(
    said: str, image_id: str
) -> None:
    given = status("Running", container(RUNNING, imageID=said))
    assert encoder_view(pod(given)).image_id == image_id
    assert encoder_view(pod({"phase": "Pending"})).image_id == ""


def test_addresses() -> None:
    assert encoder_view(pod({"phase": "Pending"})).address == ""
    assert encoder_view(pod({"podIP": "fd00::7"})).address == "[fd00::7]:7400"


def test_messages_are_bounded() -> None:
    given = status("Pending", container(waiting("ErrImagePull", "localhost " * 500)))
    assert len(encoder_view(pod(given)).message) == MESSAGE_MAX


def test_pods_of_a_former_channel_of_that_name_are_not_its_own() -> None:
    foreign = pod(status("Running", container(RUNNING)), owner="another")
    found = encoders_of(samples.channel(), ChannelRecord(), [foreign], lambda _: False)
    assert found == {}


def test_an_encoder_that_could_not_be_created_is_seen_from_the_record() -> None:
    problem = Problem(reason="FailedCreate", message="first-2: exceeded quota: pods")
    seen = refused_encoder(ChannelRecord(problem=problem))
    assert seen is not None
    assert (seen.name, seen.state) == ("first-2", EncoderState.MISSING)
    assert (seen.reason, seen.message) == ("FailedCreate", "exceeded quota: pods")
    assert refused_encoder(ChannelRecord(problem=Problem(reason="X", message="y"))) is None
