"""A tiny origin for the tests of `hitless local`: takes pushes, selects by priority, reports.

Run as a program with the origin's arguments. It stores no media: a segment is who pushed it with
which priority.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time

from aiohttp import web

from hitless_wire.ingest import (
    HEADER_ENCODER,
    HEADER_PRIORITY,
    ChannelReport,
    EncoderInput,
    SwitchReport,
)

FRAMES = "Test-Segment-Frames"  # the stand-in encoder says it with every push


class Selection:
    """One channel: the highest priority wins, from the segment it first comes with."""

    def __init__(self) -> None:
        self.encoder: str | None = None
        self.priority = 0
        self.first: int | None = None
        self.last: int | None = None
        self.inputs: dict[str, EncoderInput] = {}
        self.switches: list[SwitchReport] = []

    def push(self, encoder: str, priority: int, segment: int, frames: int) -> None:
        """A segment has arrived."""
        self.inputs[encoder] = EncoderInput(
            encoder=encoder,
            priority=priority,
            last_segment=segment,
            last_push_us=time.time_ns() // 1000,
        )
        if priority > self.priority:
            self._switch(encoder, priority, segment, frames)
        if encoder == self.encoder:
            self.first = segment if self.first is None else self.first
            self.last = segment if self.last is None else max(segment, self.last)

    def _switch(self, encoder: str, priority: int, segment: int, frames: int) -> None:
        if self.encoder is not None and self.last is not None:
            self.switches.append(
                SwitchReport(
                    segment=segment,
                    frame=segment * frames,
                    from_encoder=self.encoder,
                    to_encoder=encoder,
                    from_priority=self.priority,
                    to_priority=priority,
                    fallback=False,
                    gap_frames=max(0, segment - self.last - 1) * frames,
                    overlap_frames=max(0, self.last - segment + 1) * frames,
                )
            )
        self.encoder, self.priority = encoder, priority

    def report(self, namespace: str, channel: str) -> ChannelReport:
        """What was done."""
        return ChannelReport(
            namespace=namespace,
            channel=channel,
            fingerprint="stand-in",
            first_segment=self.first,
            last_segment=self.last,
            selected_encoder=self.encoder,
            selected_priority=self.priority,
            fallbacks=0,
            gaps=0,
            mismatches=0,
            inputs=tuple(self.inputs.values()),
            switches=tuple(self.switches),
        )


def application() -> web.Application:
    """Routes of the origin that `hitless local` and the stand-in encoder use."""
    channels: dict[tuple[str, str], Selection] = {}

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def push(request: web.Request) -> web.Response:
        key = (request.match_info["namespace"], request.match_info["channel"])
        channels.setdefault(key, Selection()).push(
            request.headers[HEADER_ENCODER],
            int(request.headers[HEADER_PRIORITY]),
            int(request.match_info["segment"]),
            int(request.headers[FRAMES]),
        )
        return web.Response(status=201)

    async def report(request: web.Request) -> web.Response:
        key = (request.match_info["namespace"], request.match_info["channel"])
        if key not in channels:
            raise web.HTTPNotFound
        body = channels[key].report(*key).model_dump_json(by_alias=True)
        return web.Response(text=body, content_type="application/json")

    made = web.Application()
    made.router.add_get("/healthz", healthz)
    made.router.add_put("/ingest/{namespace}/{channel}/video/{segment:[0-9]+}.m4s", push)
    made.router.add_get("/api/v1/channels/{namespace}/{channel}", report)
    return made


async def serve(host: str, port: int) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    runner = web.AppRunner(application())
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", required=True)
    options = parser.parse_args()
    asyncio.run(serve(options.host, options.port))
