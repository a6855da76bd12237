"""Between the messages of a call and the machine's events and effects, as the shells do it.

Owns what no codec function covers: which message carries which event. The recorder and the replay
in tests/unit/wire call it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from google.protobuf.message import Message
from hack.transcripts.transcript import CallName, Local

from hitless_handover import peer as machine
from hitless_handover.leadership import lead_at
from hitless_handover.messages import EncoderReport, SyncInfo
from hitless_handover.peer_model import (
    Announce,
    Arm,
    CallFailed,
    Effect,
    Event,
    Peer,
    Propose,
    Pushed,
    Release,
    Reply,
    Request,
    SendAbort,
    SendAnnounce,
    SendArm,
    SendPropose,
    SendSamples,
    SendSync,
    Stamped,
    Synchronise,
    Tick,
)
from hitless_handover.peer_rules import leading_term
from hitless_wire import codec
from hitless_wire._gen import handover_pb2 as pb

# The successor's calls. Of SendAbort's the answer is not waited for.
CALL_OF: Mapping[type[Effect], CallName] = {
    SendAnnounce: "Announce",
    SendSync: "Synchronise",
    SendSamples: "Verify",
    SendPropose: "Propose",
    SendArm: "Arm",
    SendAbort: "CallOff",
}

LocalEvent = Stamped | Pushed | Tick | CallFailed
_LOCAL: Mapping[str, type[LocalEvent]] = {
    "Stamped": Stamped,
    "Pushed": Pushed,
    "Tick": Tick,
    "CallFailed": CallFailed,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """The classes of a call's two messages."""

    request: type[Message]
    reply: type[Message]


def messages_of(call: str) -> Messages:
    """Every call's messages are named after it."""
    return Messages(request=getattr(pb, f"{call}Request"), reply=getattr(pb, f"{call}Response"))


def request_of(effect: Effect, peer: Peer, own: SyncInfo | None) -> Message:
    """What an encoder sends for an effect. own: its sync information, for Synchronise."""
    side = peer.side
    assert side is not None, f"{effect} without a handover"
    match effect:
        case SendAnnounce():
            announce = Announce(
                handover_id=effect.handover_id,
                term=side.term,
                successor=peer.identity,
                criteria=side.criteria,
                deadline_us=side.deadline_us,
            )
            return codec.announce_to_wire(announce)
        case SendSync():
            assert own is not None
            wire = codec.sync_to_wire(own)
            return pb.SynchroniseRequest(handover_id=effect.handover_id, successor=wire)
        case SendPropose():
            return pb.ProposeRequest(handover_id=effect.handover_id, frame=effect.frame)
        case SendArm():
            return pb.ArmRequest(handover_id=effect.handover_id, frame=effect.frame)
        case SendAbort():
            return pb.CallOffRequest(
                handover_id=effect.handover_id, reason=effect.reason, term=side.term
            )
        case _:
            raise TypeError(f"{effect} is not one message to the incumbent")


def event_of(request: Message, own: SyncInfo | None) -> Event:
    """What a message means to the machine. own: the receiver's sync information."""
    match request:
        case pb.TakeRequest():
            return codec.take_from_wire(request)
        case pb.BeginRequest():
            return codec.begin_from_wire(request)
        case pb.ReleaseRequest():
            return Release(handover_id=request.handover_id)
        case pb.AbortRequest() | pb.CallOffRequest():
            return codec.abort_from_wire(request)
        case pb.AnnounceRequest():
            return codec.announce_from_wire(request)
        case pb.SynchroniseRequest():
            assert own is not None
            other = codec.sync_from_wire(request.successor)
            return Synchronise(handover_id=request.handover_id, own=own, other=other)
        case pb.ProposeRequest():
            return Propose(handover_id=request.handover_id, frame=request.frame)
        case pb.ArmRequest():
            return Arm(handover_id=request.handover_id, frame=request.frame)
        case _:
            raise TypeError(f"{type(request).__name__} is no event of the machine")


def read_local(entry: Local) -> LocalEvent:
    """An event that nobody sent, as it was written."""
    kind: Any = _LOCAL[entry.event]
    event: LocalEvent = kind(**entry.fields)
    return event


def written(name: str, now_us: int, peer: Peer, event: LocalEvent) -> Local:
    """The other way. peer: before the event, which says the priority that is stamped."""
    entry: dict[str, Any] = {
        "actor": name,
        "at_us": now_us,
        "event": type(event).__name__,
        "fields": asdict(event),
    }
    if isinstance(event, Stamped):
        lead = lead_at(peer.schedule, event.segment)
        entry |= {"priority": lead.priority, "silent": lead.silent or None}
    return Local.model_validate(entry)


def response_of(call: str, reply: Reply, own: SyncInfo | None) -> Message:
    """The message that carries a machine's answer."""
    wire = codec.reply_to_wire(reply)
    if call == "Synchronise":
        assert own is not None
        return pb.SynchroniseResponse(reply=wire, incumbent=codec.sync_to_wire(own))
    return messages_of(call).reply(reply=wire)


def reply_of(response: Message) -> Reply:
    """The machine's answer in a message."""
    wire: Any = response  # each of them has the field `reply`
    return codec.reply_from_wire(wire.reply)


def report_of(peer: Peer, shell: EncoderReport) -> Message:
    """What an encoder says of itself: the machine's part of it, around the shell's."""
    report = replace(
        shell,
        identity=peer.identity,
        leading_term=leading_term(peer),
        head_segment=peer.head,
        handover=machine.report(peer),
    )
    return pb.GetReportResponse(report=codec.report_to_wire(report))


def requests_in(effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
    """Those effects that are calls to the incumbent."""
    return tuple(effect for effect in effects if isinstance(effect, Request))
