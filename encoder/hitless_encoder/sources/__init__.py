"""Sources: everything that turns a URL into blocks on the timeline (base.py has the contract)."""

from __future__ import annotations

from functools import partial
from urllib.parse import unquote, urlsplit

from hitless_encoder.clock import Clock
from hitless_encoder.errors import ConfigurationError
from hitless_encoder.sources.absolute import Agreement
from hitless_encoder.sources.base import Block, Source, SourceReport, SourceState
from hitless_encoder.sources.folder import LoopedFolder
from hitless_encoder.sources.live import LiveSource
from hitless_encoder.sources.looped_file import LoopedFile
from hitless_encoder.sources.paced import PacedSource
from hitless_encoder.sources.testpattern import TestPattern
from hitless_encoder.sources.transport import transport_of
from hitless_handover.timeline import Anchor, Timeline
from hitless_wire.source_resources import LIVE_SCHEMES, SOURCE_URLS, SourceTimecode

__all__ = ["Agreement", "Block", "Source", "SourceReport", "SourceState", "open_source"]


def open_source(
    url: str,
    *,
    timeline: Timeline,
    size: tuple[int, int],
    anchor: Anchor | None,
    clock: Clock,
    slate_seconds: int | None = None,
    timecode: SourceTimecode | None = None,
) -> Source:
    """The source of a URL. size: of the largest rendition, pixels; the test pattern takes it.

    slate_seconds: how long a live source may be without a picture; None: for ever.
    timecode: what of a live source says absolute time. Raises
    ConfigurationError for a URL that can't work; a source that is only unreachable reports so and
    keeps trying.
    """
    if url.startswith("testpattern:"):
        opening = partial(TestPattern, timeline=timeline, width=size[0], height=size[1])
        return PacedSource(name=url, timeline=timeline, clock=clock, opening=opening)
    if url.startswith("file:///"):
        path = unquote(url.removeprefix("file://"))
        looped = LoopedFolder if path.endswith("/") else LoopedFile
        opening_file = partial(looped, path, timeline=timeline, size=size)
        return PacedSource(name=url, timeline=timeline, clock=clock, opening=opening_file)
    if urlsplit(url).scheme in LIVE_SCHEMES:
        return LiveSource(
            transport_of(url, timecode=timecode),
            timeline=timeline,
            size=size,
            anchor=anchor,
            clock=clock,
            slate_seconds=slate_seconds,
            timecode=timecode,
        )
    raise ConfigurationError(f"source.url {url!r}: {SOURCE_URLS}")
