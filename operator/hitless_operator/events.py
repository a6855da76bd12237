"""Kubernetes Events about channels and fleet updates: for people, never for the machine.

Owns the sending of notices beside the work: a bounded queue and one task. A failure is logged and
forgotten; no look ever waits for an Event. `reconcile.py` announces; `__main__.py` runs it.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

from hitless_handover.supervisor_model import Notice
from hitless_operator.channel import Document
from hitless_operator.kube import Kube, KubeError
from hitless_operator.manifests import Subject, event

PENDING_MAX = 4096  # two a channel when thousands start at once; each is a kilobyte
DRAIN_S = 2.0

_log = logging.getLogger(__name__)


class Announcer:
    """An async context manager; leaving it sends what is left for a moment, then stops."""

    def __init__(self, kube: Kube, instance: str) -> None:
        self._kube = kube
        self._instance = instance
        self._pending: asyncio.Queue[Document] = asyncio.Queue(PENDING_MAX)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._send_all(), name="announcer")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await asyncio.wait_for(self.sent(), DRAIN_S)
        except TimeoutError:
            _log.warning("%d events were not sent", self._pending.qsize())
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def announce(self, subject: Subject, notices: tuple[Notice, ...], now_us: int) -> None:
        """Send these about a channel or a fleet update, some time soon."""
        for notice in notices:
            level = logging.WARNING if notice.warning else logging.INFO
            _log.log(level, "%s: %s: %s", subject.key, notice.reason, notice.message)
            try:
                self._pending.put_nowait(
                    event(subject, notice, instance=self._instance, now_us=now_us)
                )
            except asyncio.QueueFull:
                _log.warning("%s: event %s dropped: too many wait", subject.key, notice.reason)

    async def sent(self) -> None:
        """Wait until everything announced so far has been sent, or has failed."""
        await self._pending.join()

    async def _send_all(self) -> None:
        while True:
            document = await self._pending.get()
            try:
                await self._kube.create_event(document)
            except KubeError as error:
                _log.warning("event not sent: %s", error)
            finally:
                self._pending.task_done()
