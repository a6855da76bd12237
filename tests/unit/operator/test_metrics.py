"""What the metrics count, and what they must not count twice."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from tests.unit.operator import samples

import hitless_handover
from hitless_handover.messages import Refusal
from hitless_handover.supervisor_model import (
    ChannelPhase,
    ChannelRecord,
    HandoverPhase,
    HandoverRecord,
)
from hitless_handover.timeline import MICROSECONDS
from hitless_operator.channel import Channel, Key
from hitless_operator.conditions import Wanted, conditions_of
from hitless_operator.metrics import REASONS, Metrics
from hitless_operator.queue import QueueState, TryAgain
from hitless_operator.status import status_of
from hitless_operator.status_model import EncoderDeploymentStatus

SINCE_US = samples.update(HandoverPhase.ARMED).phase_since_us


def update(
    phase: HandoverPhase, *, term: int = 8, wait_s: float = 0, **more: object
) -> HandoverRecord:
    """An update that entered its phase wait_s after the sample did."""
    base = samples.update(phase, term)
    confirmed = phase in (HandoverPhase.HOLDING, HandoverPhase.COMPLETED, HandoverPhase.ROLLED_BACK)
    return replace(
        base,
        handover_id=f"h-{term}",
        phase_since_us=SINCE_US + int(wait_s * MICROSECONDS),
        finished_us=SINCE_US + int(wait_s * MICROSECONDS),
        started_us=SINCE_US,
        origin_confirmation=base.origin_confirmation if confirmed else None,
        **more,  # type: ignore[arg-type]
    )


def status(
    handover: HandoverRecord | None = None,
    *history: HandoverRecord,
    phase: ChannelPhase = ChannelPhase.LIVE,
) -> EncoderDeploymentStatus:
    record = ChannelRecord(
        phase=phase,
        observed_generation=3,
        term=9,
        active=samples.encoder(7),
        handover=handover,
        history=history,
    )
    return status_of(
        record,
        previous=EncoderDeploymentStatus(),
        timeline=None,
        endpoints=None,
        conditions=conditions_of(record, Wanted(digest="digest-7"), (), SINCE_US),
    )


def channel(of: EncoderDeploymentStatus, name: str = "first") -> Channel:
    return replace(samples.channel(), status=of, key=Key("live", name))


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


STARTING = update(HandoverPhase.STARTING)
ARMED = update(HandoverPhase.ARMED, wait_s=12)
HOLDING = update(HandoverPhase.HOLDING, wait_s=20)
COMPLETED = update(HandoverPhase.COMPLETED, wait_s=24, reason="", message="")


def test_an_update_is_counted_by_its_transitions() -> None:
    metrics = Metrics()
    story = [
        status(),
        status(STARTING),
        status(ARMED),
        status(HOLDING),
        status(COMPLETED, COMPLETED),
    ]
    for before, after in pairwise(story):
        metrics.stored(channel(before), after)
    assert value(metrics, "hitless_handovers_started_total") == 1
    assert value(metrics, "hitless_handovers_total", result="Completed", reason="None") == 1
    assert value(metrics, "hitless_frames_lost_total") == 2
    assert value(metrics, "hitless_frames_repeated_total") == 0
    assert value(metrics, "hitless_handover_phase_seconds_sum", phase="Starting") == 12
    assert value(metrics, "hitless_handover_phase_seconds_sum", phase="Armed") == 8
    assert value(metrics, "hitless_handover_phase_seconds_count", phase="Holding") == 1
    assert value(metrics, "hitless_handover_seconds_sum", result="Completed") == 24


def test_a_fenced_write_that_changes_nothing_counts_nothing() -> None:
    metrics = Metrics()
    for same in (status(), status(HOLDING), status(COMPLETED, COMPLETED)):
        metrics.stored(channel(same), same)
    assert value(metrics, "hitless_handovers_started_total") == 0
    assert value(metrics, "hitless_frames_lost_total") == 0
    assert value(metrics, "hitless_handovers_total", result="Completed", reason="None") == 0


def test_a_restarted_operator_goes_on_counting_where_the_record_stands() -> None:
    first, second = Metrics(), Metrics()
    first.stored(channel(status(ARMED)), status(HOLDING))
    second.stored(channel(status(HOLDING)), status(COMPLETED, COMPLETED))
    assert value(first, "hitless_frames_lost_total") == 2
    assert value(second, "hitless_frames_lost_total") == 0
    assert value(second, "hitless_handovers_total", result="Completed", reason="None") == 1


def test_an_end_and_the_next_beginning_in_one_write_are_both_counted() -> None:
    metrics = Metrics()
    following = update(HandoverPhase.STARTING, term=9, wait_s=30)
    metrics.stored(channel(status(HOLDING)), status(following, COMPLETED))
    assert value(metrics, "hitless_handovers_total", result="Completed", reason="None") == 1
    assert value(metrics, "hitless_handovers_started_total") == 1


@pytest.mark.parametrize(
    ("reason", "label"),
    [("SuccessorFailed", "SuccessorFailed"), ("Mismatch", "Mismatch"), ("OOMKilled-7c9f", "Other")],
)
def test_reasons_are_an_enumeration(reason: str, label: str) -> None:
    metrics = Metrics()
    done = update(HandoverPhase.ABORTED, reason=reason)
    metrics.stored(channel(status(ARMED)), status(done, done))
    assert value(metrics, "hitless_handovers_total", result="Aborted", reason=label) == 1


def test_every_reason_that_the_supervisor_gives_is_known() -> None:
    sources = Path(hitless_handover.__path__[0]).glob("supervisor*.py")
    text = "\n".join(path.read_text() for path in sources)
    given = set(re.findall(r'abort\(record, update, "(\w+)"', text))
    given |= set(re.findall(r'reason="(\w+Deadline|\w+Lost)",', text))
    assert {"Superseded", "Reverted", "ConfirmDeadline", "IncumbentLost"} <= given
    assert given - {"EncoderLost"} <= REASONS
    assert set(Refusal) <= REASONS


def test_a_write_without_an_answer_is_counted_when_it_is_found() -> None:
    metrics = Metrics()
    before, sent = status(HOLDING), status(COMPLETED, COMPLETED)
    metrics.unanswered(channel(before), sent)
    metrics.read(channel(sent))
    metrics.read(channel(sent))
    assert value(metrics, "hitless_handovers_total", result="Completed", reason="None") == 1
    metrics.unanswered(channel(status(ARMED)), status(HOLDING))
    metrics.read(channel(status(ARMED)))  # it was not carried out
    assert value(metrics, "hitless_frames_lost_total") == 0


def test_gauges_follow_the_channels() -> None:
    now_us = SINCE_US + 30 * MICROSECONDS
    metrics = Metrics(lambda: now_us)
    metrics.looked(channel(status(), "a"), "digest-7")
    metrics.looked(channel(status(ARMED, phase=ChannelPhase.UPDATING), "b"), "digest-8")
    metrics.looked(channel(status(COMPLETED, phase=ChannelPhase.DEGRADED), "c"), None)
    assert value(metrics, "hitless_channels", phase="Live") == 1
    assert value(metrics, "hitless_channels", phase="Degraded") == 1
    assert value(metrics, "hitless_channels", phase="Pending") == 0
    assert value(metrics, "hitless_encoders_outdated") == 1
    assert value(metrics, "hitless_handovers_live", phase="Armed") == 1
    assert value(metrics, "hitless_handover_phase_age_seconds", phase="Armed") == 18
    assert value(metrics, "hitless_channels_with_condition", condition="Reconciling") == 1
    metrics.forget(Key("live", "b"))
    assert value(metrics, "hitless_encoders_outdated") == 0
    assert value(metrics, "hitless_handovers_live", phase="Armed") == 0


def test_no_series_names_a_channel() -> None:
    metrics = Metrics()
    before = len(metrics.text().splitlines())
    for number in range(100):
        metrics.looked(channel(status(ARMED), f"ch-{number}"), "x")
    assert len(metrics.text().splitlines()) == before
    assert b"ch-7" not in metrics.text()


def test_api_calls_by_verb_resource_and_code() -> None:
    metrics = Metrics()
    path = "/apis/hitless.video/v1alpha1/namespaces/live/encoderdeployments/first"
    metrics.called("PUT", f"{path}/status", 409)
    metrics.called("GET", "/api/v1/pods", 200, watch=True)
    metrics.called("GET", path, 0)
    name = "hitless_api_calls_total"
    resource = "encoderdeployments"
    assert value(metrics, name, verb="update", resource=f"{resource}/status", code="409") == 1
    assert value(metrics, name, verb="watch", resource="pods", code="200") == 1
    assert value(metrics, name, verb="get", resource=resource, code="none") == 1


async def test_looks_are_timed_by_how_they_end() -> None:
    metrics = Metrics()

    async def look(key: Key) -> float | None:
        if key.name == "again":
            raise TryAgain("conflict")
        if key.name == "broken":
            raise ZeroDivisionError
        return 2.5

    timed = metrics.timed(look)
    assert await timed(Key("live", "good")) == 2.5
    with pytest.raises(TryAgain):
        await timed(Key("live", "again"))
    with pytest.raises(ZeroDivisionError):
        await timed(Key("live", "broken"))
    for result in ("Done", "Again", "Failed"):
        assert value(metrics, "hitless_look_seconds_count", result=result) == 1


def test_the_queue_shows() -> None:
    metrics = Metrics()
    metrics.attach(lambda: QueueState(waiting=4, running=3, delayed=2, failing=1, running_s_max=9))
    for state, count in (("Waiting", 4), ("Running", 3), ("Delayed", 2), ("Failing", 1)):
        assert value(metrics, "hitless_queue_channels", state=state) == count
    assert value(metrics, "hitless_queue_look_age_seconds") == 9


def test_what_runs_shows() -> None:
    assert b'hitless_build_info{python="3.' in Metrics().text()


def test_docs_name_every_metric_and_no_other() -> None:
    metrics = Metrics()
    idle = QueueState(waiting=0, running=0, delayed=0, failing=0, running_s_max=0)
    metrics.attach(lambda: idle)
    served = set(re.findall(r"^# TYPE (hitless_\w+)", metrics.text().decode(), re.MULTILINE))
    docs = Path(__file__).resolve().parents[3] / "docs" / "operator.md"
    section = docs.read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(hitless_\w+)`", section)) == served
    assert not any(name.endswith("_created") for name in served)
