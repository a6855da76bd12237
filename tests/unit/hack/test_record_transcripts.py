"""The recorder of transcripts: the same each time, and never over what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hack.transcripts.record import main
from hack.transcripts.scenarios import CASES
from hack.transcripts.transcript import CONTRACT

from hitless_handover.messages import PROTOCOL_VERSION

VERSION = f"v{PROTOCOL_VERSION}"


def test_two_recordings_are_the_same(tmp_path: Path) -> None:
    contents = []
    for folder in (tmp_path / "a" / VERSION, tmp_path / "b" / VERSION):
        assert main([str(folder)]) == 0
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {CONTRACT, *(f"{case}.json" for case in CASES)}


def test_what_is_recorded_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / VERSION
    folder.mkdir()
    with pytest.raises(SystemExit):
        main([str(folder)])
    assert "exists" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_a_version_is_recorded_under_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / f"v{PROTOCOL_VERSION + 1}")])
    assert list(tmp_path.iterdir()) == []
