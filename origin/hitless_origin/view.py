"""What viewers may know of a channel at one moment: the input of every renderer. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from hitless_handover.timeline import AAC_FRAME_SAMPLES, MICROSECONDS, Timeline, ceil_div
from hitless_origin.window import Window
from hitless_wire.ingest import ChannelDescription, TrackDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelView:
    """init_revision: changes with the init segments' bytes. published_us: wall time of the last
    publication.
    """

    description: ChannelDescription
    window: Window
    init_revision: str
    published_us: int

    @property
    def timeline(self) -> Timeline:
        """The channel's grid."""
        return self.description.timeline()

    def tracks(self, kind: str) -> list[TrackDescription]:
        """The tracks of one type, `video` or `audio`, in the description's order."""
        return [track for track in self.description.tracks if track.type == kind]


def start_ticks(track: TrackDescription, timeline: Timeline, segment: int) -> int:
    """When a track's segment starts, in the track's timescale, since the epoch."""
    if track.type == "video":
        return timeline.pts_ticks(timeline.first_frame(segment))
    return timeline.first_audio_frame(segment) * AAC_FRAME_SAMPLES


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
