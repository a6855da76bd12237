"""Our encoder over a whole file, as fast as it can: the real session on a clock that jumps.

    python -m hack.bench_encode.ours TASK_JSON INGEST_URL

Nothing is left out: source, ladder, CMAF, digests, and the pushes over HTTP to a receiver. It ends
when the last whole segment of the file is stored. Prints one JSON line: what it made, and when it
had started.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path

import av
from hack.bench_encode.ladder import SEGMENT_FRAMES, Task

from hitless_encoder import allocator
from hitless_encoder.session import Session
from hitless_encoder.video import DEFAULT_PRESET
from hitless_handover.leadership import Lead
from hitless_handover.timeline import Timeline

START_US = 1_790_000_000_000_000
TRAIL_FRAMES = 6  # after the last segment, for the sound's look-ahead
DONE_S_MAX = 1800.0


class JumpingClock:
    """Time is whatever somebody waits for; past `end_us` it stands still until stopped."""

    def __init__(self, start_us: int, end_us: int) -> None:
        self._now_us, self._end_us = start_us, end_us

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return self._now_us

    def sleep_until(self, wall_us: int, stop: threading.Event) -> None:
        """Jump there."""
        if wall_us > self._end_us:
            stop.wait()
            return
        self._now_us = max(self._now_us, wall_us)

    async def pause(self, seconds: float) -> None:  # noqa: ARG002 — of a retry: none is expected
        """Let the event loop run."""
        await asyncio.sleep(0)


def first_segment(line: Timeline, frames: int) -> int:
    """A segment that begins with the file's first frame."""
    segment = line.segment_of(line.frame_at(START_US)) + 2
    while line.first_frame(segment) % frames:
        segment += 1
    return segment


async def encode(task: Task, ingest_url: str) -> dict[str, float]:
    """Encode the file once; frames, bytes and seconds."""
    config = task.config(ingest_url)
    line = config.timeline.resolve()
    first = first_segment(line, task.frames)
    last = first + task.frames // SEGMENT_FRAMES - 1
    begin_us = line.wall_us(line.first_frame(first)) - 1
    end_us = line.wall_us(line.first_frame(last + 1) + TRAIL_FRAMES)
    done = asyncio.Event()
    stored: dict[int, bool] = {}

    def pushed(segment: int, ok: bool) -> None:
        stored[segment] = ok
        if segment == last:
            done.set()

    session = Session(
        config,
        "bench",
        DEFAULT_PRESET,
        lambda segment: Lead(segment, 1),
        on_pushed=pushed,
        clock=JumpingClock(begin_us, end_us),
    )
    started_s = time.monotonic()
    await session.start()
    try:
        async with asyncio.timeout(DONE_S_MAX):
            await done.wait()
    finally:
        await session.close(finish=False)
    took_s = time.monotonic() - started_s
    wanted = set(range(first, last + 1))
    if session.snapshot().failure or {k for k, ok in stored.items() if ok} != wanted:
        raise SystemExit(f"not all was stored: {stored} {session.snapshot().push_message}")
    return {"frames": task.frames, "encodeSeconds": took_s}


def main() -> None:
    """Run, and print the figures."""
    told = json.loads(sys.argv[1])
    task = Task(**{**told, "path": Path(told["path"])})
    allocator.give_pictures_back()  # as the encoder's own start does
    av.logging.set_level(av.logging.ERROR)
    print(json.dumps(asyncio.run(encode(task, sys.argv[2]))))


if __name__ == "__main__":
    main()
