"""Live packets in, blocks out: pictures placed on the grid and filled, each with its sound.

Sound is decoded in groups (sound_run.py) at positions that follow from its time stamps, so two
encoders that joined at different times give the same blocks. A block waits until its sound is
there, for SOUND_WAIT_SECONDS of pictures at most, and until the next picture is placed, which may
be a nearer one for the same frame. Used by one thread (live.py).
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.stream import VideoStream

from hitless_encoder.pcm import Pcm, PcmRing, resample, silence, source_span
from hitless_encoder.pictures import copied
from hitless_encoder.sources.base import Block, ReportBoard
from hitless_encoder.sources.grid import Grid, Placed, Placing
from hitless_encoder.sources.shape import Deinterlacer, Shaper
from hitless_encoder.sources.sound_run import (
    GroupedSound,
    SoundFormat,
    SoundPacket,
    SteadyPositions,
)
from hitless_encoder.sources.statements import NoStatements, Statements
from hitless_handover.timeline import Timeline

SOUND_WAIT_SECONDS = 2
SOUND_RING_SECONDS = 12
SOUND_GROUPS_PER_SECOND = 1
COARSE_TIMESCALE_MAX = 10_000  # time stamps that say the sample only roughly, as those of FLV

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Waiting:
    """A placed picture whose sound may not have come yet."""

    frame: int
    picture: av.VideoFrame


class Weaver:
    """One connection's packets to blocks. pictures, sound: its streams."""

    def __init__(
        self,
        timeline: Timeline,
        grid: Grid,
        *,
        pictures: VideoStream,
        sound: AudioStream | None,
        shaper: Shaper,
        board: ReportBoard,
        statements: Statements | None = None,
    ) -> None:
        self._statements = statements or NoStatements()
        self._line = timeline
        self._grid = grid
        self._video = pictures
        self._board = board
        self._shaper = shaper
        self._deinterlacer = Deinterlacer()
        self._sound = None if sound is None else LiveSound(timeline, grid, SoundFormat.of(sound))
        self._waiting: deque[_Waiting] = deque()
        self._wait_frames_max = SOUND_WAIT_SECONDS * timeline.rate_num // timeline.rate_den
        self._newest: av.VideoFrame | None = None
        self._first_key: int | None = None

    def feed(self, packet: Packet[Any], wall_us: int) -> list[Block]:
        """Take a packet in stream order; the blocks that it completes. wall_us: when it came."""
        if isinstance(packet.stream, VideoStream):
            for decoded in self._decoded(packet):
                for picture in self._deinterlacer.feed(decoded):
                    self._place(picture, wall_us)
        elif self._sound is not None and packet.pts is not None:
            lead_ms = self._sound.feed(packet.pts, packet.time_base, bytes(packet))
            if lead_ms is not None:
                self._board.led(lead_ms)
        return self._ready()

    def _decoded(self, packet: Packet[Any]) -> list[av.VideoFrame]:
        """Pictures from the first key picture on; damaged packets give none."""
        if self._first_key is None:
            if not packet.is_keyframe or packet.pts is None:
                return []
            self._first_key = packet.pts
        try:
            pictures = [f for f in packet.decode() if isinstance(f, av.VideoFrame)]
        except av.FFmpegError as error:
            _log.debug("video packet: %s", error)
            return []
        # an open GOP's leading pictures, of which the decoder lacks the references
        return [p for p in pictures if p.pts is not None and p.pts >= self._first_key]

    def _place(self, picture: av.VideoFrame, wall_us: int) -> None:
        assert picture.pts is not None
        if self._newest is None:
            self._first_key = -(1 << 63)  # passed: from here on the source's clock may step back
        anchor = self._grid.anchor
        placed = self._grid.place(picture.pts, wall_us, self._statements.of(picture, wall_us))
        self._board.agreed(self._grid.agreement)
        if self._grid.anchor is not None and self._grid.anchor != anchor:
            self._board.anchored(self._grid.anchor, moved=anchor is not None)
            _log.info("source anchored: %s", self._grid.anchor)
        if placed.placing is Placing.DROP:
            self._board.count(dropped=1)
            return
        self._show(placed, self._shaper.fit(picture, self._pixel_aspect()))

    def _show(self, placed: Placed, picture: av.VideoFrame) -> None:
        if placed.placing in (Placing.JUMP, Placing.GAP):
            _log.warning("source clock: %s, on at frame %d", placed.placing, placed.frame)
        self._fill(placed.frame, placed.missing)
        self._newest = picture
        if placed.placing is Placing.NEARER:
            self._board.count(dropped=1)
            self._waiting[-1].picture = picture
        else:
            self._waiting.append(_Waiting(frame=placed.frame, picture=picture))

    def _pixel_aspect(self) -> Fraction | None:
        return self._video.codec_context.sample_aspect_ratio

    def _fill(self, frame: int, missing: int) -> None:
        if self._newest is not None and missing:
            self._board.count(repeated=missing)
            for lost in range(frame - missing, frame):
                self._waiting.append(_Waiting(frame=lost, picture=copied(self._newest)))

    def _ready(self) -> list[Block]:
        blocks: list[Block] = []
        while len(self._waiting) > 1:
            first = self._waiting[0]
            late = self._waiting[-1].frame - first.frame > self._wait_frames_max
            if not (late or self._has_sound(first.frame)):
                break
            self._waiting.popleft()
            if self._sound is None or self._sound.is_clean(first.frame) or late:
                blocks.append(
                    Block(frame=first.frame, picture=first.picture, pcm=self._pcm(first.frame))
                )
        return blocks

    def _has_sound(self, frame: int) -> bool:
        return self._sound is None or self._sound.reaches(frame)

    def _pcm(self, frame: int) -> Pcm:
        if self._sound is not None:
            return self._sound.read(frame)
        return silence(self._line.first_sample(frame + 1) - self._line.first_sample(frame))


class LiveSound:
    """The sound of a live source by frame number."""

    def __init__(self, timeline: Timeline, grid: Grid, sound: SoundFormat) -> None:
        self._line = timeline
        self._grid = grid
        self._rate = sound.rate
        self._steady = SteadyPositions(sound.packet_samples, sound.rate)
        self._groups = GroupedSound(sound, sound.rate // SOUND_GROUPS_PER_SECOND)
        self._ring = PcmRing(SOUND_RING_SECONDS * sound.rate)

    def feed(self, ticks: int, time_base: Fraction, data: bytes) -> int | None:
        """Take a packet with its time stamp. How far it is ahead of the newest picture, in ms.

        None: nothing can be placed before the first picture.
        """
        position = self._grid.sample_of(ticks, self._rate, time_base.denominator)
        if position is not None and time_base.denominator <= COARSE_TIMESCALE_MAX:
            position = self._steady.of(position)
        if position is None:
            return None
        for start, pcm in self._groups.feed(SoundPacket(position=position, data=data)):
            self._ring.write(start, pcm)
        newest = self._grid.newest_frame
        return None if newest is None else self._lead_ms(position, newest)

    def _lead_ms(self, position: int, frame: int) -> int:
        at = self._line.rate_den * self._rate * frame // self._line.rate_num
        return (position - at) * 1000 // self._rate

    def reaches(self, frame: int) -> bool:
        """Whether all sound of a frame has come in, and what it takes to resample it."""
        return self._ring.end >= self._span(frame)[1]

    def is_clean(self, frame: int) -> bool:
        """Whether the frame's sound is what any other encoder has, whenever it joined."""
        clean = self._groups.clean_from
        return clean is not None and clean <= self._span(frame)[0]

    def read(self, frame: int) -> Pcm:
        """The samples [first_sample(frame), first_sample(frame + 1))."""
        start, stop = self._line.first_sample(frame), self._line.first_sample(frame + 1)
        first, last = self._span(frame)
        return resample(self._ring.read(first, last), first, start, stop, self._rate)

    def _span(self, frame: int) -> tuple[int, int]:
        return source_span(
            self._line.first_sample(frame), self._line.first_sample(frame + 1), self._rate
        )
