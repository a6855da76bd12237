"""The record file: round trip, refusals, what a new run makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.local.values import ARMED, COMPLETED, UPDATING, V1, V2

from hitless_cli.local.errors import DataDirError
from hitless_cli.local.record import PREVIOUS_RUN, RecordFile, StoredRecord, decode, encode, resumed
from hitless_handover.supervisor_model import ChannelRecord


def record_file(folder: Path, channel: str = "demo") -> RecordFile:
    return RecordFile(folder / "record.json", namespace="default", channel=channel)


@pytest.mark.parametrize("record", [ChannelRecord(), UPDATING])
def test_round_trip(record: ChannelRecord) -> None:
    stored = StoredRecord(namespace="default", channel="demo", record=record)
    assert decode(encode(stored)) == stored


def test_stored_is_loaded(tmp_path: Path) -> None:
    record_file(tmp_path).store(UPDATING)
    assert record_file(tmp_path).load() == UPDATING
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_no_file_is_a_new_channel(tmp_path: Path) -> None:
    assert record_file(tmp_path).load() == ChannelRecord()


@pytest.mark.parametrize("text", ["", "{", "{}", '{"schemaVersion": 2}'])
def test_unreadable_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(DataDirError, match="not a channel record"):
        record_file(tmp_path).load()


def test_record_of_another_channel_is_refused(tmp_path: Path) -> None:
    record_file(tmp_path).store(UPDATING)
    with pytest.raises(DataDirError, match="belongs to channel default/demo"):
        record_file(tmp_path, "other").load()


def test_encoder_never_seen_counts_as_lost() -> None:
    unseen = replace(UPDATING, handover=replace(ARMED, successor=replace(V2, uid="")))
    handover = resumed(unseen).handover
    assert handover is not None
    assert handover.successor.uid == PREVIOUS_RUN
    assert handover.incumbent == V1


def test_finished_handover_is_history() -> None:
    done = replace(UPDATING, handover=COMPLETED)
    assert resumed(done) == done
