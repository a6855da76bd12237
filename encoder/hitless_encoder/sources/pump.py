"""Reads a transport's packets in a thread of its own: the other side waits as long as it likes.

The thread opens the container, and opens it again after an end or an error, until it is stopped.
What it read waits in a queue that is bounded in bytes; when that is full, the thread waits, and
what comes in waits in the transport.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from hitless_encoder.clock import MICROSECONDS, Clock
from hitless_encoder.errors import SourceError
from hitless_encoder.sources.grid import TickScale
from hitless_encoder.sources.statements import Statements
from hitless_encoder.sources.transport import Transport

QUEUE_BYTES_MAX = 32 << 20
EVENT_OVERHEAD_BYTES = 512  # counted for each beside its data
REOPEN_SECONDS = 2
JOIN_SECONDS = 1  # FFmpeg's own connections may take longer to end; they do so unattended
_REFUSED = {"theora", "rv40"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A connection stands; its packets follow."""

    video: VideoStream
    audio: AudioStream | None
    scale: TickScale
    statements: Statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A packet. wall_us: when it was read."""

    packet: Packet[Any]
    wall_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A connection could not be made, or ended; the next try follows. reason: with the URL."""

    reason: str


Event = Opened | Arrived | Failed


class PacketPump:
    """One transport at work. next() and stop() are called from outside."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._stop = threading.Event()
        self._queue: deque[Event] = deque()
        self._changed = threading.Condition()
        self.waiting_bytes = 0
        self._thread = threading.Thread(target=self._run, name="demux", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def next(self, wait_s: float) -> Event | None:
        """The next event, or None when there is none within wait_s seconds, or after stop()."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._queue) or self._stop.is_set(), wait_s)
            if not self._queue or self._stop.is_set():
                return None
            event = self._queue.popleft()
            self.waiting_bytes -= _size(event)
            self._changed.notify_all()
            return event

    @property
    def is_filling(self) -> bool:
        """Whether more waits than there should."""
        return self.waiting_bytes > QUEUE_BYTES_MAX // 2

    def stop(self) -> None:
        """End; from any thread."""
        self._stop.set()
        self._transport.interrupt()
        with self._changed:
            self._changed.notify_all()

    def join(self) -> None:
        """Stop, and wait JOIN_SECONDS at most for the thread."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            reason = self._connection()
            self._put(Failed(reason=reason))
            retry_us = self._clock.now_us() + REOPEN_SECONDS * MICROSECONDS
            self._clock.sleep_until(retry_us, self._stop)

    def _connection(self) -> str:
        """Read one connection to its end; why it ended."""
        url = self._transport.url
        try:
            with self._transport.opened() as container:
                self._read(container)
        except SourceError as error:
            return str(error)
        except (av.FFmpegError, OSError, ValueError) as error:
            return f"{url}: {error}"
        return f"{url}: the stream ended"

    def _read(self, container: InputContainer) -> None:
        video = container.streams.best("video")
        if not isinstance(video, VideoStream):
            raise SourceError(f"{self._transport.url}: no video in the stream")
        check_codec(self._transport.url, video)
        audio = container.streams.best("audio", related=video)
        video.codec_context.thread_count = 1
        found = audio if isinstance(audio, AudioStream) else None
        stamp = self._transport.stamp()
        statements = self._transport.statements(video)
        scale = self._transport.scale(video)
        self._put(Opened(video=video, audio=found, scale=scale, statements=statements))
        for packet in container.demux(*([video] if found is None else [video, found])):
            if self._stop.is_set():
                return
            if packet.size and stamp(packet):
                statements.note(packet)
                self._put(Arrived(packet=packet, wall_us=self._clock.now_us()))

    def _put(self, event: Event) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self.waiting_bytes < QUEUE_BYTES_MAX or self._stop.is_set()
            )
            self._queue.append(event)
            self.waiting_bytes += _size(event)
            self._changed.notify_all()


def _size(event: Event) -> int:
    data = event.packet.size if isinstance(event, Arrived) else 0
    return data + EVENT_OVERHEAD_BYTES


def check_codec(url: str, video: VideoStream) -> None:
    """Raises SourceError for pictures that we don't take."""
    name = video.codec_context.name if video.codec_context is not None else "unknown"
    if name in _REFUSED or video.codec_context is None:
        raise SourceError(
            f"{url}: pictures in {name} are not supported: send H.264, HEVC, AV1, VP9, MPEG-2 or "
            "MPEG-4 Part 2"
        )
