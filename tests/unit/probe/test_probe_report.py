from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from hitless_cli.probe.faults import (
    EXAMPLES_MAX,
    EXAMPLES_OF_KIND_MAX,
    FaultKind,
    FaultLog,
    Finding,
)
from hitless_cli.probe.published import Ledger
from hitless_cli.probe.report import (
    Ending,
    FrameCounts,
    ProbeReport,
    report_json,
    report_text,
    worst,
)
from hitless_cli.probe.settings import PUBLISHED_REMEMBERED_MAX

CLEAN = ProbeReport(
    schema_version=1,
    url="http://o/master.m3u8",
    started_us=1,
    seconds=2.0,
    ending=Ending.TIME,
    ok=True,
    pattern=False,
    frame_rate="25",
    segment_frames=50,
    frames=FrameCounts(seen=50),
    fault_counts={},
    faults=(),
    renditions=(),
)


def test_the_log_counts_all_and_keeps_some() -> None:
    log = FaultLog()
    for index in range(1000):
        for name in ("a", "b", "c"):
            for kind in (FaultKind.FRAME_LOST, FaultKind.TONE_WRONG):
                log.add(name, Finding(kind=kind, message="x", count=2, frame=index))
    assert log.total == 12_000
    assert log.count("a", FaultKind.FRAME_LOST) == 2000
    assert log.totals() == {"FrameLost": 6000, "ToneWrong": 6000}
    assert len(log.examples()) == EXAMPLES_MAX
    kept = [f for f in log.examples() if (f.rendition, f.kind) == ("a", FaultKind.TONE_WRONG)]
    assert len(kept) <= EXAMPLES_OF_KIND_MAX


def test_json_has_plain_values() -> None:
    log = FaultLog()
    log.add("v", Finding(kind=FaultKind.FRAME_LOST, message="frame 7", frame=7))
    report = replace(CLEAN, ok=False, faults=log.examples(), fault_counts=log.totals())
    data = json.loads(report_json(report))
    assert data["ending"] == "Time"
    assert data["fault_counts"] == {"FrameLost": 1}
    assert data["faults"] == [
        {
            "kind": "FrameLost",
            "rendition": "v",
            "segment": None,
            "frame": 7,
            "count": 1,
            "message": "frame 7",
        }
    ]
    assert "FAULTS" in report_text(report)
    assert "FrameLost v: frame 7" in report_text(report)
    assert "no fault" in report_text(CLEAN)


def test_the_documentation_explains_every_fault() -> None:
    text = (Path(__file__).parents[3] / "docs" / "probe.md").read_text()
    assert [kind for kind in FaultKind if f"`{kind.value}`" not in text] == []


def test_the_worst_rendition_counts() -> None:
    bad = FrameCounts(seen=9, lost=1)
    assert worst([FrameCounts(seen=10), bad]) == bad
    assert worst([]) == FrameCounts()


def test_the_ledger_takes_turns_and_is_bounded() -> None:
    ledger = Ledger()
    for number in range(PUBLISHED_REMEMBERED_MAX + 10):
        ledger.add(number, f"u{number}", b"x")
    assert len(ledger.sweep(0, 10_000, 10_000)) == PUBLISHED_REMEMBERED_MAX
    picked = []
    for _ in range(4):
        published = ledger.sample(100, 110)
        assert published is not None
        ledger.rechecked(published)
        picked.append(published.sequence)
    assert picked == [109, 100, 108, 101]
    assert ledger.sample(5000, 6000) is None
    assert [p.sequence for p in ledger.sweep(100, 110, 3)] == [110, 107, 106]
