"""Judges the bytes of one rendition, segment by segment: header, boxes, decoder, marks.

No I/O and no clock, but it blocks while decoding: call it in a thread, one call at a time. Used by
rendition.py, which fetches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hitless_cli.probe.boxes import (
    MediaSegment,
    TrackHeader,
    TrackKind,
    read_header,
    read_segment,
)
from hitless_cli.probe.checks import (
    FrameClock,
    PictureCheck,
    PictureReading,
    TimestampCheck,
    ToneCheck,
)
from hitless_cli.probe.decode import AudioDecoder, Block, Failure, Picture, VideoDecoder
from hitless_cli.probe.errors import BoxError
from hitless_cli.probe.faults import FaultKind, Finding
from hitless_cli.probe.marks import ToneReader
from hitless_cli.probe.playlist import ListedSegment
from hitless_cli.probe.settings import PatternMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What the picture says about the marks: are there any, and on which grid."""

    present: bool
    clock: FrameClock | None = None
    segment_frames: int = 0


class Track:
    """One rendition's bytes, judged in order. decode: else boxes only."""

    def __init__(self, *, decode: bool, mode: PatternMode) -> None:
        self.decoded = decode
        self.header: TrackHeader | None = None
        self.timestamps: TimestampCheck | None = None
        self.pictures = PictureCheck(mode)
        self.tones = ToneCheck()
        self.segments = 0
        self.segment_frames = 0
        self.frames_decoded = 0
        self._header_bytes = b""
        self._sight: VideoDecoder | None = None
        self._hearing: AudioDecoder | None = None
        self._tone_reader: ToneReader | None = None
        self.first_frame_of_last = 0  # the lowest and highest frame of the segment read last
        self.last_frame = 0

    @property
    def marks(self) -> Marks:
        """What the pictures said so far."""
        clock = self.timestamps.clock if self.timestamps else None
        present = bool(self.pictures.marked) and self._sight is not None
        return Marks(present=present, clock=clock, segment_frames=self.segment_frames)

    def listen(self, marks: Marks) -> None:
        """For an audio track: read tones on this grid from here on."""
        rate = self.header.sample_rate if self.header else None
        if self._tone_reader is None and marks.present and marks.clock is not None and rate:
            timeline = marks.clock.timeline(marks.segment_frames, rate)
            if timeline is not None and self.header and self.header.timescale == rate:
                self._tone_reader = ToneReader(timeline)

    def begin(self, data: bytes, listed: ListedSegment) -> list[Finding]:
        """A header (init segment) applies from `listed` on; with a discontinuity, anew.

        Raises UnusableStreamError when no decoder takes it.
        """
        findings = []
        if self.header is not None and not listed.discontinuity:
            if data == self._header_bytes:
                return []
            message = f"{listed.init_url} differs from the header before, without a discontinuity"
            findings.append(_finding(FaultKind.INIT_CHANGED, listed, message))
        try:
            header = read_header(data)
        except BoxError as error:
            return [*findings, _finding(FaultKind.SEGMENT_MALFORMED, listed, f"header: {error}")]
        findings += self._drain(listed.sequence)
        self.header, self._header_bytes = header, data
        self._open()
        return findings

    def judge(self, data: bytes, listed: ListedSegment) -> list[Finding]:
        """A segment was fetched."""
        if self.header is None:
            return []
        try:
            segment = read_segment(data, self.header)
        except BoxError as error:
            self.unread(listed)
            return [_finding(FaultKind.SEGMENT_MALFORMED, listed, f"{listed.url}: {error}")]
        check = self._timestamps(segment)
        if check is None:
            message = f"{listed.url}: its frames have no duration"
            return [_finding(FaultKind.SEGMENT_MALFORMED, listed, message)]
        self.segments += 1
        frames = [check.clock.frame(sample.pts_ticks) for sample in segment.samples]
        self.first_frame_of_last, self.last_frame = min(frames), max(frames)
        findings = check.judge(segment, listed.sequence, listed.duration_us)
        return findings + self._decode(segment, listed.sequence)

    def unread(self, listed: ListedSegment) -> None:
        """A segment can't be read: a gap, not available, or malformed."""
        if self.timestamps is not None:
            self.timestamps.unread(listed.sequence, listed.duration_us)

    def finish(self, segment: int) -> list[Finding]:
        """The run is over: drain the decoder, settle what was left open."""
        findings = self._drain(segment)
        if self.timestamps is not None:
            findings += self.timestamps.finish()
        return findings + self.pictures.finish()

    def _timestamps(self, segment: MediaSegment) -> TimestampCheck | None:
        if self.timestamps is None and self.header is not None:
            clock = FrameClock.of(segment, self.header.timescale)
            self.timestamps = None if clock is None else TimestampCheck(clock)
            self.segment_frames = len(segment.samples)
        return self.timestamps

    def _open(self) -> None:
        header = self.header
        if header is None or not self.decoded:
            return
        if header.kind is TrackKind.VIDEO:
            self._sight = VideoDecoder(header, self._header_bytes)
        else:
            self._hearing = AudioDecoder(header, self._header_bytes)

    def _decode(self, segment: MediaSegment, number: int) -> list[Finding]:
        if self._sight is not None:
            return self._look(self._sight.decode(segment.samples, self.pictures.wanted), number)
        if self._hearing is not None:
            return self._hear(self._hearing.decode(segment.samples), number)
        return []

    def _drain(self, number: int) -> list[Finding]:
        """Close the decoders, after what they still hold."""
        findings: list[Finding] = []
        if self._sight is not None:
            findings += self._look(self._sight.flush(self.pictures.wanted), number)
        if self._hearing is not None:
            findings += self._hear(self._hearing.flush(), number)
        return findings

    def _look(self, out: Sequence[Picture | Failure], number: int) -> list[Finding]:
        readings = [
            PictureReading(frame=self._frame(item.pts_ticks), number=item.number)
            for item in out
            if isinstance(item, Picture)
        ]
        self.frames_decoded += len(readings)
        return self._failures(out, number) + self.pictures.judge(readings, number)

    def _hear(self, out: Sequence[Block | Failure], number: int) -> list[Finding]:
        findings = self._failures(out, number)
        for item in out:
            if isinstance(item, Block):
                self.frames_decoded += 1
                if self._tone_reader is not None:
                    readings = self._tone_reader.push(item.pts_ticks, item.sound)
                    findings += self.tones.judge(readings, number)
        return findings

    def _failures(self, out: Sequence[Picture | Block | Failure], number: int) -> list[Finding]:
        return [
            Finding(
                kind=FaultKind.DECODE_FAILED,
                segment=number,
                frame=self._frame(item.pts_ticks),
                message=f"frame {self._frame(item.pts_ticks)}: {item.message}",
            )
            for item in out
            if isinstance(item, Failure)
        ]

    def _frame(self, pts_ticks: int) -> int:
        assert self.timestamps is not None, "decoding follows the check of the timestamps"
        return self.timestamps.clock.frame(pts_ticks)


def _finding(kind: FaultKind, listed: ListedSegment, message: str) -> Finding:
    return Finding(kind=kind, segment=listed.sequence, message=message)
