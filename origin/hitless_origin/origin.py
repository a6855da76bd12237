"""All channels of one origin: finding, making, replacing and closing them.

Owns the data folder (one origin at a time: a lock file says so) and the table of channels. What
happens within a channel is the channel's.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from pathlib import Path

from hitless_origin import recovery
from hitless_origin.channel import Channel
from hitless_origin.clock import Clock
from hitless_origin.errors import PushRefused, StartError, StoreError
from hitless_origin.names import ChannelKey, is_label
from hitless_origin.push import Answer
from hitless_origin.settings import Settings
from hitless_wire.ingest import ChannelDescription

log = logging.getLogger(__name__)


class Origin:
    """The channels. `open` before use, `close` in the end."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.channels: dict[ChannelKey, Channel] = {}
        self.closing = False
        self._making = asyncio.Lock()
        self._lock_file: int | None = None

    async def open(self) -> None:
        """Lock the data folder and resume every channel in it. Raises StartError."""
        self._lock_file = _lock(self.settings.data)
        for key, root in await asyncio.to_thread(_found, self._channels_folder):
            try:
                opened = await asyncio.to_thread(recovery.reopen, root)
                await self._start(key, opened)
            except (OSError, StoreError, PushRefused):
                told = {"channel": str(key)}
                log.exception("%s: left out, its folder %s can't be read", key, root, extra=told)

    async def close(self) -> None:
        """Finish what was pushed, close every channel, give the folder free."""
        self.closing = True
        await asyncio.gather(*(channel.close() for channel in self.channels.values()))
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

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

    @property
    def _channels_folder(self) -> Path:
        return self.settings.data / "channels"

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
            await self._make_room()
        root = self._channels_folder / key.namespace / key.channel
        opened = await asyncio.to_thread(recovery.create, root, description, body)
        await self._start(key, opened)

    async def _make_room(self) -> None:
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
        channel = Channel(key, opened, clock=self.clock, deadline_percent=percent)
        await channel.start()
        self.channels[key] = channel


def _lock(data: Path) -> int:
    try:
        (data / "channels").mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StartError(f"the data folder {data} can't be used: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StartError(f"another origin uses the data folder {data}: choose another") from error
    return descriptor


def _found(folder: Path) -> list[tuple[ChannelKey, Path]]:
    return [
        (ChannelKey(namespace=root.parent.name, channel=root.name), root)
        for root in sorted(folder.glob("*/*"))
        if root.is_dir() and is_label(root.name) and is_label(root.parent.name)
    ]
