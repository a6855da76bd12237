"""What the renditions of one run share: settings, clock, fetcher, faults, and when to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from hitless_cli.probe.clock import Clock
from hitless_cli.probe.errors import FetchError
from hitless_cli.probe.faults import FaultLog
from hitless_cli.probe.fetch import Fetched, Fetcher, StatusError
from hitless_cli.probe.report import Progress
from hitless_cli.probe.settings import RECORD_BYTES_MAX, ProbeSettings
from hitless_cli.probe.track import Marks

ProgressSink = Callable[[Progress], None]


class ProbeContext:
    """One run's shared state. `marks` is set once, by the rendition whose picture says it."""

    def __init__(
        self,
        settings: ProbeSettings,
        *,
        clock: Clock,
        fetcher: Fetcher,
        stop: asyncio.Event,
        on_progress: ProgressSink | None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.fetcher = fetcher
        self.stop = stop
        self.faults = FaultLog()
        self.on_progress = on_progress
        self.started_s = clock.monotonic_s()
        self._marks: Marks | None = None
        self._marks_known = asyncio.Event()
        self._recorded_bytes = 0

    @property
    def out_of_time(self) -> bool:
        """Whether `seconds` are over."""
        seconds = self.settings.seconds
        return seconds is not None and self.clock.monotonic_s() - self.started_s >= seconds

    @property
    def over(self) -> bool:
        """Whether to stop now."""
        return self.stop.is_set() or self.out_of_time

    async def pause(self, seconds: float) -> None:
        """Wait; less when the run is over before."""
        if self.settings.seconds is not None:
            end_s = self.started_s + self.settings.seconds
            seconds = max(0.0, min(seconds, end_s - self.clock.monotonic_s()))
        await self._unless_stopped(self.clock.sleep(seconds))

    async def marks(self) -> Marks:
        """What the pictures say about the marks, as soon as they have; none when stopped."""
        await self._unless_stopped(self._marks_known.wait())
        return self._marks or Marks(present=False)

    def decide_marks(self, marks: Marks) -> None:
        """The first pictures were read, or there will be none. Only the first call counts."""
        if self._marks is None:
            self._marks = marks
            self._marks_known.set()

    async def get_patiently(self, url: str, bytes_max: int) -> tuple[Fetched, int]:
        """The body of a URL, and how often it was asked for again. Raises the last FetchError.

        A server that gives no answer at all may take as long as a playlist that stands still.
        """
        end_s = self.clock.monotonic_s() + self.settings.stall_tolerance_s
        if self.settings.seconds is not None:
            end_s = min(end_s, self.started_s + self.settings.seconds)
        retry = 0
        while True:
            try:
                return await self.fetcher.get(url, bytes_max), retry
            except FetchError as error:
                answered = isinstance(error, StatusError)
                in_time = not answered and self.clock.monotonic_s() < end_s
                if self.stop.is_set() or (retry + 1 >= self.settings.attempts and not in_time):
                    raise
            await self.pause(self.settings.retry_s)
            retry += 1

    def record(self, rendition: str, name: str, body: bytes) -> None:
        """Keep what was fetched, when asked to, up to RECORD_BYTES_MAX in all."""
        folder = self.settings.record
        self._recorded_bytes += len(body)
        if folder is None or self._recorded_bytes > RECORD_BYTES_MAX:
            return
        _write(folder / rendition, name, body)

    async def _unless_stopped(self, waiting: Awaitable[object]) -> None:
        tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(self.stop.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _write(folder: Path, name: str, body: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(body)
