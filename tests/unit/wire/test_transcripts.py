"""Today's machine in the place of each encoder of every recorded transcript.

Its peers are the recorded bytes of their protocol version: it must understand them, answer with the
same verdicts and make the same calls, as far as that version can tell.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hack.transcripts.calls import (
    CALL_OF,
    event_of,
    messages_of,
    read_local,
    reply_of,
    report_of,
    request_of,
    requests_in,
    response_of,
)
from hack.transcripts.transcript import (
    CONTRACT,
    Call,
    Judged,
    Local,
    Restarted,
    Transcript,
    from_base64,
    in_base64,
)

from hitless_handover import peer as machine
from hitless_handover.leadership import lead_at
from hitless_handover.messages import PROTOCOL_VERSION, Identity, SyncInfo
from hitless_handover.peer_model import Answered, Effect, Event, Peer, Reply, SendSamples
from hitless_handover.peer_model import Judged as JudgedEvent
from hitless_handover.timeline import Timeline
from hitless_wire import codec
from hitless_wire._gen import handover_pb2 as pb

TRANSCRIPTS = Path(__file__).parents[2] / "fixtures" / "transcripts"
SKEW = 1  # what is promised, whatever the code says: peers one version apart hand over
VERSIONS = range(max(1, PROTOCOL_VERSION - SKEW), PROTOCOL_VERSION + 1)
RECORDED = [path for version in VERSIONS for path in (TRANSCRIPTS / f"v{version}").glob("*.json")]
FOR_PEOPLE = {"message", "reason"}  # texts by these names: a version may put them in its own words


class Contract:
    """How encoders of a recorded version read a message: by the fields that they know."""

    def __init__(self, folder: Path) -> None:
        self._pool = DescriptorPool()
        image = FileDescriptorSet.FromString((folder / CONTRACT).read_bytes())
        for file in image.file:
            self._pool.AddSerializedFile(file.SerializeToString())

    def heard(self, message: Message) -> dict[str, Any]:
        """What they understand of it, without texts for people."""
        known = self._pool.FindMessageTypeByName(message.DESCRIPTOR.full_name)
        read = GetMessageClass(known).FromString(message.SerializeToString())
        read.DiscardUnknownFields()
        _clear_words(read)
        return MessageToDict(
            read, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )


def _clear_words(message: Message) -> None:
    for known, value in message.ListFields():
        if known.type == known.TYPE_STRING and known.name in FOR_PEOPLE:
            message.ClearField(known.name)
        elif isinstance(value, Message):
            _clear_words(value)


@dataclass(kw_only=True)
class Player:
    """Today's machine as the encoder `name`. outbox: the calls that it wants to make."""

    name: str
    contract: Contract
    peer: Peer
    outbox: deque[Effect] = field(default_factory=deque)

    def take_part(self, step: Call | Judged | Local | Restarted) -> None:
        """One step of the transcript, if it is about this encoder."""
        if step.actor == self.name:
            self._receive(step)
        elif isinstance(step, Call | Judged) and step.caller == self.name:
            self._make(step)

    def _receive(self, step: Call | Judged | Local | Restarted) -> None:
        match step:
            case Restarted():
                identity = replace(self.peer.identity, instance=step.instance)
                self.peer = Peer(identity=identity, timeline=self.peer.timeline)
                self.outbox.clear()
            case Local():
                self._same_output(step)
                self._step(read_local(step), step.at_us)
            case Judged():
                event = JudgedEvent(handover_id=step.handover_id, ok=step.ok, message=step.message)
                self._same_answer("Verify", self._step(event, step.at_us), step.reply)
            case Call(call="GetReport"):
                self._same_report(step)
            case Call() if step.lost != "request":
                self._answer(step)

    def _answer(self, step: Call) -> None:
        own = _sync_in(_read(step.call, step.reply))
        event = event_of(_read(step.call, step.request, request=True), own)
        self._same_answer(step.call, self._step(event, step.at_us), step.reply, own)

    def _same_output(self, step: Local) -> None:
        """A segment goes out as it did, or is withheld as it was."""
        if step.priority is not None:
            lead = lead_at(self.peer.schedule, int(step.fields["segment"]))
            assert (lead.priority, lead.silent) == (step.priority, bool(step.silent))

    def _same_answer(
        self, call: str, reply: Reply | None, recorded: str, own: SyncInfo | None = None
    ) -> None:
        assert reply is not None
        theirs = _read(call, recorded)
        assert replace(reply, message="") == replace(reply_of(theirs), message="")
        self._same(response_of(call, reply, own), theirs)

    def _same_report(self, step: Call) -> None:
        recorded = _read(step.call, step.reply)
        assert isinstance(recorded, pb.GetReportResponse)
        recorded.report.identity.protocol = self.peer.identity.protocol
        self._same(report_of(self.peer, codec.report_from_wire(recorded.report)), recorded)

    def _make(self, step: Call | Judged) -> None:
        """The machine wants to make this call too; give it the recorded answer."""
        call = step.call if isinstance(step, Call) else "Verify"
        assert self.outbox, f"{call} was recorded, and nothing is asked now"
        effect = self.outbox.popleft()
        assert CALL_OF[type(effect)] == call
        if isinstance(step, Judged):
            assert effect == SendSamples(handover_id=step.handover_id, segments=step.segments)
        else:
            self._same_request(effect, step)
        if step.lost is not None or call == "CallOff":
            return
        assert self.peer.side is not None
        reply = reply_of(_read(call, step.reply))
        self._step(Answered(handover_id=self.peer.side.handover_id, reply=reply), step.at_us)

    def _same_request(self, effect: Effect, step: Call) -> None:
        recorded = _read(step.call, step.request, request=True)
        if isinstance(recorded, pb.AnnounceRequest):
            recorded.successor.protocol = self.peer.identity.protocol
        self._same(request_of(effect, self.peer, _sync_in(recorded)), recorded)

    def _same(self, now: Message, recorded: Message) -> None:
        assert self.contract.heard(now) == self.contract.heard(recorded)

    def _step(self, event: Event, now_us: int) -> Reply | None:
        result = machine.step(self.peer, event, now_us)
        self.peer = result.peer
        self.outbox.extend(requests_in(result.effects))
        return result.reply


def _read(call: str, wire: str, *, request: bool = False) -> Message:
    """A recorded message, as today's code reads it."""
    kinds = messages_of(call)
    return (kinds.request if request else kinds.reply).FromString(from_base64(wire))


def _sync_in(message: Message) -> SyncInfo | None:
    """The sender's sync information: what the shell in its place knows of its own output."""
    match message:
        case pb.SynchroniseRequest():
            return codec.sync_from_wire(message.successor)
        case pb.SynchroniseResponse():
            return codec.sync_from_wire(message.incumbent)
        case _:
            return None


def replay(transcript: Transcript, name: str, contract: Contract) -> None:
    """Raises AssertionError at the first step that differs."""
    recorded: dict[str, Any] = transcript.encoders[name]
    identity = replace(Identity(**recorded), protocol=PROTOCOL_VERSION)
    timeline = Timeline(**transcript.timeline)
    player = Player(name=name, contract=contract, peer=Peer(identity=identity, timeline=timeline))
    for step in transcript.steps:
        player.take_part(step)
    assert not player.outbox, "a call that was not made then"


def roles() -> list[Any]:
    """Every encoder of every transcript."""
    return [
        pytest.param(path, name, id=f"{path.parent.name}-{path.stem}-{name}")
        for path in sorted(RECORDED)
        for name in Transcript.read(path).encoders
    ]


@pytest.mark.parametrize(("path", "name"), roles())
def test_todays_machine_takes_part_as_it_was_recorded(path: Path, name: str) -> None:
    replay(Transcript.read(path), name, Contract(path.parent))


def test_every_earlier_version_that_may_be_met_is_recorded() -> None:
    earlier = {f"v{version}" for version in VERSIONS if version < PROTOCOL_VERSION}
    assert earlier <= {path.parent.name for path in RECORDED}


@pytest.mark.parametrize(
    ("name", "call", "change"),
    [
        ("incumbent", "Announce", {"reply": pb.AnnounceResponse()}),
        ("incumbent", "GetReport", {"reply": pb.GetReportResponse()}),
        ("successor", "Propose", {"request": pb.ProposeRequest(frame=60)}),
        ("successor", "Propose", {"reply": pb.ProposeResponse(reply=pb.Reply(frame=2**40))}),
    ],
)
def test_a_replay_notices_another_word(name: str, call: str, change: dict[str, Message]) -> None:
    path = next(path for path in RECORDED if path.stem == "completed")
    transcript = Transcript.read(path)
    other = {part: in_base64(message) for part, message in change.items()}
    steps = [
        step.model_copy(update=other) if isinstance(step, Call) and step.call == call else step
        for step in transcript.steps
    ]
    with pytest.raises(AssertionError):
        replay(transcript.model_copy(update={"steps": steps}), name, Contract(path.parent))
