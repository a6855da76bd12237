"""What a probe run is told, and every limit it keeps to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PLAYLIST_BYTES_MAX = 8 << 20
SEGMENT_BYTES_MAX = 256 << 20
SEGMENTS_LISTED_MAX = 100_000
RENDITIONS_MAX = 32
PUBLISHED_REMEMBERED_MAX = 256  # digests kept a rendition, to fetch again and compare
SWEEP_SEGMENTS_MAX = 64  # segments a rendition fetched again at the end
ENCODER_CHANGES_MAX = 100
RECORD_BYTES_MAX = 4 << 30
WAIT_S = 5.0
STALL_TOLERANCE_S = 3.0
START_BEHIND_SEGMENTS = 3  # RFC 8216 section 6.3.3: not closer to the live edge than this
ALL_RENDITIONS = "all"


class PatternMode(StrEnum):
    """Whether the test pattern's marks are checked."""

    AUTO = "auto"  # when most pictures of the first segment carry a number
    YES = "yes"
    NO = "no"


class StartAt(StrEnum):
    """Where in the playlist the probe begins."""

    LIVE = "live"
    FIRST = "first"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """One run.

    url: multivariant or media playlist. seconds: wall time to play, None = until stopped or ended.
    rendition: the video rendition to decode; None = the smallest, "all" = every one; the others are
    checked box by box. until_segment: the last media sequence number to play. record: folder for
    what was fetched. wait_s: how long to wait for the stream to appear. A playlist is late when not
    renewed for stall_percent of its target duration, and stalled (a fault) stall_tolerance_s after
    that. attempts: requests for one segment before it counts as unavailable. allow_discontinuity:
    a declared one is counted, but is no fault.
    """

    url: str
    seconds: float | None = None
    start_at: StartAt = StartAt.LIVE
    pattern: PatternMode = PatternMode.AUTO
    rendition: str | None = None
    until_segment: int | None = None
    allow_discontinuity: bool = False
    record: Path | None = None
    wait_s: float = WAIT_S
    stall_percent: int = 150
    stall_tolerance_s: float = STALL_TOLERANCE_S
    fetch_timeout_s: float = 10.0
    attempts: int = 3
    retry_s: float = 0.5
    sweep_s: float = 5.0
