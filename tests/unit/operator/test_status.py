"""The record survives its translation to the CR status and back, field by field."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from tests.unit.operator import samples

from hitless_handover.supervisor_model import ChannelPhase, ChannelRecord, HandoverPhase
from hitless_handover.timeline import Timeline
from hitless_operator.moments import from_time, micro_time, second_time
from hitless_operator.status import as_document, record_of, status_of
from hitless_operator.status_model import EncoderDeploymentStatus

TIMELINE = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60)
NTSC = Timeline(rate_num=30_000, rate_den=1001, segment_frames=60, gop_frames=60)


def write(
    record: ChannelRecord,
    previous: dict[str, Any] | None = None,
    timeline: Timeline | None = TIMELINE,
    running: dict[str, str] | None = None,
) -> dict[str, Any]:
    before = EncoderDeploymentStatus.model_validate(previous or {})
    status = status_of(
        record,
        previous=before,
        timeline=timeline,
        endpoints=None,
        conditions=(),
        running=running,
    )
    return as_document(status)


def read(document: dict[str, Any]) -> ChannelRecord:
    return record_of(EncoderDeploymentStatus.model_validate(document))


def defaults_left(value: object, where: str = "record") -> list[str]:
    """Names of fields that hold their default: such a round trip would prove nothing."""
    assert is_dataclass(value)
    found = []
    for f in fields(value):
        child = getattr(value, f.name)
        for n, item in enumerate(child if isinstance(child, tuple) else (child,)):
            if is_dataclass(item):
                found.extend(defaults_left(item, f"{where}.{f.name}[{n}]"))
        if child == f.default:
            found.append(f"{where}.{f.name}")
    return found


def test_every_field_makes_the_round_trip() -> None:
    record = samples.record()
    gaps = {name.rpartition(".")[2] for name in defaults_left(record)}
    assert gaps <= {"gap_frames", "overlap_frames"}, "the sample must set every field"
    assert read(write(record)) == record


def test_an_empty_record_makes_the_round_trip() -> None:
    assert read(write(ChannelRecord())) == ChannelRecord()
    assert record_of(EncoderDeploymentStatus.model_validate({"observedGeneration": -1})) == (
        ChannelRecord()
    )


@pytest.mark.parametrize("phase", HandoverPhase)
def test_every_handover_phase_makes_the_round_trip(phase: HandoverPhase) -> None:
    record = samples.record(handover=samples.update(phase))
    assert read(write(record)) == record


@pytest.mark.parametrize("phase", ChannelPhase)
def test_every_channel_phase_makes_the_round_trip(phase: ChannelPhase) -> None:
    assert read(write(samples.record(phase=phase))).phase is phase


def test_a_second_write_changes_nothing() -> None:
    once = write(samples.record())
    assert write(read(once), once) == once


def test_what_people_read() -> None:
    document = write(samples.record())
    done = document["handover"]
    assert done["from"]["pod"] == "first-7"
    assert done["event"]["frame"] == 53_861_664_360
    assert done["event"]["segment"] == 897_694_406
    assert done["event"]["timecode"] == TIMELINE.timecode(53_861_664_360)
    assert from_time(done["event"]["timestamp"]) == TIMELINE.wall_us(53_861_664_360)
    assert (done["framesLost"], done["framesRepeated"]) == (2, 0)
    assert document["active"]["since"].endswith(".234576Z")


def test_without_the_origin_s_word_no_frames_are_counted() -> None:
    silent = replace(samples.update(HandoverPhase.ARMED), origin_confirmation=None)
    done = write(samples.record(handover=silent))["handover"]
    assert "framesLost" not in done
    assert "framesRepeated" not in done


def test_an_event_keeps_its_notation_when_the_timeline_changes() -> None:
    before = write(samples.record())
    after = write(read(before), before, timeline=NTSC)
    assert after["handover"]["event"] == before["handover"]["event"]
    assert write(read(before), before, timeline=None)["history"] == before["history"]


def test_the_images_that_run_are_kept_when_their_pods_are_gone() -> None:
    under_way = replace(samples.update(HandoverPhase.ARMED, 12), finished_us=None)
    going = samples.record(active=samples.encoder(11), spare=None, handover=under_way)
    before = write(going, running={"first-11": "sha256:aa", "first-12": "sha256:bb"})
    assert before["active"]["imageId"] == "sha256:aa"
    assert before["handover"]["to"]["imageId"] == "sha256:bb"
    assert "imageId" not in before["history"][0]["to"]

    ended = samples.update(HandoverPhase.COMPLETED, 12)
    over = samples.record(active=samples.encoder(12), spare=None, handover=ended, history=(ended,))
    after = write(over, before)
    assert after["active"]["imageId"] == "sha256:bb"
    for done in (after["handover"], after["history"][0]):
        assert (done["from"]["imageId"], done["to"]["imageId"]) == ("sha256:aa", "sha256:bb")
    assert write(over, after) == after
    assert read(after) == over


def test_an_ended_update_keeps_the_image_it_was_done_with() -> None:
    """The pod's container restarts, and the tag means another image by then."""
    ended = samples.update(HandoverPhase.COMPLETED, 12)
    over = samples.record(active=samples.encoder(12), handover=ended, history=(ended,))
    under_way = replace(ended, phase=HandoverPhase.HOLDING, finished_us=None)
    holding = replace(over, handover=under_way, history=())
    before = write(over, write(holding, running={"first-12": "sha256:bb"}))
    after = write(over, before, running={"first-12": "sha256:cc"})
    assert after["active"]["imageId"] == "sha256:cc"
    assert after["handover"]["to"]["imageId"] == "sha256:bb"
    assert after["history"][0]["to"]["imageId"] == "sha256:bb"


def test_fields_of_a_newer_operator_are_read_over() -> None:
    document = write(samples.record())
    document["fromTheFuture"] = {"x": 1}
    document["active"]["fromTheFuture"] = True
    assert read(document) == samples.record()


def test_times() -> None:
    assert micro_time(1_795_388_861_234_567) == "2026-11-22T23:07:41.234567Z"
    assert second_time(1_795_388_861_234_567) == "2026-11-22T23:07:41Z"
    for at_us in (0, 1, 999_999, 1_795_388_861_000_000, 4_102_444_800_000_001):
        assert from_time(micro_time(at_us)) == at_us
    assert from_time("2026-11-23T00:07:41+01:00") == 1_795_388_861_000_000
    with pytest.raises(ValueError, match="time zone"):
        from_time("2026-11-22T23:07:41")
