"""Sources: everything that turns a URL into blocks on the timeline (base.py has the contract)."""

from __future__ import annotations

from functools import partial
from urllib.parse import unquote

from hitless_encoder.clock import Clock
from hitless_encoder.errors import ConfigurationError
from hitless_encoder.sources.base import Block, Source, SourceReport, SourceState
from hitless_encoder.sources.live_udp import UdpSource
from hitless_encoder.sources.looped_file import LoopedFile
from hitless_encoder.sources.paced import PacedSource
from hitless_encoder.sources.testpattern import TestPattern
from hitless_encoder.sources.udp_receiver import parse_udp_url
from hitless_handover.timeline import Anchor, Timeline

__all__ = ["Block", "Source", "SourceReport", "SourceState", "open_source"]


def open_source(
    url: str, *, timeline: Timeline, size: tuple[int, int], anchor: Anchor | None, clock: Clock
) -> Source:
    """The source of a URL. size: of the largest rendition, pixels; the test pattern takes it.

    Raises ConfigurationError for a URL that can't work; a source that is only unreachable reports
    so and keeps trying.
    """
    if url.startswith("testpattern:"):
        opening = partial(TestPattern, timeline=timeline, width=size[0], height=size[1])
        return PacedSource(name=url, timeline=timeline, clock=clock, opening=opening)
    if url.startswith("file:///"):
        looped = partial(LoopedFile, unquote(url.removeprefix("file://")), timeline=timeline)
        return PacedSource(name=url, timeline=timeline, clock=clock, opening=looped)
    if url.startswith("udp://"):
        return UdpSource(parse_udp_url(url), timeline=timeline, anchor=anchor, clock=clock)
    raise ConfigurationError(
        f"source.url {url!r}: use testpattern:, file:///path or udp://host:port"
    )
