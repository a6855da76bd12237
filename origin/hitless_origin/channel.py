"""The selection shell: turns what arrives, and time, into the core's events, and obeys its effects.

Owns one channel's state in memory and is the only writer of its store. Everything that changes the
channel runs in its mailbox, one thing after the other; `ingest` waits for its turn to end, so a
push that was answered is on disk and, if the rule says so, published. `viewer` and `report` read.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hitless_handover import selection, selection_model
from hitless_handover.part_selection import PublishPart, SkipParts
from hitless_handover.selection_model import Admission, Effect, RefusalReason
from hitless_handover.timeline import MICROSECONDS
from hitless_origin import journal, refusals
from hitless_origin.boxes import InitFacts
from hitless_origin.clock import Clock
from hitless_origin.cmaf import judge_init
from hitless_origin.description import difference
from hitless_origin.errors import StoreError
from hitless_origin.live_parts import LiveParts
from hitless_origin.mailbox import Mailbox
from hitless_origin.manifests import Manifests
from hitless_origin.names import ChannelKey
from hitless_origin.part_shelf import Shelved
from hitless_origin.push import Answer, PartBody, PartPush, SegmentPush, arrived
from hitless_origin.recovery import Opened
from hitless_origin.resume import resume
from hitless_origin.roster import ENCODERS_MAX, EncoderRecord, Roster
from hitless_origin.store import Place
from hitless_origin.view import ChannelView
from hitless_origin.waits import Bell
from hitless_origin.window import Window, window_segments
from hitless_wire.ingest import ChannelDescription, TrackDescription

# RFC 8216 6.2.2 keeps a removed segment for the length of the playlist; longer windows get this.
RETENTION_SECONDS_MAX = 600

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What an encoder pushed of a segment's track, to know a resend."""

    digest: str
    priority: int


class Channel:
    """One channel on the air. Made by `origin`: `start` it, and `close` it in the end."""

    def __init__(
        self, key: ChannelKey, opened: Opened, *, clock: Clock, deadline_percent: int
    ) -> None:
        snapshot = opened.snapshot
        self.key = key
        self._log = logging.LoggerAdapter(log, {"channel": str(key)})
        self.description = opened.description
        self.timeline = opened.description.timeline()
        self.window = None if snapshot.window is None else snapshot.window.value()
        self.selection = resume(opened, self.window, deadline_percent, clock.monotonic_us())
        self.mismatches = snapshot.mismatches
        self.published_count = 0  # since the process started
        self.disk_errors = 0
        self.last_push_us = snapshot.published_us
        self.encoders = Roster(
            (name, EncoderRecord(inits=set(inits), last_push_us=snapshot.published_us))
            for name, inits in snapshot.encoders.items()
        )
        self.manifests: Manifests | None = None
        self.bell = Bell()  # rings when the manifests change
        self.parts = LiveParts.of(key, opened.description)
        self._published_us = snapshot.published_us
        self._pending = opened.pending
        self._clock = clock
        self._store = opened.store
        self._inits = dict(opened.inits)
        self._facts = {t: judge_init(data, self.track(t)) for t, data in self._inits.items()}
        self._outdated: set[str] = set()  # tracks whose init may change, after a long silence
        self._held: dict[Place, _Held] = {}
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
        shutil.rmtree(self._store.root, ignore_errors=True)

    # --- what others may ask ------------------------------------------------------------------

    def track(self, name: str) -> TrackDescription:
        """A track's description. Raises PushRefused (404)."""
        for track in self.description.tracks:
            if track.name == name:
                return track
        known = [track.name for track in self.description.tracks]
        raise refusals.unknown_track(self.key, name, known)

    def init_facts(self, track: str) -> InitFacts | None:
        """What the track's init segment says, if it is known."""
        return self._facts.get(track)

    def stage(self, body: bytes) -> Path:
        """Write a body to disk under a name of its own. Blocking, thread-safe. Raises OSError."""
        return self._store.stage(body)

    def init_path(self, track: str) -> Path | None:
        """Where viewers' init segment is, once it was pushed."""
        return self._store.init_path(track) if track in self._inits else None

    def live_path(self, track: str, segment: int) -> Path | None:
        """Where a published segment is, or was; None when it was never published."""
        window = self.window
        if window is None or segment > window.last or window.is_gap(segment):
            return None
        return self._store.live_path(track, segment)

    def idle(self) -> bool:
        """Whether nothing was pushed for longer than the window."""
        return self._clock.wall_us() - self.last_push_us > self._window_us

    def check_push(self, encoder: str, track: str, segment: int) -> None:
        """Refuse a segment before its body is read. Raises PushRefused (410, 412, 503)."""
        record = self.encoders.get(encoder)
        if record is None:
            raise refusals.not_introduced(encoder, "description")
        if track not in record.inits:
            raise refusals.not_introduced(encoder, f"init segment of {track}")
        self._admit(selection.admission(self.selection, segment), segment)

    def count_mismatch(self) -> None:
        """A push differed from what the channel is."""
        self.mismatches += 1

    # --- description and init -----------------------------------------------------------------

    async def introduce(self, encoder: str, description: ChannelDescription, body: bytes) -> Answer:
        """Take an encoder's description. Raises PushRefused (403, 409)."""
        return await self._mailbox.call(lambda: self._introduce(encoder, description, body))

    async def take_init(self, encoder: str, track: str, body: bytes, facts: InitFacts) -> Answer:
        """Take an encoder's init segment. Raises PushRefused (409, 412)."""
        return await self._mailbox.call(lambda: self._take_init(encoder, track, body, facts))

    async def _introduce(
        self, encoder: str, description: ChannelDescription, body: bytes
    ) -> Answer:
        differs = difference(self.description, description)
        if differs is not None:
            raise refusals.description_differs(self.key, *differs)
        if self.idle():
            self._outdated = set(self._inits)
        record = self.encoders.get(encoder)
        held = record is not None and description == self.description
        if record is None:
            await self._make_room()
            await self._append([journal.EncoderLine(encoder=encoder, inits=())])
            record = self.encoders[encoder] = EncoderRecord()
        self._touch(record)
        if description != self.description:
            await asyncio.to_thread(self._store.write_description, body)
            self.description = description
            self._refresh()
        return Answer.HELD if held else Answer.STORED

    async def _make_room(self) -> None:
        """Forget the encoder that is silent for longest, if there are too many."""
        if len(self.encoders) < ENCODERS_MAX:
            return
        oldest = self.encoders.replaceable(self._clock.wall_us(), self._window_us)
        if oldest is None:
            raise refusals.too_many_encoders(self.key, ENCODERS_MAX)
        await self._append([journal.ForgetLine(encoder=oldest)])
        del self.encoders[oldest]
        if self.parts is not None:
            self.parts.shelf.forget(oldest)

    async def _take_init(self, encoder: str, track: str, body: bytes, facts: InitFacts) -> Answer:
        record = self.encoders.get(encoder)
        if record is None:
            raise refusals.not_introduced(encoder, "description")
        kept = self._inits.get(track)
        if kept is not None and kept != body and track not in self._outdated:
            raise refusals.init_differs(self.key, track, kept, body)
        if kept != body:
            await self._write_init(track, body, facts)
        self._outdated.discard(track)
        self._touch(record)
        held = track in record.inits
        if not held:
            record.inits.add(track)
            inits = tuple(sorted(record.inits))
            await self._append([journal.EncoderLine(encoder=encoder, inits=inits)])
        self._refresh()
        return Answer.HELD if held else Answer.STORED

    async def _write_init(self, track: str, body: bytes, facts: InitFacts) -> None:
        """The first init segment; or another after a long silence, which old segments don't fit."""
        replaced = track in self._inits
        await asyncio.to_thread(self._store.write_init, track, body)
        self._inits[track], self._facts[track] = body, facts
        if replaced:
            self.encoders.forget_init(track)
            if self.parts is not None:
                self.parts.reset()
            if self.window is not None:
                self.window = replace(self.window, first=self.window.last + 1, gaps=())
            await asyncio.to_thread(self._store.compact, self.snapshot())

    # --- media --------------------------------------------------------------------------------

    async def take_segment(self, push: SegmentPush) -> Answer:
        """Take an encoder's media segment; its staged file is used or removed.

        Raises PushRefused (409, 410, 412, 503), OSError.
        """
        try:
            return await self._mailbox.call(lambda: self._take_segment(push))
        finally:
            if push.staged is not None:
                await asyncio.to_thread(push.staged.unlink, missing_ok=True)

    async def _take_segment(self, push: SegmentPush) -> Answer:
        place, held = push.place, self._held.get(push.place)
        if held is not None and held.digest != push.digest:
            what = f"segment {place.segment} of {place.track} from {place.encoder}"
            raise refusals.other_bytes(what, held.digest, push.digest)
        if held is not None and push.priority <= held.priority:
            return Answer.HELD
        self.check_push(place.encoder, place.track, place.segment)
        await self._feed_parts(place, push.priority, push.parts)
        if selection.admission(self.selection, place.segment) is Admission.OPEN:
            await asyncio.to_thread(self._keep, push, held)
        self._held[place] = _Held(digest=push.digest, priority=push.priority)
        record = self.encoders[place.encoder]
        self._touch(record)
        record.pushed(place.segment, push.priority)
        effects = await self._feed(push.arrived())
        self._settle_parts()
        self._refuse_dropped(place, effects)
        return Answer.STORED if held is None else Answer.HELD

    def _keep(self, push: SegmentPush, held: _Held | None) -> None:
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
                gone = effect.reason is RefusalReason.GONE
                self._admit(Admission.GONE if gone else Admission.TOO_FAR, place.segment)

    def _admit(self, admission: Admission, segment: int) -> None:
        refusal = refusals.unwanted(admission, segment, self.selection.last)
        if refusal is not None:
            raise refusal

    async def _replay_pending(self) -> None:
        for each in self._pending:
            data = await asyncio.to_thread(each.path.read_bytes)
            digest = hashlib.sha256(data).hexdigest()
            self._held[each.place] = _Held(digest=digest, priority=each.priority)
            facts = self._facts.get(each.place.track)
            if self.parts is not None and facts is not None:
                parts = self.parts.recut(data, each.place, self.track(each.place.track), facts)
                await self._feed_parts(each.place, each.priority, parts)
            await self._feed(arrived(each.place, each.priority))
        self._pending = ()

    # --- parts --------------------------------------------------------------------------------

    async def take_part(self, push: PartPush) -> Answer:
        """Take an encoder's part; with the last one, its track of the segment.

        Raises PushRefused (409, 410, 412, 413, 503), OSError.
        """
        taken = await self._mailbox.call(lambda: self._take_part(push))
        if isinstance(taken, Answer):
            return taken
        return await self.take_segment(await asyncio.to_thread(self._stage_joined, *taken))

    def _stage_joined(self, place: Place, priority: int, bodies: Sequence[bytes]) -> SegmentPush:
        body = b"".join(bodies)
        digest, staged = hashlib.sha256(body).hexdigest(), self._store.stage(body)
        return SegmentPush(place=place, priority=priority, digest=digest, staged=staged)

    async def _take_part(self, push: PartPush) -> Answer | tuple[Place, int, Sequence[bytes]]:
        """The answer; or the whole track of the segment, which the part completed."""
        live, core, place = self.parts, self.selection.parts, push.place
        assert live is not None
        assert core is not None
        if not live.shelf.has(place, push.part):
            self.check_push(place.encoder, place.track, place.segment)
        shelved = live.keep(push, core, self.window)
        bodies = live.shelf.bodies(place)  # before anything is decided, and they are let go
        if shelved is not Shelved.HELD:
            self._touch(self.encoders[place.encoder])
            await self._feed(push.arrived())
        if not live.shelf.is_whole(place):
            return Answer.KEPT  # also of a resend: 200 would say that the track is whole
        priority, held = live.shelf.priority(place), self._held.get(place)
        if held is None:
            return Answer.HELD if bodies is None else (place, priority, bodies)
        raised = SegmentPush(place=place, priority=priority, digest=held.digest, staged=None)
        return await self._take_segment(raised)

    async def _feed_parts(
        self, place: Place, priority: int, parts: tuple[PartBody, ...] = ()
    ) -> None:
        """Tell the core of parts that it has not had of a whole track. Raises PushRefused (409)."""
        live, core = self.parts, self.selection.parts
        if live is None or core is None:
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
        )
        window = self.window or Window(first=segment, last=segment)
        try:
            lines = [*before, line]
            await asyncio.to_thread(self._store.publish, segment, publish.encoder, lines)
        except (OSError, StoreError):
            self.disk_errors += 1
            self._log.exception("%s: segment %d can't be published", self.key, segment)
            self._set_window(window.published(segment))
            await asyncio.to_thread(self._store.discard, segment)
            await self._feed(selection_model.PublishFailed(segment=segment))
            return
        self.published_count += 1
        self._published_us = now_us
        self._outdated.clear()
        self._set_window(window.published(segment))
        await self._tidy(segment)

    async def _tidy(self, published: int) -> None:
        """Remove what is out of the window and its margin; shorten the journal."""
        for place in [
            p for p in self._held if p.segment <= published - selection_model.HISTORY_MAX
        ]:
            del self._held[place]
        margin_s = min(self.description.window_seconds, RETENTION_SECONDS_MAX)
        margin = window_segments(self.timeline, margin_s) + 1
        first = self.window.first if self.window else published
        try:
            await asyncio.to_thread(self._store.retain_from, first - margin)
            if self._store.wants_compaction():
                await asyncio.to_thread(self._store.compact, self.snapshot())
        except OSError:
            self.disk_errors += 1
            self._log.exception("%s: the folder can't be tidied", self.key)

    async def _drop(self, segment: int, encoder: str) -> None:
        dropped = [p for p in self._held if (p.segment, p.encoder) == (segment, encoder)]
        for place in dropped:
            del self._held[place]
        if self.parts is not None and self.selection.parts is not None:
            self.parts.drop(segment, encoder, self.selection.parts, self.window)
        await asyncio.to_thread(self._store.discard, segment, encoder)

    async def _append(self, lines: Sequence[journal.Line]) -> None:
        if not lines:
            return
        try:
            await asyncio.to_thread(self._store.append, lines)
        except OSError:
            self.disk_errors += 1
            self._log.exception("%s: the journal can't be written", self.key)

    # --- state --------------------------------------------------------------------------------

    @property
    def _window_us(self) -> int:
        return self.description.window_seconds * MICROSECONDS

    def _touch(self, record: EncoderRecord) -> None:
        self.last_push_us = record.last_push_us = self._clock.wall_us()

    def _set_window(self, window: Window | None) -> None:
        seconds = self.description.window_seconds
        self.window = window and window.trim(window_segments(self.timeline, seconds))

    def _refresh(self) -> None:
        """What viewers see has changed, or may have."""
        names = sorted(track.name for track in self.description.tracks)
        if self.window is None or not self._inits.keys() >= set(names):
            self.manifests = None
            return
        inits = b"".join(self._inits[name] for name in names)
        view = ChannelView(
            description=self.description,
            window=self.window,
            init_revision=hashlib.sha256(inits).hexdigest()[:8],
            published_us=self._published_us,
            parts=None if self.parts is None else self.parts.window.shown(self.window),
        )
        if self.manifests is None:
            self.manifests = Manifests(view)
        elif self.manifests.view != view:
            self.manifests = self.manifests.after(view)
        else:
            return
        self.bell.ring()

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
            encoders=self.encoders.inits(),
        )
