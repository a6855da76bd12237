"""Plays one rendition: loads its playlist, fetches what is new, has it judged, fetches some again.

The shell around follower.py, track.py and published.py: it decides nothing that they decide. One
task a rendition; one segment in memory at a time.
"""

from __future__ import annotations

import asyncio

from hitless_cli.probe.boxes import TrackKind
from hitless_cli.probe.context import ProbeContext
from hitless_cli.probe.errors import FetchError, PlaylistError
from hitless_cli.probe.faults import FaultKind, Finding
from hitless_cli.probe.fetch import Fetched, StatusError
from hitless_cli.probe.follower import Follower, Observation, StallLimits, observe, quiet
from hitless_cli.probe.playlist import ListedSegment, MediaPlaylist, Rendition, read_media
from hitless_cli.probe.published import Ledger, Published, digest_of
from hitless_cli.probe.report import EncoderChange, Progress
from hitless_cli.probe.settings import (
    ENCODER_CHANGES_MAX,
    PLAYLIST_BYTES_MAX,
    SEGMENT_BYTES_MAX,
    SWEEP_SEGMENTS_MAX,
)
from hitless_cli.probe.track import Marks, Track

_POLL_S_MIN, _POLL_S_MAX = 0.2, 2.0
_POLLS_PER_TARGET = 4
_LAG_S_MAX = 600.0
_MICROSECONDS = 1_000_000


class RenditionProbe:
    """One rendition of a run, and what is counted of it. reference: its pictures say the marks."""

    def __init__(
        self, rendition: Rendition, track: Track, context: ProbeContext, *, reference: bool
    ) -> None:
        self.rendition = rendition
        self.track = track
        self.loads = self.load_failures = self.late = self.retries = self.rechecked = 0
        self.discontinuities = 0
        self.bytes = 0
        self.played_out = False  # the last segment to play was played, or the stream ended
        self.quiet_s_max = 0.0
        self.first_segment: int | None = None
        self.last_segment: int | None = None
        self.encoder: str | None = None
        self.encoder_changes: list[EncoderChange] = []
        self._context = context
        self._reference = reference
        self._follower = Follower(start_at=context.settings.start_at)
        self._limits = StallLimits(
            stall_percent=context.settings.stall_percent,
            stall_tolerance_s=context.settings.stall_tolerance_s,
        )
        self._ledger = Ledger()
        self._init: Published | None = None

    @property
    def playlist(self) -> MediaPlaylist | None:
        """The version of the playlist that was loaded last."""
        return self._follower.playlist

    async def run(self) -> None:
        """Play until the run is over. Raises UnusableStreamError when there is no decoder."""
        try:
            while not self._context.over:
                await self._turn()
                if self.played_out:
                    break
                await self._context.pause(self._poll_s())
            await self._finish()
        finally:
            if self._reference:
                self._context.decide_marks(Marks(present=False))

    def note(self, *findings: Finding) -> None:
        """Count findings of this rendition."""
        for finding in findings:
            self._context.faults.add(self.rendition.name, finding)

    async def _turn(self) -> None:
        """Load the playlist once, and play what it adds."""
        observation = await self._load()
        self.note(*observation.findings)
        self.late += observation.late
        self.quiet_s_max = max(self.quiet_s_max, observation.quiet_s)
        until = self._context.settings.until_segment
        for listed in observation.segments:
            if self._context.over:
                return
            if until is not None and listed.sequence > until:
                break
            await self._play(listed)
            await self._recheck_one()
        past = until is not None and self._follower.next_sequence > until
        self.played_out = self.playlist is not None and (past or self.playlist.ended)

    async def _load(self) -> Observation:
        self.loads += 1
        clock = self._context.clock
        asked_s = clock.monotonic_s()
        try:
            new = await self._fetch_playlist()
        except (FetchError, PlaylistError) as error:
            self.load_failures += 1
            if isinstance(error, PlaylistError):
                self.note(Finding(kind=FaultKind.PLAYLIST_MALFORMED, message=str(error)))
            self._follower, observation = quiet(self._follower, self._limits, asked_s=asked_s)
            return observation
        self._follower, observation = observe(
            self._follower, new, self._limits, asked_s=asked_s, received_s=clock.monotonic_s()
        )
        return observation

    async def _fetch_playlist(self) -> MediaPlaylist:
        fetched = await self._context.fetcher.get(self.rendition.url, PLAYLIST_BYTES_MAX)
        return read_media(fetched.body.decode("utf-8", "replace"), fetched.url)

    async def _play(self, listed: ListedSegment) -> None:
        """Fetch and judge one segment."""
        if listed.discontinuity:
            self.discontinuities += 1
            if not self._context.settings.allow_discontinuity:
                self.note(_finding(FaultKind.DISCONTINUITY, listed, "EXT-X-DISCONTINUITY"))
        if self.first_segment is None:
            self.first_segment = listed.sequence
        self.last_segment = listed.sequence
        if listed.gap:
            self.note(_finding(FaultKind.GAP_PUBLISHED, listed, f"EXT-X-GAP for {listed.url}"))
            self.track.unread(listed)
            return
        try:
            await self._apply_header(listed)
            fetched = await self._get(listed.url)
        except FetchError as error:
            if not self._context.stop.is_set():  # stopped: it was not asked for often enough
                self.note(_finding(FaultKind.SEGMENT_UNAVAILABLE, listed, str(error)))
                self.track.unread(listed)
            return
        self._context.record(self.rendition.name, f"{listed.sequence}.m4s", fetched.body)
        self._ledger.add(listed.sequence, listed.url, fetched.body)
        await self._judge(fetched, listed)

    async def _judge(self, fetched: Fetched, listed: ListedSegment) -> None:
        if not self._reference and self.track.decoded:
            self.track.listen(await self._context.marks())
        self.note(*await asyncio.to_thread(self.track.judge, fetched.body, listed))
        self._note_encoder(fetched.encoder, listed)
        if self._reference:
            self._context.decide_marks(self.track.marks)
            self._tell_progress(listed)

    async def _apply_header(self, listed: ListedSegment) -> None:
        known = self._init is not None and self._init.url == listed.init_url
        if known and not listed.discontinuity:
            return
        fetched = await self._get(listed.init_url)
        self._context.record(self.rendition.name, f"init-{listed.sequence}.mp4", fetched.body)
        self.note(*await asyncio.to_thread(self.track.begin, fetched.body, listed))
        digest = digest_of(fetched.body)
        self._init = Published(sequence=listed.sequence, url=listed.init_url, digest=digest)

    async def _get(self, url: str) -> Fetched:
        fetched, retries = await self._context.get_patiently(url, SEGMENT_BYTES_MAX)
        self.retries += retries
        self.bytes += len(fetched.body)
        return fetched

    def _note_encoder(self, encoder: str | None, listed: ListedSegment) -> None:
        if encoder is None or self.track.timestamps is None:
            return
        changed = self.encoder is not None and encoder != self.encoder
        if changed and len(self.encoder_changes) < ENCODER_CHANGES_MAX:
            self.encoder_changes.append(
                EncoderChange(
                    segment=listed.sequence,
                    frame=self.track.first_frame_of_last,
                    from_encoder=self.encoder or "",
                    to_encoder=encoder,
                )
            )
        self.encoder = encoder

    async def _recheck_one(self) -> None:
        """Fetch a segment again that is still listed, and compare."""
        playlist = self.playlist
        if playlist is None or self.last_segment is None:
            return
        # the oldest may leave the window while it is fetched: leave it out
        picked = self._ledger.sample(playlist.first_sequence + 1, self.last_segment)
        if picked is not None:
            await self._recheck(picked)

    async def _recheck(self, published: Published) -> None:
        self._ledger.rechecked(published)
        self.rechecked += 1
        try:
            fetched = await self._context.fetcher.get(published.url, SEGMENT_BYTES_MAX)
        except StatusError as error:
            if error.gone and await self._still_gone(published):
                self._ledger.forget(published)
                self._note_published(FaultKind.SEGMENT_VANISHED, published, f"listed, but {error}")
            return
        except FetchError:
            return  # no answer says nothing about what is published
        if digest_of(fetched.body) != published.digest:
            self._ledger.forget(published)
            message = f"{published.url} is not the same bytes as when it was fetched first"
            self._note_published(FaultKind.BYTES_CHANGED, published, message)

    async def _still_gone(self, published: Published) -> bool:
        """Whether a newer playlist still lists it, and still it can't be fetched."""
        try:
            playlist = await self._fetch_playlist()
            if published.url not in {segment.url for segment in playlist.segments}:
                return False
            await self._context.fetcher.get(published.url, SEGMENT_BYTES_MAX)
        except StatusError as error:
            return error.gone
        except (FetchError, PlaylistError):
            return False
        return False

    async def _finish(self) -> None:
        """Drain what was played, and fetch again what was not fetched again yet."""
        number = self.last_segment or 0
        self.note(*await asyncio.to_thread(self.track.finish, number))
        if self.track.segments == 0:
            message = "not one segment was played: nothing can be said of this rendition"
            self.note(Finding(kind=FaultKind.NOTHING_PLAYED, message=message))
        try:
            async with asyncio.timeout(self._context.settings.sweep_s):
                await self._sweep()
        except TimeoutError:
            return  # a bound on the courtesy, not a fault of the stream

    async def _sweep(self) -> None:
        playlist = self.playlist
        if playlist is None or self.last_segment is None:
            return
        first, last = playlist.first_sequence + 1, self.last_segment
        for published in self._ledger.sweep(first, last, SWEEP_SEGMENTS_MAX):
            await self._recheck(published)
        if self._init is not None:
            await self._recheck_header(self._init)

    async def _recheck_header(self, init: Published) -> None:
        try:
            fetched = await self._context.fetcher.get(init.url, SEGMENT_BYTES_MAX)
        except FetchError:
            return
        if digest_of(fetched.body) != init.digest:
            message = f"{init.url} is not the same bytes as when it was fetched first"
            self._note_published(FaultKind.INIT_CHANGED, init, message)

    def _note_published(self, kind: FaultKind, published: Published, message: str) -> None:
        self.note(Finding(kind=kind, segment=published.sequence, message=message))

    def _poll_s(self) -> float:
        target_s = self.playlist.target_s if self.playlist else 1
        return min(_POLL_S_MAX, max(_POLL_S_MIN, target_s / _POLLS_PER_TARGET))

    def _tell_progress(self, listed: ListedSegment) -> None:
        check = self.track.timestamps
        if self._context.on_progress is None or check is None:
            return
        name, faults = self.rendition.name, self._context.faults
        self._context.on_progress(
            Progress(
                segment=listed.sequence,
                frame=self.track.last_frame,
                seen=check.sequence.seen,
                lost=faults.count(name, FaultKind.FRAME_LOST) + check.sequence.open_count,
                repeated=faults.count(name, FaultKind.FRAME_REPEATED),
                out_of_order=faults.count(name, FaultKind.FRAME_OUT_OF_ORDER),
                faults=faults.total,
                late=self.late,
                lag_s=self._lag_s(),
                encoder=self.encoder,
            )
        )

    def _lag_s(self) -> float | None:
        """Behind the wall clock, for a stream on the epoch's timeline."""
        check = self.track.timestamps
        if check is None or self.track.header is None:
            return None
        if self.track.header.kind is not TrackKind.VIDEO:
            return None
        end_ticks = (self.track.last_frame + 1) * check.clock.frame_ticks
        now_us = self._context.clock.wall_us()
        lag_s = (now_us - end_ticks * _MICROSECONDS // check.clock.timescale) / _MICROSECONDS
        return lag_s if abs(lag_s) < _LAG_S_MAX else None


def _finding(kind: FaultKind, listed: ListedSegment, message: str) -> Finding:
    return Finding(kind=kind, segment=listed.sequence, message=message)
