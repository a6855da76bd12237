"""Records tests/fixtures/transcripts/v<protocol version> from runs of the real machines.

What encoders of one protocol version say to each other, as bytes on the wire, for the versions to
come to be held against (tests/unit/wire/test_transcripts.py). Record a version when it is final,
and never again: a folder that exists is not written to.

The core and codec are those that Python imports. For those of another tree than this:

    PYTHONPATH=TREE/handover:TREE/proto hack/record-transcripts tests/fixtures/transcripts/v1
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from inspect import getdoc
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from hack.transcripts.scenarios import CASES, Play
from hack.transcripts.stage import Stage
from hack.transcripts.transcript import CONTRACT, Transcript

import hitless_handover
import hitless_wire
from hitless_handover.messages import PROTOCOL_VERSION
from hitless_wire._gen import handover_pb2 as pb


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the folder. Exit code 2 when it is not one that may be written."""
    parser = argparse.ArgumentParser(
        prog="hack/record-transcripts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="to be made; its name is v<protocol version>")
    folder: Path = parser.parse_args(arguments).folder
    if folder.name != f"v{PROTOCOL_VERSION}":
        parser.error(
            f"{folder}: {_origin()} speaks {PROTOCOL_VERSION}: call it v{PROTOCOL_VERSION}"
        )
    if folder.exists():
        parser.error(f"{folder} exists: what a version said is recorded once")
    transcripts = [recorded(case, play) for case, play in CASES.items()]
    folder.mkdir(parents=True)
    for transcript in transcripts:
        transcript.write(folder)
    (folder / CONTRACT).write_bytes(contract().SerializeToString(deterministic=True))
    steps = sum(len(transcript.steps) for transcript in transcripts)
    print(f"{folder}: {len(transcripts)} transcripts, {steps} steps, of {_origin()}")
    return 0


def recorded(case: str, play: Play) -> Transcript:
    """One case, played. Raises NotAsTold."""
    stage = Stage(case, getdoc(play) or "")
    play(stage)
    return stage.transcript()


def contract() -> FileDescriptorSet:
    """The messages of this version: how its encoders read what they are sent. An image for buf."""
    file = FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        known = pb.DESCRIPTOR.message_types_by_name[message.name].fields_by_name
        for field in message.field:  # buf compares it, and protoc left it out
            field.json_name = known[field.name].json_name
    return FileDescriptorSet(file=[file])


def _origin() -> str:
    places = [Path(module.__file__ or "").parent for module in (hitless_handover, hitless_wire)]
    return " and ".join(str(place) for place in places)


if __name__ == "__main__":
    sys.exit(main())
