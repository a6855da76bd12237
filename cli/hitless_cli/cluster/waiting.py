"""Following a channel until an outcome is known, with progress on stderr and the result on stdout.

Owns the loop and what it prints; `outcome.py` judges.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from hitless_cli.cluster.channels import Deadline, follow
from hitless_cli.cluster.documents import handover_document
from hitless_cli.cluster.errors import NotDone, TimeIsOver
from hitless_cli.cluster.kube import Document, Kube
from hitless_cli.cluster.options import say, say_document
from hitless_cli.cluster.outcome import Outcome
from hitless_cli.cluster.reading import Channel, Key, channel_of
from hitless_cli.cluster.views import ended_lines, progress_line
from hitless_cli.cluster.wording import clock
from hitless_cli.terminal import LiveLine

Judge = Callable[[Channel], Outcome | None]


class Progress:
    """A line rewritten on a terminal; else a line whenever it says something new."""

    def __init__(self, stream: TextIO) -> None:
        self._terminal = LiveLine(stream, live=stream.isatty())
        self._last = ""

    def show(self, channel: Channel) -> None:
        """Where the channel stands."""
        now_us = time.time_ns() // 1000
        line = progress_line(channel, now_us)
        if line == self._last:
            return
        self._last = line
        if self._terminal.live:
            self._terminal.show(line)
        else:
            self._terminal.print(f"{clock(now_us)}  {line}")

    def close(self) -> None:
        """Take the live line away."""
        self._terminal.show("")


def await_outcome(kube: Kube, key: Key, judge: Judge, *, timeout_s: float) -> Outcome:
    """Follow it until the judge decides. Raises TimeIsOver, which says where it stood."""
    progress = Progress(sys.stderr)
    stood = ""
    try:
        for body in follow(kube, key, Deadline.after(timeout_s)):
            channel = channel_of(body)
            outcome = judge(channel)
            if outcome is not None:
                return outcome
            stood = progress_line(channel, time.time_ns() // 1000)
            progress.show(channel)
    except TimeIsOver as error:
        raise TimeIsOver(
            f"{key}: not ended after {timeout_s:g} s ({stood}); it goes on by itself"
        ) from error
    finally:
        progress.close()
    raise TimeIsOver(f"{key}: the time is over")


def say_outcome(key: Key, outcome: Outcome, output: str) -> None:
    """Print it. Raises NotDone unless it is what was asked for."""
    if output != "table":
        say_document(outcome_document(key, outcome), output)
    elif outcome.handover is not None:
        say(ended_lines(outcome.handover))
    elif outcome.done:
        say([f"{key}: {outcome.message}"])
    if not outcome.done:
        raise NotDone(f"{key}: {outcome.reason}: {outcome.message}")


def say_at_once(key: Key, outcome: Outcome, output: str) -> None:
    """Print what is known without waiting."""
    if output == "table":
        say([f"{key}: {outcome.message}"])
    else:
        say_document(outcome_document(key, outcome), output)


def outcome_document(key: Key, outcome: Outcome) -> Document:
    """As `--output json` prints it."""
    last = outcome.handover
    return {
        "namespace": key.namespace,
        "name": key.name,
        "done": outcome.done,
        "result": outcome.reason,
        "message": outcome.message,
        "handover": None if last is None else handover_document(last),
    }
