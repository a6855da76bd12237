"""When the command line's update is given, and how a run ends after it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.local.values import COMPLETED, V1, V2, view

from hitless_cli.local import outcome
from hitless_cli.local.intent import Intent, first_intent, updated
from hitless_cli.local.outcome import Exit, UpdateOrder
from hitless_handover.supervisor_model import (
    ChannelPhase,
    ChannelRecord,
    EncoderState,
    EncoderView,
    HandoverPhase,
)
from hitless_wire.media_resources import Profile
from hitless_wire.resources import EncoderDeploymentSpec
from hitless_wire.source_resources import Source

SPEC = EncoderDeploymentSpec(
    image="x/enc:v1",
    source=Source(url="testpattern:"),
    profiles=(Profile(name="v", width=320, height=180, max_kbps=300),),
)
INTENT = updated(first_intent(SPEC, observed_generation=-1), "v2")
LIVE = ChannelRecord(phase=ChannelPhase.LIVE, term=1, active=V1)
ALONE = replace(
    view(8), encoders={"demo-1": EncoderView(name="demo-1", state=EncoderState.RUNNING)}
)


def given(intent: Intent = INTENT, record: ChannelRecord = LIVE) -> UpdateOrder:
    order = UpdateOrder(update="v2", after_s=0.0, exit_after=True)
    assert order.due(live=True, now_s=0.0)
    order.given(intent, record, 0.0)
    return order


def test_due_once_after_live() -> None:
    order = UpdateOrder(update="v2", after_s=5.0, exit_after=False)
    assert not order.due(live=False, now_s=0.0)
    assert not order.due(live=True, now_s=10.0)
    assert not order.due(live=False, now_s=16.0)
    assert order.due(live=True, now_s=16.0)
    order.given(INTENT, LIVE, 16.0)
    assert not order.due(live=True, now_s=17.0)


def test_never_due_without_update() -> None:
    order = UpdateOrder(update=None, after_s=0.0, exit_after=True)
    assert not order.due(live=True, now_s=1.0)
    assert order.awaits_file
    assert order.end(LIVE, ALONE, 1e6) is None


@pytest.mark.parametrize(
    ("record", "end"),
    [
        (LIVE, None),
        (replace(LIVE, phase=ChannelPhase.UPDATING), None),
        (replace(LIVE, handover=COMPLETED, active=V2), outcome.DONE),
        (
            replace(LIVE, handover=replace(COMPLETED, phase=HandoverPhase.ABORTED)),
            outcome.FAILED,
        ),
        (replace(LIVE, handover=replace(COMPLETED, generation=1)), None),
        (replace(LIVE, active=replace(V1, digest=INTENT.digest)), outcome.NOT_HITLESS),
    ],
)
def test_end(record: ChannelRecord, end: Exit | None) -> None:
    assert given().end(record, ALONE, 1.0) == end


def test_ends_only_when_the_other_encoder_is_gone() -> None:
    done = replace(LIVE, handover=COMPLETED, active=V2)
    both = replace(ALONE, encoders={**ALONE.encoders, "demo-2": ALONE.encoders["demo-1"]})
    assert given().end(done, both, 1.0) is None


def test_ends_when_there_is_nothing_to_do() -> None:
    same = replace(LIVE, active=replace(V1, digest=INTENT.digest))
    assert given(record=same).end(same, ALONE, 1.0) == outcome.NOTHING_TO_DO


def test_does_not_wait_forever() -> None:
    assert given().end(LIVE, ALONE, 10_000.0) == outcome.TOO_LATE
    waiting = UpdateOrder(update="v2", after_s=0.0, exit_after=True)
    assert not waiting.due(live=False, now_s=0.0)
    assert waiting.end(ChannelRecord(), view(None), 1.0) is None
    assert waiting.end(ChannelRecord(), view(None), 1_000.0) == outcome.TOO_LATE
