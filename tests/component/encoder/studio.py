"""What the encoder's component tests share: a clock that runs as fast as the machine, a receiving
end, recordings of segments, and readers of the pattern's marks in decoded media."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from aiohttp import web

from hitless_encoder.session import Session, Snapshot
from hitless_encoder.verify import luma, pictures, samples
from hitless_handover.leadership import Lead
from hitless_handover.pattern import NUMBER_CELLS, TONES, number, strip_lines, tone_hz
from hitless_handover.timeline import AAC_FRAME_SAMPLES, Timeline
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.ingest import ChannelDescription

START_US = 1_790_000_000_123_456
CHALLENGE = {"WWW-Authenticate": "Bearer"}
FOREVER_US = 1 << 60
SIZES = ((640, 360, 800), (426, 240, 400))


class VirtualClock:
    """Time jumps to whenever somebody waits for; past `end_us` it stands still until stopped."""

    def __init__(self, start_us: int = START_US, end_us: int = FOREVER_US) -> None:
        self._now_us = start_us
        self._end_us = end_us

    def now_us(self) -> int:
        return self._now_us

    def sleep_until(self, wall_us: int, stop: threading.Event) -> None:
        if wall_us > self._end_us:
            stop.wait()
            return
        self._now_us = max(self._now_us, wall_us)

    async def pause(self, seconds: float) -> None:  # noqa: ARG002
        await asyncio.sleep(0)


def make_config(
    *,
    url: str = "testpattern:",
    rate: str = "30",
    sizes: tuple[tuple[int, int, int], ...] = SIZES,
    segment_frames: int | None = None,
    gop_frames: int | None = None,
    part_frames: int | None = None,
    ingest_url: str = "http://127.0.0.1:9",
    anchor: Mapping[str, int] | None = None,
    encoder_id: str = "one",
) -> EncoderConfig:
    return EncoderConfig.model_validate(
        {
            "namespace": "tests",
            "channel": "channel",
            "encoder_id": encoder_id,
            "source": {"url": url},
            "timeline": {
                "frame_rate": rate,
                "segment_frames": segment_frames,
                "gop_frames": gop_frames,
                "part_frames": part_frames,
            },
            "profiles": [
                {"name": f"v{height}", "width": width, "height": height, "max_kbps": kbps}
                for width, height, kbps in sizes
            ],
            "audio": [{}],
            "ingest_url": ingest_url,
            "window_seconds": 60,
            "anchor": anchor,
        }
    )


@dataclass(kw_only=True)
class Receiver:
    """An origin that keeps what it gets. answers: statuses to give first, per path ending;
    challenges: the same, asking for a token.

    parts: in a segment; with the last of them it has the segment, under its own path.
    """

    url: str = ""
    parts: int = 0
    bodies: dict[str, bytes] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    headers: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    answers: dict[str, list[int]] = field(default_factory=dict)
    challenges: dict[str, list[int]] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def put(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/ingest/tests/channel/")
        body = await request.read()
        assert request.headers["Hitless-Digest"] == hashlib.sha256(body).hexdigest()
        self.order.append(path)
        self.headers.append((path, dict(request.headers)))
        for answers, headers in ((self.answers, {}), (self.challenges, CHALLENGE)):
            for ending, statuses in answers.items():
                if path.endswith(ending) and statuses:
                    status = statuses.pop(0)
                    return web.Response(status=status, text="as the test told me", headers=headers)
        async with self.changed:
            self.bodies[path] = body
            status = self._assemble(path)
            self.changed.notify_all()
        return web.Response(status=status)

    def _assemble(self, path: str) -> int:
        """The status of a part or a whole file: 202 while other parts are missing."""
        track, _, name = path.partition("/")
        segment, _, rest = name.partition(".")
        if rest.count(".") != 1:
            return 201
        parts = [self.bodies.get(f"{track}/{segment}.{part}.m4s") for part in range(self.parts)]
        whole = [part for part in parts if part is not None]
        if len(whole) < self.parts:
            return 202
        self.bodies[f"{track}/{segment}.m4s"] = b"".join(whole)
        return 201

    async def wait_for(self, path: str) -> bytes:
        await self.wait_until(lambda: path in self.bodies)
        return self.bodies[path]

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        async with self.changed:
            await self.changed.wait_for(condition)


@asynccontextmanager
async def receiver(parts: int = 0) -> AsyncIterator[Receiver]:
    end = Receiver(parts=parts)
    app = web.Application(client_max_size=64 << 20)
    app.router.add_put("/{path:.*}", end.put)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    end.url = f"http://{host}:{port}"
    try:
        yield end
    finally:
        await runner.cleanup()


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Segments of one session: segment -> track -> bytes."""

    segments: dict[int, dict[str, bytes]]
    inits: Mapping[str, bytes]
    timeline: Timeline
    snapshot: Snapshot
    order: Sequence[str]  # paths of all pushes
    description: ChannelDescription


async def record(
    config: EncoderConfig,
    *,
    segments: int,
    start_us: int = START_US,
    preset: str = "veryfast",
) -> Recording:
    """The first segments of a session that starts at start_us, at most 8."""
    line = config.timeline.resolve()
    first = line.segment_of(line.frame_at(start_us)) + 1
    last = first + segments - 1
    clock = VirtualClock(start_us, end_us=line.wall_us(line.first_frame(last + 1) + 6))
    grid = config.timeline.parts()
    async with receiver(0 if grid is None else grid.per_segment) as end:
        told = config.model_copy(update={"ingest_url": end.url})
        session = Session(told, "test", preset, lambda segment: Lead(segment, 1), clock=clock)
        await session.start()
        try:
            for track in session.media.inits:
                await end.wait_for(f"{track}/{last}.m4s")
            found = {k: session.recent(k) or {} for k in range(first, last + 1)}
            snapshot = session.snapshot()
        finally:
            await session.close(finish=False)
    assert snapshot.failure == ""
    return Recording(
        segments=found,
        inits=session.media.inits,
        timeline=line,
        snapshot=snapshot,
        order=end.order,
        description=session.media.description,
    )


def read_number(plane: npt.NDArray[np.uint8], source_height: int) -> int | None:
    """The frame number in the cells of a luma plane scaled from a source of some height."""
    height, width = plane.shape
    strip = strip_lines(source_height) * height / source_height
    line = plane[int(strip * 0.3) : max(int(strip * 0.7), int(strip * 0.3) + 1)].mean(axis=0)
    edges = np.arange(NUMBER_CELLS + 1) * width / NUMBER_CELLS
    quarter = width / NUMBER_CELLS / 4
    total = np.concatenate(([0.0], np.cumsum(line)))

    def area(at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(np.interp(at, np.arange(width + 1), total))

    levels = (area(edges[1:] - quarter) - area(edges[:-1] + quarter)) / (2 * quarter)
    return number(tuple(int(level > 126) for level in levels))


def frame_numbers(init: bytes, segment: bytes, source_height: int) -> list[int | None]:
    return [read_number(luma(p), source_height) for p in pictures(init + segment)]


def loudest_tone(pcm: npt.NDArray[np.float32]) -> int:
    """Which of the pattern's tones sounds in mono samples at 48 kHz."""
    time = np.arange(len(pcm)) / 48_000
    powers = [
        abs(np.dot(pcm * np.hanning(len(pcm)), np.exp(-2j * np.pi * tone_hz(t) * time)))
        for t in range(TONES)
    ]
    return int(np.argmax(powers))


def tones_of_frames(init: bytes, segment: bytes, line: Timeline, number: int) -> dict[int, int]:
    """The tone heard in each video frame that lies wholly within an audio segment."""
    pcm = samples(init + segment)[0]
    origin = line.first_audio_frame(number) * AAC_FRAME_SAMPLES
    heard = {}
    for frame in range(line.first_frame(number), line.first_frame(number + 1)):
        start, stop = line.first_sample(frame) - origin, line.first_sample(frame + 1) - origin
        if start >= AAC_FRAME_SAMPLES and stop <= len(pcm):  # the first frame lacks its overlap
            heard[frame] = loudest_tone(pcm[start:stop])
    return heard
