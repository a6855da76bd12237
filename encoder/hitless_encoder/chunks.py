"""Cuts one track of a segment into the CMAF chunks of its parts, as its samples come.

Without parts a segment is a single chunk. The bytes depend on the samples alone, not on when they
came. Called by ladder.py, one thread a track.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hitless_encoder.mux import Sample, media_chunk
from hitless_handover.parts import PartGrid
from hitless_handover.timeline import AAC_FRAME_SAMPLES, Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One chunk. last: with it the segment is whole."""

    part: int
    last: bool
    data: bytes


class Cutter:
    """One track of one segment. ends: for each part, the number of samples before its end.

    timescale: given, chunks say their time in UTC.
    """

    def __init__(
        self,
        *,
        segment: int,
        start_ticks: int,
        step_ticks: int,
        ends: Sequence[int],
        timescale: int | None,
    ) -> None:
        self._segment = segment
        self._timescale = timescale
        self._start_ticks, self._step_ticks = start_ticks, step_ticks
        self._ends = ends
        self._cut = 0

    @classmethod
    def of_pictures(
        cls, line: Timeline, grid: PartGrid | None, segment: int, *, timed: bool = False
    ) -> Cutter:
        """For a video track; ticks in the timeline's timescale."""
        frames = line.segment_frames if grid is None else grid.part_frames
        return cls(
            segment=segment,
            start_ticks=line.pts_ticks(line.first_frame(segment)),
            step_ticks=line.frame_ticks,
            ends=range(frames, line.segment_frames + 1, frames),
            timescale=line.timescale if timed else None,
        )

    @classmethod
    def of_sound(
        cls,
        line: Timeline,
        grid: PartGrid | None,
        segment: int,
        samples: int = AAC_FRAME_SAMPLES,
        *,
        timed: bool = False,
    ) -> Cutter:
        """For a track of codec frames of so many samples; ticks are samples."""
        first = line.first_audio_frame(segment, samples)
        if grid is None:
            ends = [line.first_audio_frame(segment + 1, samples) - first]
        else:
            parts = range(1, grid.per_segment + 1)
            ends = [grid.first_audio_frame(segment, part, samples) - first for part in parts]
        return cls(
            segment=segment,
            start_ticks=first * samples,
            step_ticks=samples,
            ends=ends,
            timescale=line.audio_rate if timed else None,
        )

    def ready(self, samples: Sequence[Sample]) -> Iterator[Chunk]:
        """The chunks that are complete by now and were not given before; all samples so far."""
        while self._cut < len(self._ends) and len(samples) >= self._ends[self._cut]:
            part = self._cut
            begin, self._cut = self._ends[part - 1] if part else 0, part + 1
            data = media_chunk(
                samples[begin : self._ends[part]],
                segment=self._segment,
                decode_ticks=self._start_ticks + begin * self._step_ticks,
                duration_ticks=self._step_ticks,
                first=part == 0,
                timescale=self._timescale,
            )
            yield Chunk(part=part, last=self._cut == len(self._ends), data=data)
