"""One simulated channel from its birth to its end. Deterministic: a plan has one story.

Owns the composition of the actors and the course of a run: the birth without faults, faults and the
user's doings, all healed, then quiet until everything has come to rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hitless_handover.messages import HandoverMode
from hitless_handover.peer_rules import leading_term
from hitless_handover.supervisor_model import ChannelPhase, EncoderState
from hitless_sim.aim import alive
from hitless_sim.api_server import ApiServer
from hitless_sim.clockwork import Clockwork, Trace
from hitless_sim.encoder_shell import Encoder
from hitless_sim.encoder_strikes import lose_input
from hitless_sim.facts import Ended, Fact, Healed, Quality
from hitless_sim.faults import EncoderPaused, Fault, OriginPaused, UserEvent, When
from hitless_sim.kubelet import Platform
from hitless_sim.network import Network
from hitless_sim.operator_shell import Operator
from hitless_sim.origin_shell import Origin
from hitless_sim.plan import Plan, items
from hitless_sim.scenario import EPOCH_US, SEGMENT_US
from hitless_sim.strikes import heal, strike
from hitless_sim.user import act

See = Callable[[Fact], None]
RESTED_LOOKS = 4  # in a row, a segment apart, until a run may end
# After healing, once nobody is late: what is not on air as recorded by then will not be.
CATCH_UP_US = 40_000_000
QUIET_US_MAX = 200_000_000  # longer than all deadlines and the longest back-off together


@dataclass(slots=True)
class _Awaiting:
    """What happens when a moment has come `left` times more."""

    item: Fault | UserEvent
    left: int


class World:
    """All actors. shift: of the input's clock. channel_anchor: what the channel's timeline is by.

    encoders: all processes there ever were, the newest last. input_lost: of every encoder.
    """

    def __init__(self, plan: Plan, see: See, trace: Trace | None) -> None:
        scenario = plan.scenario
        self.plan = plan
        self.scenario = scenario
        self.clock = Clockwork(EPOCH_US + scenario.offset_us, trace)
        self.network = Network(self.clock)
        self.api = ApiServer(self, scenario.desired())
        self.platform = Platform(self)
        blind = not scenario.has_origin and scenario.mode is not HandoverMode.PRIORITY
        self.origin = Origin(self, blind=blind)
        self.operators = [Operator(self, number) for number in range(scenario.operators)]
        self.encoders: list[Encoder] = []
        self.shift = 0
        self.channel_anchor = 0
        self.jumps = 0
        self.input_lost = False
        self.heal_at_us = self.clock.now_us + scenario.heal_us
        self.healed = False
        self._see = see
        self._waiting: dict[str, list[_Awaiting]] = {}
        self._rested = 0
        self._end_us = 0

    # --- for the actors ---

    def say(self, fact: Fact) -> None:
        """Something happened."""
        if self.clock.trace is not None:
            self.clock.trace(f"  {fact!r}")
        self._see(fact)

    def moment(self, name: str) -> None:
        """A moment has come that faults and the user may wait for."""
        rows = self._waiting.get(name, ())
        for row in tuple(rows):
            row.left -= 1
            if not row.left:
                self._strike_in(row.item.when.delay_us, row.item)

    def after(self, duration_us: int, work: Callable[..., None], *args: Any) -> None:
        """Call work(world, *args) then."""
        self.clock.at(self.clock.now_us + duration_us, None, work, self, *args)

    def tell_operators(self, version: int | None = None) -> None:
        """The CR has this version now, or (None) a pod has changed."""
        due_us = self.clock.now_us + self.scenario.watch_us
        for operator in self.operators:
            self.clock.at(due_us, operator, operator.told, version)

    def encoder_starts(self, encoder: Encoder) -> None:
        """The only encoder of a channel says what its timeline is by; others have to agree."""
        if not alive(self):
            self.channel_anchor = encoder.anchor_id
        self.encoders.append(encoder)
        if encoder.anchor_id != self.channel_anchor:
            encoder.quality = Quality.MISMATCH
        if self.input_lost:
            lose_input(self, encoder)

    def encoder_ended(self) -> None:
        """Those that are left are the channel, if they agree and their input is the others'."""
        left = alive(self)
        places = {(encoder.shift, encoder.anchor_id) for encoder in left}
        if len(places) != 1 or left[0].shift != self.shift:
            return
        self.channel_anchor = left[0].anchor_id
        for encoder in left:
            encoder.is_worth(Quality.GOOD)

    # --- the course of a run ---

    def run(self) -> None:
        """From birth to end."""
        plan, clock = self.plan, self.clock
        start_us = clock.now_us
        hosts = self.network.hosts
        for process in (self.api, self.origin, *self.operators):
            hosts[process.name] = process
        for item in items(plan):
            self._expect(item, start_us)
        clock.at(self.heal_at_us, None, self._heal)
        self.api.tell_wish()
        for operator in self.operators:
            clock.at(start_us, operator, operator.add)
        clock.run()

    def _expect(self, item: Fault | UserEvent, start_us: int) -> None:
        when: When = item.when
        if when.after:
            self._waiting.setdefault(when.after, []).append(_Awaiting(item, when.nth))
        else:
            self.clock.at(start_us + when.delay_us, None, self._strike, item)

    def _strike_in(self, delay_us: int, item: Fault | UserEvent) -> None:
        """Without delay it falls between a change and the effects that follow from it."""
        if delay_us or isinstance(item, UserEvent | EncoderPaused | OriginPaused):
            self.clock.at(self.clock.now_us + delay_us, None, self._strike, item)
        else:
            self._strike(item)

    def _strike(self, item: Fault | UserEvent) -> None:
        if not self.healed:
            if self.clock.trace is not None:
                self.clock.tell(f"{item!r}")
            if isinstance(item, Fault):
                strike(self, item)
            else:
                act(self, item)

    def _heal(self) -> None:
        self.healed = True
        heal(self)
        clock = self.clock
        self.say(Healed(at_us=clock.now_us))
        self._end_us = clock.now_us + QUIET_US_MAX
        clock.at(clock.now_us + SEGMENT_US, None, self._rest)

    def _rest(self) -> None:
        """End when nothing is left to wait for, or when it takes too long."""
        clock = self.clock
        self._rested = self._rested + 1 if self._at_rest() else 0
        if self._rested >= RESTED_LOOKS or clock.now_us >= self._end_us:
            self._end()
        else:
            clock.at(clock.now_us + SEGMENT_US, None, self._rest)

    def _at_rest(self) -> bool:
        if any(not operator.idle for operator in self.operators):
            return False
        if self.api.deleted:
            return not self.api.pods
        record = self.api.record
        if record.phase is not ChannelPhase.LIVE or (record.handover and record.handover.live):
            return False
        if any(pod.view.state is not EncoderState.RUNNING for pod in self.api.pods.values()):
            return False
        if any(encoder.pipeline.late for encoder in alive(self)):
            return False
        active, published = record.active, self.origin.published
        as_recorded = active and published and published[-1][1:] == (active.name, active.term)
        return bool(as_recorded) or self.clock.now_us >= self.heal_at_us + CATCH_UP_US

    def _end(self) -> None:
        leading = [(encoder.pod.name, leading_term(encoder.peer)) for encoder in alive(self)]
        published = self.origin.published
        self.clock.over = True
        self.say(
            Ended(
                at_us=self.clock.now_us,
                record=self.api.record,
                pods=tuple(sorted(self.api.pods)),
                leading=tuple(sorted(leading)),
                on_air=published[-1][1:] if published else None,
            )
        )


def run(plan: Plan, see: See, trace: Trace | None = None) -> None:
    """Simulate to the end. see: gets every fact in order, and may raise; trace: a line an event.

    Raises what `see` and the machines raise.
    """
    World(plan, see, trace).run()
