"""The running encoder as one object: source, ladder and sink, for the control part to steer.

start() begins, close() ends after the segment in hand; snapshot(), recent() and wait_segment() are
what the other encoder and the operator get to know. All public methods belong to the event loop;
the source's and the workers' threads talk to it by call_soon_threadsafe.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

from hitless_encoder.assembly import Assembly
from hitless_encoder.clock import MICROSECONDS, Clock, SystemClock
from hitless_encoder.ladder import Encoded, Ladder
from hitless_encoder.mailbox import Closed
from hitless_encoder.plan import plan_media
from hitless_encoder.sink import Channel, PushOutcome, Sink, SinkReport
from hitless_encoder.sources import Agreement, Source, SourceState, open_source
from hitless_encoder.tally import Tally
from hitless_handover.leadership import Lead
from hitless_handover.timeline import Anchor, Timeline
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.ingest_tokens import TokenFile

RECENT_SEGMENTS = 20  # more than the lag that a source may have
FINISH_SPARE_US = 1_500_000  # on close, beyond the end of the segment in hand

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An encoder's state at one moment.

    head_segment: the newest that the origin holds in all tracks, or that was withheld from it.
    encoded_segment: the newest made.
    received_bytes, waiting_bytes: of a network source. source_losses: times that it was lost.
    source_moves: times that its anchor was given up. agreements: pictures by what their statement
    of absolute time was worth.
    sound_lead_ms: newest sound to newest picture, None where that says nothing. init_digests:
    sha256. encode_time_ms: of the newest segments, oldest first, for the slowest track.
    speed_percent: 100 is real time; 0 before anything was made. failure: why the encoder has
    stopped for good, empty while it runs.
    """

    version: str
    preset: str
    timeline: Timeline
    fingerprint: str
    anchor: Anchor | None
    source_state: SourceState
    source_message: str
    current_frame: int | None
    encoded_segment: int | None
    head_segment: int | None
    init_digests: Mapping[str, str]
    frames: int
    repeated: int
    dropped: int
    source_losses: int
    source_moves: int
    agreements: Mapping[Agreement, int]
    sound_lead_ms: int | None
    received_bytes: int
    waiting_bytes: int
    push_failures: int
    push_dropped: int
    push_message: str
    encode_time_ms: tuple[int, ...]
    segment_ms: int
    speed_percent: int
    failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How a segment was made. busy_us: the work of its slowest track. made_us: when it was whole,
    by the session's clock.
    """

    busy_us: int
    made_us: int


def _ignore(_segment: int) -> None:
    """Default for on_segment."""


def _never(_segment: int) -> bool:
    """Default for is_silent."""
    return False


def _ignore_push(_segment: int, _ok: bool) -> None:
    """Default for on_pushed."""


class Session:
    """One encoder at work.

    lead_of: the priority of a segment, or that it is withheld; asked when its push begins, and
    again for one that is sent after all (`resend`). is_silent: whether a segment would be withheld
    if it were pushed now; with parts, its push may begin before all of it is made. on_segment:
    called with each segment just before its push; on_pushed(segment, ok) after it. All are called
    in the event loop. token: what the origin is to be shown.
    """

    def __init__(  # noqa: PLR0917 — a contract with the control part
        self,
        config: EncoderConfig,
        version: str,
        preset: str,
        lead_of: Callable[[int], Lead],
        on_segment: Callable[[int], None] = _ignore,
        on_pushed: Callable[[int, bool], None] = _ignore_push,
        clock: Clock | None = None,
        is_silent: Callable[[int], bool] = _never,
        token: TokenFile | None = None,
    ) -> None:
        self._version, self._preset = version, preset
        self._clock: Clock = clock or SystemClock()
        self.media = plan_media(config, preset)
        self._line = self.media.timeline
        self._on_pushed = on_pushed
        self._source = self._open_source(config)
        self._states_time = config.source.timecode is not None
        self._ladder = Ladder(
            video=self.media.video,
            sound=config.audio,
            timeline=self._line,
            parts=self.media.parts,
            timed=config.producer_reference_time,
            deliver=self._deliver,
            fail=self._fail,
        )
        self._sink = self._open_sink(config, lead_of, on_segment, is_silent, token)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run_source, name="source", daemon=True)
        self.tally = Tally(self._line, tuple(self.media.inits))
        self._assembly = Assembly(tuple(self.media.inits))
        self._recent: OrderedDict[int, dict[str, bytes]] = OrderedDict()
        self._makings: OrderedDict[int, Making] = OrderedDict()
        self._changed = asyncio.Condition()
        self._notices: set[asyncio.Task[None]] = set()
        self._current_frame: int | None = None
        self._frames = 0
        self._encoded_segment: int | None = None
        self._settled_segment: int | None = None
        self._head_segment: int | None = None
        self._failure = ""

    async def start(self) -> None:
        """Start threads and pushes; returns at once."""
        self._loop = asyncio.get_running_loop()
        await self._sink.start()
        self._ladder.start()
        self._thread.start()

    async def close(self, *, finish: bool = True) -> None:
        """Stop. With `finish`, first let the segment in hand be made and pushed, within a bound."""
        if finish and self._thread.is_alive() and self._current_frame is not None:
            await self._settle(self._line.segment_of(self._current_frame))
        self._source.close()
        await asyncio.to_thread(self._ladder.close)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)
        await self._sink.close()
        if self._notices:
            await asyncio.gather(*self._notices)

    def snapshot(self) -> Snapshot:
        """The state at this moment."""
        report, pushes = self._source.report(), self._sink.report()
        times = [making.busy_us for making in self._makings.values()]
        measured_us = sum(times)
        media_us = self._segment_us() * len(times)
        return Snapshot(
            version=self._version,
            preset=self._preset,
            timeline=self._line,
            fingerprint=self.media.description.fingerprint(),
            anchor=report.anchor,
            source_state=report.state,
            source_message=report.message,
            current_frame=self._current_frame,
            encoded_segment=self._encoded_segment,
            head_segment=self._head_segment,
            init_digests={
                track: hashlib.sha256(init).hexdigest() for track, init in self.media.inits.items()
            },
            frames=self._frames,
            repeated=report.repeated,
            dropped=report.dropped,
            source_losses=report.losses,
            source_moves=report.moves,
            agreements=report.agreements,
            sound_lead_ms=report.sound_lead_ms,
            received_bytes=report.received_bytes,
            waiting_bytes=report.waiting_bytes,
            push_failures=pushes.failures,
            push_dropped=pushes.dropped,
            push_message=pushes.message,
            encode_time_ms=tuple(time // 1000 for time in times),
            segment_ms=self._segment_us() // 1000,
            speed_percent=100 * media_us // measured_us if measured_us else 0,
            failure=self._failure,
        )

    def waiting(self) -> dict[str, int]:
        """For each track what waits for its thread."""
        return self._ladder.waiting()

    def pushes(self) -> SinkReport:
        """What the sink did."""
        return self._sink.report()

    def recent(self, segment: int) -> dict[str, bytes] | None:
        """The tracks of one of the newest RECENT_SEGMENTS segments, or None."""
        found = self._recent.get(segment)
        return None if found is None else dict(found)

    def making(self, segment: int) -> Making | None:
        """How one of the newest RECENT_SEGMENTS segments was made, or None."""
        return self._makings.get(segment)

    async def wait_segment(self, segment: int, deadline_us: int) -> dict[str, bytes] | None:
        """The tracks of a segment once it is encoded; None at the deadline or when it is gone.

        deadline_us: wall time of the session's clock, microseconds since the epoch.
        """

        def known() -> bool:
            newest = self._encoded_segment
            return bool(self._failure) or (newest is not None and newest >= segment)

        await self._wait_for(known, deadline_us)
        return self.recent(segment)

    def resend(self, first: int, last: int) -> None:
        """Push segments first to last, which were withheld, as far as they are still kept."""
        kept = {k: self._recent[k] for k in range(first, last + 1) if k in self._recent}
        if len(kept) <= last - first:
            _log.warning("segments %d to %d: only %d are still kept", first, last, len(kept))
        self._sink.resend(kept)

    def follow(self, anchor: Anchor, leader_frame: int) -> None:
        """The anchor of the encoder on air, and its newest frame: the source takes it over."""
        self._source.follow(anchor, leader_frame)

    async def _settle(self, segment: int) -> None:
        """Wait until the push of a segment has ended, well or not."""
        frames_left = self._line.first_frame(segment + 1) - (self._current_frame or 0)
        left_us = self._line.span_us(frames_left)
        bound_us = max(0, min(left_us, self._segment_us())) + FINISH_SPARE_US

        def settled() -> bool:
            newest = self._settled_segment
            return bool(self._failure) or (newest is not None and newest >= segment)

        await self._wait_for(settled, self._clock.now_us() + bound_us)

    async def _wait_for(self, condition: Callable[[], bool], deadline_us: int) -> None:
        seconds = max(0, deadline_us - self._clock.now_us()) / MICROSECONDS
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            return

    def _segment_us(self) -> int:
        line = self._line
        return line.segment_frames * line.rate_den * MICROSECONDS // line.rate_num

    def _open_source(self, config: EncoderConfig) -> Source:
        largest = max(config.profiles, key=lambda profile: profile.width * profile.height)
        return open_source(
            config.source.url,
            timeline=self._line,
            size=(largest.width, largest.height),
            anchor=None if config.anchor is None else config.anchor.value(),
            clock=self._clock,
            slate_seconds=config.source.slate_seconds,
            timecode=config.source.timecode,
        )

    def _open_sink(
        self,
        config: EncoderConfig,
        lead_of: Callable[[int], Lead],
        on_segment: Callable[[int], None],
        is_silent: Callable[[int], bool],
        token: TokenFile | None,
    ) -> Sink:
        channel = Channel(
            base_url=config.ingest_url,
            namespace=config.namespace,
            channel=config.channel,
            encoder_id=config.encoder_id,
            description=self.media.description,
            inits=self.media.inits,
            allow_discontinuity=config.allow_discontinuity,
            token=token,
        )
        return Sink(
            channel=channel,
            clock=self._clock,
            lead_of=lead_of,
            is_silent=is_silent,
            on_segment=on_segment,
            on_pushed=self._pushed,
            on_failed=lambda error: self._fail("push", error),
        )

    # In the source's and the workers' threads

    def _run_source(self) -> None:
        try:
            with closing(self._source.blocks()) as blocks:
                for block in blocks:
                    if self._states_time and self._current_frame is None:
                        lag_us = self._clock.now_us() - self._line.wall_us(block.frame)
                        self.tally.source_lag_us = max(0, lag_us)
                    self._ladder.feed(block)
                    self._current_frame = block.frame
                    self._frames += 1
        except Closed:
            return
        except Exception as error:  # reported: without a source there is nothing to do
            self._fail("source", error)

    def _deliver(self, encoded: Encoded) -> None:
        self._to_loop(lambda: self._collect(encoded))

    def _fail(self, where: str, error: BaseException) -> None:
        _log.error("%s stopped", where, exc_info=error)
        self._to_loop(lambda: self._stopped(f"{where}: {type(error).__name__}: {error}"))

    def _to_loop(self, call: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    # In the event loop

    def _stopped(self, message: str) -> None:
        self._failure = self._failure or message
        self._notify()

    def _collect(self, encoded: Encoded) -> None:
        """Put a chunk to its segment; what is complete in all tracks goes to the sink."""
        self.tally.encoded(encoded.track, encoded.busy_us)
        pieces, lost = self._assembly.add(encoded)
        for segment in lost:
            _log.warning("segment %d was never completed", segment)
            self._sink.abandon(segment)
        for piece in pieces:
            if self.media.parts is not None:
                self._sink.offer_part(piece.segment, piece.part, piece.tracks)
            if piece.whole is not None:
                self._complete(piece.segment, piece.whole, piece.busy_us)

    def _complete(self, segment: int, tracks: Mapping[str, bytes], busy_us: int) -> None:
        self._recent[segment] = dict(tracks)
        self._makings[segment] = Making(busy_us=busy_us, made_us=self._clock.now_us())
        for table in (self._recent, self._makings):
            while len(table) > RECENT_SEGMENTS:
                table.popitem(last=False)
        self._encoded_segment = segment
        self.tally.made(self._clock.now_us())
        self._sink.offer(segment, tracks)
        self._notify()

    def _pushed(self, segment: int, outcome: PushOutcome) -> None:
        ok = outcome is PushOutcome.STORED
        if ok or outcome is PushOutcome.WITHHELD:
            head = self._head_segment
            self._head_segment = segment if head is None else max(segment, head)
        else:
            _log.warning("segment %d: %s", segment, outcome)
        self._settled_segment = segment
        self.tally.pushed(segment, outcome, self._clock.now_us())
        self._on_pushed(segment, ok)
        self._notify()

    def _notify(self) -> None:
        async def wake() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.get_running_loop().create_task(wake())
        self._notices.add(task)
        task.add_done_callback(self._notices.discard)
