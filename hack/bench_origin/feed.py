"""Pushes to an origin under measurement: the tests' encoder, for many channels of two tracks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

from hack.bench_origin.processes import RunError
from tests.component.origin.cmaf_maker import PAL, SHORT_GOPS, describe, init_segment, recipe
from tests.component.origin.studio import Encoder, Studio

from hitless_handover.timeline import Timeline
from hitless_wire.ingest import ChannelDescription

T = TypeVar("T")
SEGMENT_S = 2
PART_FRAMES = 5


def two_tracks(*, parts: bool = False, window_s: int = 20) -> ChannelDescription:
    """Pictures of 25 fps and sound, in segments of 2 s; parts of 0.2 s."""
    grid: Timeline = SHORT_GOPS if parts else PAL
    made = describe(grid, window_seconds=window_s, part_frames=PART_FRAMES if parts else None)
    tracks = tuple(track for track in made.tracks if track.name != "v1")
    return made.model_copy(update={"tracks": tracks})


def segment_now() -> int:
    """The number of the segment that has just been made, by the clock."""
    return int(time.time()) // SEGMENT_S - 1


class Feed:
    """One encoder of each of some channels `demo/c0`, `demo/c1`, ..."""

    def __init__(self, url: str, description: ChannelDescription, filler: int = 0) -> None:
        self._studio = Studio(Path())
        self._studio.url, self._studio.description = url, description
        self._encoder = Encoder(self._studio, "a")
        self._encoder.filler = b"x" * filler
        self._description = description

    def run(self, work: Coroutine[None, None, T]) -> T:
        """Some of the following, on connections that last as long."""

        async def connected() -> T:
            async with self._studio.client():
                return await work

        return asyncio.run(connected())

    async def introduce(self, first: int, last: int) -> None:
        """Channels first to last - 1 get their description and init segments."""
        body = self._description.model_dump_json(by_alias=True).encode()
        for number in range(first, last):
            await self._put(number, "description.json", body)
            for track in self._description.tracks:
                await self._put(number, f"{track.name}/init.mp4", init_segment(track))

    async def segment(self, segment: int, channels: int) -> int:
        """A whole segment of each channel, all at once as live encoders do; pushes made."""
        bodies = {
            track.name: recipe(self._description, track, segment, self._encoder.filler).make()
            for track in self._description.tracks
        }
        await asyncio.gather(
            *(
                self._put(number, f"{name}/{segment}.m4s", body)
                for number in range(channels)
                for name, body in bodies.items()
            )
        )
        return channels * len(bodies)

    async def part(self, segment: int, part: int) -> float:
        """A part of channel 0; when its last track's push was begun, monotonic seconds."""
        begun_s = 0.0
        for track in self._description.tracks:
            body = recipe(self._description, track, segment, self._encoder.filler).parts()[part]
            begun_s = time.monotonic()
            await self._put(0, f"{track.name}/{segment}.{part}.m4s", body)
        return begun_s

    async def _put(self, number: int, name: str, body: bytes) -> None:
        answer = await self._encoder.put(f"/ingest/demo/c{number}/{name}", body, priority=1)
        if answer.status not in (200, 201, 202):
            raise RunError(f"push of {name} to c{number}: {answer.status} {answer.text}")
