"""A channel that runs for long and is updated again and again: does memory stay, are frames lost?

    python -m hack.soak --minutes 60 --handovers 20

Real processes: `hitless local` with its origin and encoders, and `hitless probe` that plays it all.
Prints the resident memory of origin and encoders once in a while, how each handover ended, and the
probe's verdict. Exit code 1: memory grew by more than 5 %, a handover was not hitless, or the probe
found a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import yaml
from hack.commands import END_S_MAX, free_port, hitless
from hack.soak.memory import Memory, rss_mb

SAMPLE_S = 10.0
START_S_MAX = 300.0
STALL_TOLERANCE_S = 20.0  # memory and frames are looked at, not speed
VERSIONS = ("v1", "v2")  # presets superfast and veryfast
CHANNEL: dict[str, Any] = {
    "apiVersion": "hitless.video/v1alpha1",
    "kind": "EncoderDeployment",
    "metadata": {"name": "soak"},
    "spec": {
        "source": {"url": "testpattern:"},
        "profiles": [
            {"name": "360p", "width": 640, "height": 360, "maxKbps": 800},
            {"name": "240p", "width": 426, "height": 240, "maxKbps": 400},
        ],
    },
}
Row = dict[str, Any]


class SoakError(Exception):
    """The channel did not come to be."""


def say(text: str) -> None:
    """A line with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Lines:
    """The JSON lines that a process prints, kept until they are asked for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._rows: Queue[Row] = Queue()
        self._process = process
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._rows.put(json.loads(line))

    def new(self) -> Iterator[Row]:
        """Those that have come since."""
        while True:
            try:
                yield self._rows.get_nowait()
            except Empty:
                return

    def wait_for(self, kind: str, seconds: float) -> Row:
        """The next of a type. Raises SoakError when it does not come."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            with suppress(Empty):
                row = self._rows.get(timeout=1.0)
                if row["type"] == kind:
                    return row
                continue
            if self._process.poll() is not None:
                raise SoakError(f"it ended with {self._process.returncode} before any {kind}")
        raise SoakError(f"no {kind} within {seconds:.0f} s")


def write_channel(path: Path, version: str) -> None:
    """Ask for a version: the file is replaced at once, so that it is never read half."""
    spec = {"image": f"soak:{version}", **CHANNEL["spec"]}
    fresh = path.with_suffix(".new")
    fresh.write_text(yaml.safe_dump({**CHANNEL, "spec": spec}))
    fresh.replace(path)


def soak(minutes: float, handovers: int) -> list[str]:
    """Run it; what is wrong."""
    faults: list[str] = []
    done = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hitless-soak-")))
        channel = folder / "channel.yaml"
        write_channel(channel, VERSIONS[0])
        port = str(free_port())
        local = stack.enter_context(hitless("local", str(channel), "--port", port, "--json"))
        lines = Lines(local)
        url = str(lines.wait_for("addresses", START_S_MAX)["hls"])
        patience = ("--wait", str(START_S_MAX), "--stall-tolerance", str(STALL_TOLERANCE_S))
        probe = stack.enter_context(hitless("probe", url, "--json", *patience))
        memory = Memory()
        started_s = time.monotonic()
        asked, on_air = 0, 0
        while (past_s := time.monotonic() - started_s) < minutes * 60:
            time.sleep(min(SAMPLE_S, max(0.0, minutes * 60 - past_s)))
            sizes = rss_mb(local.pid)
            memory.add(time.monotonic() - started_s, sizes)
            say(", ".join(f"{name} {mb:.0f} MB" for name, mb in sorted(sizes.items())))
            for row in lines.new():
                if row["type"] == "summary":
                    done += 1
                    what = f"handover {done}: {row['outcome']}, {row['lost_frames']} frames lost"
                    say(f"{what} {row['message']}".rstrip())
                    if row["outcome"] == "Completed":
                        on_air = 1 - on_air
                    if row["outcome"] != "Completed" or row["lost_frames"]:
                        faults.append(f"{what} {row['message']}")
                    # a version that was given up is tried again once another was asked for
                    write_channel(channel, VERSIONS[on_air])
            due = int(past_s / (minutes * 60) * (handovers + 1))
            if asked < min(due, handovers) and asked == done:
                asked += 1
                write_channel(channel, VERSIONS[1 - on_air])
            if local.poll() is not None:
                return [*faults, f"hitless local ended with {local.returncode}"]
        probe.send_signal(signal.SIGINT)
        verdict, _ = probe.communicate(timeout=END_S_MAX)
        say(f"probe: exit code {probe.returncode}\n{verdict.strip()}")
        if probe.returncode:
            faults.append(f"the probe ended with {probe.returncode}")
    if done < handovers:
        faults.append(f"{done} of {handovers} handovers ended in time")
    say(memory.table())
    return [*faults, *memory.faults()]


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m hack.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--handovers", type=int, default=20, help="spread over the time")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell's background ignores them
        signal.signal(number, signal.default_int_handler)
    try:
        faults = soak(options.minutes, options.handovers)
    except SoakError as error:
        faults = [str(error)]
    except KeyboardInterrupt:
        faults = ["stopped before its end"]
    for fault in faults:
        say(f"FAULT: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
