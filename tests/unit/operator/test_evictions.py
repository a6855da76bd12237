"""Whose eviction is held, what is said of it, and how long it is remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.operator import samples

from hitless_handover.supervisor_model import ChannelRecord, HandoverPhase
from hitless_handover.timeline import MICROSECONDS
from hitless_operator.channel import Channel
from hitless_operator.eviction.judge import HELD, Verdict, judge, message
from hitless_operator.eviction.mark import (
    ANNOTATION,
    LAPSES_S,
    RENEWED_AFTER_S,
    is_fresh,
    is_marked,
)
from hitless_operator.eviction.webhook import Question
from hitless_operator.moments import second_time
from hitless_operator.status import status_of
from hitless_operator.status_model import EncoderDeploymentStatus
from hitless_wire.resources import spec_digest

NOW_US = 1_795_388_861_000_000
RUNNING = samples.status("Running", samples.container({"running": {}}))
READY = {**RUNNING, "conditions": [samples.SCHEDULED, samples.READY]}


def pod(name: str, status: dict[str, Any] = READY, **more: Any) -> dict[str, Any]:
    return samples.pod(status, name=name, **more)


def channel(record: ChannelRecord | None = None, **spec: Any) -> Channel:
    """Encoder 9 on air, 10 its spare; the last update (7 to 8) is over."""
    empty = EncoderDeploymentStatus()
    status = status_of(
        record or samples.record(), previous=empty, timeline=None, endpoints=None, conditions=()
    )
    return replace(samples.channel(**spec), status=status)


def test_what_the_channel_needs_is_held() -> None:
    assert judge(pod("first-9"), channel()) is Verdict.MOVES
    assert judge(pod("first-10"), channel()) is Verdict.MOVES
    assert judge(pod("first-8"), channel()) is Verdict.NOT_NEEDED
    live = channel(samples.record(handover=samples.update(HandoverPhase.NEGOTIATING)))
    assert [judge(pod(name), live) for name in ("first-7", "first-8")] == [Verdict.MOVES] * 2
    assert judge(pod("first-9"), channel(paused=True)) is Verdict.PAUSED


def test_a_version_that_was_refused_can_not_be_moved_to() -> None:
    spec = channel().spec
    assert spec is not None
    refused = samples.record(refused_digest=spec_digest(spec))
    assert judge(pod("first-9"), channel(refused)) is Verdict.REFUSED
    active = replace(samples.encoder(9), digest=spec_digest(spec))
    assert judge(pod("first-9"), channel(replace(refused, active=active))) is Verdict.MOVES


@pytest.mark.parametrize(
    ("found", "of", "verdict"),
    [
        (pod("first-9"), None, Verdict.NOT_OURS),
        (pod("first-9", owner="another"), channel(), Verdict.NOT_OURS),
        (pod("first-9"), channel(evictionStrategy="None"), Verdict.NOT_KEPT),
        (pod("first-9"), channel(profiles=[]), Verdict.NOT_KEPT),
        (pod("first-9", RUNNING), channel(), Verdict.NOT_READY),
        (pod("first-9", deletionTimestamp="2026-11-23T00:00:00Z"), channel(), Verdict.NOT_READY),
        (pod("first-9"), channel(ChannelRecord()), Verdict.NOT_NEEDED),
    ],
)
def test_what_nobody_would_move_is_allowed(
    found: dict[str, Any], of: Channel | None, verdict: Verdict
) -> None:
    assert judge(found, of) is verdict
    assert verdict not in HELD


def test_every_held_verdict_says_what_to_watch() -> None:
    for verdict in HELD:
        said = message(verdict, channel(), "first-9")
        assert "live/first" in said
        assert "pod first-9" in said
        assert "kubectl -n live get encd first -w" in said


@pytest.mark.parametrize(
    ("age_s", "marked", "fresh"),
    [
        (0, True, True),
        (RENEWED_AFTER_S - 1, True, True),
        (RENEWED_AFTER_S, True, False),
        (LAPSES_S - 1, True, False),
        (LAPSES_S, False, False),
        (1 - RENEWED_AFTER_S, True, True),
        (-LAPSES_S, False, False),
    ],
)
def test_a_mark_lapses(age_s: int, *, marked: bool, fresh: bool) -> None:
    at = second_time(NOW_US - age_s * MICROSECONDS)
    found = pod("first-9", annotations={ANNOTATION: at})
    assert (is_marked(found, NOW_US), is_fresh(found, NOW_US)) == (marked, fresh)


@pytest.mark.parametrize("text", ["", "soon", "2026-11-23T00:00:00"])
def test_a_mark_that_can_not_be_read_is_none(text: str) -> None:
    assert not is_marked(pod("first-9", annotations={ANNOTATION: text}), NOW_US)
    assert not is_marked(pod("first-9"), NOW_US)


def test_a_name_is_no_path() -> None:
    for wrong in ("../nodes", "a/b", "", "A", "a\n", "a" * 254):
        with pytest.raises(ValidationError):
            Question.model_validate({"uid": "1", "namespace": "n", "name": wrong})
        with pytest.raises(ValidationError):
            Question.model_validate({"uid": "1", "namespace": wrong, "name": "p"})


@pytest.mark.parametrize(
    ("more", "trial", "uid"),
    [
        ({}, False, ""),
        ({"dryRun": True}, True, ""),
        ({"object": {"deleteOptions": {"dryRun": ["All"]}}}, True, ""),
        ({"object": {"deleteOptions": {"preconditions": {"uid": "u"}}}}, False, "u"),
        ({"object": {"deleteOptions": {"preconditions": {}}}}, False, ""),
    ],
)
def test_a_dry_run_is_seen_wherever_it_is_said(
    more: dict[str, Any], *, trial: bool, uid: str
) -> None:
    question = Question.model_validate({"uid": "1", "namespace": "n", "name": "p", **more})
    assert (question.is_trial, question.pod_uid) == (trial, uid)
