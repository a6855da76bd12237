"""The selection shell: turns what arrives, and time, into the core's events, and obeys its effects.

Owns one channel's state in memory and is the only writer of its store. Everything that changes the
channel runs in its mailbox, one thing after the other; `ingest` waits for its turn to end, so a
push that was answered is on disk and, if the rule says so, published. `viewer` and `report` read.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hitless_handover import selection, selection_model
from hitless_handover.part_selection import PublishPart, SkipParts
from hitless_handover.selection_model import Admission, Arrived, Effect, RefusalReason
from hitless_handover.timeline import Timeline
from hitless_origin import journal, refusals
from hitless_origin.audience import Audience
from hitless_origin.boxes import InitFacts
from hitless_origin.clock import Clock
from hitless_origin.deliveries import Deliveries, Held
from hitless_origin.edition import Editions
from hitless_origin.errors import PushRefused, StoreError
from hitless_origin.introductions import Introductions, encoder_line
from hitless_origin.live_parts import LiveParts
from hitless_origin.mailbox import Mailbox
from hitless_origin.manifests import Manifests
from hitless_origin.names import ChannelKey
from hitless_origin.part_shelf import Shelved
from hitless_origin.push import Answer, PartBody, PartPush, SegmentPush
from hitless_origin.recovery import Opened
from hitless_origin.resume import parts_of, resume, roster_of
from hitless_origin.showing import show
from hitless_origin.space import is_full
from hitless_origin.storage import Place
from hitless_origin.view import ChannelView
from hitless_origin.waits import Bell
from hitless_origin.window import Window, window_segments
from hitless_wire.ingest import ChannelDescription

# RFC 8216 6.2.2 keeps a removed segment for the length of the playlist; longer windows get this.
RETENTION_SECONDS_MAX = 600
SEGMENTS_LEAST = 6  # that stay in the window for want of a reserve: players start three back
SEGMENTS_EDGE = 4  # and where the next segment has no room otherwise
RESERVE_SEGMENTS = 4  # for which there should be room: two, from two encoders

log = logging.getLogger(__name__)


class Channel:
    """One channel on the air. Made by `origin`: `start` it, and `close` it in the end."""

    def __init__(
        self,
        key: ChannelKey,
        opened: Opened,
        *,
        clock: Clock,
        deadline_percent: int,
        on_stored: Callable[[], None] = lambda: None,
    ) -> None:
        snapshot = opened.snapshot
        self.key = key
        self._log = logging.LoggerAdapter(log, {"channel": str(key)})
        aired = snapshot.aired.value()
        self.editions = Editions(key, opened.editions.values(), snapshot.on_air, aired)
        self.window = None if snapshot.window is None else snapshot.window.value()
        self.selection = resume(opened, self.window, deadline_percent, clock.monotonic_us())
        self.mismatches = snapshot.mismatches
        self.deliveries = Deliveries()
        self.audience = Audience()
        self.published_count = 0  # since the process started
        self.disk_errors = 0
        self.given_up = 0  # segments that left the window early, since the process started
        self._shortened_to: int | None = None  # the window's first segment then; None: it is whole
        self._on_stored = on_stored  # called after each publication
        self.encoders = roster_of(snapshot)
        self.manifests: Manifests | None = None
        self.bell = Bell()  # rings when the manifests change
        self.parts = LiveParts.of(key, self.editions.on_air)
        self._published_us = snapshot.published_us
        self._pending = opened.pending
        self._clock = clock
        self._deadline_percent = deadline_percent
        self._store = opened.store
        self.introductions = Introductions(
            key,
            roster=self.encoders,
            editions=self.editions,
            store=opened.store,
            clock=clock,
            append=self._append,
            undecided=self._undecided,
            forgotten=self._forgotten,
        )
        self._mailbox = Mailbox(clock, lambda: self._feed(selection_model.Tick()))
        self._refresh()

    async def start(self) -> None:
        """Start the channel's task, with the pushes that were undecided when the origin ended."""
        self._mailbox.start(f"channel {self.key}")
        await self._mailbox.call(self._replay_pending)

    async def settle(self) -> None:
        """Wait until everything pushed so far, and everything due by now, is done."""
        await self._mailbox.settle()

    async def close(self) -> None:
        """Finish what was pushed, end the task, close the journal."""
        await self._mailbox.close()
        self.bell.close()
        await asyncio.to_thread(self._store.close)

    def remove(self) -> None:
        """Remove the closed channel's folder. Blocking."""
        self._store.remove()

    # --- what others may ask ------------------------------------------------------------------

    @property
    def stored_bytes(self) -> int:
        """Bytes of its segments and its journal."""
        return self._store.stored_bytes

    @property
    def reserve_bytes(self) -> int:
        """Bytes that should be free for its next segments."""
        return RESERVE_SEGMENTS * self._store.newest_bytes

    @property
    def missing_segments(self) -> int:
        """How many segments the window is shorter than it should be, for want of room."""
        if self._shortened_to is None or self.window is None:
            return 0
        wanted = window_segments(self.timeline, self.description.window_seconds)
        return max(0, self._shortened_to - (self.window.last - wanted + 1))

    def may_shorten(self, least: int) -> bool:
        """Whether there is a segment beyond the newest `least`."""
        return self.window is not None and self._removable(1, least) is not None

    @property
    def description(self) -> ChannelDescription:
        """Of the edition on air."""
        return self.editions.on_air.description

    @property
    def timeline(self) -> Timeline:
        """The grid of the edition on air; all have the same segments."""
        return self.editions.on_air.timeline

    def stage(self, body: bytes, place: Place, priority: int) -> Path | None:
        """Store a body that `take_segment` uses or removes. Blocking, thread-safe. Raises OSError.

        None: the segment is decided, so its bytes are only compared.
        """
        if selection.admission(self.selection, place.segment) is Admission.LATE:
            return None
        return self._store.stage(body, place, priority)

    def init_path(self, track: str, revision: str | None) -> Path | None:
        """Where viewers' init segment of this revision is. None: of the edition on air."""
        for edition in self.editions.newest_first():
            if track in edition.inits and revision in (None, edition.revision):
                return self._store.init_path(edition.number, track)
        return None

    def live_path(self, track: str, segment: int) -> Path | None:
        """Where a published segment is, or was; None when it was never published."""
        window = self.window
        if window is None or segment > window.last or window.is_gap(segment):
            return None
        return self._store.live_path(track, segment)

    async def live_file(self, track: str, segment: int) -> Path | None:
        """A published segment's file, fetched if need be; None: it has gone. Raises OSError."""
        path = self.live_path(track, segment)
        if path is None or path.exists():
            return path
        return await asyncio.to_thread(self._store.fetch, track, segment)

    def idle(self) -> bool:
        """Whether nothing was pushed for longer than the window."""
        return self.introductions.idle()

    def is_outlived(self, encoder: str, description: ChannelDescription, *, allowed: bool) -> bool:
        """Whether a channel of this description may take the name: this one can't be it."""
        differs = self.introductions.conflict(encoder, description, allowed=allowed)
        return self.idle() and differs is not None

    def check_push(self, encoder: str, track: str, segment: int) -> None:
        """Refuse a segment before its body is read. Raises PushRefused (410, 412, 503)."""
        self.introductions.check_media(encoder, track)
        self._admit(selection.admission(self.selection, segment), segment)

    def may_push_parts(self, encoder: str) -> bool:
        """Whether the encoder is of the edition on air."""
        return self.introductions.edition_of(encoder) is self.editions.on_air

    def note_refusal(self, encoder: str, refusal: PushRefused) -> None:
        """Count what says something of the channel's encoders, or of the way from them."""
        if refusal.mismatch:
            self.mismatches += 1
            self.deliveries.mismatched(encoder, refusal.text())
        if refusal.damaged:
            self.deliveries.damaged()

    # --- room -----------------------------------------------------------------------------------

    async def shorten(self, bytes_wanted: int, least: int) -> None:
        """Give up the oldest segments, at least one: so many bytes, or all but the newest `least`.

        Raises PushRefused when it closes.
        """
        await self._mailbox.call(lambda: self._shorten(bytes_wanted, least))

    def _removable(self, bytes_wanted: int, least: int) -> int | None:
        """The segment to begin with then; None: all are needed."""
        assert self.window is not None
        return self._store.first_after(bytes_wanted, self.window.last - least)

    async def _shorten(self, bytes_wanted: int, least: int) -> None:
        window = self.window
        first = None if window is None else self._removable(bytes_wanted, least)
        if window is None or first is None:
            return
        lines = []
        if first > window.first:
            if not self.missing_segments:
                self._log.warning("%s: no room, the window begins with segment %d", self.key, first)
            gone = window.spans(window.first, first - 1)
            self.given_up += sum(run.last - run.first + 1 for run, gap in gone if not gap)
            self.window, self._shortened_to = window.since(first), first
            self._refresh()  # before the files go
            lines.append(journal.TrimLine(first=first))
        told = await self._append(lines)
        await asyncio.to_thread(self._store.retain_from, first)
        if not told:
            await self._append(lines)  # now there is room

    def _note_whole(self) -> None:
        if self._shortened_to is not None and not self.missing_segments:
            self._shortened_to = None
            self._log.info("%s: the window is whole again", self.key)

    # --- description and init -----------------------------------------------------------------

    async def introduce(
        self, encoder: str, description: ChannelDescription, body: bytes, *, allowed: bool
    ) -> Answer:
        """Take an encoder's description. Raises PushRefused (403, 409).

        allowed: it may be of another edition than what is on air.
        """

        async def work() -> Answer:
            before = self.description
            answer = await self.introductions.describe(encoder, description, body, allowed=allowed)
            if self.description != before:
                self._refresh()
            return answer

        return await self._mailbox.call(work)

    async def take_init(self, encoder: str, track: str, body: bytes, facts: InitFacts) -> Answer:
        """Take an encoder's init segment. Raises PushRefused (403, 409, 412)."""

        async def work() -> Answer:
            answer, replaced = await self.introductions.take_init(encoder, track, body, facts)
            if replaced:
                await self._begin_anew()
            self._refresh()
            return answer

        return await self._mailbox.call(work)

    async def _begin_anew(self) -> None:
        """Another init segment after a long silence: old segments do not fit it, and leave."""
        if self.parts is not None:
            self.parts.reset()
        if self.window is not None:
            self.window = replace(self.window, first=self.window.last + 1, gaps=())
        await asyncio.to_thread(self._store.compact, self.snapshot())

    def _forgotten(self, encoder: str) -> None:
        if self.parts is not None:
            self.parts.shelf.forget(encoder)

    # --- media --------------------------------------------------------------------------------

    async def take_segment(self, push: SegmentPush) -> Answer:
        """Take an encoder's media segment; its staged file is used or removed.

        Raises PushRefused (409, 410, 412, 503), OSError.
        """
        try:
            return await self._mailbox.call(lambda: self._take_segment(push))
        finally:
            if push.staged is not None:
                await asyncio.to_thread(self._store.unstage, push.staged)

    async def _take_segment(self, push: SegmentPush) -> Answer:
        place, held = push.place, self.deliveries.get(push.place)
        if held is not None and held.digest != push.digest:
            what = f"segment {place.segment} of {place.track} from {place.encoder}"
            raise refusals.other_bytes(what, held.digest, push.digest)
        if held is not None and push.priority <= held.priority:
            return Answer.HELD
        self.check_push(place.encoder, place.track, place.segment)
        await self._feed_parts(place, push.priority, push.parts)
        if selection.admission(self.selection, place.segment) is Admission.OPEN:
            await asyncio.to_thread(self._keep, push, held)
        self.deliveries.keep(place, push.digest, push.priority)
        self.encoders.touch(place.encoder, self._clock.wall_us())
        self.encoders[place.encoder].pushed(place.segment, push.priority)
        effects = await self._feed(self._arrived(place, push.priority))
        self._settle_parts()
        self._refuse_dropped(place, effects)
        if held is not None:
            return Answer.HELD
        edition = self.introductions.edition_of(place.encoder)
        self.deliveries.compare(place, self.encoders.of_edition(edition.number))
        return Answer.STORED

    def _arrived(self, place: Place, priority: int) -> Arrived:
        return self.introductions.edition_of(place.encoder).arrived(place, priority)

    def _keep(self, push: SegmentPush, held: Held | None) -> None:
        if held is not None:
            self._store.promote(push.place, held.priority, push.priority)
        elif push.staged is not None:
            self._store.keep(push.staged, push.place, push.priority)

    def _refuse_dropped(self, place: Place, effects: Sequence[Effect]) -> None:
        """The core may have dropped this very push: then its answer says so."""
        for effect in effects:
            if isinstance(effect, selection_model.Refused) and (
                (effect.segment, effect.encoder) == (place.segment, place.encoder)
            ):
                if effect.reason is RefusalReason.CROWDED:
                    raise refusals.crowded(place.segment)
                gone = effect.reason is RefusalReason.GONE
                self._admit(Admission.GONE if gone else Admission.TOO_FAR, place.segment)

    def _admit(self, admission: Admission, segment: int) -> None:
        refusal = refusals.unwanted(admission, segment, self.selection.last)
        if refusal is not None:
            raise refusal

    async def _replay_pending(self) -> None:
        for each in self._pending:
            if each.place.encoder not in self.encoders:  # and so of no known edition
                self._store.discard(each.place.segment, each.place.encoder)
                continue
            data = await asyncio.to_thread(each.path.read_bytes)
            digest = hashlib.sha256(data).hexdigest()
            self.deliveries.keep(each.place, digest, each.priority)
            await self._feed_parts(each.place, each.priority, self._recut(each.place, data))
            await self._feed(self._arrived(each.place, each.priority))
        self._pending = ()

    def _recut(self, place: Place, data: bytes) -> tuple[PartBody, ...]:
        """The parts of a segment that was on disk; none if it can't be cut."""
        edition = self.introductions.edition_of(place.encoder)
        try:
            return edition.recut(data, place.track, place.segment)
        except PushRefused:
            self._log.exception("%s: %s can't be cut into parts", self.key, place)
            return ()

    # --- parts --------------------------------------------------------------------------------

    async def take_part(self, push: PartPush) -> Answer:
        """Take an encoder's part; with the last one, its track of the segment.

        Raises PushRefused (404, 409, 410, 412, 413, 503), OSError.
        """
        taken = await self._mailbox.call(lambda: self._take_part(push))
        if isinstance(taken, Answer):
            return taken
        return await self.take_segment(await asyncio.to_thread(self._stage_joined, *taken))

    def _stage_joined(self, place: Place, priority: int, bodies: Sequence[bytes]) -> SegmentPush:
        body = b"".join(bodies)
        digest, staged = hashlib.sha256(body).hexdigest(), self.stage(body, place, priority)
        return SegmentPush(place=place, priority=priority, digest=digest, staged=staged)

    async def _take_part(self, push: PartPush) -> Answer | tuple[Place, int, Sequence[bytes]]:
        """The answer; or the whole track of the segment, which the part completed."""
        live, core, place = self.parts, self.selection.parts, push.place
        if live is None or core is None or not self.may_push_parts(place.encoder):
            raise refusals.parts_of_another_edition(place.encoder)
        if not live.shelf.has(place, push.part):
            self.check_push(place.encoder, place.track, place.segment)
        shelved = live.keep(push, core, self.window)
        bodies = live.shelf.bodies(place)  # before anything is decided, and they are let go
        if shelved is not Shelved.HELD:
            self.encoders.touch(place.encoder, self._clock.wall_us())
            await self._feed(push.arrived())
        if not live.shelf.is_whole(place):
            return Answer.KEPT  # also of a resend: 200 would say that the track is whole
        priority, held = live.shelf.priority(place), self.deliveries.get(place)
        if held is None:
            return Answer.HELD if bodies is None else (place, priority, bodies)
        raised = SegmentPush(place=place, priority=priority, digest=held.digest, staged=None)
        return await self._take_segment(raised)

    async def _feed_parts(
        self, place: Place, priority: int, parts: tuple[PartBody, ...] = ()
    ) -> None:
        """Tell the core of parts that it has not had of a whole track. Raises PushRefused (409)."""
        live, core = self.parts, self.selection.parts
        if live is None or core is None or not self.may_push_parts(place.encoder):
            return
        live.keep_whole(place, parts, priority, core, self.window)
        for event in live.unfed(place, core):
            await self._feed(event)

    def _settle_parts(self) -> None:
        if self.parts is not None and self.selection.parts is not None and self.window is not None:
            self.parts.settle(self.selection.parts, self.window)

    # --- the core's effects -------------------------------------------------------------------

    async def _feed(self, event: selection_model.Event) -> tuple[Effect, ...]:
        result = selection.step(self.selection, event, self._clock.monotonic_us())
        self.selection = result.state
        self._mailbox.wake_at_us = result.wake_at_us
        if result.effects:
            await self._carry_out(result.effects)
        return result.effects

    async def _carry_out(self, effects: Sequence[Effect]) -> None:
        lines: list[journal.Line] = []
        for effect in effects:
            match effect:
                case selection_model.Publish():
                    await self._publish(effect, lines)
                    lines = []
                case selection_model.RecordGap(first=first, last=last):
                    self._log.warning("%s: gap, segments %d to %d", self.key, first, last)
                    lines.append(journal.GapLine(first=first, last=last))
                    self._set_window(self.window and self.window.gap(first, last))
                case selection_model.Switched(switch=switch):
                    lines.append(journal.SwitchLine.of(switch))
                case selection_model.TermRaised(term=term):
                    lines.append(journal.TermLine(term=term))
                case selection_model.Refused(segment=segment, encoder=encoder):
                    await self._drop(segment, encoder)
                case PublishPart() | SkipParts():
                    assert self.parts is not None
                    self.parts.carry_out(effect)
        await self._append(lines)
        self._settle_parts()
        self._refresh()

    async def _publish(
        self, publish: selection_model.Publish, before: Sequence[journal.Line]
    ) -> None:
        segment, now_us = publish.segment, self._clock.wall_us()
        line = journal.PublishLine(
            segment=segment,
            encoder=publish.encoder,
            priority=publish.priority,
            fallback=publish.fallback,
            term=publish.term,
            mismatches=self.mismatches,
            at_us=now_us,
            edition=publish.edition,
        )
        self._put_on_air(segment, publish.edition)
        window = self.window or Window(first=segment, last=segment)
        tracks = self.editions.on_air.names
        try:
            lines = [*before, line]
            await self._store_published(segment, publish.encoder, tracks, lines)
        except (OSError, StoreError):
            self.disk_errors += 1
            self._log.exception("%s: segment %d can't be published", self.key, segment)
            self._set_window(window.published(segment))
            await asyncio.to_thread(self._store.discard, segment)
            await self._feed(selection_model.PublishFailed(segment=segment))
            return
        self.published_count += 1
        self._published_us = now_us
        self.introductions.published()
        self._set_window(window.published(segment))
        await self._tidy(segment)

    async def _store_published(
        self,
        segment: int,
        encoder: str,
        tracks: frozenset[str],
        lines: Sequence[journal.Line],
    ) -> None:
        """Raises OSError, StoreError. Where there is no room for a line, an old segment goes."""
        try:
            await asyncio.to_thread(self._store.publish, segment, encoder, tracks, lines)
        except OSError as error:
            if not is_full(error):
                raise
            await self._shorten(self._store.newest_bytes, SEGMENTS_EDGE)
            await asyncio.to_thread(self._store.publish, segment, encoder, tracks, lines)

    def _put_on_air(self, segment: int, number: int) -> None:
        """A segment is of this edition; where it is another one, parts begin anew after it."""
        if not self.editions.put_on_air(segment, number):
            return
        self._log.warning("%s: edition %d from segment %d on", self.key, number, segment)
        core, edition = self.selection, self.editions.on_air
        parts = parts_of(edition, self._deadline_percent, core.parts, core.last)
        self.selection = replace(core, parts=parts)
        self.parts = LiveParts.of(self.key, edition, self.parts, segment + 1)

    async def _tidy(self, published: int) -> None:
        """Remove what is out of the window and its margin; shorten the journal."""
        self.deliveries.settle(switch.segment for switch in self.selection.switches)
        self.deliveries.trim(published - selection_model.HISTORY_MAX)
        margin_s = min(self.description.window_seconds, RETENTION_SECONDS_MAX)
        margin = window_segments(self.timeline, margin_s) + 1
        first = self.window.first if self.window else published
        self.editions.aired = self.editions.aired.trimmed(first - margin)
        try:
            await asyncio.to_thread(self._store.retain_from, first - margin)
            await self.introductions.drop_unused()
            if self._store.wants_compaction():
                await asyncio.to_thread(self._store.compact, self.snapshot())
        except OSError:
            self.disk_errors += 1
            self._log.exception("%s: the folder can't be tidied", self.key)
        self._note_whole()
        self._on_stored()

    async def _drop(self, segment: int, encoder: str) -> None:
        self.deliveries.forget(segment, encoder)
        if self.parts is not None and self.selection.parts is not None:
            self.parts.drop(segment, encoder, self.selection.parts, self.window)
        await asyncio.to_thread(self._store.discard, segment, encoder)

    async def _append(self, lines: Sequence[journal.Line]) -> bool:
        """Whether it could be written."""
        try:
            if lines:
                await asyncio.to_thread(self._store.append, lines)
        except OSError:
            self.disk_errors += 1
            self._log.exception("%s: the journal can't be written", self.key)
            return False
        return True

    # --- state --------------------------------------------------------------------------------

    def _undecided(self) -> frozenset[tuple[str, int]]:
        """Encoder and edition of every delivery that is not on air yet, and may be."""
        last = -1 if self.window is None else self.window.last
        slots = [slot for slot in self.selection.slots if slot.segment > last]
        return frozenset((d.encoder, d.edition) for slot in slots for d in slot.deliveries)

    def _set_window(self, window: Window | None) -> None:
        seconds = self.description.window_seconds
        self.window = window and window.trim(window_segments(self.timeline, seconds))

    def _refresh(self) -> None:
        """What viewers see has changed, or may have."""
        view = self._view()
        if view is None:
            self.manifests = None
        elif self.manifests is None or self.manifests.view != view:
            before = self.manifests
            self.manifests = Manifests(view) if before is None else before.after(view)
            self.bell.ring()

    def _view(self) -> ChannelView | None:
        if self.window is None:
            return None
        parts = None if self.parts is None else self.parts.window.shown(self.window)
        return show(self.editions, self.window, parts)

    def snapshot(self) -> journal.Snapshot:
        """Everything that survives a restart."""
        state = self.selection
        return journal.Snapshot(
            window=None if self.window is None else journal.WindowLine.of(self.window),
            term=state.term,
            encoder=state.encoder,
            priority=state.priority,
            published_us=self._published_us,
            fallbacks=state.fallbacks,
            gaps=state.gaps,
            mismatches=self.mismatches,
            switch_count=state.switch_count,
            switches=tuple(journal.SwitchLine.of(s) for s in state.switches),
            encoders={n: encoder_line(n, record) for n, record in self.encoders.items()},
            editions=tuple(self.editions.held),
            aired=journal.AiredLine.of(self.editions.aired),
        )
