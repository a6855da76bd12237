"""One row of the table: a sender, a channel on it, two updates, and what a viewer saw meanwhile."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import yaml
from hack.commands import END_S_MAX, free_port, hitless
from hack.sources import marks
from hack.sources.film import FRAMES, HEIGHT, RATE, WIDTH
from hack.sources.senders import TIMECODES, sent

# The first update starts the same encoder again, so its segments must be the same bytes; the
# second one with x264's preset superfast. See hitless_cli/local/versions.py.
START, UPDATES = "one", ("same", "v1")
STALL_TOLERANCE_S = 10  # of a small machine that runs all of it at once
BEFORE_SEGMENTS = AFTER_SEGMENTS = 4  # watched before the first update and after each
LIVE_S, HANDOVER_S, POLL_S = 90.0, 120.0, 0.25
VIDEO, AUDIO = "180p", "audio"
_JUDGED = re.compile(r"segment (\d+) of the successor: (\w+)")
_LOST = re.compile(r"source lost: ([^\"\n]*)")
CHANNEL: dict[str, Any] = {
    "apiVersion": "hitless.video/v1alpha1",
    "kind": "EncoderDeployment",
    "metadata": {"name": "sources"},
    "spec": {
        "timeline": {"frameRate": str(RATE), "segmentFrames": RATE},
        "profiles": [{"name": VIDEO, "width": WIDTH, "height": HEIGHT, "maxKbps": 600}],
        "handover": {
            "leadSegments": 2,
            "holdSegments": 3,
            # speed is not what is looked at
            "verify": {"segments": 5, "speedMinPercent": 0, "lateMaxMs": 60_000},
        },
        "output": {"windowSeconds": 3600},
    },
}
Row = dict[str, Any]


class WatchError(Exception):
    """The row could not be watched to its end; the message says what was awaited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """How an update ended. judged: what the incumbent found its successor's segments to be."""

    version: str
    outcome: str
    lost_frames: int | None
    judged: Counter[str]

    @property
    def ok(self) -> bool:
        """Whether no frame was lost; and the same version gave the same bytes."""
        clean = self.outcome == "Completed" and self.lost_frames == 0
        return clean and (self.version == "v1" or set(self.judged) == {"Identical"})

    def __str__(self) -> str:
        found = ", ".join(f"{count} {what.lower()}" for what, count in sorted(self.judged.items()))
        return f"{self.outcome}, {self.lost_frames} lost; {found or 'no segment judged'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A row. report: the probe's. failure: why it has no more than this.

    anew: of a channel that was started after all encoders had ended, and knew nothing of them.
    """

    kind: str
    report: Row = field(default_factory=dict)
    anew: marks.Marks | None = None
    marks: marks.Marks | None = None
    updates: tuple[Update, ...] = ()
    source_losses: tuple[str, ...] = ()
    failure: str = ""

    @property
    def retimed(self) -> int:
        """Timestamps that were not their frame's, in all renditions."""
        return sum(rendition["timestamps_wrong"] for rendition in self.report["renditions"])

    @property
    def ok(self) -> bool:
        """Whether it is as it should be."""
        updates = len(self.updates) == len(UPDATES) and all(update.ok for update in self.updates)
        seen = self.marks is not None and not self.marks.wrong and bool(self.report.get("ok"))
        same = not list(self._renumbered())
        return not self.failure and updates and seen and same and not self.source_losses

    def _renumbered(self) -> Iterator[str]:
        """What a channel that was started anew got wrong."""
        if self.kind not in TIMECODES or self.marks is None:
            return
        if self.anew is None:
            yield "not started anew"
            return
        yield from self.anew.wrong
        if self.anew.offset != self.marks.offset:
            moved = (self.anew.offset - self.marks.offset) % FRAMES
            yield f"started anew, pictures have other numbers: by {moved} of {FRAMES}"

    def why(self) -> Iterator[str]:
        """What is not as it should be."""
        if self.failure:
            yield self.failure
        yield from (
            f"{fault['kind']}: {fault['message']}" for fault in self.report.get("faults", ())
        )
        yield from () if self.marks is None else self.marks.wrong
        yield from self._renumbered()
        yield from (f"update to {one.version}: {one}" for one in self.updates if not one.ok)
        yield from (f"source lost: {reason}" for reason in self.source_losses)


class Story:
    """What `hitless local --json` says, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._rows: Queue[Row | None] = Queue()
        self._reader = Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._rows.put(json.loads(line))
        self._rows.put(None)

    def wait_for(self, what: str, wanted: Callable[[Row], bool], seconds: float) -> Row:
        """The next row that is wanted. Raises WatchError."""
        until_s = time.monotonic() + seconds
        while True:
            try:
                row = self._rows.get(timeout=max(0.0, until_s - time.monotonic()))
            except Empty:
                raise WatchError(f"{what}: not within {seconds:g} s") from None
            if row is None:
                raise WatchError(f"{what}: hitless local has ended")
            if wanted(row):
                return row

    def close(self) -> None:
        """After the process has ended."""
        self._reader.join()


def write_channel(path: Path, source: Row, version: str) -> None:
    """Ask for a version: the file is replaced at once, so that it is never read half."""
    spec = {"image": f"sources:{version}", "source": source, **CHANNEL["spec"]}
    fresh = path.with_suffix(".new")
    fresh.write_text(yaml.safe_dump({**CHANNEL, "spec": spec}))
    fresh.replace(path)


def watch(kind: str, film: Path, folder: Path) -> Result:
    """Watch one kind of source. folder: an empty one; all that was started has ended after it."""
    for name in ("sender", "first", "anew"):
        (folder / name).mkdir()
    first, updates = folder / "first", list[Update]()
    report: Row = {}
    again: Row = {}
    failure = ""
    try:
        with sent(kind, film, folder / "sender") as url:
            source = {"url": url}
            if kind in TIMECODES:
                source["timecode"] = TIMECODES[kind]
            report = _watched(first, source, updates)
            if kind in TIMECODES:
                again = _watched(folder / "anew", source, None)
    except WatchError as error:
        failure = str(error)
    logs = [path.read_text() for path in sorted((first / "data" / "logs").glob("encoder-*"))]
    return Result(
        kind=kind,
        report=report,
        marks=marks.read(first / "seen", VIDEO, AUDIO) if report else None,
        anew=marks.read(folder / "anew" / "seen", VIDEO, AUDIO) if again else None,
        updates=tuple(updates),
        source_losses=tuple(reason for log in logs for reason in _LOST.findall(log)),
        failure=failure,
    )


def _watched(folder: Path, source: Row, updates: list[Update] | None) -> Row:
    """The probe's report over all updates, which are added; None: without. Raises WatchError."""
    file, seen, data = folder / "channel.yaml", folder / "seen", folder / "data"
    for made in (seen, data):
        made.mkdir()
    write_channel(file, source, START)
    with ExitStack() as stack:
        where = ("--port", str(free_port()), "--data", str(data), "--json")
        local = stack.enter_context(hitless("local", str(file), *where, log=folder / "local.log"))
        story = Story(local)
        stack.callback(story.close)
        stack.callback(local.send_signal, signal.SIGINT)
        addresses = story.wait_for("addresses", lambda row: row["type"] == "addresses", LIVE_S)
        story.wait_for("on air", lambda row: row.get("reason") == "OnAir", LIVE_S)
        options = ("--json", "--record", str(seen), "--rendition", VIDEO, "--pattern", "no")
        patience = ("--wait", str(LIVE_S), "--stall-tolerance", str(STALL_TOLERANCE_S))
        probe = stack.enter_context(
            hitless("probe", addresses["hls"], *options, *patience, log=folder / "probe.log")
        )
        _until_seen(seen, BEFORE_SEGMENTS)
        for version in () if updates is None else UPDATES:
            assert updates is not None
            updates.append(_updated(story, file, source, version, data / "logs"))
            _until_seen(seen, len(marks.segments_in(seen / VIDEO)) + AFTER_SEGMENTS)
        probe.send_signal(signal.SIGINT)
        try:
            said, _ = probe.communicate(timeout=END_S_MAX)
        except subprocess.TimeoutExpired:
            raise WatchError(f"the probe's report: not within {END_S_MAX:g} s") from None
    if not said:
        raise WatchError(f"the probe has no report: {(folder / 'probe.log').read_text().strip()}")
    found: Row = json.loads(said)
    return found


def _updated(story: Story, file: Path, source: Row, version: str, logs: Path) -> Update:
    before = _judged(logs)
    write_channel(file, source, version)
    row = story.wait_for(f"update to {version}", lambda row: row["type"] == "summary", HANDOVER_S)
    return Update(
        version=version,
        outcome=row["outcome"],
        lost_frames=row["lost_frames"],
        judged=_judged(logs) - before,
    )


def _judged(logs: Path) -> Counter[str]:
    """What incumbents have said of segments so far, by the encoders' logs."""
    texts = (path.read_text() for path in logs.glob("encoder-*"))
    return Counter(verdict for text in texts for _, verdict in _JUDGED.findall(text))


def _until_seen(seen: Path, segments: int) -> None:
    """Until the probe has so many segments, in every rendition. Raises WatchError."""
    until_s = time.monotonic() + LIVE_S
    while min(len(marks.segments_in(seen / name)) for name in (VIDEO, AUDIO)) < segments:
        if time.monotonic() > until_s:
            raise WatchError(f"{segments} segments at the probe: not within {LIVE_S:g} s")
        time.sleep(POLL_S)


def table(results: Sequence[Result]) -> str:
    """The Markdown table."""
    lines = [
        "| source | seconds | frames | lost | repeated | out of order | re-timed | marks right "
        "| update, same version | update, other preset | started anew |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_line, results)])


def _line(result: Result) -> str:
    if not result.report:
        return f"| {result.kind} | {result.failure} {'| ' * 9}|"
    frames, read = result.report["frames"], result.marks
    assert read is not None
    all_marks = read.pictures + read.tones
    cells = (
        result.kind,
        f"{result.report['seconds']:.0f}",
        *(str(frames[name]) for name in ("seen", "lost", "repeated", "out_of_order")),
        str(result.retimed),
        f"{all_marks - len(read.wrong)} of {all_marks}",
        *map(str, result.updates),
        _numbers(result),
    )
    return f"| {' | '.join(cells)} |"


def _numbers(result: Result) -> str:
    """Whether a channel that was started anew has the same numbers; empty where it was not."""
    if result.anew is None or result.marks is None:
        return ""
    same = result.anew.offset == result.marks.offset
    count = result.anew.pictures - len(result.anew.wrong) if same else 0
    return f"{count} of {result.anew.pictures} numbers as before"
