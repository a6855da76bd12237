"""Options, the terminal, the archive: what needs no API server."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from hitless_cli.__main__ import COMMANDS, main
from hitless_cli.cluster.bundle import archive as archives
from hitless_cli.cluster.bundle.archive import Archive
from hitless_cli.cluster.options import Duration
from hitless_cli.terminal import LiveBlock, LiveLine

CLUSTER_COMMANDS = sorted(n for n, entry in COMMANDS.items() if ".cluster." in entry.module)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("10m", 600.0), ("1h30m", 5400.0), ("1.5s", 1.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "10x", "m", "1000h", "1m x"])
def test_no_durations(text: str) -> None:
    with pytest.raises(click.BadParameter, match="such as 90s, 10m"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize("name", CLUSTER_COMMANDS)
def test_help_tells_the_exit_codes(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert "Exit code: 0 done" in result.output
    assert "--kubeconfig" in result.output


@pytest.mark.parametrize(
    "words",
    [
        ["get", "a", "-A"],
        ["get", "-w", "-o", "json"],
        ["status", "a", "-w", "-o", "json"],
        ["update", "a"],
        ["update", "a", "--image", "x", "--timeout", "soon"],
        ["bundle", "a", "-A"],
        ["history"],
    ],
)
def test_wrong_usage_gives_2_before_anything_is_asked(words: list[str]) -> None:
    result = CliRunner().invoke(main, [*words, "--kubeconfig", "/nonesuch"])
    assert result.exit_code == 2


# --- the terminal ---


def test_a_live_line_stays_below_what_is_printed() -> None:
    stream = io.StringIO()
    line = LiveLine(stream, live=True)
    line.show("now")
    line.print("done")
    assert stream.getvalue() == "\r\x1b[2Know\r\x1b[2Kdone\nnow"


def test_elsewhere_there_is_no_live_line() -> None:
    stream = io.StringIO()
    line = LiveLine(stream, live=False)
    line.show("now")
    line.print("done")
    assert stream.getvalue() == "done\n"


def test_a_block_is_rewritten_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "6")
    monkeypatch.setenv("LINES", "3")
    stream = io.StringIO()
    block = LiveBlock(stream)
    block.show(["one", "two", "three"])
    block.show(["a long line"])
    assert stream.getvalue() == "\r\x1b[Jone\ntwo\n" + "\x1b[2A\r\x1b[Ja lon\n"


# --- the archive ---


def manifest(path: Path) -> Any:
    with tarfile.open(path) as archive:
        content = archive.extractfile("hitless-bundle/MANIFEST.json")
        assert content is not None
        return json.loads(content.read())


def test_an_archive_lists_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    with Archive(path, {"server": "here"}) as archive:
        archive.add_document("a.json", "a document", {"password": "x", "b": 1})
        archive.add_text("b.log", "a log", b"token=x\n", truncated=True)
        archive.lack("c", "srt://u:hidden@h: forbidden")
    told = manifest(path)
    assert told["server"] == "here"
    assert [(f["path"], f["truncated"]) for f in told["files"]] == [
        ("a.json", False),
        ("b.log", True),
    ]
    assert told["missing"] == [{"what": "c", "why": "srt://REDACTED@h: forbidden"}]


def test_a_full_archive_says_what_did_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "TOTAL_BYTES_MAX", 10)
    path = tmp_path / "b.tar.gz"
    with Archive(path, {}) as archive:
        archive.add_text("a.log", "first", b"12345678")
        archive.add_text("b.log", "second", b"12345678")
    told = manifest(path)
    assert [f["what"] for f in told["files"]] == ["first"]
    assert told["missing"][0]["what"] == "second"
    assert "the archive is full" in told["missing"][0]["why"]


def test_an_archive_cut_short_leaves_nothing(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "b.tar.gz", {})
    archive.__enter__()
    archive.add_text("a.log", "a", b"x")
    archive.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert list(tmp_path.iterdir()) == []
