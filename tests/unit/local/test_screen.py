"""What is printed, line by line."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from tests.unit.local.values import ARMED, COMPLETED, UPDATING, V1, WANTED, view

from hitless_cli.local import story
from hitless_cli.local.screen import (
    JsonScreen,
    TextScreen,
    notice_line,
    progress_line,
    summary_lines,
)
from hitless_handover.supervisor_model import ChannelPhase, HandoverPhase, Notice

PHASES = story.Phases(
    handover_id="abc-2",
    entered=(
        (HandoverPhase.STARTING, 1_000_000),
        (HandoverPhase.NEGOTIATING, 3_000_000),
        (HandoverPhase.COMPLETED, 13_000_000),
    ),
)


def progress(last_segment: int | None = 8) -> story.Progress:
    made = story.progress(UPDATING, view(last_segment), WANTED)
    assert made is not None
    return made


def test_notice() -> None:
    notice = Notice(reason="OnAir", message="demo-1 is on air")
    assert notice_line(notice, "12:00:00") == "12:00:00   OnAir              demo-1 is on air"
    warned = replace(notice, warning=True)
    assert notice_line(warned, "12:00:00").startswith("12:00:00 ! OnAir")


def test_progress_to_the_event() -> None:
    assert progress_line(progress()) == (
        "Armed | 2 segments to go | frame 600 | confirmed by incumbent | demo-1 (v1) -> demo-2 (v2)"
    )


def test_progress_to_the_end_of_the_hold() -> None:
    held = replace(UPDATING, handover=replace(ARMED, phase=HandoverPhase.HOLDING))
    made = story.progress(held, view(12), WANTED)
    assert made is not None
    assert made.segments_to_go == 1
    assert progress_line(made).startswith("Holding | 1 segment to go")


def test_progress_before_a_frame_is_agreed() -> None:
    early = replace(
        ARMED,
        phase=HandoverPhase.STARTING,
        frame=None,
        segment=None,
        incumbent_confirmation=None,
    )
    made = story.progress(replace(UPDATING, handover=early), view(8), WANTED)
    assert made is not None
    assert progress_line(made) == "Starting | demo-1 (v1) -> demo-2 (v2)"


def test_no_progress_at_rest() -> None:
    assert story.progress(replace(UPDATING, handover=COMPLETED), view(8), WANTED) is None
    assert story.progress(replace(UPDATING, handover=None), view(8), WANTED) is None


def test_phases_are_followed_once_each() -> None:
    phases = story.followed(story.Phases(), ARMED)
    assert story.followed(phases, ARMED) == phases
    done = story.followed(phases, COMPLETED)
    assert [phase for phase, _ in done.entered] == [HandoverPhase.ARMED, HandoverPhase.COMPLETED]
    assert story.followed(done, replace(ARMED, handover_id="abc-3")).entered == phases.entered


def test_problem_is_told_once_and_only_when_it_lasts() -> None:
    stuck = replace(UPDATING, handover=None, phase=ChannelPhase.STARTING)
    trouble, news = story.watched(story.Trouble(), stuck, 100.0)
    assert news is None
    trouble, news = story.watched(trouble, stuck, 114.0)
    assert news is None
    trouble, news = story.watched(trouble, stuck, 116.0)
    assert news == Notice(reason="R", message="m", warning=True)
    trouble, news = story.watched(trouble, stuck, 200.0)
    assert news is None
    assert story.watched(trouble, replace(stuck, phase=ChannelPhase.LIVE), 201.0) == (
        story.Trouble(),
        None,
    )


def test_summary_of_a_completed_handover() -> None:
    lines = summary_lines(story.summary(COMPLETED, PHASES, "00:00:20:00"))
    assert lines == [
        "  handover   abc-2 Completed",
        "  from       demo-1 (v1)",
        "  to         demo-2 (v2)",
        "  frame      600  timecode 00:00:20:00",
        "  segment    10",
        "  gap        0 frames",
        "  overlap    60 frames",
        "  confirmed  incumbent (segment 9), successor (segment 10), origin (segment 10)",
        "  duration   12.0 s  (Starting 2.0 s, Negotiating 10.0 s)",
    ]


def test_summary_of_an_aborted_handover() -> None:
    aborted = replace(
        COMPLETED,
        phase=HandoverPhase.ABORTED,
        frame=None,
        segment=None,
        reason="SuccessorLost",
        message="demo-2: exit code 3",
    )
    lines = summary_lines(story.summary(aborted, story.Phases(), ""))
    assert "  frame      none was agreed" in lines
    assert lines[-1] == "  because    SuccessorLost: demo-2: exit code 3"


def test_plain_text_says_progress_once() -> None:
    stream = io.StringIO()
    screen = TextScreen(stream, live=False)
    for segment in (8, 8, 9):
        screen.progress(progress(segment))
    screen.progress(None)
    parts = [line.split(" | ")[1] for line in stream.getvalue().splitlines()]
    assert parts == ["2 segments to go", "1 segment to go"]


def test_terminal_keeps_the_live_line_last() -> None:
    stream = io.StringIO()
    screen = TextScreen(stream, live=True)
    screen.progress(progress())
    screen.notice(Notice(reason="R", message="m"))
    *_, notice, live = stream.getvalue().split("\n")[-2:]
    assert notice.endswith("R                  m")
    assert live.startswith("Armed |")
    screen.end()
    assert stream.getvalue().endswith("\r\x1b[2K")


def test_json_lines() -> None:
    stream = io.StringIO()
    screen = JsonScreen(stream)
    screen.notice(Notice(reason="OnAir", message="m"))
    screen.progress(progress())
    screen.progress(progress())
    screen.summary(story.summary(COMPLETED, PHASES, "00:00:20:00"))
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [row["type"] for row in rows] == ["notice", "progress", "summary"]
    assert rows[1]["incumbent"] == f"{V1.name} (v1)"
    assert rows[2]["confirmed"] == {"incumbent": 9, "successor": 10, "origin": 10}
    assert rows[2]["phase_us"] == {"Starting": 2_000_000, "Negotiating": 10_000_000}
