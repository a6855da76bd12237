"""The file format of a transcript: what encoders of one protocol version said to each other.

Owns what a file in tests/fixtures/transcripts holds (see the README there). It imports nothing of
Hitless: the code that records a transcript and the code that reads it are of different versions.
The recorder writes transcripts; the replay in tests/unit/wire reads them.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Literal

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict

OPERATOR = "operator"
CONTRACT = "handover.binpb"  # beside the transcripts: the contract that they were recorded with

CallName = Literal[
    "Take",
    "Begin",
    "Release",
    "Abort",
    "GetReport",
    "Announce",
    "Synchronise",
    "Verify",
    "Propose",
    "Arm",
    "CallOff",
]
Loss = Literal["request", "reply"]


class Entry(BaseModel):
    """Base of what a file consists of: nothing in it is ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Call(Entry):
    """`caller` (an encoder or the operator) calls `actor`. request, reply: the bytes, in base64.

    lost: which of the two never arrived. To a lost request there is no reply.
    """

    actor: str
    at_us: int
    caller: str
    call: CallName
    request: str
    request_json: dict[str, Any]
    reply: str = ""
    reply_json: dict[str, Any] = {}
    lost: Loss | None = None


class Judged(Entry):
    """The shell of `actor` has judged the `segments` that `caller` streamed with Verify."""

    actor: str
    at_us: int
    caller: str
    event: Literal["Judged"] = "Judged"
    handover_id: str
    segments: int
    ok: bool
    message: str
    reply: str
    reply_json: dict[str, Any]
    lost: Literal["reply"] | None = None


class Local(Entry):
    """An event of the machine that nobody sent; fields: as in hitless_handover.peer_model.

    priority: what a segment was stamped with, and given out. silent: or withheld.
    """

    actor: str
    at_us: int
    event: Literal["Stamped", "Pushed", "Tick", "CallFailed"]
    fields: dict[str, int | str] = {}
    priority: int | None = None
    silent: bool | None = None


class Restarted(Entry):
    """The process of `actor` begins anew and knows nothing; only its instance is another."""

    actor: str
    at_us: int
    event: Literal["Restarted"] = "Restarted"
    instance: str


class Transcript(Entry):
    """One case. timeline, encoders: fields of hitless_handover.timeline.Timeline and Identity.

    An encoder begins as a machine that has delivered nothing and leads nothing.
    """

    case: str
    what: str
    protocol: int
    timeline: dict[str, int]
    encoders: dict[str, dict[str, int | str]]
    steps: list[Call | Judged | Local | Restarted]

    @classmethod
    def read(cls, path: Path) -> Transcript:
        """A recorded case. Raises pydantic.ValidationError."""
        return cls.model_validate_json(path.read_bytes())

    def write(self, folder: Path) -> None:
        """Into <case>.json."""
        text = self.model_dump_json(indent=1, exclude_none=True)
        (folder / f"{self.case}.json").write_text(text + "\n")


def in_base64(message: Message) -> str:
    """A message's bytes on the wire."""
    return base64.b64encode(message.SerializeToString(deterministic=True)).decode()


def from_base64(text: str) -> bytes:
    """The bytes again."""
    return base64.b64decode(text, validate=True)


def in_words(message: Message) -> dict[str, Any]:
    """A message for people."""
    return MessageToDict(message, preserving_proto_field_name=True)
