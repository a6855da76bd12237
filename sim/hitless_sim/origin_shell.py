"""The origin of the simulated world: the real selection, and what is on its disk.

Mirrors hitless_origin's channel.py and recovery.py: a push is judged before the core hears of it; a
restarted origin goes on with what it had decided and decides again over the undecided pushes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from hitless_handover import selection, selection_model
from hitless_handover.messages import OriginReport
from hitless_handover.part_selection import (
    PartArrived,
    PartRules,
    Parts,
    PublishPart,
    SkipParts,
)
from hitless_handover.selection_model import Admission, Effect, RefusalReason, Selection, Slot
from hitless_sim.clockwork import Process
from hitless_sim.facts import (
    Delivered,
    Gap,
    PartDelivered,
    PartPublished,
    PartsSkipped,
    Published,
)
from hitless_sim.scenario import TIMELINE, Scenario

if TYPE_CHECKING:
    from hitless_sim.network import Call
    from hitless_sim.pipeline import Content
    from hitless_sim.world import World

ORIGIN = "origin"
ORIGIN_DISTANCE_US = 4_000
TRACKS = ("a", "v")
HELD_MAX = 400  # tracks, before the oldest are looked for and forgotten
RULES = selection_model.Rules(
    tracks=frozenset(TRACKS),
    segment_frames=TIMELINE.segment_frames,
    deadline_us=selection_model.publish_deadline_us(TIMELINE),
    gap_us=selection_model.gap_patience_us(TIMELINE),
)


def _parts_of(scenario: Scenario, last: int | None = None) -> Parts | None:
    if not scenario.parts:
        return None
    rules = PartRules(
        tracks=frozenset(TRACKS),
        per_segment=scenario.parts,
        per_gop=scenario.gop_parts,
        deadline_us=RULES.deadline_us // scenario.parts,
        patience_us=RULES.deadline_us,
    )
    return Parts(rules=rules, segment=None if last is None else last + 1)


class Status(IntEnum):
    """What an answer means for the sender, the worst last."""

    STORED = 0
    KEPT = 1  # a part, of a track that is not whole yet
    RETRY = 2
    REFUSED = 3


@dataclass(frozen=True, slots=True)
class Push:
    """Tracks of one segment, or of a part of it.

    version and pieces stand for their bytes (a piece for each part), fingerprint for the
    description.
    """

    name: str
    instance: str
    segment: int
    part: int | None
    tracks: tuple[str, ...]
    priority: int
    version: str
    pieces: tuple[Content, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class _Held:
    """What an encoder pushed of a track, to know a resend."""

    pieces: tuple[Content, ...]
    priority: int


class Origin(Process):
    """One origin process with one channel.

    blind: the downstream is not ours and knows no priorities; it stays with the encoder that it has
    until that one fails to deliver.
    """

    __slots__ = (
        "_blind",
        "_held",
        "_shelf",
        "_takes_others",
        "_wake_us",
        "_world",
        "fingerprint",
        "known",
        "published",
        "state",
    )

    def __init__(self, world: World, *, blind: bool) -> None:
        super().__init__(ORIGIN, ORIGIN_DISTANCE_US)
        self._world = world
        self._blind = blind
        self._takes_others = blind or world.scenario.allow_discontinuity
        self._held: dict[tuple[int, str, str], _Held] = {}
        self._shelf: dict[tuple[int, str, str], dict[int, Content]] = {}  # tracks in parts
        self._wake_us: int | None = None
        self.state = Selection(rules=RULES, parts=_parts_of(world.scenario))
        self.fingerprint = ""
        self.known = False
        self.published: list[tuple[int, str, int]] = []  # segment, encoder, priority; newest last

    # --- calls ---

    def on_push(self, push: Push, call: Call) -> None:
        """An encoder pushes tracks of a segment."""
        self._world.network.answer(call, self._take_all(push))

    def on_report(self, _: None, call: Call) -> None:
        """What the origin says of the channel."""
        self._world.network.answer(call, self.report() if self.known else None)

    def report(self) -> OriginReport:
        """As GET of the channel's report has it."""
        state = self.state
        return OriginReport(
            last_segment=state.published,
            selected_encoder=state.encoder,
            selected_priority=state.priority,
            fallbacks=state.fallbacks,
            gaps=state.gaps,
            switches=state.switches,
        )

    # --- pushes ---

    def _take_all(self, push: Push) -> Status:
        self.known = True
        if not self.fingerprint:
            self.fingerprint = push.fingerprint
        elif self.fingerprint != push.fingerprint and not self._takes_others:
            return Status.REFUSED
        worst = Status.STORED
        for track in push.tracks:
            took = self._take(push, track) if push.part is None else self._take_part(push, track)
            worst = max(worst, took)
        return worst

    def _take(self, push: Push, track: str) -> Status:
        place = (push.segment, push.name, track)
        held = self._held.get(place)
        if held is not None:
            if held.pieces != push.pieces:
                return Status.REFUSED
            if push.priority <= held.priority:
                return Status.STORED
        refused = self._unwanted(push.segment)
        if refused is not None:
            return refused
        if self.state.parts is not None:
            for part in range(len(push.pieces)):
                self._keep_part(push, track, part, push.pieces[part])
        self._held[place] = _Held(push.pieces, push.priority)
        self._tell_delivered(push)
        effects = self._feed(self._arrived(place, push.priority))
        for effect in effects:
            if isinstance(effect, selection_model.Refused) and (
                (effect.segment, effect.encoder) == (push.segment, push.name)
            ):
                return Status.REFUSED if effect.reason is RefusalReason.GONE else Status.RETRY
        return Status.STORED

    def _unwanted(self, segment: int) -> Status | None:
        admission = selection.admission(self.state, segment)
        if admission is Admission.GONE:
            return Status.REFUSED
        return Status.RETRY if admission is Admission.TOO_FAR else None

    def _take_part(self, push: Push, track: str) -> Status:
        assert push.part is not None
        place = (push.segment, push.name, track)
        refused = self._unwanted(push.segment)
        if place in self._held:
            return Status.STORED
        if refused is not None:
            return refused
        if self._shelf.get(place, {}).get(push.part, push.pieces[0]) != push.pieces[0]:
            return Status.REFUSED
        self._keep_part(push, track, push.part, push.pieces[0])
        parts = self._shelf[place]
        if len(parts) < self._world.scenario.parts:
            return Status.KEPT
        whole = replace(push, part=None, pieces=tuple(parts[part] for part in sorted(parts)))
        return self._take(whole, track)

    def _keep_part(self, push: Push, track: str, part: int, piece: Content) -> None:
        """Tell the core, once for each."""
        parts = self._shelf.setdefault((push.segment, push.name, track), {})
        if part in parts:
            return
        parts[part] = piece
        data, world = f"{push.version} {piece}", self._world
        if all(part in self._shelf.get((push.segment, push.name, t), ()) for t in TRACKS):
            world.say(
                PartDelivered(
                    at_us=world.clock.now_us,
                    name=push.name,
                    segment=push.segment,
                    part=part,
                    data=data,
                )
            )
        self._feed(
            PartArrived(
                segment=push.segment,
                part=part,
                track=track,
                encoder=push.name,
                priority=push.priority,
                digest=data,
            )
        )

    def _arrived(self, place: tuple[int, str, str], priority: int) -> selection_model.Arrived:
        segment, name, track = place
        if self._blind:
            priority = 1 if self.state.encoder in {name, None} else 0
        return selection_model.Arrived(
            segment=segment, track=track, encoder=name, priority=priority
        )

    def _tell_delivered(self, push: Push) -> None:
        """Tell the checkers once the last track is there."""
        priority = push.priority
        for track in TRACKS:
            held = self._held.get((push.segment, push.name, track))
            if held is None:
                return
            priority = min(priority, held.priority)
        world = self._world
        world.say(
            Delivered(
                at_us=world.clock.now_us,
                name=push.name,
                instance=push.instance,
                segment=push.segment,
                priority=priority,
            )
        )

    # --- the core ---

    def _feed(self, event: selection_model.Event) -> tuple[Effect, ...]:
        world = self._world
        result = selection.step(self.state, event, world.clock.now_us)
        self.state = result.state
        if result.wake_at_us != self._wake_us:
            self._wake_us = result.wake_at_us
            if self._wake_us is not None:
                world.clock.at(self._wake_us, self, self._tick, self._wake_us)
        for effect in result.effects:
            self._carry_out(effect)
        return result.effects

    def _tick(self, wake_us: int) -> None:
        if wake_us == self._wake_us:
            self._wake_us = None
            self._feed(selection_model.Tick())

    def _carry_out(self, effect: Effect) -> None:
        world = self._world
        match effect:
            case selection_model.Publish():
                self._publish(effect)
            case PublishPart(segment=segment, part=part, encoder=name, fallback=fallback):
                world.say(
                    PartPublished(
                        at_us=world.clock.now_us,
                        segment=segment,
                        part=part,
                        name=name,
                        fallback=fallback,
                    )
                )
            case SkipParts(segment=segment, first=first, last=last):
                world.say(
                    PartsSkipped(at_us=world.clock.now_us, segment=segment, first=first, last=last)
                )
            case selection_model.RecordGap(first=first, last=last):
                world.say(Gap(at_us=world.clock.now_us, first=first, last=last))
            case selection_model.Refused(segment=segment, encoder=name):
                for track in TRACKS:
                    self._held.pop((segment, name, track), None)
                    self._shelf.pop((segment, name, track), None)
            case _:
                return

    def _publish(self, effect: selection_model.Publish) -> None:
        world, priority, fallback = self._world, effect.priority, effect.fallback
        if self._blind:
            priority = self._claimed(effect.segment, effect.encoder)
            fallback = False
        self.published.append((effect.segment, effect.encoder, priority))
        world.say(
            Published(
                at_us=world.clock.now_us,
                segment=effect.segment,
                name=effect.encoder,
                priority=priority,
                fallback=fallback,
            )
        )
        if len(self._held) > HELD_MAX:
            old = effect.segment - selection_model.HISTORY_MAX
            for place in [place for place in self._held if place[0] <= old]:
                del self._held[place]
            for place in [place for place in self._shelf if place[0] <= old]:
                del self._shelf[place]

    def _claimed(self, segment: int, name: str) -> int:
        rows = [self._held.get((segment, name, track)) for track in TRACKS]
        return min((row.priority for row in rows if row is not None), default=0)

    # --- a restart ---

    def restarted(self) -> Origin:
        """The process after this one, from what is on the disk; `resume` when it is registered."""
        state = self.state
        after = Origin(self._world, blind=self._blind)
        after.known, after.fingerprint = self.known, self.fingerprint
        after.published = self.published
        now_us = self._world.clock.now_us
        numbers = [row[0] for row in self.published[-selection_model.HISTORY_MAX :]]
        after.state = replace(
            state,
            slots=tuple(Slot(segment=number, touched_us=now_us) for number in numbers),
            published=numbers[-1] if numbers else None,
            advanced_us=now_us,
            parts=_parts_of(self._world.scenario, state.last),
        )
        last = -1 if state.last is None else state.last
        after._held = {place: held for place, held in self._held.items() if place[0] > last}
        return after

    def resume(self) -> None:
        """Decide again over what was pushed and not decided."""
        for place in sorted(self._held):
            self._feed(self._arrived(place, self._held[place].priority))
