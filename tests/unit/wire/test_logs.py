"""Log lines: what a collector finds in them, and that text stays what it was."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from hitless_wire import logs

log = logging.getLogger("hitless_test")


@pytest.fixture(autouse=True)
def _root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def set_up(environment: dict[str, str], **more: str) -> None:
    """In a process that nobody has set logging up in: pytest has."""
    logging.getLogger().handlers[:] = []
    logs.set_up(environment, **more)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_json_lines_say_what_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    set_up({"HITLESS_LOG_FORMAT": "json"}, level="INFO")
    with logs.about(channel="live/first"):
        log.info("created %s", "pod")
        logs.also(handover="h-8")
        log.warning("two\nlines")
    log.info("after", extra={"channel": "live/second"})
    log.debug("not shown")
    one, two, three = lines(capsys)
    assert (one["level"], one["logger"], one["message"]) == ("INFO", "hitless_test", "created pod")
    assert (one["channel"], "handover" in one) == ("live/first", False)
    assert (two["channel"], two["handover"], two["message"]) == ("live/first", "h-8", "two\nlines")
    assert (three["channel"], "handover" in three) == ("live/second", False)
    assert one["time"].endswith("+00:00")


async def test_tasks_do_not_mix_up_their_channels(capsys: pytest.CaptureFixture[str]) -> None:
    set_up({"HITLESS_LOG_FORMAT": "json"})

    async def work(name: str) -> None:
        with logs.about(channel=name):
            for _ in range(3):
                log.info("%s", name)
                await asyncio.sleep(0)

    await asyncio.gather(work("a"), work("b"))
    said = lines(capsys)
    assert len(said) == 6
    assert all(line["channel"] == line["message"] for line in said)


def test_fields_of_the_process_are_in_lines_of_all_its_threads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up({"HITLESS_LOG_FORMAT": "json"})
    logs.set_up({"HITLESS_LOG_FORMAT": "json"}, channel="live/first", encoder="first-3")
    thread = threading.Thread(target=log.info, args=("from a thread",))
    thread.start()
    thread.join()
    (line,) = lines(capsys)
    assert (line["channel"], line["encoder"]) == ("live/first", "first-3")


def test_an_error_is_one_line_and_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    set_up({"HITLESS_LOG_FORMAT": "json"})
    try:
        raise ValueError("no such frame")
    except ValueError:
        log.exception("x" * 100_000)
    (line,) = lines(capsys)
    assert line["error"].endswith("ValueError: no such frame")
    assert len(line["message"]) == logs.LINE_MAX


@pytest.mark.parametrize("environment", [{}, {"HITLESS_LOG_FORMAT": "text"}])
def test_text_is_the_default(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(environment)
    log.info("hello")
    assert capsys.readouterr().err.endswith(" INFO hitless_test hello\n")


def test_logging_that_somebody_else_set_up_stays(capsys: pytest.CaptureFixture[str]) -> None:
    theirs = logging.NullHandler()
    logging.getLogger().handlers[:] = [theirs]
    logs.set_up({"HITLESS_LOG_FORMAT": "json"})
    log.warning("theirs")
    assert logging.getLogger().handlers == [theirs]
    assert capsys.readouterr().err == ""


def test_another_format_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    set_up({"HITLESS_LOG_FORMAT": "xml"})
    assert "HITLESS_LOG_FORMAT=xml: use text or json" in capsys.readouterr().err
