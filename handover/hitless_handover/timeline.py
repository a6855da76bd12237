"""The one timeline: integer arithmetic between frames, ticks, samples, segments and wall time.

Owns every conversion of media time. Nothing else in the project computes a boundary. Numbers are
integers throughout; a rate is a pair (numerator, denominator). Frame 0, sample 0 and segment 0
start at the Unix epoch, 1970-01-01T00:00:00Z (DASH-IF Live Media Ingest v1.2, section 5).
"""

from __future__ import annotations

from dataclasses import dataclass

MICROSECONDS = 1_000_000
AAC_FRAME_SAMPLES = 1024
OPUS_FRAME_SAMPLES = 960  # 20 ms at 48 kHz
SEGMENT_SECONDS_MIN = 1
SEGMENT_SECONDS_MAX = 10
_TIMESCALE_MIN = 10_000
_DAY_SECONDS = 86_400


class TimelineError(ValueError):
    """A timeline that can't exist; the message says which value to change."""


def ceil_div(numerator: int, denominator: int) -> int:
    """The smallest integer not below numerator / denominator (denominator > 0)."""
    return -(-numerator // denominator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The grid of a channel: what every encoder of it agrees on before anything else.

    rate_num/rate_den: video frames per second, e.g. 30000/1001. segment_frames: frames in a segment
    (F). gop_frames: frames in a GOP; divides segment_frames. audio_rate: samples per second.
    """

    rate_num: int
    rate_den: int
    segment_frames: int
    gop_frames: int
    audio_rate: int = 48_000

    def __post_init__(self) -> None:
        if self.rate_num <= 0 or self.rate_den <= 0:
            raise TimelineError(f"frame rate {self.rate_num}/{self.rate_den} must be positive")
        if self.gop_frames <= 0 or self.segment_frames % self.gop_frames:
            raise TimelineError(
                f"a segment of {self.segment_frames} frames does not hold whole GOPs of "
                f"{self.gop_frames}: choose gopFrames that divides segmentFrames"
            )
        span = self.segment_frames * self.rate_den
        if not SEGMENT_SECONDS_MIN * self.rate_num <= span <= SEGMENT_SECONDS_MAX * self.rate_num:
            raise TimelineError(
                f"{self.segment_frames} frames at {self.rate_num}/{self.rate_den} fps is not "
                f"{SEGMENT_SECONDS_MIN} to {SEGMENT_SECONDS_MAX} s: change segmentFrames"
            )

    @property
    def timescale(self) -> int:
        """Video ticks per second."""
        return self.rate_num if self.rate_num >= _TIMESCALE_MIN else self.rate_num * 1000

    @property
    def frame_ticks(self) -> int:
        """Ticks of one video frame."""
        return self.rate_den if self.rate_num >= _TIMESCALE_MIN else self.rate_den * 1000

    @property
    def segment_ticks(self) -> int:
        """Ticks of one video segment."""
        return self.segment_frames * self.frame_ticks

    @property
    def segment_us(self) -> int:
        """Wall time of a segment, microseconds, rounded up."""
        return self.span_us(self.segment_frames)

    def span_us(self, frames: int) -> int:
        """Wall time of so many frames, microseconds, rounded up."""
        return ceil_div(frames * self.rate_den * MICROSECONDS, self.rate_num)

    def pts_ticks(self, frame: int) -> int:
        """The presentation time of a frame, in ticks."""
        return frame * self.frame_ticks

    def segment_of(self, frame: int) -> int:
        """The segment that holds a frame."""
        return frame // self.segment_frames

    def first_frame(self, segment: int) -> int:
        """The first frame of a segment; first_frame(k + 1) is where it ends."""
        return segment * self.segment_frames

    def first_segment_frame(self, frame: int) -> int:
        """The first frame, at or after `frame`, that begins a segment."""
        return self.first_frame(ceil_div(frame, self.segment_frames))

    def first_audio_frame(self, segment: int, samples: int = AAC_FRAME_SAMPLES) -> int:
        """The first codec frame of a segment's sound: it starts at or after the first picture.

        samples: in a codec frame.
        """
        return self.audio_frame_at(self.first_frame(segment), samples)

    def audio_frame_at(self, frame: int, samples: int = AAC_FRAME_SAMPLES) -> int:
        """The first codec frame of so many samples at or after the start of a video frame."""
        return ceil_div(frame * self.rate_den * self.audio_rate, samples * self.rate_num)

    def first_sample(self, frame: int) -> int:
        """The first audio sample at or after the start of a video frame."""
        return ceil_div(frame * self.rate_den * self.audio_rate, self.rate_num)

    def frame_at(self, wall_us: int) -> int:
        """The frame that is on air at a wall time in microseconds since the epoch."""
        return wall_us * self.rate_num // (self.rate_den * MICROSECONDS)

    def wall_us(self, frame: int) -> int:
        """The wall time, in microseconds since the epoch, at which a frame starts (rounded up)."""
        return self.span_us(frame)

    def timecode(self, frame: int) -> str:
        """`HH:MM:SS:FF`, non-drop, counted from the epoch at the nominal rate."""
        nominal = ceil_div(self.rate_num, self.rate_den)
        seconds, ff = divmod(frame, nominal)
        minutes, ss = divmod(seconds % _DAY_SECONDS, 60)
        return f"{minutes // 60:02}:{minutes % 60:02}:{ss:02}:{ff:02}"

    def frame_of_timecode(self, timecode: str, after: int) -> int:
        """The first frame at or after `after` with this timecode (see `timecode`).

        Raises TimelineError for a text that is none, or frames that the rate does not have.
        """
        nominal = ceil_div(self.rate_num, self.rate_den)
        try:
            hh, mm, ss, ff = (int(part) for part in timecode.split(":"))
        except ValueError as error:
            raise TimelineError(f"timecode {timecode!r} is not HH:MM:SS:FF") from error
        if not (0 <= hh < 24 and 0 <= mm < 60 and 0 <= ss < 60 and 0 <= ff < nominal):
            raise TimelineError(
                f"timecode {timecode} does not exist at {self.rate_num}/{self.rate_den} fps: "
                f"frames count from 00 to {nominal - 1:02}"
            )
        day = nominal * _DAY_SECONDS
        of_day = ((hh * 60 + mm) * 60 + ss) * nominal + ff
        return after + (of_day - after) % day


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """Where a source's own clock meets the timeline: source tick `source_ticks` is frame `frame`.

    Chosen once by the channel's first encoder; every later one takes it over (sync information, CR
    status). source_timescale: source ticks per second. wrap_ticks: the source counts modulo this
    (2**33 for MPEG-TS); 0 = never wraps. wall_us: when the anchor was chosen; tells laps apart.
    """

    source_ticks: int
    source_timescale: int
    wrap_ticks: int
    frame: int
    wall_us: int

    @property
    def line(self) -> tuple[int, int, int, int]:
        """What says at which frame a source tick is; when it was chosen does not."""
        return (self.source_ticks, self.source_timescale, self.wrap_ticks, self.frame)


def frame_of_source(
    timeline: Timeline, anchor: Anchor, source_ticks: int, *, near_ticks: int
) -> tuple[int, int]:
    """The frame of a source timestamp, and the unwrapped tick to pass as the next `near_ticks`.

    near_ticks: about how many source ticks after the anchor this is (the last result, or at the
    start the wall time since the anchor); it only has to be right to within half a lap.
    """
    since = source_ticks - anchor.source_ticks
    if anchor.wrap_ticks:
        since %= anchor.wrap_ticks
        lap = near_ticks - since + anchor.wrap_ticks // 2
        since += anchor.wrap_ticks * (lap // anchor.wrap_ticks)
    # nearest frame: round(since * rate / timescale) in integers
    numerator = 2 * since * timeline.rate_num + anchor.source_timescale * timeline.rate_den
    return anchor.frame + numerator // (2 * anchor.source_timescale * timeline.rate_den), since
