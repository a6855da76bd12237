"""One probe run from the first request to the report: the library's entry point.

stop = asyncio.Event()
task = asyncio.create_task(probe(ProbeSettings(url=...), stop=stop))
...                                   # hand over, upgrade, break things
stop.set()
report = await task
assert report.ok, report_text(report)
"""

from __future__ import annotations

import asyncio

from hitless_cli.probe.boxes import TrackKind
from hitless_cli.probe.clock import Clock, SystemClock
from hitless_cli.probe.context import ProbeContext, ProgressSink
from hitless_cli.probe.errors import FetchError, PlaylistError, ProbeError, UnusableStreamError
from hitless_cli.probe.fetch import Fetcher
from hitless_cli.probe.playlist import Rendition, read_master, read_media
from hitless_cli.probe.rendition import RenditionProbe
from hitless_cli.probe.report import ProbeReport
from hitless_cli.probe.settings import (
    ALL_RENDITIONS,
    PLAYLIST_BYTES_MAX,
    PatternMode,
    ProbeSettings,
)
from hitless_cli.probe.tally import report_of
from hitless_cli.probe.track import Track

_START_POLL_S = 0.5


async def probe(
    settings: ProbeSettings,
    *,
    on_progress: ProgressSink | None = None,
    stop: asyncio.Event | None = None,
    clock: Clock | None = None,
) -> ProbeReport:
    """Play a stream and report on it; `stop` ends it early, with a report all the same.

    Raises UnusableStreamError when there is nothing to play: not reachable within settings.wait_s,
    no HLS, no such rendition, or nothing that can be decoded.
    """
    async with Fetcher(settings.fetch_timeout_s) as fetcher:
        context = ProbeContext(
            settings,
            clock=clock or SystemClock(),
            fetcher=fetcher,
            stop=stop or asyncio.Event(),
            on_progress=on_progress,
        )
        started_us = context.clock.wall_us()
        renditions = await _find(context)
        probes = _probes(renditions, context)
        await _run_all(probes)
        return report_of(context, probes, started_us)


async def _find(context: ProbeContext) -> tuple[Rendition, ...]:
    """The renditions, once each has a segment to play."""
    while True:
        try:
            return await _look(context)
        except (FetchError, PlaylistError) as error:
            waited_s = context.clock.monotonic_s() - context.started_s
            if waited_s >= context.settings.wait_s or context.over:
                raise UnusableStreamError(
                    f"nothing to play at {context.settings.url}: {error}; check that the URL is "
                    "the channel's master.m3u8 and that the channel is running, or wait longer"
                ) from error
            await context.pause(_START_POLL_S)


async def _look(context: ProbeContext) -> tuple[Rendition, ...]:
    url = context.settings.url
    master = await context.fetcher.get(url, PLAYLIST_BYTES_MAX)
    renditions = read_master(master.body.decode("utf-8", "replace"), master.url)
    for rendition in renditions:
        fetched = await context.fetcher.get(rendition.url, PLAYLIST_BYTES_MAX)
        if not read_media(fetched.body.decode("utf-8", "replace"), fetched.url).segments:
            raise PlaylistError(f"{rendition.url} lists no segment yet")
    return renditions


def _probes(renditions: tuple[Rendition, ...], context: ProbeContext) -> list[RenditionProbe]:
    settings = context.settings
    video = [r for r in renditions if r.kind is TrackKind.VIDEO]
    chosen = _chosen(video, settings.rendition)
    reference = (chosen or renditions)[0]
    return [
        RenditionProbe(
            rendition,
            Track(
                decode=rendition in chosen or rendition.kind is TrackKind.AUDIO,
                mode=settings.pattern if rendition in chosen else PatternMode.NO,
            ),
            context,
            reference=rendition is reference,
        )
        for rendition in renditions
    ]


def _chosen(video: list[Rendition], name: str | None) -> list[Rendition]:
    """The video renditions to decode. Raises UnusableStreamError for a name that is not there."""
    if name == ALL_RENDITIONS:
        return video
    if name is None:
        return video[:1]
    found = [rendition for rendition in video if rendition.name == name]
    if not found:
        names = ", ".join(rendition.name for rendition in video) or "none"
        raise UnusableStreamError(f"no video rendition {name}: choose of {names}, or all")
    return found


async def _run_all(probes: list[RenditionProbe]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for rendition in probes:
                group.create_task(rendition.run())
    except* ProbeError as errors:
        raise errors.exceptions[0] from None
