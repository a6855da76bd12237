"""Who may push to a channel, and as which edition: descriptions and init segments.

Owns the roster and the editions, and keeps them in step with folder and journal. `channel` calls it
from its mailbox. What goes on air is not its matter, but for one thing: after a long silence other
init segments may replace those of the edition on air, and it says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from hitless_handover.timeline import MICROSECONDS
from hitless_origin import journal, refusals
from hitless_origin.boxes import InitFacts
from hitless_origin.clock import Clock
from hitless_origin.edition import EDITIONS_MAX, Edition, Editions
from hitless_origin.names import ChannelKey
from hitless_origin.push import Answer
from hitless_origin.roster import ENCODERS_MAX, EncoderRecord, Roster
from hitless_origin.storage import ChannelStorage
from hitless_wire.ingest import ChannelDescription

PATIENCE_SEGMENTS = 15  # an encoder that is cut off tries to push for so long

Append = Callable[[Sequence[journal.Line]], Awaitable[object]]


class Introductions:
    """append: writes to the journal. undecided: (encoder, edition) of what it may still publish.

    forgotten: hears of encoders that made room for others.
    """

    def __init__(
        self,
        key: ChannelKey,
        *,
        roster: Roster,
        editions: Editions,
        store: ChannelStorage,
        clock: Clock,
        append: Append,
        undecided: Callable[[], frozenset[tuple[str, int]]],
        forgotten: Callable[[str], None],
    ) -> None:
        self._key = key
        self._roster = roster
        self._editions = editions
        self._store = store
        self._clock = clock
        self._append = append
        self._undecided = undecided
        self._forgotten = forgotten
        self._outdated: set[str] = set()  # tracks whose init may change, after a long silence

    @property
    def window_us(self) -> int:
        """The window of the edition on air."""
        return self._editions.on_air.description.window_seconds * MICROSECONDS

    def idle(self) -> bool:
        """Whether nothing was pushed for longer than the window."""
        return self._clock.wall_us() - self._roster.last_push_us > self.window_us

    def edition_of(self, encoder: str) -> Edition:
        """What an encoder's pushes are judged by; a stranger's: what is on air."""
        record = self._roster.get(encoder)
        return self._editions.on_air if record is None else self._editions.held[record.edition]

    def conflict(
        self, encoder: str, description: ChannelDescription, *, allowed: bool
    ) -> tuple[str, str, str] | None:
        """The field that keeps a description out of the channel, with kept and other value.

        None: it is what the encoder pushed before, or may be taken.
        """
        known = encoder in self._roster
        own = self.edition_of(encoder).description
        if known and own.fingerprint() == description.fingerprint():
            return None
        return self._editions.conflict(description, allowed=allowed)

    def check_media(self, encoder: str, track: str) -> None:
        """Refuse media of an encoder that is not introduced. Raises PushRefused (412)."""
        record = self._roster.get(encoder)
        if record is None:
            raise refusals.not_introduced(encoder, "description")
        # which edition its segments are of is known only with the last init segment
        needed = self.edition_of(encoder).names if record.may_differ else {track}
        missing = sorted(needed - record.inits)
        if missing:
            raise refusals.not_introduced(encoder, f"init segment of {missing[0]}")

    def published(self) -> None:
        """Something is on air with the init segments that are there: they stay."""
        self._outdated.clear()

    # --- descriptions -------------------------------------------------------------------------

    async def describe(
        self, encoder: str, description: ChannelDescription, body: bytes, *, allowed: bool
    ) -> Answer:
        """Take an encoder's description. Raises PushRefused (403, 409), OSError."""
        differs = self.conflict(encoder, description, allowed=allowed)
        if differs is not None:
            refuse = refusals.edition_impossible if allowed else refusals.description_differs
            raise refuse(self._key, *differs)
        if self.idle() and not allowed:
            self._outdated = set(self._editions.on_air.inits)
        held = await self._keep_or_forget(encoder, description, allowed=allowed)
        if not held:
            await self._admit(encoder, description, body, allowed=allowed)
        self._roster.touch(encoder, self._clock.wall_us())
        edition = self.edition_of(encoder)
        if description != edition.description:
            held = False
            await asyncio.to_thread(self._store.write_description, edition.number, body)
            edition.description = description
        return Answer.HELD if held else Answer.STORED

    async def _keep_or_forget(
        self, encoder: str, description: ChannelDescription, *, allowed: bool
    ) -> bool:
        """Whether the encoder is known; after a long silence it may become of another edition.

        Raises PushRefused (409) while it may still have segments under way.
        """
        record = self._roster.get(encoder)
        if record is None:
            return False
        kept, got = self.edition_of(encoder).description.fingerprint(), description.fingerprint()
        silent = self._clock.wall_us() - record.last_push_us > self.window_us
        silent = silent and (encoder, record.edition) not in self._undecided()
        if kept == got and not (silent and allowed):
            record.may_differ = record.may_differ or allowed
            return True
        if not silent:
            raise refusals.another_edition(encoder, kept, got)
        await self._forget(encoder)
        return False

    async def _admit(
        self, encoder: str, description: ChannelDescription, body: bytes, *, allowed: bool
    ) -> None:
        await self._make_room()
        edition = self._editions.find(description, {})
        if edition is None:
            edition = await self._new_edition(description, body)
        record = EncoderRecord(edition=edition.number, may_differ=allowed)
        await self._append([encoder_line(encoder, record)])
        self._roster[encoder] = record

    async def _make_room(self) -> None:
        """Forget the encoder that is silent for longest, if there are too many."""
        if len(self._roster) < ENCODERS_MAX:
            return
        patience_us = PATIENCE_SEGMENTS * self._editions.on_air.timeline.segment_us
        quiet_us = min(self.window_us, patience_us)
        oldest = self._roster.replaceable(self._clock.wall_us(), quiet_us)
        if oldest is None:
            raise refusals.too_many_encoders(self._key, ENCODERS_MAX)
        await self._forget(oldest)

    async def _forget(self, encoder: str) -> None:
        await self._append([journal.ForgetLine(encoder=encoder)])
        del self._roster[encoder]
        self._forgotten(encoder)

    # --- init segments ------------------------------------------------------------------------

    async def take_init(
        self, encoder: str, track: str, body: bytes, facts: InitFacts
    ) -> tuple[Answer, bool]:
        """Take an encoder's init segment. Raises PushRefused (403, 409, 412), OSError.

        True: it replaces one that was on air, which nothing published or pushed before fits.
        """
        record = self._roster.get(encoder)
        if record is None:
            raise refusals.not_introduced(encoder, "description")
        edition, before = self.edition_of(encoder), record.edition
        kept, replaced = edition.inits.get(track), False
        if kept is not None and kept != body:
            replaced = edition is self._editions.on_air and track in self._outdated
            if not replaced:
                edition = await self._other_edition(encoder, record, track, body)
        if edition.inits.get(track) != body:
            await asyncio.to_thread(self._store.write_init, edition.number, track, body)
            edition.set_init(track, body, facts)
        if replaced:
            self._roster.forget_init(edition.number, track)
        if edition is self._editions.on_air:
            self._outdated.discard(track)
        self._roster.touch(encoder, self._clock.wall_us())
        held = track in record.inits and record.edition == before
        if not held:
            record.inits.add(track)
            await self._append([encoder_line(encoder, record)])
        return (Answer.HELD if held else Answer.STORED), replaced

    async def _other_edition(
        self, encoder: str, record: EncoderRecord, track: str, body: bytes
    ) -> Edition:
        """The edition that the encoder turns out to be of. Raises PushRefused (403, 409)."""
        edition = self.edition_of(encoder)
        if not record.may_differ or record.inits >= edition.names:
            raise refusals.init_differs(self._key, track, edition.inits[track], body)
        own = {name: edition.inits[name] for name in record.inits} | {track: body}
        other = self._editions.find(edition.description, own, besides=(edition.number,))
        if other is None:
            described = edition.description.model_dump_json(by_alias=True).encode()
            other = await self._new_edition(edition.description, described)
            for name in sorted(record.inits):
                data, facts = edition.inits[name], edition.facts[name]
                await asyncio.to_thread(self._store.write_init, other.number, name, data)
                other.set_init(name, data, facts)
        record.edition = other.number
        return other

    # --- editions -----------------------------------------------------------------------------

    async def _new_edition(self, description: ChannelDescription, body: bytes) -> Edition:
        await self._make_room_for_edition()
        edition = Edition(number=self._editions.next_number(), description=description)
        await asyncio.to_thread(self._store.make_edition, edition.number, edition.names, body)
        # must succeed: no line may name an edition that the journal has not
        made = journal.EditionLine(edition=edition.number)
        await asyncio.to_thread(self._store.append, [made])
        self._editions.held[edition.number] = edition
        return edition

    async def _make_room_for_edition(self) -> None:
        """Let go of what nobody uses; if need be, of an edition whose encoders are all silent."""
        await self.drop_unused()
        if len(self._editions.held) < EDITIONS_MAX:
            return
        quiet_us = self._clock.wall_us() - self.window_us
        for edition in self._editions.unused(self._in_use()):
            encoders = self._roster.of_edition(edition.number)
            if all(self._roster[name].last_push_us < quiet_us for name in encoders):
                for name in encoders:
                    await self._forget(name)
                await self.drop_unused()
                return
        raise refusals.too_many_editions(self._key, EDITIONS_MAX)

    def _in_use(self) -> frozenset[int]:
        """The editions of which segments are published, or may be."""
        return self._editions.aired.editions() | {edition for _, edition in self._undecided()}

    async def drop_unused(self) -> None:
        """Let go of editions that have no encoder and no segment. Raises OSError."""
        unused = self._editions.unused(self._in_use() | self._roster.editions())
        if not unused:
            return
        dropped = [journal.DropLine(edition=edition.number) for edition in unused]
        await asyncio.to_thread(self._store.append, dropped)  # must succeed before files go
        for edition in unused:
            del self._editions.held[edition.number]
        held = self._editions.held
        names = frozenset(name for edition in held.values() for name in edition.names)
        await asyncio.to_thread(self._store.keep_editions, list(held), names)


def encoder_line(encoder: str, record: EncoderRecord) -> journal.EncoderLine:
    """What the journal keeps of an encoder."""
    return journal.EncoderLine(
        encoder=encoder,
        inits=tuple(sorted(record.inits)),
        edition=record.edition,
        may_differ=record.may_differ,
    )
