"""What viewers may know of a channel at one moment: the input of every renderer. Values only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from hitless_handover.parts import PartGrid
from hitless_handover.timeline import MICROSECONDS, Timeline, ceil_div
from hitless_origin.window import Window
from hitless_wire.ingest import ChannelDescription, TrackDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsView:
    """The parts that playlists name: of each, whether it was published; else it was skipped.

    closed: (segment, parts) of the window's newest segments, ascending. open: the decided parts of
    the segment after the window.
    """

    grid: PartGrid
    closed: tuple[tuple[int, tuple[bool, ...]], ...] = ()
    open: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A run of one edition's segments, first to last, as far as it is in the window.

    splice: the run's first segment, where a declared discontinuity lies, in the window or before;
    None for the first run that the channel ever had.
    """

    first: int
    last: int
    description: ChannelDescription
    init_revision: str
    splice: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The piece of a channel that a viewer asked for. last: None where it goes on live."""

    first: int
    last: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelView:
    """description, init_revision: of the edition on air; the revision changes with the bytes.

    published_us: when the last segment is over, on the timeline: an MPD's publishTime, the same on
    all replicas. parts: None where the edition on air has none. stretches: ascending; none where
    all segments ever were of the edition on air. discontinuities_left: declared ones before the
    window. former_tracks: those that only other editions have, which viewers may still ask for.
    span: where the view is but a piece (`span`).
    """

    description: ChannelDescription
    window: Window
    init_revision: str
    published_us: int
    parts: PartsView | None = None
    stretches: tuple[Stretch, ...] = ()
    discontinuities_left: int = 0
    former_tracks: tuple[TrackDescription, ...] = ()
    span: Span | None = None

    @property
    def timeline(self) -> Timeline:
        """The channel's grid."""
        return self.description.timeline()

    @property
    def is_complete(self) -> bool:
        """Whether it is a piece with an end, and nothing can follow any more."""
        return self.span is not None and self.window.last == self.span.last

    def runs(self) -> tuple[Stretch, ...]:
        """The window, by edition."""
        alone = Stretch(
            first=self.window.first,
            last=self.window.last,
            description=self.description,
            init_revision=self.init_revision,
        )
        return self.stretches or (alone,)

    def listed_tracks(self) -> Iterator[TrackDescription]:
        """Every track that has a media playlist."""
        yield from self.description.tracks
        yield from self.former_tracks

    def tracks(self, kind: str) -> list[TrackDescription]:
        """The tracks of one type, `video` or `audio`, in the description's order."""
        return [track for track in self.description.tracks if track.type == kind]

    def settled(self) -> ChannelView:
        """Without what comes and goes with each part."""
        return self if self.parts is None else replace(self, parts=replace(self.parts, open=()))

    def reached(self, segment: int, part: int | None) -> bool:
        """Whether the segment, or with a part at least that part of it, is decided."""
        if segment <= self.window.last:
            return True
        opened = 0 if self.parts is None else len(self.parts.open)
        return part is not None and segment == self.window.last + 1 and part < opened

    def hint(self) -> tuple[int, int] | None:
        """Segment and number of the next part; None where the channel has none."""
        if self.parts is None:
            return None
        return following(self.parts.grid, self.window.last + 1, len(self.parts.open))


def stand_in(description: ChannelDescription, track: TrackDescription) -> TrackDescription | None:
    """The edition's track of this name; else the nearest of its type, or None where it has none.

    Pictures by height, then bandwidth; sound by language; then by order.
    """
    alike = [other for other in description.tracks if other.type == track.type]

    def distance(other: TrackDescription) -> tuple[bool, int, int]:
        if track.type == "audio":
            return other.name != track.name, other.language != track.language, 0
        height = abs((other.height or 0) - (track.height or 0))
        return other.name != track.name, height, abs(other.bandwidth - track.bandwidth)

    return min(alike, key=distance, default=None)


def start_ticks(track: TrackDescription, timeline: Timeline, segment: int) -> int:
    """When a track's segment starts, in the track's timescale, since the epoch."""
    if track.type == "video":
        return timeline.pts_ticks(timeline.first_frame(segment))
    return timeline.first_audio_frame(segment, track.frame_samples) * track.frame_samples


def segment_at(track: TrackDescription, timeline: Timeline, ticks: int) -> int | None:
    """The segment of a track that starts exactly there, in the track's timescale; or None."""
    # Sound starts less than a codec frame after the pictures: well within their segment.
    segment = ticks * timeline.timescale // (timeline.segment_ticks * track.timescale)
    return segment if start_ticks(track, timeline, segment) == ticks else None


def duration_ticks(track: TrackDescription, timeline: Timeline, segment: int) -> int:
    """How long a track's segment is, in the track's timescale."""
    start = start_ticks(track, timeline, segment)
    return start_ticks(track, timeline, segment + 1) - start


def start_us(track: TrackDescription, timeline: Timeline, segment: int) -> int:
    """When a track's segment starts, in microseconds since the epoch, rounded up."""
    return ceil_div(start_ticks(track, timeline, segment) * MICROSECONDS, track.timescale)


def following(grid: PartGrid, segment: int, part: int) -> tuple[int, int]:
    """A part that may be past its segment's end: then it is the next one's first."""
    return (segment, part) if part < grid.per_segment else (segment + 1, 0)


def part_ticks(track: TrackDescription, grid: PartGrid, segment: int, part: int) -> int:
    """How long a track's part is, in the track's timescale."""
    if track.type == "video":
        return grid.part_frames * grid.timeline.frame_ticks
    samples = track.frame_samples
    first = grid.first_audio_frame(segment, part, samples)
    return (grid.first_audio_frame(segment, part + 1, samples) - first) * samples


def target_duration_s(description: ChannelDescription) -> int:
    """The longest segment, rounded to the nearest second (RFC 8216 4.3.3.1); never changes."""
    timeline = description.timeline()
    longest = Fraction(timeline.segment_ticks, timeline.timescale)
    return int(_longest(description, longest) + Fraction(1, 2))


def part_target_us(description: ChannelDescription, grid: PartGrid) -> int:
    """The longest part of any track in microseconds, rounded up: one target for all playlists."""
    ticks = grid.part_frames * grid.timeline.frame_ticks
    longest = _longest(description, Fraction(ticks, grid.timeline.timescale)) * MICROSECONDS
    return ceil_div(longest.numerator, longest.denominator)


def _longest(description: ChannelDescription, pictures: Fraction) -> Fraction:
    """Seconds of the longest track: sound may be up to a codec frame longer than its pictures."""
    longest = pictures
    for track in description.tracks:
        if track.type == "audio":
            frames = -(-pictures * track.timescale // track.frame_samples)
            longest = max(longest, Fraction(frames * track.frame_samples, track.timescale))
    return longest
