"""What is counted as covered, and what is demanded."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tests.sim.scene import UPDATE

from hitless_handover.messages import PeerPhase, Refusal, Role
from hitless_handover.supervisor_model import ChannelPhase, ChannelRecord, HandoverPhase
from hitless_sim.coverage import Coverage, missing, reachable, table
from hitless_sim.facts import CallRefused, Fact, PeerMoved, Published, Stored


def counted(*facts: Fact) -> Counter[str]:
    coverage = Coverage()
    for fact in facts:
        coverage.see(fact)
    return +coverage.counts


def stored(record: ChannelRecord) -> Stored:
    return Stored(at_us=0, record=record, version=1, by="op1")


def test_records_one_after_the_other_are_transitions() -> None:
    starting = ChannelRecord(phase=ChannelPhase.UPDATING, handover=UPDATE)
    aborted = replace(UPDATE, phase=HandoverPhase.ABORTED, reason="IncumbentLost")
    ended = replace(starting, phase=ChannelPhase.STARTING, handover=aborted)
    assert counted(stored(starting), stored(ended)) == {
        "channel: Pending→Updating": 1,
        "update: →Starting": 1,
        "channel: Updating→Starting": 1,
        "update: Starting→Aborted": 1,
        "outcome: Aborted IncumbentLost": 1,
    }


def test_peers_refusals_and_the_origin() -> None:
    moved = PeerMoved(
        at_us=0,
        name="ch-1",
        instance="i",
        role=Role.INCUMBENT,
        handover_id="h",
        term=2,
        before=PeerPhase.ANNOUNCED,
        after=PeerPhase.ABORTED,
        frame=None,
        reason=Refusal.MISMATCH,
    )
    first = Published(at_us=0, segment=1, name="a", priority=1, fallback=False)
    second = replace(first, segment=2, name="b", priority=0, fallback=True)
    refused = CallRefused(at_us=0, name="ch-1", reason=Refusal.BUSY)
    assert counted(moved, refused, first, second) == {
        "peer: Incumbent Announced→Aborted": 1,
        "refusal: Mismatch": 1,
        "refusal: Busy": 1,
        "origin: Published": 2,
        "origin: Fallback": 1,
        "origin: Switch": 1,
    }


def test_what_no_fact_can_show_is_not_demanded() -> None:
    assert "peer: Incumbent Begun→Announced" not in reachable()
    assert "peer: Successor Verified→Armed" in reachable()
    assert "update: Armed→Holding" in reachable()


def test_what_is_missing_is_named() -> None:
    counts = Counter(reachable())
    assert missing(counts) == []
    del counts["refusal: Busy"]
    assert missing(counts) == ["refusal: Busy"]
    assert table(counts)[-1] == "   MISSING  refusal: Busy"
