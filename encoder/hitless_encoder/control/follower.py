"""A standby keeps to the anchor of the encoder on air.

Where a live source jumps, two encoders may decide differently; the one on air publishes what it
decided in its report. Owns the asking, which ends when this encoder leads; what to do with an
anchor is the source's business (sources/grid.py). Belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from hitless_encoder.clock import Clock
from hitless_handover.messages import EncoderReport
from hitless_handover.timeline import Anchor

ASK_EVERY_S = 0.5

_log = logging.getLogger(__name__)


class Follower:
    """Asks one encoder at a time. ask: its report by host:port, None when it does not answer.

    stands_by: whether this encoder leads with no term. take_over: told of an anchor, and of the
    newest frame of the encoder that has it.
    """

    def __init__(
        self,
        *,
        ask: Callable[[str], Awaitable[EncoderReport | None]],
        stands_by: Callable[[], bool],
        take_over: Callable[[Anchor, int], None],
        clock: Clock,
    ) -> None:
        self._ask, self._stands_by, self._take_over = ask, stands_by, take_over
        self._clock = clock
        self._leader = ("", "")
        self._task: asyncio.Task[None] | None = None

    def follow(self, encoder_id: str, address: str) -> None:
        """Keep to this encoder from now on, and to no other."""
        if (encoder_id, address) != self._leader:
            _log.info("stands by for %s at %s", encoder_id, address)
        self._leader = (encoder_id, address)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._stands_by():
            await self._look()
            await self._clock.pause(ASK_EVERY_S)

    async def _look(self) -> None:
        """Who answers under the address of another encoder, or leads no more, is not believed."""
        leader = self._leader
        encoder_id, address = leader
        report = await self._ask(address)
        if report is None or leader != self._leader or not self._stands_by():
            return
        if report.identity.encoder_id == encoder_id and report.leading_term and report.anchor:
            self._take_over(report.anchor, report.current_frame)
