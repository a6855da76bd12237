"""Connections to encoders, kept between the calls that follow each other in a handover.

Owns when one is opened, used again and closed. Making one costs a caller five times what a call
does, and in a handover both encoders are asked once or twice a second. One that is not used drops
its TCP connection by itself, one that failed is not used again, and there are only so many. Used by
`peers.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc
import grpc.aio

IDLE_MS = 10_000  # longer than any pause between the looks of a handover
KEPT_MAX = 512  # encoders: the two of 256 handovers
T = TypeVar("T")


@dataclass(slots=True, kw_only=True, eq=False)
class _Kept:
    channel: grpc.aio.Channel
    users: int = 0
    answered: bool = False  # at least once
    failed: bool = False


class Connections:
    """options: of each gRPC channel. Close it at the end."""

    def __init__(self, options: tuple[tuple[str, int], ...] = ()) -> None:
        self._options = (*options, ("grpc.client_idle_timeout_ms", IDLE_MS))
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # the least recently used one first

    async def call(self, address: str, ask: Callable[[grpc.aio.Channel], Awaitable[T]]) -> T:
        """What `ask` gets from host:port; it must be safe to repeat. Raises grpc.aio.AioRpcError.

        A connection that had answered before and is found broken may have been to a predecessor
        under the same address: that is tried once more with a new one.
        """
        kept = self._kept.get(address)
        stale = kept is not None and kept.answered
        try:
            return await self._once(address, ask)
        except grpc.aio.AioRpcError as error:
            if not stale or error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        return await self._once(address, ask)

    async def close(self) -> None:
        """Close them all; calls under way end with an error."""
        while self._kept:
            _, kept = self._kept.popitem()
            await kept.channel.close()

    async def _once(self, address: str, ask: Callable[[grpc.aio.Channel], Awaitable[T]]) -> T:
        kept = self._kept.get(address)
        if kept is None:
            channel = grpc.aio.insecure_channel(address, options=self._options)
            kept = self._kept[address] = _Kept(channel=channel)
        self._kept.move_to_end(address)
        kept.users += 1
        try:
            answer = await ask(kept.channel)
        except BaseException:
            kept.failed = True
            if self._kept.get(address) is kept:
                del self._kept[address]
            raise
        else:
            kept.answered = True
            return answer
        finally:
            kept.users -= 1
            if kept.failed and not kept.users:
                await kept.channel.close()
            await self._trim()

    async def _trim(self) -> None:
        """Close those that nobody uses, the least recently used ones first."""
        spare = len(self._kept) - KEPT_MAX
        if spare <= 0:
            return
        unused = [address for address, kept in self._kept.items() if not kept.users]
        for kept in [self._kept.pop(address) for address in unused[:spare]]:
            await kept.channel.close()
