"""The checks on what was played: timestamps, picture numbers, tones. Pure: values in, findings out.

Each check holds the little it must remember between segments. Frame numbers come from timestamps:
frame = pts / frame_ticks, exactly (Hitless timeline); the marks must agree with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from hitless_cli.probe.boxes import MediaSegment
from hitless_cli.probe.continuity import Break, Continuity, Verdict
from hitless_cli.probe.faults import FaultKind, Finding
from hitless_cli.probe.settings import PatternMode
from hitless_handover import pattern
from hitless_handover.timeline import MICROSECONDS, Timeline, TimelineError

_HORIZON_FRAMES = 2048  # a late frame within this is out of order, not lost
_TONE_TOLERANCE_HZ = pattern.TONE_STEP_HZ / 4
_FRAME_KINDS = {
    Verdict.LOST: (FaultKind.FRAME_LOST, "never published"),
    Verdict.REPEATED: (FaultKind.FRAME_REPEATED, "published again"),
    Verdict.OUT_OF_ORDER: (FaultKind.FRAME_OUT_OF_ORDER, "published after a higher one"),
}
_PICTURE_KINDS = {
    Verdict.LOST: (FaultKind.PICTURE_LOST, "never shown"),
    Verdict.REPEATED: (FaultKind.PICTURE_REPEATED, "shown again"),
    Verdict.OUT_OF_ORDER: (FaultKind.PICTURE_OUT_OF_ORDER, "shown after a higher one"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameClock:
    """A track's grid: ticks a second, and ticks a frame (for AAC usually 1024)."""

    timescale: int
    frame_ticks: int

    @classmethod
    def of(cls, segment: MediaSegment, timescale: int) -> FrameClock | None:
        """From the commonest sample duration of a segment; None when that is 0."""
        durations = Counter(sample.duration_ticks for sample in segment.samples)
        ticks = durations.most_common(1)[0][0]
        return cls(timescale=timescale, frame_ticks=ticks) if ticks else None

    def frame(self, pts_ticks: int) -> int:
        """The frame nearest to a time."""
        return (2 * pts_ticks + self.frame_ticks) // (2 * self.frame_ticks)

    def frames_in(self, duration_us: int) -> int:
        """Whole frames, rounded, in a duration."""
        per_frame_us = Fraction(self.frame_ticks * MICROSECONDS, self.timescale)
        return round(duration_us / per_frame_us)

    def timeline(self, segment_frames: int, audio_rate: int) -> Timeline | None:
        """The channel's timeline; None where it is none that Hitless allows."""
        rate = Fraction(self.timescale, self.frame_ticks)
        try:
            return Timeline(
                rate_num=rate.numerator,
                rate_den=rate.denominator,
                segment_frames=segment_frames,
                gop_frames=segment_frames,
                audio_rate=audio_rate,
            )
        except TimelineError:
            return None


class TimestampCheck:
    """Are a track's timestamps whole multiples of a frame, and consecutive?"""

    def __init__(self, clock: FrameClock) -> None:
        self.clock = clock
        self.sequence = Continuity(horizon=_HORIZON_FRAMES)
        self._unread_frames = 0
        self._unread_segment = 0

    def judge(self, segment: MediaSegment, number: int, duration_us: int) -> list[Finding]:
        """A segment was read. number: its media sequence number; duration_us: its EXTINF."""
        self._unread_frames = 0  # what is missing shows in the timestamps
        findings = [*self._exact(segment, number), *self._extinf(segment, number, duration_us)]
        for frame in sorted(self.clock.frame(s.pts_ticks) for s in segment.samples):
            findings += _named(self.sequence.step(frame, number), _FRAME_KINDS)
        return findings

    def unread(self, number: int, duration_us: int) -> None:
        """A segment can't be read: its frames are lost unless the next one says otherwise."""
        self._unread_frames += self.clock.frames_in(duration_us)
        self._unread_segment = number

    def finish(self) -> list[Finding]:
        """The run is over."""
        self.sequence.skip(self._unread_frames, self._unread_segment)
        return _named(self.sequence.finish(), _FRAME_KINDS)

    def _exact(self, segment: MediaSegment, number: int) -> list[Finding]:
        ticks = self.clock.frame_ticks
        wrong = [s for s in segment.samples if s.pts_ticks % ticks or s.duration_ticks != ticks]
        if not wrong:
            return []
        first = wrong[0]
        message = (
            f"pts {first.pts_ticks}, duration {first.duration_ticks} ticks; want a multiple of "
            f"{ticks}, and {ticks} (timescale {self.clock.timescale})"
        )
        return [
            Finding(
                kind=FaultKind.TIMESTAMP_WRONG,
                count=len(wrong),
                segment=number,
                frame=self.clock.frame(first.pts_ticks),
                message=message,
            )
        ]

    def _extinf(self, segment: MediaSegment, number: int, duration_us: int) -> list[Finding]:
        """EXTINF may be off by less than a frame: audio segments vary by one frame."""
        scale = self.clock.timescale
        off = abs(duration_us * scale - segment.duration_ticks * MICROSECONDS)
        if off <= self.clock.frame_ticks * MICROSECONDS + scale * 1000:
            return []
        holds_us = segment.duration_ticks * MICROSECONDS // scale
        message = f"EXTINF says {duration_us} us, the segment holds {holds_us} us"
        return [Finding(kind=FaultKind.DURATION_WRONG, segment=number, message=message)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureReading:
    """A decoded picture: the frame its timestamp says, and the number drawn (None: unreadable)."""

    frame: int
    number: int | None


class PictureCheck:
    """Does each picture carry the number of its timestamp, and is each shown once and in order?"""

    def __init__(self, mode: PatternMode) -> None:
        self.marked: bool | None = {PatternMode.YES: True, PatternMode.NO: False}.get(mode)
        self.sequence = Continuity(horizon=_HORIZON_FRAMES)
        self.checked = 0

    @property
    def wanted(self) -> bool:
        """Whether pictures need to be read at all."""
        return self.marked is not False

    def judge(self, readings: Sequence[PictureReading], segment: int) -> list[Finding]:
        """Pictures came out of the decoder, in the order of showing."""
        if self.marked is None and readings:
            readable = sum(reading.number is not None for reading in readings)
            self.marked = 2 * readable > len(readings)
        if not self.marked:
            return []
        return [finding for r in readings for finding in self._judge(r, segment)]

    def finish(self) -> list[Finding]:
        """The run is over."""
        return _named(self.sequence.finish(), _PICTURE_KINDS)

    def _judge(self, reading: PictureReading, segment: int) -> list[Finding]:
        self.checked += 1
        if reading.number is None:
            return [
                *self._step(self._expected(reading), segment),
                self._unreadable(reading, segment),
            ]
        number = pattern.nearest(reading.number, reading.frame)
        findings = self._step(number, segment)
        if number != reading.frame:
            message = f"picture {number} is shown at the time of frame {reading.frame}"
            findings.append(
                Finding(
                    kind=FaultKind.PICTURE_WRONG,
                    segment=segment,
                    frame=reading.frame,
                    message=message,
                )
            )
        return findings

    def _expected(self, reading: PictureReading) -> int:
        return reading.frame if self.sequence.first is None else self.sequence.following

    def _step(self, number: int, segment: int) -> list[Finding]:
        return _named(self.sequence.step(number, segment), _PICTURE_KINDS)

    @staticmethod
    def _unreadable(reading: PictureReading, segment: int) -> Finding:
        return Finding(
            kind=FaultKind.PICTURE_UNREADABLE,
            segment=segment,
            frame=reading.frame,
            message=f"the number in the picture of frame {reading.frame} can't be read",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToneReading:
    """The loudest tone under a video frame, Hz; None for silence."""

    frame: int
    hz: float | None


class ToneCheck:
    """Is the sound under each frame that frame's tone?"""

    def __init__(self) -> None:
        self.checked = 0

    def judge(self, readings: Iterable[ToneReading], segment: int) -> list[Finding]:
        """Sound under whole frames was decoded."""
        findings = []
        for reading in readings:
            self.checked += 1
            want = pattern.tone_hz(reading.frame)
            if reading.hz is None or abs(reading.hz - want) > _TONE_TOLERANCE_HZ:
                got = "silence" if reading.hz is None else f"{reading.hz:.0f} Hz"
                findings.append(
                    Finding(
                        kind=FaultKind.TONE_WRONG,
                        segment=segment,
                        frame=reading.frame,
                        message=f"{got} sounds during frame {reading.frame}; want {want} Hz",
                    )
                )
        return findings


def _named(breaks: Iterable[Break], kinds: dict[Verdict, tuple[FaultKind, str]]) -> list[Finding]:
    findings = []
    for found in breaks:
        kind, text = kinds[found.verdict]
        last = found.number + found.count - 1
        which = f"frame {found.number}" if found.count == 1 else f"frames {found.number} to {last}"
        findings.append(
            Finding(
                kind=kind,
                count=found.count,
                segment=found.segment,
                frame=found.number,
                message=f"{which} {text}",
            )
        )
    return findings
