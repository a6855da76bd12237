"""A small world around the real machines: two encoders, an origin that selects, a supervisor.

Calls arrive at once and nothing is lost; time is a number that `run` moves. The faults that these
tests need are plain fields. (Exhaustive faults are the simulator's business.)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hitless_handover import peer as machine
from hitless_handover.leadership import NEVER_LED, SILENT, lead_at
from hitless_handover.messages import (
    Criteria,
    EncoderReport,
    HandoverMode,
    HandoverReport,
    Identity,
    OriginReport,
    OriginSwitch,
    SyncInfo,
)
from hitless_handover.peer_model import (
    Abort,
    Announce,
    Answered,
    Arm,
    Begin,
    CallFailed,
    Effect,
    Event,
    Judged,
    Peer,
    Propose,
    Pushed,
    Release,
    Reply,
    Resend,
    SendAbort,
    SendAnnounce,
    SendArm,
    SendPropose,
    SendSamples,
    SendSync,
    Stamped,
    Synchronise,
    Take,
)
from hitless_handover.peer_rules import leading_term
from hitless_handover.supervisor import asks, supervise
from hitless_handover.supervisor_model import (
    CONFIG_INVALID,
    AbortHandover,
    Action,
    BeginHandover,
    BindIncumbent,
    ChannelRecord,
    ChannelView,
    CreateEncoder,
    Decision,
    DeleteEncoder,
    Desired,
    EncoderState,
    EncoderView,
    GrantTerm,
    HandoverPhase,
    HandoverPolicy,
    Notice,
    ReleaseHandover,
)
from hitless_handover.timeline import Anchor, Timeline

SECOND_US = 1_000_000
TIMELINE = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60)
CRITERIA = Criteria(lead_segments=2, verify_segments=2, psnr_min_db=26)
POLICY = HandoverPolicy(
    criteria=CRITERIA, hold_segments=3, start_s=60, negotiate_s=60, confirm_s=30
)


def desired(
    version: str,
    generation: int,
    *,
    paused: bool = False,
    hot_spare: bool = False,
    mode: HandoverMode = HandoverMode.PRIORITY,
) -> Desired:
    return Desired(
        generation=generation,
        image=f"encoder:{version}",
        digest=f"digest-{version}",
        policy=replace(POLICY, criteria=replace(CRITERIA, mode=mode)),
        timeline=TIMELINE,
        paused=paused,
        hot_spare=hot_spare,
    )


@dataclass
class Encoder:
    """The shell of one encoder: a real machine and what it has pushed."""

    peer: Peer
    fingerprint: str = "same"
    anchor: Anchor | None = None
    samples_ok: bool = True
    delivers: bool = True
    incumbent: str = ""

    def sync(self, now_us: int) -> SyncInfo:
        return SyncInfo(
            timeline=TIMELINE,
            fingerprint=self.fingerprint,
            anchor=self.anchor,
            init_digests=(("audio", "a"), ("v", "b")),
            current_frame=TIMELINE.frame_at(now_us),
            head_segment=self.peer.head or 0,
        )


@dataclass
class World:
    """now_us starts at a segment boundary; `published` maps segment to (encoder, priority)."""

    want: Desired
    now_us: int = 1_000_000 * SECOND_US
    record: ChannelRecord = field(default_factory=ChannelRecord)
    encoders: dict[str, Encoder] = field(default_factory=dict)
    states: dict[str, EncoderView] = field(default_factory=dict)
    published: dict[int, tuple[str, int]] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    records: list[ChannelRecord] = field(default_factory=list)
    unreachable: set[str] = field(default_factory=set)  # for the operator
    unstartable: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    misconfigured: set[str] = field(default_factory=set)  # they end at once, whatever is tried
    next_fingerprint: str = "same"
    next_anchor: Anchor | None = None
    next_samples_ok: bool = True
    arm_is_lost: bool = False
    lose_actions: bool = False
    complaint: tuple[str, str] = ("Running", "")
    anchor: Anchor | None = None
    sent: list[tuple[str, int]] = field(default_factory=list)
    withheld: list[tuple[str, int]] = field(default_factory=list)
    created_with: list[Anchor | None] = field(default_factory=list)

    # --- what the supervisor's shell does ---

    def look(self) -> Decision:
        decision = supervise(self.want, self.record, self.view(), self.now_us)
        if decision.record != self.record:
            self.record = decision.record
            self.records.append(decision.record)
        self.notices.extend(decision.notices)
        for action in () if self.lose_actions else decision.actions:
            self.act(action)
        return decision

    def view(self) -> ChannelView:
        asked = asks(self.want, self.record)
        seen = {
            name: replace(view, report=self.report(name) if name in asked else None)
            for name, view in self.states.items()
        }
        return ChannelView(
            channel_uid="0123456789ab", channel="ch", encoders=seen, origin=self.origin()
        )

    def report(self, name: str) -> EncoderReport | None:
        if name not in self.encoders or name in self.unreachable:
            return None
        peer = self.encoders[name].peer
        return EncoderReport(
            identity=peer.identity,
            leading_term=leading_term(peer),
            head_segment=peer.head,
            current_frame=TIMELINE.frame_at(self.now_us),
            anchor=self.anchor,
            source_state=self.complaint[0],
            source_message=self.complaint[1],
            speed_percent=150,
            handover=machine.report(peer),
            delivered_term=peer.delivered_term,
        )

    def origin(self) -> OriginReport | None:
        if not self.published:
            return None
        last = max(self.published)
        name, priority = self.published[last]
        return OriginReport(
            last_segment=last,
            selected_encoder=name,
            selected_priority=priority,
            fallbacks=0,
            gaps=0,
            switches=tuple(self.switches()),
        )

    def switches(self) -> list[OriginSwitch]:
        rows = []
        for k in sorted(self.published)[1:]:
            (was, before), (now, after) = self.published[k - 1], self.published[k]
            if was != now:
                rows.append(
                    OriginSwitch(
                        segment=k,
                        from_encoder=was,
                        to_encoder=now,
                        from_priority=before,
                        to_priority=after,
                        fallback=after < before,
                        gap_frames=0,
                        overlap_frames=0,
                    )
                )
        return rows

    def act(self, action: Action) -> None:
        orders = GrantTerm | BeginHandover | BindIncumbent | AbortHandover | ReleaseHandover
        if isinstance(action, orders) and action.name in self.unreachable:
            return
        match action:
            case CreateEncoder():
                self.created_with.append(action.anchor)
                self.create(action.encoder.name)
            case DeleteEncoder():
                self.check_may_delete(action.name)
                self.deleted.append(action.name)
                self.states.pop(action.name, None)
                self.encoders.pop(action.name, None)
            case GrantTerm():
                self.check_term_is_recorded(action.term)
                self.send(action.name, Take(term=action.term, from_segment=action.from_segment))
            case BeginHandover():
                self.check_term_is_recorded(action.term)
                self.begin(action)
            case BindIncumbent():
                self.send(action.name, Arm(handover_id=action.handover_id, frame=action.frame))
            case AbortHandover():
                order = Abort(
                    handover_id=action.handover_id, reason=action.reason, term=action.term
                )
                self.send(action.name, order)
            case ReleaseHandover():
                self.send(action.name, Release(handover_id=action.handover_id))

    def create(self, name: str) -> None:
        if name in self.states:
            return
        bad = name in self.misconfigured
        broken = bad or name in self.unstartable
        self.states[name] = EncoderView(
            name=name,
            uid=f"uid-{name}",
            state=EncoderState.PENDING if broken else EncoderState.RUNNING,
            reason=CONFIG_INVALID if bad else "ErrImagePull" if broken else "",
            message="profiles.a.codec: no" if bad else "no such image" if broken else "",
            ready=not broken and name not in self.slow,
        )
        if not broken:
            identity = Identity(
                namespace="ns", channel="ch", encoder_id=name, instance=name, version="v"
            )
            self.encoders[name] = Encoder(
                peer=Peer(
                    identity=identity,
                    timeline=TIMELINE,
                    schedule=SILENT
                    if self.want.policy.criteria.mode is HandoverMode.SILENT_STANDBY
                    else NEVER_LED,
                ),
                fingerprint=self.next_fingerprint,
                anchor=self.next_anchor,
                samples_ok=self.next_samples_ok,
            )

    def begin(self, action: BeginHandover) -> None:
        self.encoders[action.name].incumbent = action.incumbent
        event = Begin(
            handover_id=action.handover_id,
            term=action.term,
            incumbent_id=action.incumbent,
            criteria=action.criteria,
            deadline_us=action.deadline_us,
        )
        self.send(action.name, event)

    def kill(self, name: str) -> None:
        self.encoders.pop(name)
        self.states.pop(name)

    # --- the encoders ---

    def send(self, name: str, event: Event) -> Reply | None:
        encoder = self.encoders.get(name)
        if encoder is None:
            return None
        result = machine.step(encoder.peer, event, self.now_us)
        encoder.peer = result.peer
        for effect in result.effects:
            if isinstance(effect, Resend):
                self.resend(name, effect)
            else:
                self.perform(name, effect)
        return result.reply

    def resend(self, name: str, effect: Resend) -> None:
        for segment in range(effect.first, effect.last + 1):
            lead = lead_at(self.encoders[name].peer.schedule, segment)
            self.published.setdefault(segment, (name, lead.priority))

    def perform(self, name: str, effect: Effect) -> None:
        me = self.encoders[name]
        call = self.call_of(name, effect)
        if call is None:
            return
        lost = isinstance(call, Arm) and self.arm_is_lost
        reply = None if lost else self.send(me.incumbent, call)
        if isinstance(call, Abort):
            return
        answer: Event = (
            CallFailed(handover_id=call.handover_id, message="no answer")
            if reply is None
            else Answered(handover_id=call.handover_id, reply=reply)
        )
        self.send(name, answer)

    def call_of(
        self, name: str, effect: Effect
    ) -> Announce | Synchronise | Judged | Propose | Arm | Abort | None:
        me = self.encoders[name]
        side = me.peer.side
        if side is None:
            return None
        match effect:
            case SendAnnounce():
                return Announce(
                    handover_id=side.handover_id,
                    term=side.term,
                    successor=me.peer.identity,
                    criteria=side.criteria,
                    deadline_us=side.deadline_us,
                )
            case SendSync():
                if me.incumbent not in self.encoders:
                    return Synchronise(
                        handover_id=side.handover_id,
                        own=me.sync(self.now_us),
                        other=me.sync(self.now_us),
                    )
                own = self.encoders[me.incumbent].sync(self.now_us)
                return Synchronise(
                    handover_id=side.handover_id, own=own, other=me.sync(self.now_us)
                )
            case SendSamples():
                return Judged(
                    handover_id=side.handover_id,
                    ok=me.samples_ok,
                    message="" if me.samples_ok else "v: 12 dB below 26 dB",
                )
            case SendPropose():
                return Propose(handover_id=side.handover_id, frame=effect.frame)
            case SendArm():
                return Arm(handover_id=side.handover_id, frame=effect.frame)
            case SendAbort():
                return Abort(handover_id=side.handover_id, reason=effect.reason)
            case _:
                return None

    def next_segment(self) -> None:
        """Every encoder gives out the segment that has just ended; the origin selects."""
        segment = TIMELINE.segment_of(TIMELINE.frame_at(self.now_us)) - 1
        offers = []
        for name, encoder in sorted(self.encoders.items()):
            if encoder.peer.retired or not encoder.delivers:
                continue
            lead = lead_at(encoder.peer.schedule, segment)
            self.send(name, Stamped(segment=segment))
            if lead.silent:
                self.withheld.append((name, segment))
            else:
                offers.append((lead.priority, name))
                self.sent.append((name, segment))
        if offers:
            priority, winner = max(offers)
            self.published[segment] = (winner, priority)
        for _, name in offers:
            self.send(name, Pushed(segment=segment))

    def run(self, seconds: int) -> None:
        """Half a second at a time: a segment when one ends, then a look."""
        for _ in range(2 * seconds):
            self.half_second()

    def half_second(self) -> None:
        self.now_us += SECOND_US // 2
        if self.now_us % (2 * SECOND_US) == 0:
            self.next_segment()
        self.look()

    def run_until(self, phase: HandoverPhase, seconds: int = 120) -> None:
        for _ in range(2 * seconds):
            if self.record.handover is not None and self.record.handover.phase is phase:
                return
            self.half_second()
        raise AssertionError(f"never {phase}: {self.record.handover}")

    # --- what must never be true ---

    def check_may_delete(self, name: str) -> None:
        active = self.record.active
        assert active is not None
        assert name != active.name, "I6: the encoder on air is deleted"
        assert active.name in self.encoders, "I6: no other encoder is left"
        for update in self.record.history:
            if name == update.incumbent.name and update.phase is HandoverPhase.COMPLETED:
                assert update.successor_confirmation is not None, "I5"
                assert update.origin_confirmation is not None, "I5"

    def check_term_is_recorded(self, term: int) -> None:
        assert term <= self.record.term, "I7: a term that the record does not hold"

    def check_published(self) -> None:
        segments = sorted(self.published)
        assert segments == list(range(segments[0], segments[-1] + 1)), "I1: a segment is missing"
        terms = [self.published[k][1] for k in segments]
        led = [t for t in terms if t]
        assert led == sorted(led), "I4: a lower term after a higher one"

    def handover_report(self, name: str) -> HandoverReport | None:
        return machine.report(self.encoders[name].peer)
