"""The Kubernetes client of fleet updates: the channels of a namespace, kept while one goes on.

Without it each look would list all channels, a few times a second while hundreds of them change.
They are listed once, and then as the watch tells. What is kept may be late, as a list may be by the
time it is used, and is never older than this process's own writes: so no more channels are written
at a time than may be. Whoever writes over something late is refused. `index.py` feeds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kubernetes.aio.client import ApiClient

from hitless_operator.channel import Key
from hitless_operator.kept import INCOMPARABLE, READ_AGAIN_S, Document, Kept, Listing, kept
from hitless_operator.kube import Kube, Unavailable


class ShelvedKube(Kube):
    """A Kube that keeps channels. now_s: monotonic seconds."""

    def __init__(
        self,
        client: ApiClient,
        called: Callable[[str, str, int], None] | None = None,
        *,
        now_s: Callable[[], float],
    ) -> None:
        super().__init__(client, called)
        self._now_s = now_s
        self._shelves: dict[str, Listing] = {}  # by namespace
        self._coming: dict[str, Listing] = {}  # those that are being read
        self._reading = asyncio.Lock()

    # --- what the watch tells ---

    def channel_changed(self, body: Document, *, gone: bool) -> None:
        """A channel was seen, or its end."""
        metadata = body["metadata"]
        for shelves in (self._shelves, self._coming):
            shelf = shelves.get(metadata["namespace"])
            if shelf is None:
                continue  # all of them are read when they are asked for
            if gone:
                shelf.drop(metadata["name"], metadata["uid"])
            else:
                shelf.put(kept(body, self._now_s()))

    def forget_channels(self, namespace: str) -> None:
        """Nobody asks any more, or the watch has begun anew: channels may be gone."""
        self._shelves.pop(namespace, None)
        self._coming.pop(namespace, None)

    # --- what is asked and written ---

    async def kept_channels(self, namespace: str) -> list[Kept]:
        """All channels of a namespace, by name. Raises KubeError."""
        async with self._reading:
            shelf = self._shelves.get(namespace)
            if shelf is None or self._now_s() - shelf.at_s >= READ_AGAIN_S:
                return await self._read(namespace)
            return shelf.all()

    async def kept_channel(self, key: Key) -> Document | None:
        """One of them, as new as anything told; None when there is none. Raises KubeError."""
        shelf = self._shelves.get(key.namespace)
        if shelf is None:
            return await self.channel(key)
        found = shelf.by_name.get(key.name)
        return None if found is None else found.document()

    async def _read(self, namespace: str) -> list[Kept]:
        """What the watch tells meanwhile may be newer than the answer; or it begins anew."""
        shelf = self._coming[namespace] = Listing(at_s=self._now_s())
        try:
            async for body in self.channels(namespace):
                shelf.put(kept(body, shelf.at_s))
        finally:
            is_whole = self._coming.pop(namespace, None) is shelf
        comparable = all(row.version != INCOMPARABLE for row in shelf.by_name.values())
        if is_whole and comparable:
            self._shelves[namespace] = shelf
        return shelf.all()

    async def apply_channel(
        self, key: Key, body: Document, *, manager: str, force: bool
    ) -> Document:
        """As Kube's; what was written is kept."""
        try:
            written = await super().apply_channel(key, body, manager=manager, force=force)
        except Unavailable:
            self.forget_channels(key.namespace)  # it may have been written
            raise
        self.channel_changed(written, gone=False)
        return written
