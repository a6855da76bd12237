"""The loop of `hitless local`: observe, decide, store, tell, act, wait.

Owns the order of these steps: a record is on disk before anything is done about it. It must not
decide about leadership: `supervise` does. compose.py makes the loop of its parts and plays it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hitless_cli.local import intent as intents
from hitless_cli.local import story
from hitless_cli.local.channel_file import ChannelFile, Deployment
from hitless_cli.local.encoders import Encoders
from hitless_cli.local.errors import ChannelFileError
from hitless_cli.local.observe import Observer
from hitless_cli.local.origin import Origin
from hitless_cli.local.outcome import Exit, UpdateOrder
from hitless_cli.local.programs import EncoderPrograms
from hitless_cli.local.record import RecordFile
from hitless_cli.local.screen import Screen
from hitless_cli.local.signals import Signals
from hitless_handover.supervisor import supervise
from hitless_handover.supervisor_model import (
    Action,
    ChannelPhase,
    ChannelRecord,
    ChannelView,
    CreateEncoder,
    Decision,
    DeleteEncoder,
    Notice,
)
from hitless_wire.following import following_of
from hitless_wire.peers import Peers

LOOK_S_MAX = 1.0  # the file and the processes are looked at this often at least
LOOK_S_MIN = 0.05
LAP_FAILURES_MAX = 20  # in a row: a defect here must not take the channel off air at once

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class ChannelLoop:
    """One run of one channel."""

    signals: Signals
    file: ChannelFile
    deployment: Deployment
    records: RecordFile
    record: ChannelRecord
    origin: Origin
    encoders: Encoders
    programs: EncoderPrograms
    observer: Observer
    peers: Peers
    screen: Screen
    order: UpdateOrder
    logs: Path
    intent: intents.Intent = field(init=False)
    phases: story.Phases = field(default_factory=story.Phases)
    trouble: story.Trouble = field(default_factory=story.Trouble)
    last_refusal: str = ""

    def __post_init__(self) -> None:
        first = intents.first_intent(
            self.deployment.spec, observed_generation=self.record.observed_generation
        )
        self._intend(first)
        if self.deployment.spec.output.ingest_url is not None:
            self._say("IngestUrlIgnored", "output.ingestUrl: encoders push to the origin here")

    async def play(self) -> int:
        """Lap after lap, until a signal or the end that was asked for."""
        failures = 0
        while not self.signals.stop.is_set():
            try:
                pause_s, end = await self._lap()
                failures = 0
            except BrokenPipeError:
                raise  # nobody reads what is told: the end, as for any program in a pipe
            except Exception:
                failures += 1
                _log.exception("lap %d of at most %d failed", failures, LAP_FAILURES_MAX)
                if failures == LAP_FAILURES_MAX:
                    raise
                pause_s, end = LOOK_S_MAX, None
            if end is not None:
                return end.code
            await self._rest(pause_s)
        self._say("Stopping", "stopping encoders and origin; a second signal kills them")
        return 0

    async def close(self) -> None:
        """Stop the encoders, the one on air last."""
        active = self.record.active
        await self.encoders.close(last=None if active is None else active.name)
        self.screen.end()

    async def _lap(self) -> tuple[float, Exit | None]:
        """One look and what follows from it: how long to wait, whether this is the end."""
        self._reread_file()
        self._update_when_due()
        for notice in await self.origin.tend():
            self.screen.notice(notice)
        await self.encoders.tend()
        view = await self.observer.look()
        now_us = time.time_ns() // 1000
        decision = supervise(intents.desired(self.intent), self.record, view, now_us)
        self._store(decision.record)
        self._tell_story(decision, view)
        for action in decision.actions:
            await self._act(action, view)
        whom = following_of(self.intent.spec, self.record, view)
        if whom is not None:
            await self.peers.follow(whom)
        end = self.order.end(self.record, view, time.monotonic())
        if end is not None and end.message:
            self._say(end.reason, end.message, warning=end.code != 0)
        return _pause_s(decision, now_us), end

    async def _rest(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.signals.wake.wait(), pause_s)
        self.signals.wake.clear()

    # --- intent ---

    def _reread_file(self) -> None:
        try:
            read = self.file.read_if_changed()
        except ChannelFileError as error:
            for line in error.lines:
                self._say("ChannelFileInvalid", f"{line}; the channel plays on", warning=True)
            return
        if read is None:
            return
        if read.metadata != self.deployment.metadata:
            message = "metadata names another channel; the one that plays stays"
            self._say("ChannelFileInvalid", f"{self.file.path}: {message}", warning=True)
            return
        before = self.intent
        self._intend(intents.reread(before, read.spec))
        if self.intent != before and self.order.awaits_file:
            self.order.given(self.intent, self.record, time.monotonic())

    def _update_when_due(self) -> None:
        live = self.record.phase is ChannelPhase.LIVE
        if not self.order.due(live=live, now_s=time.monotonic()):
            return
        if self.order.update is not None:
            self._intend(intents.updated(self.intent, self.order.update))
        self.order.given(self.intent, self.record, time.monotonic())
        if self.intent.spec.paused:
            self._say("Paused", "spec.paused is true: the update waits for it", warning=True)

    def _intend(self, intent: intents.Intent) -> None:
        self.intent = intent
        self.programs.know(intent.digest, intent.spec)

    # --- deciding and telling ---

    def _store(self, record: ChannelRecord) -> None:
        """On disk first: nothing may be done that the record does not hold."""
        if record != self.record:
            self.records.store(record)
            self.record = record

    def _tell_story(self, decision: Decision, view: ChannelView) -> None:
        for notice in decision.notices:
            self.screen.notice(notice)
        self.trouble, news = story.watched(self.trouble, decision.record, time.monotonic())
        if news is not None:
            self._say(news.reason, f"{news.message}; see {self.logs}", warning=True)
        wanted = intents.desired(self.intent)
        self.screen.progress(story.progress(decision.record, view, wanted))
        update = decision.record.handover
        if update is None:
            return
        before, self.phases = self.phases, story.followed(self.phases, update)
        if not update.live and self.phases != before and before.entered:
            timeline = self.intent.spec.timeline.resolve()
            timecode = "" if update.frame is None else timeline.timecode(update.frame)
            self.screen.summary(story.summary(update, self.phases, timecode))

    def _say(self, reason: str, message: str, *, warning: bool = False) -> None:
        self.screen.notice(Notice(reason=reason, message=message, warning=warning))

    # --- acting ---

    async def _act(self, action: Action, view: ChannelView) -> None:
        match action:
            case CreateEncoder():
                self.encoders.create(action)
                await self.encoders.tend()
            case DeleteEncoder():
                self.encoders.delete(action)
            case _:
                addresses = {name: seen.address for name, seen in view.encoders.items()}
                reply = await self.peers.tell(action, addresses)
                if reply is not None and not reply.accepted:
                    self._refused(f"{action.name}: {reply.reason}: {reply.message}")

    def _refused(self, message: str) -> None:
        """Orders are repeated at every look; a refusal is told once."""
        if message != self.last_refusal:
            self.last_refusal = message
            self._say("OrderRefused", message, warning=True)


def _pause_s(decision: Decision, now_us: int) -> float:
    if decision.wake_at_us is None:
        return LOOK_S_MAX
    return min(LOOK_S_MAX, max(LOOK_S_MIN, (decision.wake_at_us - now_us) / 1_000_000))
