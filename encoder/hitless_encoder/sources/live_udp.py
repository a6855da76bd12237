"""The `udp://` source: a live MPEG-TS, every frame of the grid filled.

Pictures and sound are put on the timeline by their time stamps and the anchor (grid.py); sound is
decoded in groups (sound_run.py). So two encoders that joined at different times give the same
blocks. A block waits until its sound is there, for SOUND_WAIT_SECONDS of pictures at most. Where
the source is silent or broken, the source reports it and goes on trying, for ever and in bounds.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.packet import Packet
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from hitless_encoder.clock import MICROSECONDS, Clock
from hitless_encoder.errors import SourceError
from hitless_encoder.pcm import Pcm, PcmRing, resample, silence, source_span
from hitless_encoder.pictures import copied, plain
from hitless_encoder.sources.base import Block, ReportBoard, SourceReport, SourceState
from hitless_encoder.sources.grid import Grid, Placing
from hitless_encoder.sources.sound_run import GroupedSound, SoundFormat, SoundPacket
from hitless_encoder.sources.udp_receiver import (
    POLL_SECONDS,
    SILENCE_SECONDS,
    UdpAddress,
    UdpReceiver,
    open_socket,
)
from hitless_handover.timeline import Anchor, Timeline

SOUND_WAIT_SECONDS = 2
SOUND_RING_SECONDS = 12
SOUND_GROUPS_PER_SECOND = 1
REOPEN_SECONDS = 2
PROBE_BYTES = 4 << 20
PROBE_US = 10_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A placed picture whose sound may not have come yet."""

    frame: int
    picture: av.VideoFrame


class UdpSource:
    """A Source over one UDP address."""

    def __init__(
        self,
        address: UdpAddress,
        *,
        timeline: Timeline,
        anchor: Anchor | None,
        clock: Clock,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._address = address
        self._poll_seconds = poll_seconds
        self._line = timeline
        self._clock = clock
        self._grid = Grid(timeline, anchor)
        self._stop = threading.Event()
        self._receiver: UdpReceiver | None = None
        self._board = ReportBoard(SourceReport(anchor=anchor))

    def report(self) -> SourceReport:
        """The newest state, from any thread."""
        receiver = self._receiver
        if receiver is None:
            return self._board.read()
        return replace(
            self._board.read(),
            received_bytes=receiver.received_bytes,
            waiting_bytes=receiver.waiting_bytes,
        )

    def close(self) -> None:
        """Make blocks() end soon."""
        self._stop.set()
        receiver = self._receiver
        if receiver is not None:
            receiver.stop()

    def blocks(self) -> Generator[Block, None, None]:
        """Blocks as they come in; opens again after errors."""
        while not self._stop.is_set():
            try:
                yield from self._connected()
                reason = f"{self._address.url}: the stream ended"
            except SourceError as error:
                reason = str(error)
            except (av.FFmpegError, ValueError) as error:
                reason = f"{self._address.url}: {error}"
            if not self._stop.is_set():
                self._lost(reason)
                retry_us = self._clock.now_us() + REOPEN_SECONDS * MICROSECONDS
                self._clock.sleep_until(retry_us, self._stop)

    def _connected(self) -> Iterator[Block]:
        receiver = UdpReceiver(
            open_socket(self._address, self._poll_seconds), on_silence=self._silent
        )
        self._receiver = receiver
        try:
            if self._stop.is_set():
                return
            options = {"probesize": str(PROBE_BYTES), "analyzeduration": str(PROBE_US)}
            with av.open(receiver, "r", format="mpegts", options=options) as container:
                yield from self._read(container)
        finally:
            receiver.join()

    def _read(self, container: InputContainer) -> Iterator[Block]:
        if not container.streams.video:
            raise SourceError(f"{self._address.url}: no video in the stream")
        video = container.streams.video[0]
        video.codec_context.thread_count = 1
        audio = container.streams.audio[0] if container.streams.audio else None
        weaver = Weaver(self._line, self._grid, audio, self._board)
        for packet in container.demux(*([video] if audio is None else [video, audio])):
            if self._stop.is_set():
                return
            for block in weaver.feed(packet, self._clock.now_us()):
                if self._board.state(SourceState.RUNNING):
                    _log.info("source %s runs from frame %d", self._address.url, block.frame)
                yield block

    def _silent(self) -> None:
        self._lost(f"no data from {self._address.url} for {SILENCE_SECONDS} s")

    def _lost(self, message: str) -> None:
        if self._board.state(SourceState.LOST, message):
            _log.warning("source lost: %s", message)


class Weaver:
    """Packets in, blocks out: pictures placed and filled, each with the sound of its frame."""

    def __init__(
        self, timeline: Timeline, grid: Grid, audio: AudioStream | None, board: ReportBoard
    ) -> None:
        self._line = timeline
        self._grid = grid
        self._board = board
        self._sound = None if audio is None else LiveSound(timeline, grid, SoundFormat.of(audio))
        self._waiting: deque[_Waiting] = deque()
        self._wait_frames_max = SOUND_WAIT_SECONDS * timeline.rate_num // timeline.rate_den
        self._newest: av.VideoFrame | None = None
        self._first_key: int | None = None
        self._converter = VideoReformatter()

    def feed(self, packet: Packet[Any], wall_us: int) -> list[Block]:
        """Take a packet in stream order; the blocks that it completes. wall_us: now."""
        if isinstance(packet.stream, VideoStream):
            for picture in self._decoded(packet):
                self._place(picture, wall_us)
        elif self._sound is not None and packet.pts is not None:
            lead_ms = self._sound.feed(packet.pts, bytes(packet))
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
        placed = self._grid.place(picture.pts, wall_us)
        if self._grid.anchor is not None and self._grid.anchor != anchor:
            self._board.anchored(self._grid.anchor)
            _log.info("source anchored: %s", self._grid.anchor)
        if placed.placing is Placing.DROP:
            self._board.count(dropped=1)
            return
        if placed.placing in (Placing.JUMP, Placing.GAP):
            _log.warning("source clock: %s, on at frame %d", placed.placing, placed.frame)
        self._fill(placed.frame, placed.missing)
        self._newest = plain(picture, self._converter)
        self._waiting.append(_Waiting(frame=placed.frame, picture=self._newest))

    def _fill(self, frame: int, missing: int) -> None:
        if self._newest is not None and missing:
            self._board.count(repeated=missing)
            for lost in range(frame - missing, frame):
                self._waiting.append(_Waiting(frame=lost, picture=copied(self._newest)))

    def _ready(self) -> list[Block]:
        blocks: list[Block] = []
        while self._waiting:
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
        self._groups = GroupedSound(sound, sound.rate // SOUND_GROUPS_PER_SECOND)
        self._ring = PcmRing(SOUND_RING_SECONDS * sound.rate)

    def feed(self, ticks: int, data: bytes) -> int | None:
        """Take a packet; ticks: its time stamp. How far it is ahead of the newest picture, in ms.

        None: nothing can be placed before the first picture.
        """
        position = self._grid.sample_of(ticks, self._rate)
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
