"""What the user may ask for, and what the supervisor and the encoders read of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from hitless_handover.messages import ATTEMPTS_MAX, CALL_S, ROUNDS_MAX, Criteria, HandoverMode
from hitless_handover.peer_model import Abort, Take
from hitless_handover.supervisor_model import Desired
from hitless_wire._gen import handover_pb2 as pb
from hitless_wire.codec import (
    WireError,
    abort_from_wire,
    criteria_from_wire,
    criteria_to_wire,
    take_from_wire,
)
from hitless_wire.desired import desired_of
from hitless_wire.encoder_config import encoder_config
from hitless_wire.resources import EncoderDeploymentSpec, Output, spec_digest

SEGMENT = 60  # frames: two seconds at 30 a second


def spec(**change: Any) -> EncoderDeploymentSpec:
    return EncoderDeploymentSpec.model_validate(
        {
            "image": "encoder:v1",
            "source": {"url": "testpattern:"},
            "timeline": {"frameRate": "30"},
            "profiles": [{"name": "v", "width": 64, "height": 64, "maxKbps": 100}],
            **change,
        }
    )


def desired(**change: Any) -> Desired:
    return desired_of(spec(**change), generation=1, has_origin=True)


def event(**wish: Any) -> tuple[int, int]:
    criteria = desired(handover={"event": wish}).policy.criteria
    return criteria.not_before_frame, criteria.not_after_frame


def test_an_exact_event_is_at_the_segment_from_there_on() -> None:
    assert event() == (0, 0)
    assert event(atFrame=600) == (600, 600)
    assert event(atFrame=601) == (660, 660)
    assert event(atTimestamp="1970-01-01T00:00:20Z") == (600, 600)
    assert event(atTimestamp="1970-01-01T01:00:20.01+01:00") == (660, 660)


def test_bounds_of_time_are_bounds_of_frames() -> None:
    assert event(notBefore="1970-01-01T00:00:10Z") == (300, 0)
    assert event(notBefore="1970-01-01T00:00:10.001Z") == (301, 0)
    assert event(notAfter="1970-01-01T00:00:10.050Z") == (0, 301)


def test_a_timecode_is_left_to_the_supervisor_who_knows_when_the_update_began() -> None:
    policy = desired(handover={"event": {"atTimecode": "10:00:00:00"}}).policy
    assert policy.at_timecode == "10:00:00:00"
    assert policy.criteria.not_before_frame == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"handover": {"event": {"atFrame": 1, "atTimecode": "10:00:00:00"}}}, "give one of"),
        (
            {"handover": {"event": {"atFrame": 1, "notBefore": "2026-01-01T00:00:00Z"}}},
            "say nothing beside an exact event",
        ),
        (
            {
                "handover": {
                    "event": {
                        "notBefore": "2026-01-01T00:00:01Z",
                        "notAfter": "2026-01-01T00:00:00Z",
                    }
                }
            },
            "nothing lies between",
        ),
        ({"handover": {"event": {"atTimecode": "10:00:00:30"}}}, "does not exist at 30/1 fps"),
        ({"handover": {"event": {"atTimestamp": "2026-01-01T00:00:00"}}}, "timezone"),
        ({"handover": {"mode": "Cease"}, "redundancy": "HotSpare"}, "SilentStandby"),
        (
            {
                "handover": {"allowDiscontinuity": True},
                "timeline": {"frameRate": "30", "partFrames": 15},
            },
            "drop handover.allowDiscontinuity or timeline.partFrames",
        ),
    ],
)
def test_what_can_not_be_had_is_refused_with_what_to_do(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        spec(**change)


def test_modes_limits_and_redundancy_reach_the_supervisor() -> None:
    wanted = desired_of(
        spec(
            redundancy="HotSpare",
            handover={
                "mode": "SilentStandby",
                "negotiation": {"roundsMax": 2, "attemptsMax": 3},
                "deadlines": {"callSeconds": 4},
            },
        ),
        generation=1,
        has_origin=True,
        abort_id="id-2",
    )
    criteria = wanted.policy.criteria
    assert (criteria.mode, wanted.hot_spare, wanted.abort_id) == (
        HandoverMode.SILENT_STANDBY,
        True,
        "id-2",
    )
    assert (criteria.rounds_max, criteria.attempts_max, criteria.call_s) == (2, 3, 4)


def config(**change: Any) -> dict[str, Any]:
    made = encoder_config(
        spec(**change),
        namespace="n",
        channel="c",
        encoder_id="c-1",
        default_ingest_url="http://origin",
        anchor=None,
    )
    written: dict[str, Any] = json.loads(made.to_json())
    return written


def test_an_encoder_of_an_older_version_is_told_nothing_that_it_does_not_know() -> None:
    assert "silentStandby" not in config()
    assert "silentStandby" not in config(handover={"mode": "Cease"})
    assert config(handover={"mode": "SilentStandby"})["silentStandby"] is True
    assert "allowDiscontinuity" not in config()
    assert config(handover={"allowDiscontinuity": True})["allowDiscontinuity"] is True
    for name in ("producerReferenceTime", "bitRateBox"):
        assert name not in config(output={name: False})
        assert config(output={name: True})[name] is True


def test_to_allow_a_discontinuity_is_no_update_by_itself() -> None:
    allowed = spec(handover={"allowDiscontinuity": True})
    assert spec_digest(allowed) == spec_digest(spec())
    assert desired_of(allowed, generation=1, has_origin=True).policy.criteria.allow_discontinuity


def test_criteria_survive_the_wire() -> None:
    sent = Criteria(
        lead_segments=1,
        verify_segments=2,
        psnr_min_db=3,
        not_before_frame=4,
        not_after_frame=5,
        mode=HandoverMode.CEASE,
        rounds_max=6,
        attempts_max=7,
        call_s=8,
        allow_discontinuity=True,
        ssim_min_permille=0,
        loudness_max_db=9,
        av_offset_max_ms=10,
        speed_min_percent=0,
        late_max_ms=11,
    )
    assert criteria_from_wire(criteria_to_wire(sent)) == sent


def test_what_version_1_does_not_say_has_its_default() -> None:
    read = criteria_from_wire(pb.Criteria(lead_segments=1, verify_segments=2, psnr_min_db=3))
    assert read.mode is HandoverMode.PRIORITY
    assert (read.rounds_max, read.attempts_max, read.call_s) == (ROUNDS_MAX, ATTEMPTS_MAX, CALL_S)
    assert read == Criteria(lead_segments=1, verify_segments=2, psnr_min_db=3)
    assert not read.allow_discontinuity
    assert take_from_wire(pb.TakeRequest(term=3)) == Take(term=3)
    assert abort_from_wire(pb.AbortRequest(handover_id="h")) == Abort(handover_id="h", reason="")


def test_a_mode_of_a_newer_version_is_not_guessed() -> None:
    wire = pb.Criteria.FromString(b"\x30\x63")  # field 6 with the number 99
    with pytest.raises(WireError, match="handover mode 99 unknown"):
        criteria_from_wire(wire)


def test_the_first_segment_may_be_lacking() -> None:
    assert take_from_wire(pb.TakeRequest(term=3, from_segment=0)) == Take(term=3, from_segment=0)


def test_what_an_output_does_not_ask_for_is_in_no_digest() -> None:
    assert Output().model_dump(mode="json") == {"ingest_url": None, "window_seconds": 120}
    assert spec_digest(spec(output={"bitRateBox": False})) == spec_digest(spec())
    assert spec_digest(spec(output={"bitRateBox": True})) != spec_digest(spec())
