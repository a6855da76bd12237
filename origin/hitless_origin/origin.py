"""All channels of one origin: finding, making, replacing and closing them.

Owns the storage (one origin at a time) and the table of channels. What happens within a channel is
the channel's.
"""

from __future__ import annotations

import asyncio
import logging

from hitless_origin import recovery
from hitless_origin.channel import SEGMENTS_EDGE, SEGMENTS_LEAST, Channel
from hitless_origin.clock import MICROSECONDS, Clock
from hitless_origin.errors import PushRefused, StartError, StoreError
from hitless_origin.folder import FolderStorage
from hitless_origin.names import ChannelKey
from hitless_origin.objects import BucketError
from hitless_origin.push import Answer
from hitless_origin.settings import Settings
from hitless_origin.space import Space
from hitless_origin.storage import Storage
from hitless_wire.ingest import ChannelDescription

REOPENED_AT_A_TIME = 16
LOOK_US = MICROSECONDS  # between two looks at the room that is left

log = logging.getLogger(__name__)


class Origin:
    """The channels. `open` before use, `close` in the end. storage: default, the data folder."""

    def __init__(self, settings: Settings, clock: Clock, storage: Storage | None = None) -> None:
        self.settings = settings
        self.clock = clock
        self.channels: dict[ChannelKey, Channel] = {}
        self.closing = False
        self._making = asyncio.Lock()
        self._storage = storage or FolderStorage(settings.data)
        self._space = Space(self._storage.folder, settings.bytes_max)
        self._stored = asyncio.Event()  # something was published since room was looked for
        self._shortening = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Take the storage and resume every channel in it. Raises StartError."""
        await asyncio.to_thread(self._storage.open)
        found = await asyncio.to_thread(self._storage.found)
        turns = asyncio.Semaphore(REOPENED_AT_A_TIME)
        await asyncio.gather(*(self._resume(key, turns) for key in found))
        self._keeping = asyncio.create_task(self._keep_room(), name="room")

    async def close(self) -> None:
        """Finish what was pushed, close every channel, give the folder free."""
        self.closing = True
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        await asyncio.gather(*(channel.close() for channel in self.channels.values()))
        await asyncio.to_thread(self._storage.close)

    async def describe(
        self,
        key: ChannelKey,
        encoder: str,
        description: ChannelDescription,
        body: bytes,
        *,
        allowed: bool,
    ) -> Answer:
        """An encoder's description: of a known channel, or of a new one. Raises PushRefused.

        allowed: it may be of another edition of the channel than what is on air.
        """

        def lacking() -> bool:
            """Nobody has pushed for a window, so that a different channel may take the name."""
            known = self.channels.get(key)
            return known is None or known.is_outlived(encoder, description, allowed=allowed)

        if lacking():
            async with self._making:
                if lacking():
                    await self._make(key, self.channels.get(key), description, body)
        return await self.channels[key].introduce(encoder, description, body, allowed=allowed)

    async def settle(self) -> None:
        """Wait until every channel has done what was asked and is due."""
        await asyncio.gather(*(channel.settle() for channel in self.channels.values()))
        await self.make_room()

    # --- room -----------------------------------------------------------------------------------

    def free_bytes(self) -> int:
        """Bytes that can still be written; negative where --bytes-max is passed."""
        return self._space.free_bytes(self.channels.values())

    async def make_room(self, wanted: int = 0) -> None:
        """Shorten the windows of the channels that have most, until there is room, or no more.

        wanted: bytes that are about to be written.
        """
        least = SEGMENTS_EDGE if wanted else SEGMENTS_LEAST
        async with self._shortening:
            while lacking := self._space.lacking_bytes(self.channels.values(), wanted):
                able = [each for each in self.channels.values() if each.may_shorten(least)]
                if not able:
                    return
                largest = max(able, key=lambda channel: channel.stored_bytes)
                try:
                    await largest.shorten(max(1, lacking // len(able)), least)
                except PushRefused:
                    return  # it closes, or has too much to do: the next publication asks again

    async def _keep_room(self) -> None:
        """After publications, once a second at most: for each look asks all channels."""
        never = asyncio.Event()
        while True:
            await self._stored.wait()
            self._stored.clear()
            try:
                await self.make_room()
            except OSError:
                log.exception("no room can be made")
            await self.clock.wait(never, self.clock.monotonic_us() + LOOK_US)

    # --- channels -------------------------------------------------------------------------------

    async def _resume(self, key: ChannelKey, turns: asyncio.Semaphore) -> None:
        async with turns:
            try:
                opened = await asyncio.to_thread(recovery.reopen, self._storage.channel(key))
                await self._start(key, opened)
            except BucketError as error:  # left out, it would be made anew and lose everything
                raise StartError(f"{key} can't be read from the bucket: {error}") from error
            except (OSError, StoreError, PushRefused):
                told = {"channel": str(key)}
                log.exception("%s: left out, what is stored can't be read", key, extra=told)

    async def _make(
        self,
        key: ChannelKey,
        old: Channel | None,
        description: ChannelDescription,
        body: bytes,
    ) -> None:
        if old is not None:
            told = {"channel": str(key)}
            log.warning("%s: replaced by a channel with another description", key, extra=told)
            del self.channels[key]
            await old.close()
        elif len(self.channels) >= self.settings.channels_max:
            await self._remove_silent()
        store = self._storage.channel(key)
        opened = await asyncio.to_thread(recovery.create, store, description, body)
        await self._start(key, opened)

    async def _remove_silent(self) -> None:
        """Let go of the channel that is silent for longest, and of its files."""
        oldest = min(self.channels.values(), key=lambda channel: channel.encoders.last_push_us)
        if not oldest.idle():
            raise PushRefused(
                403,
                "the origin has no room for another channel",
                expected=f"at most {self.settings.channels_max}",
                hint="stop a channel, or start another origin",
            )
        del self.channels[oldest.key]
        await oldest.close()
        await asyncio.to_thread(oldest.remove)

    async def _start(self, key: ChannelKey, opened: recovery.Opened) -> None:
        percent = self.settings.deadline_percent
        channel = Channel(
            key,
            opened,
            clock=self.clock,
            deadline_percent=percent,
            on_stored=self._stored.set,
        )
        await channel.start()
        self.channels[key] = channel
