"""The diagrams in the documentation follow the core's tables."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pytest
from hack import diagrams

from hitless_handover import peer_rules, supervisor_update
from hitless_handover.messages import PeerPhase
from hitless_handover.supervisor_model import HandoverPhase

PLACES = "".join(f"<!-- generated: {name} -->\n<!-- end -->\n" for name in diagrams.BLOCKS)


class Light(StrEnum):
    """With and without a comment."""

    RED = "Red"  # stop
    GREEN = "Green"  # go


class Unsaid(StrEnum):
    """One has no comment."""

    RED = "Red"  # stop
    GREEN = "Green"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """One that is up to date."""
    path = tmp_path / "protocol.md"
    path.write_text(PLACES)
    assert diagrams.main([str(path)]) == 0
    return path


def test_a_table_becomes_a_diagram() -> None:
    table = {
        Light.RED: frozenset({Light.GREEN}),
        Light.GREEN: frozenset[Light](),
    }
    assert diagrams.state_diagram(table, {Light.RED: "car"}) == (
        "```mermaid\nstateDiagram-v2\n"
        "    [*] --> Red: car\n    Red --> Green\n    Green --> [*]\n"
        "```\n"
    )


def test_words_mean_what_their_comments_say() -> None:
    assert diagrams.meanings(Light) == {"RED": "stop", "GREEN": "go"}
    with pytest.raises(diagrams.DocumentError, match="GREEN"):
        diagrams.meanings(Unsaid)


def test_what_is_written_is_up_to_date(document: Path) -> None:
    written = document.read_text()
    assert "    Armed --> Switched\n" in written
    assert diagrams.main(["--check", str(document)]) == 0
    assert diagrams.main([str(document)]) == 0
    assert document.read_text() == written


def test_a_changed_table_is_noticed(
    document: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = document.read_text()
    back = frozenset({PeerPhase.RELEASED, PeerPhase.ARMED})
    monkeypatch.setitem(peer_rules.TRANSITIONS, PeerPhase.SWITCHED, back)
    assert diagrams.main(["--check", str(document)]) == 1
    said = capsys.readouterr()
    assert "+    Switched --> Armed\n" in said.out
    assert "run hack/diagrams" in said.err
    assert document.read_text() == written


def test_a_changed_table_of_updates_is_noticed(
    document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(supervisor_update.TRANSITIONS, HandoverPhase.HOLDING, frozenset())
    assert diagrams.main(["--check", str(document)]) == 1


@pytest.mark.parametrize(
    "text",
    [
        PLACES.replace("generated: refusals", "generated: refusal"),
        PLACES.replace("<!-- generated: refusals -->", ""),
        PLACES + PLACES,
    ],
)
def test_every_block_has_one_place(text: str, tmp_path: Path) -> None:
    document = tmp_path / "protocol.md"
    document.write_text(text)
    assert diagrams.main([str(document)]) == 1
    assert document.read_text() == text


def test_the_rest_of_a_document_is_left_alone(document: Path) -> None:
    document.write_text(f"Before.\n{document.read_text()}After.\n")
    assert diagrams.main([str(document)]) == 0
    assert document.read_text().startswith("Before.\n")
    assert document.read_text().endswith("After.\n")
