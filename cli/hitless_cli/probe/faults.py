"""Faults of a stream: their names, and the log that counts every one and keeps some as examples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

EXAMPLES_MAX = 100
EXAMPLES_OF_KIND_MAX = 20  # of one kind in one rendition, so that no kind hides the others


class FaultKind(StrEnum):
    """What was wrong. The count's unit is in brackets."""

    FRAME_LOST = "FrameLost"  # [frames] a number was never published
    FRAME_REPEATED = "FrameRepeated"  # [frames] a number was published again
    FRAME_OUT_OF_ORDER = "FrameOutOfOrder"  # [frames] a number came after a higher one
    TIMESTAMP_WRONG = "TimestampWrong"  # [frames] no whole multiple, or another duration
    DECODE_FAILED = "DecodeFailed"  # [frames] the decoder refused it or did not give it back
    PICTURE_WRONG = "PictureWrong"  # [frames] the number drawn is not the timestamp's
    PICTURE_UNREADABLE = "PictureUnreadable"  # [frames] the number drawn can't be read
    PICTURE_LOST = "PictureLost"  # [frames] a number was never shown
    PICTURE_REPEATED = "PictureRepeated"  # [frames] a number was shown again
    PICTURE_OUT_OF_ORDER = "PictureOutOfOrder"  # [frames] a number was shown after a higher one
    TONE_WRONG = "ToneWrong"  # [frames] the sound under a frame is not that frame's
    DISCONTINUITY = "Discontinuity"  # [segments] EXT-X-DISCONTINUITY
    INIT_CHANGED = "InitChanged"  # [segments] another header without a discontinuity
    GAP_PUBLISHED = "GapPublished"  # [segments] EXT-X-GAP
    SEGMENT_UNAVAILABLE = "SegmentUnavailable"  # [segments] listed, and can't be fetched
    SEGMENT_MALFORMED = "SegmentMalformed"  # [segments] not a CMAF segment of this track
    SEGMENT_VANISHED = "SegmentVanished"  # [segments] listed, then gone before its time
    SEGMENT_CHANGED = "SegmentChanged"  # [segments] its number, URI or duration changed
    BYTES_CHANGED = "BytesChanged"  # [segments] fetched again, and not the same bytes
    PART_VANISHED = "PartVanished"  # [parts] listed, then gone before its time
    PART_CHANGED = "PartChanged"  # [parts] its URI or duration changed
    MEDIA_SEQUENCE_BACK = "MediaSequenceBack"  # [playlists] EXT-X-MEDIA-SEQUENCE decreased
    WINDOW_PASSED = "WindowPassed"  # [segments] left the playlist before they could be read
    TARGET_CHANGED = "TargetChanged"  # [playlists] EXT-X-TARGETDURATION changed
    TARGET_EXCEEDED = "TargetExceeded"  # [segments] longer than the target duration
    DURATION_WRONG = "DurationWrong"  # [segments] EXTINF is not what the segment holds
    PLAYLIST_MALFORMED = "PlaylistMalformed"  # [playlists] can't be read
    STALLED = "Stalled"  # [times] not renewed for far too long
    NOTHING_PLAYED = "NothingPlayed"  # [renditions] not one segment: no fault can be ruled out
    STREAM_ENDED = "StreamEnded"  # [playlists] EXT-X-ENDLIST appeared


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A fault as a check states it. segment: media sequence number; frame: frame number."""

    kind: FaultKind
    message: str
    count: int = 1
    segment: int | None = None
    frame: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A finding and the rendition that it was found in."""

    kind: FaultKind
    rendition: str
    segment: int | None
    frame: int | None
    count: int
    message: str


class FaultLog:
    """Counts all faults exactly; keeps the first ones as examples, in bounded number."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, FaultKind]] = Counter()
        self._kept: Counter[tuple[str, FaultKind]] = Counter()
        self._examples: list[Fault] = []

    def add(self, rendition: str, finding: Finding) -> None:
        """Count a finding, and keep it when there is room."""
        key = (rendition, finding.kind)
        self._counts[key] += finding.count
        if self._kept[key] < EXAMPLES_OF_KIND_MAX and len(self._examples) < EXAMPLES_MAX:
            self._kept[key] += 1
            self._examples.append(
                Fault(
                    kind=finding.kind,
                    rendition=rendition,
                    segment=finding.segment,
                    frame=finding.frame,
                    count=finding.count,
                    message=finding.message,
                )
            )

    def count(self, rendition: str, kind: FaultKind) -> int:
        """How many of a kind in a rendition, in the kind's unit."""
        return self._counts[rendition, kind]

    @property
    def total(self) -> int:
        """All faults of all kinds together."""
        return self._counts.total()

    def totals(self) -> dict[str, int]:
        """Counts by kind over all renditions, only those above 0, in the order of FaultKind."""
        sums: Counter[FaultKind] = Counter()
        for (_, kind), count in self._counts.items():
            sums[kind] += count
        return {kind.value: sums[kind] for kind in FaultKind if sums[kind]}

    def examples(self) -> tuple[Fault, ...]:
        """The examples, in the order they were found."""
        return tuple(self._examples)
