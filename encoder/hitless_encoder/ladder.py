"""The ladder: blocks in, CMAF chunks of every track out; one thread a track.

A rendition's thread scales from the next larger one (or the source), hands its picture on, and
encodes. A frame object belongs to one encoding thread; others only read its planes. Nothing starts
in the middle of a segment: after a start or a gap, the first segment whose pictures and sound (with
pre-roll) are all there is the first one made. session.py feeds it from the source's thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import av

from hitless_encoder import audio
from hitless_encoder.chunks import Chunk, Cutter
from hitless_encoder.mailbox import Closed, Mailbox
from hitless_encoder.pcm import Pcm, PcmRing
from hitless_encoder.pictures import Scaler, copied
from hitless_encoder.sources.base import Block
from hitless_encoder.video import SegmentEncoder, VideoSettings
from hitless_handover.parts import PartGrid
from hitless_handover.timeline import Timeline
from hitless_wire.media_resources import AudioTrack, Profile

QUEUE_FRAMES = 10  # between two threads; covers the flush of x264's look-ahead at a segment's end
QUEUE_SOUNDS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One track's chunk of a segment. busy_us: time that its thread worked on it."""

    track: str
    segment: int
    chunk: Chunk
    busy_us: int


Deliver = Callable[[Encoded], None]
Fail = Callable[[str, Exception], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    frame: int
    picture: av.VideoFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sound:
    frame: int
    pcm: Pcm


@dataclass(frozen=True, slots=True, kw_only=True)
class _Restart:
    """What came before is void; the next whole segment is `segment`."""

    segment: int


class _Worker(threading.Thread):
    """A thread that ends when its mailbox is closed and reports what breaks it."""

    mailbox: Mailbox[Any]

    def __init__(self, track: str, fail: Fail) -> None:
        super().__init__(name=f"encode-{track}", daemon=True)
        self.track = track
        self._fail = fail

    def run(self) -> None:
        """Work until closed."""
        try:
            while True:
                self.step()
        except Closed:
            return
        except Exception as error:  # reported: the session stops with it
            self._fail(self.track, error)

    def step(self) -> None:
        """Take one item and work on it."""
        raise NotImplementedError


class Rung(_Worker):
    """One rendition: scales, hands on to its children, encodes."""

    def __init__(
        self,
        settings: VideoSettings,
        parts: PartGrid | None,
        *,
        timed: bool,
        deliver: Deliver,
        fail: Fail,
    ) -> None:
        super().__init__(settings.profile.name, fail)
        self.mailbox: Mailbox[_Picture | _Restart] = Mailbox(QUEUE_FRAMES)
        self.children: list[Rung] = []
        self.owns_input = False  # whether the pictures it gets may be encoded as they are
        self._settings = settings
        self._line = settings.timeline
        self._parts = parts
        self._timed = timed
        self._deliver = deliver
        self._scaler = Scaler(settings.profile.width, settings.profile.height)
        self._encoder: SegmentEncoder | None = None
        self._cutter = Cutter.of_pictures(self._line, parts, 0)
        self._busy_ns = 0

    def step(self) -> None:
        """Take one picture, or forget the unfinished segment."""
        item = self.mailbox.get()
        if isinstance(item, _Restart):
            self._encoder = None
            for child in self.children:
                child.mailbox.put(item)
            return
        self._encode(item)

    def _encode(self, item: _Picture) -> None:
        segment = self._line.segment_of(item.frame)
        started_ns = time.perf_counter_ns()
        if item.frame == self._line.first_frame(segment):
            self._encoder, self._busy_ns = SegmentEncoder(self._settings), 0
            self._cutter = Cutter.of_pictures(self._line, self._parts, segment, timed=self._timed)
        picture = self._fitted(item.picture)
        if self._encoder is not None:
            self._encoder.stamp(picture)
        waited_ns = self._hand_on(_Picture(frame=item.frame, picture=picture))
        if self._encoder is None:
            return
        encoder = self._encoder
        encoder.add(picture)
        if item.frame + 1 == self._line.first_frame(segment + 1):
            encoder.finish()
            self._encoder = None  # its memory is free before the next segment's is taken
        self._busy_ns += time.perf_counter_ns() - started_ns - waited_ns
        for chunk in self._cutter.ready(encoder.samples):
            busy_us, self._busy_ns = self._busy_ns // 1000, 0
            self._deliver(Encoded(track=self.track, segment=segment, chunk=chunk, busy_us=busy_us))

    def _hand_on(self, item: _Picture) -> int:
        """Give the picture to the children; the nanoseconds that took, which are not our work."""
        started_ns = time.perf_counter_ns()
        for child in self.children:
            child.mailbox.put(item)
        return time.perf_counter_ns() - started_ns

    def _fitted(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture at this rendition's size, as a frame that only this thread encodes."""
        width, height = self._settings.profile.width, self._settings.profile.height
        if (picture.width, picture.height) == (width, height):
            return picture if self.owns_input else copied(picture)
        return self._scaler.scaled(picture)


class SoundWorker(_Worker):
    """One audio track."""

    def __init__(
        self,
        track: AudioTrack,
        timeline: Timeline,
        parts: PartGrid | None,
        *,
        timed: bool,
        deliver: Deliver,
        fail: Fail,
    ) -> None:
        super().__init__(track.name, fail)
        self.mailbox: Mailbox[_Sound | _Restart] = Mailbox(QUEUE_SOUNDS)
        self._settings = track
        self._line = timeline
        self._parts = parts
        self._timed = timed
        self._deliver = deliver
        start, stop = audio.preroll_samples(timeline, 0, track.codec)
        self._ring = PcmRing(2 * (stop - start))
        self._begin(0)

    def step(self) -> None:
        """Take the sound of one frame, and encode what is there of the segment in hand."""
        item = self.mailbox.get()
        if isinstance(item, _Restart):
            self._begin(item.segment)
            return
        self._ring.write(self._line.first_sample(item.frame), item.pcm)
        while self._encode_frame():
            pass

    def _begin(self, segment: int) -> None:
        self._sound = audio.SegmentSound(self._settings, self._line, segment)
        samples = audio.kind_of(self._settings.codec).frame_samples
        self._cutter = Cutter.of_sound(self._line, self._parts, segment, samples, timed=self._timed)
        self._busy_ns = 0

    def _encode_frame(self) -> bool:
        """Encode the next codec frame, if its sound is there; whether it was."""
        span = self._sound.next_samples
        if span is None:
            self._begin(self._sound.segment + 1)
            return True
        if self._ring.end < span[1]:
            return False
        started_ns = time.perf_counter_ns()
        self._sound.add(self._ring.read(*span))
        self._busy_ns += time.perf_counter_ns() - started_ns
        for chunk in self._cutter.ready(self._sound.samples):
            busy_us, self._busy_ns = self._busy_ns // 1000, 0
            segment = self._sound.segment
            self._deliver(Encoded(track=self.track, segment=segment, chunk=chunk, busy_us=busy_us))
        return True


def parents(profiles: Sequence[Profile]) -> dict[str, str | None]:
    """For each rendition the one it is scaled from: the smallest that covers it; None: the source.

    Ties go to the earlier profile, so the answer depends on the configuration alone.
    """
    order = sorted(profiles, key=lambda p: -p.width * p.height)
    found: dict[str, str | None] = {}
    for index, profile in enumerate(order):
        covering = [
            p.name for p in order[:index] if p.width >= profile.width and p.height >= profile.height
        ]
        found[profile.name] = covering[-1] if covering else None
    return found


class Ladder:
    """All tracks of a channel. feed() is called by one thread; deliver and fail by the workers'.

    timed: whether chunks say their time in UTC (`prft`).
    """

    def __init__(
        self,
        *,
        video: Sequence[VideoSettings],
        sound: Sequence[AudioTrack],
        timeline: Timeline,
        parts: PartGrid | None = None,
        timed: bool = False,
        deliver: Deliver,
        fail: Fail,
    ) -> None:
        self._line = timeline
        rungs = {
            v.profile.name: Rung(v, parts, timed=timed, deliver=deliver, fail=fail) for v in video
        }
        above = parents([v.profile for v in video])
        for name, parent in above.items():
            if parent is not None:
                rungs[parent].children.append(rungs[name])
        self._rungs = list(rungs.values())
        self._roots = [rungs[name] for name, parent in above.items() if parent is None]
        for rung in self._roots:
            rung.owns_input = True  # at most one root has the source's very size
        self._sounds = [
            SoundWorker(t, timeline, parts, timed=timed, deliver=deliver, fail=fail) for t in sound
        ]
        self._expected: int | None = None
        self._first_picture = 0

    def start(self) -> None:
        """Start the threads."""
        for worker in (*self._rungs, *self._sounds):
            worker.start()

    def waiting(self) -> dict[str, int]:
        """For each track what waits for its thread; from any thread."""
        return {worker.track: len(worker.mailbox) for worker in (*self._rungs, *self._sounds)}

    def feed(self, block: Block) -> None:
        """Take the next block; waits while a queue is full. Raises Closed after close()."""
        if block.frame != self._expected:
            self._restart(block.frame)
        self._expected = block.frame + 1
        for worker in self._sounds:
            worker.mailbox.put(_Sound(frame=block.frame, pcm=block.pcm))
        if block.frame >= self._first_picture:
            for rung in self._roots:
                rung.mailbox.put(_Picture(frame=block.frame, picture=block.picture))

    def close(self) -> None:
        """Stop the threads; unfinished segments are dropped."""
        for worker in (*self._rungs, *self._sounds):
            worker.mailbox.close()
        for worker in (*self._rungs, *self._sounds):
            if worker.is_alive() and worker is not threading.current_thread():
                worker.join()

    def _restart(self, frame: int) -> None:
        segment = self.first_whole_segment(frame)
        self._first_picture = self._line.first_frame(segment)
        for worker in self._sounds:
            worker.mailbox.put(_Restart(segment=segment))
        for rung in self._roots:
            rung.mailbox.put(_Restart(segment=segment))

    def first_whole_segment(self, frame: int) -> int:
        """The first segment that can be made from blocks that begin with `frame`."""
        segment = self._line.segment_of(frame)
        sample = self._line.first_sample(frame)
        while (
            self._line.first_frame(segment) < frame
            or audio.preroll_samples(self._line, segment)[0] < sample  # AAC's is the longest
        ):
            segment += 1
        return segment
