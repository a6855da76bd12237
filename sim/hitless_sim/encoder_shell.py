"""One encoder process of the simulated world: the real peer machine, and what carries it out.

Mirrors hitless_encoder's control: conductor.py (the machine and its timer) and
service.py (answers, judging). `successor.py` makes its calls, `pipeline.py` is its media side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitless_handover import peer as machine
from hitless_handover import peer_model as m
from hitless_handover.leadership import NEVER_LED, SILENT, Lead, lead_at
from hitless_handover.messages import (
    PROTOCOL_VERSION,
    EncoderReport,
    HandoverMode,
    Identity,
    PeerPhase,
    SyncInfo,
)
from hitless_handover.peer_model import Event, Peer, Reply, Side
from hitless_handover.peer_rules import leading_term
from hitless_sim import encoder_facts as tell
from hitless_sim.clockwork import Process
from hitless_sim.facts import EncoderStarted, Quality
from hitless_sim.pipeline import Pipeline
from hitless_sim.scenario import TIMELINE, anchor_of
from hitless_sim.successor import SyncCall, VerifyCall, perform

if TYPE_CHECKING:
    from hitless_sim.api_server import Pod
    from hitless_sim.network import Call
    from hitless_sim.world import World

OTHER_ANCHOR = -1  # that a mismatching image declares


class Encoder(Process):
    """A process that encodes. anchor_id, shift, right: see Content. mute: it answers no call."""

    __slots__ = (
        "_anchor_seen",
        "_open",
        "_timer_us",
        "address",
        "anchor_id",
        "closed",
        "fingerprint",
        "instance",
        "mute",
        "peer",
        "pipeline",
        "pod",
        "quality",
        "right",
        "shift",
        "slow_percent",
        "unwell_since_us",
        "world",
    )

    def __init__(self, world: World, pod: Pod) -> None:
        scenario = world.scenario
        order = pod.number - 1
        super().__init__(pod.uid, scenario.distances_us[order % len(scenario.distances_us)])
        image = scenario.image(pod.encoder.image)
        self.world = world
        self.pod = pod
        self.instance = f"{pod.uid}.{pod.restarts}"
        self.mute = False
        self.slow_percent = 100
        self.unwell_since_us: int | None = None
        self.right = image.quality is not Quality.BAD_PICTURE
        self.fingerprint = "own" if image.own_ladder else "same"
        self.shift = world.shift
        self.anchor_id = world.shift if pod.anchor is None else pod.anchor.source_ticks
        if image.quality is Quality.MISMATCH and not image.own_ladder:
            self.anchor_id = OTHER_ANCHOR
        self._anchor_seen = self.anchor_id
        self.quality = image.quality
        silent = pod.desired.policy.criteria.mode is HandoverMode.SILENT_STANDBY
        self.peer = Peer(
            identity=Identity(
                namespace="ns",
                channel="ch",
                encoder_id=pod.name,
                instance=self.instance,
                version=pod.encoder.image,
                protocol=PROTOCOL_VERSION + image.protocol,
            ),
            timeline=TIMELINE,
            schedule=SILENT if silent else NEVER_LED,
        )
        self.pipeline = Pipeline(self, scenario.lags_us[order % len(scenario.lags_us)])
        self.address = ""
        self.closed = False
        self._timer_us: int | None = None
        self._open: list[Call] = []

    def start(self) -> None:
        """The process runs."""
        world = self.world
        world.encoder_starts(self)
        world.say(
            EncoderStarted(
                at_us=world.clock.now_us,
                name=self.pod.name,
                uid=self.pod.uid,
                instance=self.instance,
                quality=self.quality,
            )
        )
        self.pipeline.start(world.clock.now_us + world.scenario.warm_us)

    def now_us(self) -> int:
        """What this process believes."""
        return self.world.clock.now_us + self.skew_us

    def set_skew(self, skew_us: int) -> None:
        """Another error of its clock."""
        self.skew_us = skew_us
        if self._timer_us is not None:
            self._set_timer(self._timer_us)

    def jump(self, number: int, quality: Quality) -> None:
        """The clock of the input jumps; a new anchor is chosen."""
        self.shift = number
        if self.anchor_id != OTHER_ANCHOR:
            self.anchor_id = number
        self.is_worth(quality)

    def is_worth(self, quality: Quality) -> None:
        """What the output is worth besides its image, from now on."""
        image, before = self.world.scenario.image(self.pod.encoder.image), self.quality
        self.quality = quality if image.quality is Quality.GOOD else image.quality
        if self.quality is not before:
            tell.quality(self)

    # --- the end ---

    def terminate(self) -> None:
        """SIGTERM: no more calls; the segment in hand is still pushed."""
        network, clock = self.world.network, self.world.clock
        network.hosts.pop(self.pod.uid, None)
        network.refusing.add(self.pod.uid)
        self.drop_calls()
        self.closed = True
        if self.pipeline.stopped:
            self.finished()
            return
        bound_us = self.pipeline.finish(clock.now_us)
        clock.at(bound_us, self, self.finished)

    def finished(self) -> None:
        """Nothing is left to do."""
        if not self.dead:
            self.world.platform.ended(self)

    def drop_calls(self) -> None:
        """Connections break."""
        calls, self._open = self._open, []
        for call in calls:
            self.world.network.refuse(call)

    # --- the pipeline ---

    def stamp(self, segment: int) -> Lead:
        """With what a segment is pushed. From now on it can't change."""
        self._watch_anchor()
        if self.dead:
            return SILENT[0]
        lead = self.lead(segment)
        self.apply(m.Stamped(segment=segment))
        tell.stamped(self, segment, lead)
        return lead

    def lead(self, segment: int) -> Lead:
        """With what a segment would be pushed if it were now."""
        return lead_at(self.peer.schedule, segment)

    def pushed(self, segment: int) -> None:
        """The downstream has it in all tracks."""
        self.apply(m.Pushed(segment=segment))

    # --- what others ask ---

    def on_report(self, _: None, call: Call) -> None:
        """GetReport."""
        network = self.world.network
        network.hang(call) if self.mute else network.answer(call, self.report())

    def report(self) -> EncoderReport:
        """What this encoder says of itself."""
        pipeline = self.pipeline
        lost = pipeline.input_lost_us is not None
        state = "Lost" if lost else "Running" if pipeline.encoded is not None else "Connecting"
        return EncoderReport(
            identity=self.peer.identity,
            leading_term=leading_term(self.peer),
            head_segment=pipeline.head,
            current_frame=TIMELINE.frame_at(self.world.clock.now_us),
            anchor=anchor_of(self.anchor_id),
            source_state=state,
            source_message="no input" if lost else pipeline.complaint,
            speed_percent=pipeline.speed_percent,
            handover=machine.report(self.peer),
            delivered_term=self.peer.delivered_term,
        )

    def on_order(self, event: m.Take | m.Abort | m.Release, call: Call) -> None:
        """An order of the operator, or the successor's last word."""
        self._answer(event, call)

    def on_begin(self, argument: tuple[m.Begin, str], call: Call) -> None:
        """Begin: where the incumbent is reached is noted first."""
        event, address = argument
        if not self.mute:
            self.address = address
        self._answer(event, call)

    def on_call(self, event: m.Announce | m.Propose | m.Arm, call: Call) -> None:
        """A call of the successor."""
        self._answer(event, call)

    def on_synchronise(self, argument: SyncCall, call: Call) -> None:
        """Are the outputs interchangeable?"""
        event = m.Synchronise(
            handover_id=argument.handover_id, own=self.sync(), other=argument.other
        )
        self._answer(event, call)

    def _answer(self, event: Event, call: Call) -> None:
        network = self.world.network
        if self.mute:
            network.hang(call)
            return
        self._watch_anchor()
        if self.dead:
            network.refuse(call)
            return
        reply = self.apply(event)
        assert reply is not None, f"{type(event).__name__} was not answered"
        if self.before_effect():
            tell.reply(self, event, reply)
            network.answer(call, reply)
        else:
            network.refuse(call)

    def sync(self) -> SyncInfo:
        """What must be equal in both encoders, and where this one stands."""
        head = self.pipeline.head
        return SyncInfo(
            timeline=TIMELINE,
            fingerprint=self.fingerprint,
            anchor=anchor_of(self.anchor_id),
            init_digests=(("a", self.fingerprint), ("v", self.fingerprint)),
            current_frame=TIMELINE.frame_at(self.world.clock.now_us),
            head_segment=-1 if head is None else head,
        )

    # --- judging the successor ---

    def on_verify(self, argument: VerifyCall, call: Call) -> None:
        """Judge the successor's segments against this encoder's own."""
        if self.mute:
            self.world.network.hang(call)
            return
        self._open.append(call)
        self.world.network.hang(call)
        self._judge(argument, 0, call)

    def _judge(self, argument: VerifyCall, index: int, call: Call) -> None:
        side = self._side(argument.handover_id)
        over = side is None or side.phase is not PeerPhase.SYNCHRONISED
        if side is None or over or index == len(argument.samples):
            self._judged(argument, index, "", call)
            return
        segment = argument.samples[index][0]
        deadline_us = side.deadline_us - self.skew_us
        self.pipeline.wait(segment, deadline_us, lambda: self._compare(argument, index, call))

    def _compare(self, argument: VerifyCall, index: int, call: Call) -> None:
        segment, content = argument.samples[index]
        own = self.pipeline.recent.get(segment)
        if own is None:
            fault = f"segment {segment} is not one that this encoder has made"
            self._judged(argument, index, fault, call)
        elif own != content:
            self._judged(argument, index, f"segment {segment} has other pictures", call)
        else:
            self._judge(argument, index + 1, call)

    def _judged(self, argument: VerifyCall, judged: int, fault: str, call: Call) -> None:
        if call in self._open:
            self._open.remove(call)
        side = self._side(argument.handover_id)
        wanted = 0 if side is None else side.criteria.verify_segments
        if not fault and judged < wanted:
            fault = f"{judged} of {wanted} segments came in time"
        if not self.closed:
            event = m.Judged(handover_id=argument.handover_id, ok=not fault, message=fault)
            self._answer(event, call)

    def _side(self, handover_id: str) -> Side | None:
        side = self.peer.side
        return side if side is not None and side.handover_id == handover_id else None

    # --- the machine ---

    def _watch_anchor(self) -> None:
        """Tell the machine of a jump of the input before anything is agreed or given out."""
        before, self._anchor_seen = self._anchor_seen, self.anchor_id
        if before != self.anchor_id:
            self.apply(m.Reanchored())

    def apply(self, event: Event) -> Reply | None:
        """One step; its effects in order."""
        before = self.peer.side
        result = machine.step(self.peer, event, self.now_us())
        self.peer = result.peer
        after = result.peer.side
        if after is not before and after is not None:
            tell.story(self, before, after)
        if result.wake_at_us != self._timer_us:
            self._set_timer(result.wake_at_us)
        for effect in result.effects:
            self._start(effect, after)
        return result.reply

    def _set_timer(self, wake_at_us: int | None) -> None:
        self._timer_us = wake_at_us
        if wake_at_us is not None:
            clock = self.world.clock
            due_us = max(clock.now_us, wake_at_us - self.skew_us)
            clock.at(due_us, self, self._tick, wake_at_us)

    def _tick(self, wake_at_us: int) -> None:
        if wake_at_us == self._timer_us and not self.closed:
            self._timer_us = None
            self.apply(m.Tick())

    def _start(self, effect: m.Effect, side: Side | None) -> None:
        if self.closed or self.dead:
            return
        if isinstance(effect, m.Retire):
            self.pipeline.stop()
        elif isinstance(effect, m.Resend):
            self.pipeline.resend(effect.first, effect.last)
        elif self.before_effect():
            assert side is not None, "requests belong to a handover"
            perform(self, effect, side)
