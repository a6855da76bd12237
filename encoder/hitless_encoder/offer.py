"""A segment on its way to the origin, which may still be in the making."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping


class Offer:
    """One segment. Without tracks it begins empty and is filled part by part, in the event loop."""

    def __init__(self, segment: int, tracks: Mapping[str, bytes] | None = None) -> None:
        self.segment = segment
        self._parts: list[Mapping[str, bytes]] = []
        self._whole = tracks
        self._given_up = False
        self._changed = asyncio.Event()

    def is_made(self) -> bool:
        """Whether nothing is to be waited for."""
        return self._whole is not None or self._given_up

    def add(self, tracks: Mapping[str, bytes]) -> None:
        """The next part in all tracks."""
        self._parts.append(tracks)
        self._changed.set()

    def complete(self, tracks: Mapping[str, bytes]) -> None:
        """All of the segment."""
        self._whole = tracks
        self._changed.set()

    def give_up(self) -> None:
        """It will never be complete."""
        self._given_up = True
        self._changed.set()

    async def part(self, number: int) -> Mapping[str, bytes] | None:
        """A part once it is there; None when it never will be."""
        await self._until(lambda: len(self._parts) > number or self.is_made())
        return self._parts[number] if len(self._parts) > number else None

    async def made(self) -> Mapping[str, bytes] | None:
        """All tracks once they are there; None when they never will be."""
        await self._until(self.is_made)
        return self._whole

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()
