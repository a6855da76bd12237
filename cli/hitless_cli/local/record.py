"""The channel's record as a file: what `hitless local` remembers from one run to the next.

Owns the JSON form of `ChannelRecord` and its atomic replacement on disk. In Kubernetes the CR
status holds the same. The run loop stores here before it acts, and nobody else writes.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from hitless_cli.local.errors import DataDirError
from hitless_handover.supervisor_model import ChannelRecord, EncoderRecord
from hitless_wire.model import Model

PREVIOUS_RUN = "previous-run"  # uid of an encoder that can't have outlived its parent


class StoredRecord(Model):
    """The file. schema_version grows when an older `hitless` could not read it."""

    schema_version: Literal[1] = 1
    namespace: str
    channel: str
    record: ChannelRecord


def encode(stored: StoredRecord) -> str:
    """JSON text, indented: people read it too."""
    return stored.model_dump_json(by_alias=True, indent=2) + "\n"


def decode(text: str) -> StoredRecord:
    """The inverse of `encode`. Raises pydantic.ValidationError."""
    return StoredRecord.model_validate_json(text)


def resumed(record: ChannelRecord) -> ChannelRecord:
    """The record as a new run finds it: encoders never seen alive count as created and lost.

    The supervisor creates a missing encoder that has no uid under its recorded term; after a
    restart it must not, since that term belongs to settings which this run may not have.
    """
    handover = record.handover
    if handover is not None and handover.live:
        handover = replace(
            handover,
            incumbent=_lost(handover.incumbent),
            successor=_lost(handover.successor),
        )
    active = None if record.active is None else _lost(record.active)
    spare = None if record.spare is None else _lost(record.spare)
    return replace(record, active=active, spare=spare, handover=handover)


def _lost(encoder: EncoderRecord) -> EncoderRecord:
    return encoder if encoder.uid else replace(encoder, uid=PREVIOUS_RUN)


class RecordFile:
    """One channel's record on disk."""

    def __init__(self, path: Path, *, namespace: str, channel: str) -> None:
        self._path = path
        self._namespace = namespace
        self._channel = channel

    def load(self) -> ChannelRecord:
        """What a former run left, or an empty record. Raises DataDirError."""
        try:
            stored = decode(self._path.read_text())
        except FileNotFoundError:
            return ChannelRecord()
        except (OSError, ValidationError) as error:
            raise DataDirError(
                f"{self._path}: not a channel record ({_first_line(error)}); "
                "move it away, or choose another --data"
            ) from error
        if (stored.namespace, stored.channel) != (self._namespace, self._channel):
            raise DataDirError(
                f"{self._path}: belongs to channel {stored.namespace}/{stored.channel}, not "
                f"{self._namespace}/{self._channel}; choose another --data"
            )
        return resumed(stored.record)

    def store(self, record: ChannelRecord) -> None:
        """Replace the file, on disk when this returns: terms must survive a power cut too."""
        stored = StoredRecord(namespace=self._namespace, channel=self._channel, record=record)
        beside = self._path.with_suffix(".new")
        with beside.open("w") as file:
            file.write(encode(stored))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        _sync_directory(self._path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
