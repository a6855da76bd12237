"""Where parts lie: the grid of CMAF chunks inside a segment. Integer arithmetic, as in `timeline`.

A part is a fixed number of frames that divides a GOP, so that a GOP always begins a part. Sound
parts hold the AAC frames that start within the pictures of the part.
"""

from __future__ import annotations

from dataclasses import dataclass

from hitless_handover.timeline import AAC_FRAME_SAMPLES, Timeline, TimelineError

# Parts differ by one AAC frame of 21 ms at most; from here on the shortest is at least 85 percent
# of the longest, as RFC 8216bis 4.4.3.7 demands of parts.
PART_US_MIN = 160_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PartGrid:
    """The parts of a channel. Raises TimelineError where they don't fit its timeline."""

    timeline: Timeline
    part_frames: int

    def __post_init__(self) -> None:
        gop = self.timeline.gop_frames
        if self.part_frames <= 0 or gop % self.part_frames:
            raise TimelineError(
                f"a GOP of {gop} frames does not hold whole parts of {self.part_frames}: choose "
                "partFrames that divides gopFrames"
            )
        if self.part_us < PART_US_MIN:
            raise TimelineError(
                f"a part of {self.part_frames} frames is {self.part_us // 1000} ms long: choose "
                f"partFrames for at least {PART_US_MIN // 1000} ms"
            )

    @property
    def per_gop(self) -> int:
        """Parts in a GOP."""
        return self.timeline.gop_frames // self.part_frames

    @property
    def per_segment(self) -> int:
        """Parts in a segment."""
        return self.timeline.segment_frames // self.part_frames

    @property
    def part_us(self) -> int:
        """Wall time of a part, microseconds, rounded up."""
        return self.timeline.span_us(self.part_frames)

    def first_frame(self, segment: int, part: int) -> int:
        """The first picture of a part; part = per_segment is the next segment's first."""
        return self.timeline.first_frame(segment) + part * self.part_frames

    def first_audio_frame(self, segment: int, part: int, samples: int = AAC_FRAME_SAMPLES) -> int:
        """The first codec frame of a part's sound: it starts at or after the first picture.

        samples: in a codec frame.
        """
        return self.timeline.audio_frame_at(self.first_frame(segment, part), samples)
