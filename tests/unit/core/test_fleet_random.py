"""Fleets of channels with every fate, an operator that ends between any two effects, and a second
one with old views: what must never be true of a fleet update, and that it always comes to an end.

A seed says everything; a failure names it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import pytest

from hitless_handover.fleet import may_write, plan, refused
from hitless_handover.fleet_model import (
    UPDATE_FINAL,
    CanaryStop,
    ChannelSeen,
    FleetDesired,
    FleetRecord,
    Mark,
    Share,
    UpdatePhase,
)
from hitless_handover.supervisor_model import ChannelPhase, Problem

SECOND_US = 1_000_000
DEADLINE_US = 60 * SECOND_US
TICKS_MAX = 3000
BLOCKS, BLOCK = 6, 40
FATES = (
    "fine", "fine", "fine", "fine", "slow", "refused", "loses", "falls back", "stuck",
    "rejected", "owned", "held", "paused", "off air", "current", "reverted", "unselected",
)  # fmt: skip
UNTOUCHABLE = ("unselected", "owned", "held", "paused", "current", "off air", "rejected")
RESTS = (*UPDATE_FINAL, UpdatePhase.PAUSED)


@dataclass
class SimChannel:
    """One channel: what it asks for, what is on air, the handover between the two."""

    fate: str
    asks: str = "old"
    on_air: str = "old"
    mark: Mark | None = None
    until_us: int | None = None
    refused: str = ""
    history: list[str] = field(default_factory=list)

    def write(self, change: str, restore: bool, now_us: int) -> None:
        self.asks = "old" if restore else change
        self.history.append(self.asks)
        self.mark = Mark(change=change, rolled_back=restore, intact=True, at_us=now_us)
        self.refused = "" if self.asks != self.refused else self.refused
        took_s = {"slow": 40, "stuck": 10_000}.get(self.fate, 7)
        self.until_us = None if self.asks == self.on_air else now_us + took_s * SECOND_US

    def advance(self, now_us: int) -> None:
        if self.until_us is None or now_us < self.until_us:
            return
        self.until_us = None
        if self.fate == "refused" and self.asks != "old":
            self.refused = self.asks
        else:
            self.on_air = self.asks
        if self.fate == "reverted" and self.mark is not None and not self.mark.rolled_back:
            self.asks, self.on_air = "other", "other"
            self.mark = replace(self.mark, intact=False, restorable=False)

    def seen(self, name: str, change: str) -> ChannelSeen:
        refusal = Problem(reason="ImagePullFailed", message="no such image")
        new = self.on_air == change
        return ChannelSeen(
            name=name,
            selected=self.fate != "unselected",
            mark=self.mark,
            matches=self.asks == change or (self.fate == "current" and self.mark is None),
            holder="other-update" if self.fate == "held" else "",
            change_owner="argocd-controller" if self.fate == "owned" else "",
            paused=self.fate == "paused",
            phase=ChannelPhase.STARTING if self.fate == "off air" else ChannelPhase.LIVE,
            busy=self.until_us is not None,
            on_target=self.on_air == self.asks,
            refusal=refusal if self.refused == self.asks else None,
            frames_lost=3 if new and self.fate == "loses" else 0,
            took_us=7 * SECOND_US if new else None,
            fallbacks=(1 if self.fate == "falls back" else 0) if new else None,
        )


@dataclass
class Fleet:
    """A namespace with one update. `version` guards the record as resourceVersion does."""

    seed: int
    now_us: int = 1_000_000 * SECOND_US
    version: int = 0
    record: FleetRecord = field(default_factory=FleetRecord)
    notices: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        draw = self.random
        count = draw.randint(1, 30)
        mishaps = draw.choice([0.0, 0.1, 0.5])
        self.channels = {
            f"ch{n:02}": SimChannel(fate=draw.choice(FATES) if draw.random() < mishaps else "fine")
            for n in range(count)
        }
        self.channels["ch00"].fate = "fine"  # a fleet has at least one channel
        stops = tuple(
            CanaryStop(channels=self.share(), bake_us=draw.randint(0, 30) * SECOND_US)
            for _ in range(draw.randint(0, 3))
        )
        self.desired = FleetDesired(
            generation=1,
            change="new",
            concurrency=self.share(),
            stops=stops,
            failure_budget=draw.choice([Share(amount=0), self.share()]),
            rolls_back=draw.random() < 0.5,
            deadline_us=DEADLINE_US,
        )
        self.hands_off = {n for n, c in self.channels.items() if c.fate in UNTOUCHABLE}

    def share(self) -> Share:
        if self.random.random() < 0.5:
            return Share(amount=self.random.randint(0, 10))
        return Share(amount=self.random.randint(0, 100), percent=True)

    @property
    def limit(self) -> int:
        return max(1, self.desired.concurrency.of(len(self.view())))

    def view(self) -> list[ChannelSeen]:
        seen = [c.seen(name, self.desired.change) for name, c in self.channels.items()]
        return [s for s in seen if s.selected or s.mark is not None]

    def tick(self) -> None:
        """One second; then perhaps a look, perhaps an interrupted one, perhaps by two."""
        self.now_us += SECOND_US
        for channel in self.channels.values():
            channel.advance(self.now_us)
        views = [(self.version, self.record, self.view())]
        if self.random.random() < 0.2:
            views *= 2  # a second operator has read the same
        for version, record, view in views:
            self.look(version, record, view)
        self.check()

    def look(self, version: int, record: FleetRecord, view: list[ChannelSeen]) -> None:
        decision = plan(self.desired, record, view, self.now_us)
        if self.random.random() < 0.1 or version != self.version:
            return  # ended before storing, or somebody else has stored
        if decision.record != self.record:
            self.version += 1
            self.record = decision.record
        self.notices += [notice.reason for notice in decision.notices]
        for write in decision.writes:
            if self.random.random() < 0.1:
                return  # ended between two writes
            channel = self.channels[write.name]
            now = channel.seen(write.name, self.desired.change)
            if not may_write(self.desired, self.record, now, self.now_us):
                continue
            if channel.fate == "rejected":
                self.record = refused(self.record, write.name, "quota")
                self.version += 1
                continue
            channel.write(self.desired.change, write.restore, self.now_us)

    # --- what must never be true ---

    def check(self) -> None:
        moving = [
            n
            for n, c in self.channels.items()
            if c.until_us is not None and c.mark and self.now_us < c.mark.at_us + DEADLINE_US
        ]
        admitted = set(self.record.admitted)
        assert len({*moving, *admitted}) <= self.limit, f"{moving} {admitted} of {self.limit}"
        touched = {n for n, c in self.channels.items() if c.history}
        assert not touched & self.hands_off
        for name in touched:
            assert len(self.channels[name].history) <= 2, "changed once, restored once"

    def failures(self) -> int:
        results = plan(self.desired, self.record, self.view(), self.now_us).counts
        return results.failed

    def run(self) -> None:
        for _ in range(TICKS_MAX):
            if self.record.phase in RESTS and not any(
                c.until_us for c in self.channels.values() if c.fate != "stuck"
            ):
                break
            self.tick()
        else:
            raise AssertionError(f"still {self.record}")


@pytest.mark.parametrize("block", range(BLOCKS))
def test_any_fleet_with_any_fate(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        fleet = Fleet(seed=seed)
        try:
            fleet.run()
            judge_end(fleet)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def judge_end(fleet: Fleet) -> None:
    phase, channels = fleet.record.phase, fleet.channels
    if phase is UpdatePhase.COMPLETED:
        left = [n for n, c in channels.items() if c.fate == "fine" and c.on_air != "new"]
        assert left == []
        assert fleet.failures() <= fleet.desired.failure_budget.of(len(fleet.view()))
    elif phase is UpdatePhase.ROLLED_BACK:
        assert fleet.desired.rolls_back
        kept = [n for n, c in channels.items() if c.history and c.asks == "new"]
        assert kept == []
        untouched = [c for c in channels.values() if not c.history]
        assert all(c.asks == "old" for c in untouched)
    else:
        assert phase in (UpdatePhase.PAUSED, UpdatePhase.FAILED)
        assert fleet.failures() > 0
        if phase is UpdatePhase.PAUSED:
            assert not fleet.desired.rolls_back
    assert len(fleet.notices) <= 3 * (2 + len(fleet.desired.stops)) + 6


def test_a_canary_that_fails_is_all_that_was_touched() -> None:
    """Whatever the budget: the step's channels, and no other."""
    for seed in range(40):
        fleet = Fleet(seed=seed)
        for channel in fleet.channels.values():
            channel.fate = "refused"
        fleet.hands_off = set()
        stop = CanaryStop(channels=Share(amount=1), bake_us=SECOND_US)
        budget = Share(amount=100, percent=True)
        fleet.desired = replace(
            fleet.desired, stops=(stop,), failure_budget=budget, rolls_back=True
        )
        fleet.run()
        touched = [n for n, c in fleet.channels.items() if c.history]
        assert touched == ["ch00"], seed
        assert fleet.record.phase is UpdatePhase.ROLLED_BACK, seed
        assert {c.asks for c in fleet.channels.values()} == {"old"}, seed


def test_an_edit_at_any_time_begins_anew_and_still_restores_what_was_first() -> None:
    for seed in range(40):
        fleet = Fleet(seed=seed)
        for channel in fleet.channels.values():
            channel.fate = "fine"
        fleet.hands_off = set()
        for _ in range(fleet.random.randint(1, 30)):
            fleet.tick()
        fleet.desired = replace(fleet.desired, generation=2, change="newer", rollback=True)
        for _ in range(TICKS_MAX):
            fleet.tick()
            if fleet.record.phase in UPDATE_FINAL:
                break
        assert fleet.record.phase is UpdatePhase.ROLLED_BACK, seed
        assert {c.asks for c in fleet.channels.values()} == {"old"}, seed
