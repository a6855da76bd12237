"""Facts written by hand: a channel's story, step by step, before all checkers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hitless_handover.messages import (
    Confirmation,
    Criteria,
    HandoverMode,
    PeerPhase,
    Refusal,
    Role,
)
from hitless_handover.supervisor_model import (
    Action,
    BeginHandover,
    ChannelPhase,
    ChannelRecord,
    DeleteEncoder,
    Desired,
    EncoderRecord,
    GrantTerm,
    HandoverPhase,
    HandoverPolicy,
    HandoverRecord,
)
from hitless_handover.timeline import Timeline
from hitless_sim.checkers import Judge, Violation
from hitless_sim.facts import (
    Acted,
    Delivered,
    EncoderEnded,
    EncoderStarted,
    Ended,
    Fact,
    Gap,
    Healed,
    Ordered,
    PeerMoved,
    PodCreated,
    PodDeleted,
    Published,
    Quality,
    QualityChanged,
    Stamped,
    Stored,
    UserWants,
)

SECOND_US = 1_000_000
TIMELINE = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60)
CRITERIA = Criteria(lead_segments=2, verify_segments=2, psnr_min_db=26)
POLICY = HandoverPolicy(
    criteria=CRITERIA, hold_segments=1, start_s=60, negotiate_s=60, confirm_s=30
)
DESIRED = Desired(generation=1, image="v1", digest="v1", policy=POLICY, timeline=TIMELINE)
OLD = EncoderRecord(name="ch-1", image="v1", digest="v1", term=1, uid="uid-ch-1", since_us=1)
NEW = EncoderRecord(name="ch-2", image="v2", digest="v2", term=2, uid="uid-ch-2")
UPDATE = HandoverRecord(
    handover_id="h-2",
    phase=HandoverPhase.STARTING,
    generation=2,
    term=2,
    incumbent=OLD,
    successor=NEW,
    started_us=0,
    phase_since_us=0,
)


class Scene:
    """Tells facts one after the other; segment 1 is on air after `born`."""

    def __init__(
        self, mode: HandoverMode = HandoverMode.PRIORITY, desired: Desired = DESIRED
    ) -> None:
        self.judge = Judge()
        self.now_us = 0
        self.version = 0
        self.record = ChannelRecord()
        self.mode = mode
        self.wants(desired)

    def see(self, fact: Fact) -> None:
        self.judge.see(fact)

    def later(self, seconds: float) -> None:
        self.now_us += int(seconds * SECOND_US)

    # --- what happens ---

    def wants(self, desired: Desired | None) -> None:
        self.desired = desired
        self.see(UserWants(at_us=self.now_us, desired=desired, mode=self.mode))

    def stores(self, record: ChannelRecord) -> None:
        self.version += 1
        self.record = record
        self.see(Stored(at_us=self.now_us, record=record, version=self.version, by="op1"))

    def updates(self, phase: HandoverPhase, **changes: object) -> HandoverRecord:
        """Store the handover in a phase; finished ones go into the history as well."""
        if self.record.handover is None and self.desired is not None:
            self.wants(replace(self.desired, generation=2, image="v2", digest="v2"))
        update = replace(self.record.handover or UPDATE, phase=phase, **changes)  # type: ignore[arg-type]
        record = replace(self.record, handover=update, term=max(self.record.term, update.term))
        if not update.live:
            record = replace(record, history=(*record.history, update))
        if phase is HandoverPhase.COMPLETED:
            record = replace(record, active=update.successor)
        self.stores(record)
        return update

    def creates(self, name: str, quality: Quality = Quality.GOOD) -> None:
        uid = f"uid-{name}"
        self.see(PodCreated(at_us=self.now_us, name=name, uid=uid, digest="d", by="op1"))
        self.see(
            EncoderStarted(
                at_us=self.now_us, name=name, uid=uid, instance=f"{name}.0", quality=quality
            )
        )

    def turns(self, name: str, quality: Quality) -> None:
        self.see(
            QualityChanged(at_us=self.now_us, name=name, instance=f"{name}.0", quality=quality)
        )

    def ends(self, name: str) -> None:
        self.see(
            EncoderEnded(at_us=self.now_us, name=name, uid=f"uid-{name}", instance=f"{name}.0")
        )

    def acts(self, action: Action, version: int | None = None) -> None:
        version = self.version if version is None else version
        self.see(Acted(at_us=self.now_us, action=action, version=version, by="op1"))

    def grants(self, name: str, term: int, *, accepted: bool = True) -> None:
        self.acts(GrantTerm(name=name, term=term))
        self.ordered(name, term, accepted=accepted)

    def begins(
        self,
        name: str,
        incumbent: str,
        mode: HandoverMode,
        *,
        deadline_s: int = 60,
        criteria: Criteria = CRITERIA,
    ) -> None:
        self.acts(
            BeginHandover(
                name=name,
                incumbent=incumbent,
                handover_id="h-2",
                term=2,
                criteria=replace(criteria, mode=mode),
                deadline_us=self.now_us + deadline_s * SECOND_US,
            )
        )
        self.ordered(name, 2)

    def ordered(self, name: str, term: int, *, accepted: bool = True) -> None:
        self.see(
            Ordered(
                at_us=self.now_us, name=name, instance=f"{name}.0", term=term, accepted=accepted
            )
        )

    def deletes(self, name: str, version: int | None = None) -> None:
        self.acts(DeleteEncoder(name=name, uid=f"uid-{name}"), version)

    def pod_deleted(self, name: str, by: str) -> None:
        self.see(PodDeleted(at_us=self.now_us, name=name, uid=f"uid-{name}", by=by))

    def moves(
        self,
        name: str,
        role: Role,
        before: PeerPhase | None,
        after: PeerPhase,
        *,
        segment: int | None = None,
        reason: Refusal | None = None,
    ) -> None:
        self.see(
            PeerMoved(
                at_us=self.now_us,
                name=name,
                instance=f"{name}.0",
                role=role,
                handover_id="h-2",
                term=2,
                before=before,
                after=after,
                frame=None if segment is None else TIMELINE.first_frame(segment),
                reason=reason,
            )
        )

    def stamps(self, name: str, segment: int, priority: int, *, silent: bool = False) -> None:
        self.see(
            Stamped(
                at_us=self.now_us,
                name=name,
                instance=f"{name}.0",
                segment=segment,
                priority=priority,
                silent=silent,
            )
        )

    def delivers(self, name: str, segment: int, priority: int) -> None:
        self.see(
            Delivered(
                at_us=self.now_us,
                name=name,
                instance=f"{name}.0",
                segment=segment,
                priority=priority,
            )
        )

    def publishes(self, name: str, segment: int, priority: int, *, fallback: bool = False) -> None:
        self.see(
            Published(
                at_us=self.now_us,
                segment=segment,
                name=name,
                priority=priority,
                fallback=fallback,
            )
        )

    def airs(self, name: str, segment: int, priority: int, *, standby: str = "") -> None:
        """A segment's whole way, two seconds after the last; `standby` delivers it with 0."""
        self.later(2)
        if standby:
            self.stamps(standby, segment, 0)
            self.delivers(standby, segment, 0)
        self.stamps(name, segment, priority)
        self.delivers(name, segment, priority)
        self.publishes(name, segment, priority)

    def gives_up(self, first: int, last: int) -> None:
        self.see(Gap(at_us=self.now_us, first=first, last=last))

    def heals(self) -> None:
        self.see(Healed(at_us=self.now_us))

    def closes(
        self,
        *,
        pods: tuple[str, ...] = ("ch-1",),
        leading: tuple[tuple[str, int], ...] = (("ch-1", 1),),
        on_air: tuple[str, int] | None = ("ch-1", 1),
    ) -> None:
        self.see(
            Ended(
                at_us=self.now_us,
                record=self.record,
                pods=pods,
                leading=leading,
                on_air=on_air,
            )
        )


def born(mode: HandoverMode = HandoverMode.PRIORITY, desired: Desired = DESIRED) -> Scene:
    """A channel that is live: ch-1 leads with term 1, segment 1 is on air."""
    scene = Scene(mode, desired)
    starting = ChannelRecord(phase=ChannelPhase.STARTING, observed_generation=1, term=1, active=OLD)
    scene.stores(starting)
    scene.creates("ch-1")
    scene.grants("ch-1", 1)
    scene.airs("ch-1", 1, 1)
    scene.stores(replace(starting, phase=ChannelPhase.LIVE))
    return scene


def updating(mode: HandoverMode = HandoverMode.PRIORITY) -> Scene:
    """A live channel whose update is stored; ch-2 runs, and has delivered segment 2 as standby."""
    scene = born(mode)
    scene.updates(HandoverPhase.STARTING)
    scene.creates("ch-2")
    silent = mode is HandoverMode.SILENT_STANDBY
    scene.airs("ch-1", 2, 1, standby="" if silent else "ch-2")
    if silent:
        scene.stamps("ch-2", 2, 0, silent=True)
    return scene


def armed(mode: HandoverMode = HandoverMode.PRIORITY) -> Scene:
    """Both are bound to segment 4; 3 is on air, and the record says Armed."""
    scene = updating(mode)
    scene.updates(HandoverPhase.NEGOTIATING)
    scene.begins("ch-2", "ch-1", mode)
    for role, name in ((Role.SUCCESSOR, "ch-2"), (Role.INCUMBENT, "ch-1")):
        scene.moves(name, role, None, PeerPhase.ANNOUNCED)
        scene.moves(name, role, PeerPhase.ANNOUNCED, PeerPhase.VERIFIED)
        scene.moves(name, role, PeerPhase.VERIFIED, PeerPhase.ARMED, segment=4)
    scene.updates(HandoverPhase.ARMED, frame=240, segment=4)
    silent = mode is HandoverMode.SILENT_STANDBY
    scene.airs("ch-1", 3, 1, standby="" if silent else "ch-2")
    return scene


CONFIRMED = {
    "incumbent_confirmation": Confirmation(segment=3),
    "successor_confirmation": Confirmation(segment=4),
    "origin_confirmation": Confirmation(segment=4),
}


def completed(*, held: bool = True, **changes: object) -> Scene:
    """The update has gone through at segment 4; changes: to what its record says."""
    scene = armed()
    scene.airs("ch-2", 4, 2, standby="ch-1")
    scene.updates(HandoverPhase.HOLDING, **CONFIRMED)
    if held:
        scene.airs("ch-2", 5, 2, standby="ch-1")
    scene.updates(HandoverPhase.COMPLETED, **changes)
    return scene


Story = Callable[[], object]


def objects(story: Story) -> str:
    """The invariant that the story violates."""
    with pytest.raises(Violation) as caught:
        story()
    return caught.value.invariant
