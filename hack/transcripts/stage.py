"""Encoders that talk over a wire of bytes, and what they said, step by step.

Owns the shells around the real machines: every message is encoded, written down and decoded from
what was written. Time is a number that delivered segments move. The scenarios say what happens.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import asdict, dataclass, field, replace

from google.protobuf.message import Message
from hack.transcripts.calls import (
    CALL_OF,
    LocalEvent,
    event_of,
    messages_of,
    reply_of,
    report_of,
    request_of,
    requests_in,
    response_of,
    written,
)
from hack.transcripts.transcript import (
    OPERATOR,
    Call,
    CallName,
    Judged,
    Local,
    Loss,
    Restarted,
    Transcript,
    in_base64,
    in_words,
)

from hitless_handover import peer as machine
from hitless_handover import peer_model as model
from hitless_handover.messages import (
    PROTOCOL_VERSION,
    Criteria,
    EncoderReport,
    Identity,
    PeerPhase,
    Refusal,
    SyncInfo,
)
from hitless_handover.timeline import Anchor, Timeline
from hitless_wire import codec
from hitless_wire._gen import handover_pb2 as pb

INCUMBENT, SUCCESSOR, RIVAL = "incumbent", "successor", "rival"
HANDOVER = "0123456789ab-2"
TIMELINE = Timeline(rate_num=30_000, rate_den=1001, segment_frames=60, gop_frames=60)
FIRST_SEGMENT = 897_000_000  # delivered by the incumbent alone; in November 2026
CRITERIA = Criteria(lead_segments=2, verify_segments=2, psnr_min_db=26)
NEGOTIATE_US = 60_000_000
INIT_DIGESTS = tuple((track, hashlib.sha256(track.encode()).hexdigest()) for track in ("a", "v"))
ANCHOR = Anchor(  # a source of MPEG-TS that is about to wrap
    source_ticks=2**33 - 90_000,
    source_timescale=90_000,
    wrap_ticks=2**33,
    frame=TIMELINE.first_frame(FIRST_SEGMENT),
    wall_us=TIMELINE.wall_us(TIMELINE.first_frame(FIRST_SEGMENT)),
)


class NotAsTold(Exception):
    """A scenario ended otherwise than it says of itself: it is not worth recording."""


@dataclass(kw_only=True)
class Encoder:
    """One encoder's shell. outbox: calls to the incumbent that are to be made."""

    peer: model.Peer
    fingerprint: str
    fault: str = ""
    outbox: deque[model.Effect] = field(default_factory=deque)


class Stage:
    """A case being played. INCUMBENT is the one whom every other encoder calls."""

    def __init__(self, case: str, what: str) -> None:
        self._case, self._what = case, what
        self._now_us = ANCHOR.wall_us
        self._encoders: dict[str, Encoder] = {}
        self._identities: dict[str, dict[str, int | str]] = {}
        self._steps: list[Call | Judged | Local | Restarted] = []
        self._criteria = CRITERIA

    def transcript(self) -> Transcript:
        """What has been said so far."""
        return Transcript(
            case=self._case,
            what=self._what,
            protocol=PROTOCOL_VERSION,
            timeline=asdict(TIMELINE),
            encoders=self._identities,
            steps=self._steps,
        )

    # --- who is there ---

    def enter(
        self,
        name: str,
        *,
        protocol: int = PROTOCOL_VERSION,
        fingerprint: str = "5eed",
        fault: str = "",
    ) -> None:
        """An encoder starts. fault: what the incumbent will find in its segments."""
        identity = Identity(
            namespace="live",
            channel="first-channel",
            encoder_id=f"first-channel-{len(self._encoders) + 1}",
            instance=f"{name}-1",
            version="1.0",
            protocol=protocol,
        )
        peer = model.Peer(identity=identity, timeline=TIMELINE)
        self._encoders[name] = Encoder(peer=peer, fingerprint=fingerprint, fault=fault)
        self._identities[name] = asdict(identity)

    def restart(self, name: str) -> None:
        """The encoder's process is replaced: it has forgotten everything."""
        encoder = self._encoders[name]
        instance = f"{name}-2"
        identity = replace(encoder.peer.identity, instance=instance)
        encoder.peer = model.Peer(identity=identity, timeline=TIMELINE)
        encoder.outbox.clear()
        self._steps.append(Restarted(actor=name, at_us=self._now_us, instance=instance))

    def expect(self, name: str, phase: PeerPhase | None, reason: Refusal | None = None) -> None:
        """Raises NotAsTold unless the encoder stands there."""
        side = self._encoders[name].peer.side
        found = (None, None) if side is None else (side.phase, side.reason)
        if found != (phase, reason):
            raise NotAsTold(f"{self._case}: {name} is at {found}, expected {(phase, reason)}")

    # --- what happens in an encoder ---

    def deliver(self, count: int, *names: str) -> None:
        """The next segments: stamped and pushed, by all encoders or by those named."""
        for _ in range(count):
            for name in names or tuple(self._encoders):
                self._deliver(name)

    def _deliver(self, name: str) -> None:
        heads = [e.peer.head for e in self._encoders.values() if e.peer.head is not None]
        own = self._encoders[name].peer.head
        segment = max(heads, default=FIRST_SEGMENT) if own is None else own + 1
        ended_us = TIMELINE.wall_us(TIMELINE.first_frame(segment + 1))
        self._now_us = max(self._now_us, ended_us)
        self._happens(name, model.Stamped(segment=segment))
        self._happens(name, model.Pushed(segment=segment))

    def deadline(self) -> None:
        """All timers run out at once."""
        self._now_us += NEGOTIATE_US
        for name in self._encoders:
            self._happens(name, model.Tick())

    def _happens(self, name: str, event: LocalEvent) -> None:
        self._steps.append(written(name, self._now_us, self._encoders[name].peer, event))
        self._step(name, event)

    def _step(self, name: str, event: model.Event) -> model.Reply | None:
        encoder = self._encoders[name]
        result = machine.step(encoder.peer, event, self._now_us)
        encoder.peer = result.peer
        encoder.outbox.extend(requests_in(result.effects))
        return result.reply

    # --- what the operator does ---

    def demand(self, criteria: Criteria) -> None:
        """What is demanded of the handovers from here on."""
        self._criteria = criteria

    def take(self, name: str, term: int, from_segment: int | None = None) -> None:
        """Lead."""
        take = pb.TakeRequest(term=term, from_segment=from_segment)
        self._ask(OPERATOR, name, "Take", take)

    def begin(self, name: str, *, term: int = 2, handover_id: str = HANDOVER) -> None:
        """Take over from the incumbent."""
        begin = pb.BeginRequest(
            handover_id=handover_id,
            term=term,
            incumbent_id=self._encoders[INCUMBENT].peer.identity.encoder_id,
            incumbent_address="10.0.0.1:7400",
            criteria=codec.criteria_to_wire(self._criteria),
            deadline_us=self._now_us + NEGOTIATE_US,
        )
        self._ask(OPERATOR, name, "Begin", begin)

    def release(self, name: str) -> None:
        """The handover is recorded."""
        self._ask(OPERATOR, name, "Release", pb.ReleaseRequest(handover_id=HANDOVER))

    def abort(self, name: str) -> None:
        """Call it off."""
        abort = pb.AbortRequest(handover_id=HANDOVER, reason="Superseded", term=2)
        self._ask(OPERATOR, name, "Abort", abort)

    def report(self, *names: str) -> None:
        """Ask encoders, or all of them, how it went."""
        for name in names or tuple(self._encoders):
            shell = EncoderReport(
                identity=self._encoders[name].peer.identity,
                leading_term=0,
                head_segment=None,
                current_frame=TIMELINE.frame_at(self._now_us),
                anchor=ANCHOR,
                source_state="Running",
                source_message="",
                speed_percent=150,
            )
            answer = report_of(self._encoders[name].peer, shell)
            self._write(OPERATOR, name, "GetReport", pb.GetReportRequest(), answer)

    # --- what the other encoders ask of the incumbent ---

    def talk(self, caller: str, *, until: CallName | None = None) -> None:
        """Make the calls that are due, and those that their answers lead to; not `until`."""
        outbox = self._encoders[caller].outbox
        while outbox and CALL_OF[type(outbox[0])] != until:
            self.talk_once(caller)

    def talk_once(self, caller: str) -> None:
        """Make the next call."""
        self._call(caller, self._encoders[caller].outbox.popleft(), lost=None)

    def lose(self, caller: str, lost: Loss) -> None:
        """Make the next call in vain."""
        effect = self._encoders[caller].outbox.popleft()
        self._call(caller, effect, lost=lost)
        failed = model.CallFailed(handover_id=HANDOVER, message="deadline exceeded")
        self._happens(caller, failed)

    def _call(self, caller: str, effect: model.Effect, *, lost: Loss | None) -> None:
        side = self._encoders[caller].peer.side
        assert side is not None
        if isinstance(effect, model.SendSamples):
            answer = self._judge(caller, effect, lost=lost)
        else:
            request = request_of(effect, self._encoders[caller].peer, self._sync(caller))
            answer = self._ask(caller, INCUMBENT, CALL_OF[type(effect)], request, lost=lost)
        if lost is None and not isinstance(effect, model.SendAbort):
            reply = reply_of(answer)
            self._step(caller, model.Answered(handover_id=side.handover_id, reply=reply))

    def _judge(self, caller: str, effect: model.SendSamples, *, lost: Loss | None) -> Message:
        assert lost != "request", "there is no message that could be written down as lost"
        fault = self._encoders[caller].fault
        judged = model.Judged(handover_id=effect.handover_id, ok=not fault, message=fault)
        reply = self._step(INCUMBENT, judged)
        assert reply is not None
        answer = response_of("Verify", reply, None)
        self._steps.append(
            Judged(
                actor=INCUMBENT,
                at_us=self._now_us,
                caller=caller,
                handover_id=judged.handover_id,
                segments=effect.segments,
                ok=judged.ok,
                message=judged.message,
                reply=in_base64(answer),
                reply_json=in_words(answer),
                lost=lost,
            )
        )
        return answer

    def _ask(
        self,
        caller: str,
        name: str,
        call: CallName,
        request: Message,
        *,
        lost: Loss | None = None,
    ) -> Message:
        """One call over the wire. What the receiver decodes is what the sender encoded."""
        if lost == "request":
            return self._write(caller, name, call, request, messages_of(call).reply(), lost=lost)
        received = messages_of(call).request.FromString(request.SerializeToString())
        own = self._sync(name)
        reply = self._step(name, event_of(received, own))
        assert reply is not None
        answer = response_of(call, reply, own)
        return self._write(caller, name, call, request, answer, lost=lost)

    def _write(
        self,
        caller: str,
        name: str,
        call: CallName,
        request: Message,
        answer: Message,
        *,
        lost: Loss | None = None,
    ) -> Message:
        self._steps.append(
            Call(
                actor=name,
                at_us=self._now_us,
                caller=caller,
                call=call,
                request=in_base64(request),
                request_json=in_words(request),
                reply=in_base64(answer),
                reply_json=in_words(answer),
                lost=lost,
            )
        )
        return messages_of(call).reply.FromString(answer.SerializeToString())

    def _sync(self, name: str) -> SyncInfo:
        encoder = self._encoders[name]
        return SyncInfo(
            timeline=TIMELINE,
            fingerprint=encoder.fingerprint,
            anchor=ANCHOR,
            init_digests=INIT_DIGESTS,
            current_frame=TIMELINE.frame_at(self._now_us),
            head_segment=-1 if encoder.peer.head is None else encoder.peer.head,
        )
