"""From image names to encoder versions, and from file and command line to what is wanted."""

from __future__ import annotations

import pytest

from hitless_cli.local.intent import desired, first_intent, reread, updated
from hitless_cli.local.versions import tag_of, version_env, with_version
from hitless_wire.media_resources import Profile, TimelineSpec
from hitless_wire.resources import EncoderDeploymentSpec, Output
from hitless_wire.source_resources import Source

SPEC = EncoderDeploymentSpec(
    image="x/enc:v1",
    source=Source(url="testpattern:"),
    timeline=TimelineSpec(frame_rate="30000/1001"),
    profiles=(Profile(name="v", width=320, height=180, max_kbps=300),),
    output=Output(ingest_url="http://elsewhere"),
)


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("enc:v1", "v1"),
        ("host:5000/a/enc:v2", "v2"),
        ("host:5000/a/enc", "latest"),
        ("enc:v1@sha256:" + "ab" * 32, "v1"),
        ("enc@sha256:" + "ab" * 32, "abababababab"),
    ],
)
def test_tag(image: str, tag: str) -> None:
    assert tag_of(image) == tag


@pytest.mark.parametrize(
    ("image", "update", "result"),
    [
        ("host:5000/enc:v1", "v2", "host:5000/enc:v2"),
        ("host:5000/enc", "v2", "host:5000/enc:v2"),
        ("enc:v1@sha256:abc", "v2", "enc:v2"),
        ("enc:v1", "other/enc:v3", "other/enc:v3"),
        ("enc:v1", "enc:v3", "enc:v3"),
    ],
)
def test_update_names_a_version_or_an_image(image: str, update: str, result: str) -> None:
    assert with_version(image, update) == result


def test_version_table() -> None:
    assert version_env("e:v1") == {"HITLESS_VERSION": "v1", "HITLESS_PRESET": "superfast"}
    assert version_env("e:v2") == {"HITLESS_VERSION": "v2", "HITLESS_PRESET": "veryfast"}
    assert version_env("e:2.0.1") == {"HITLESS_VERSION": "2.0.1"}


def test_first_intent_is_above_what_was_observed() -> None:
    assert first_intent(SPEC, observed_generation=-1).generation == 1
    assert first_intent(SPEC, observed_generation=4).generation == 5


def test_ingest_url_of_a_cluster_is_left_out() -> None:
    intent = first_intent(SPEC, observed_generation=-1)
    assert intent.spec.output.ingest_url is None
    assert reread(intent, SPEC) == intent


def test_update_stays_until_the_file_names_another_image() -> None:
    intent = updated(first_intent(SPEC, observed_generation=-1), "v2")
    assert (intent.generation, intent.spec.image) == (2, "x/enc:v2")
    paused = reread(intent, SPEC.model_copy(update={"paused": True}))
    assert (paused.generation, paused.spec.image) == (3, "x/enc:v2")
    third = reread(paused, SPEC.model_copy(update={"image": "x/enc:v3"}))
    assert (third.generation, third.spec.image, third.spec.paused) == (4, "x/enc:v3", False)


def test_desired_is_in_whole_numbers() -> None:
    wanted = desired(first_intent(SPEC, observed_generation=-1))
    assert (wanted.timeline.segment_frames, wanted.timeline.segment_us) == (60, 2_002_000)
    assert wanted.policy.hold_segments == 3
