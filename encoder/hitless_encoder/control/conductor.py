"""The one holder of this encoder's leadership: feeds the pure machine and carries out its effects.

Owns the `Peer` state, its timer and the successor's calls. It decides nothing: every change goes
through `hitless_handover.peer.step`. All methods belong to the event loop, so a step is atomic. The
session asks it for priorities; the gRPC service hands it calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from hitless_encoder.clock import MICROSECONDS, Clock
from hitless_encoder.control.incumbent import IncumbentError, Incumbents
from hitless_encoder.control.pipeline import Pipeline
from hitless_handover import peer as machine
from hitless_handover.leadership import NEVER_LED, SILENT, Lead, lead_at
from hitless_handover.messages import EncoderReport, Identity, PeerPhase, SyncInfo
from hitless_handover.peer_model import (
    Answered,
    Begin,
    CallFailed,
    Effect,
    Event,
    Peer,
    Pushed,
    Reanchored,
    Reply,
    Request,
    Resend,
    Retire,
    SendAbort,
    SendAnnounce,
    SendArm,
    SendPropose,
    SendSamples,
    SendSync,
    Side,
    Stamped,
    Tick,
)
from hitless_handover.peer_rules import leading_term
from hitless_handover.timeline import Anchor, Timeline

RETRY_AFTER_S = 0.5


def _ignore(_before: Side | None, _after: Side) -> None:
    """Default for on_phase."""


_log = logging.getLogger(__name__)


class Conductor:
    """Leadership of one encoder process. `pipeline` is attached before the session starts.

    silent: send nothing before it leads. on_phase: told of each phase of a handover,
    with the side as it was before.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        timeline: Timeline,
        clock: Clock,
        incumbents: Incumbents,
        silent: bool = False,
        on_phase: Callable[[Side | None, Side], None] = _ignore,
    ) -> None:
        schedule = SILENT if silent else NEVER_LED
        self._peer = Peer(identity=identity, timeline=timeline, schedule=schedule)
        self._clock = clock
        self._incumbents = incumbents
        self._on_phase = on_phase
        self._pipeline: Pipeline | None = None
        self._inits: Mapping[str, bytes] = {}
        self._address = ""
        self._anchor: Anchor | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.retired = asyncio.Event()

    def attach(self, pipeline: Pipeline, inits: Mapping[str, bytes]) -> None:
        """The session whose output this leads, and its init segments by track."""
        self._pipeline, self._inits = pipeline, inits

    async def close(self) -> None:
        """Drop the timer and end outstanding calls."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- the session ---

    def stamp(self, segment: int) -> Lead:
        """What a segment is pushed with, or that it is withheld. From now on it can't change."""
        self._watch_anchor()
        lead = lead_at(self._peer.schedule, segment)
        self.apply(Stamped(segment=segment))
        return lead

    def is_silent(self, segment: int) -> bool:
        """Whether a segment would be withheld if it were pushed now."""
        return lead_at(self._peer.schedule, segment).silent

    def pushed(self, segment: int, ok: bool) -> None:
        """A push has ended; ok: the origin holds the segment in all tracks."""
        if ok:
            self.apply(Pushed(segment=segment))

    # --- the service ---

    def begin(self, event: Begin, incumbent_address: str) -> Reply:
        """The operator's order to take over."""
        self._address = incumbent_address
        return self.ask(event)

    def ask(self, event: Event) -> Reply:
        """Apply an order or a call, which the machine answers."""
        self._watch_anchor()
        reply = self.apply(event)
        assert reply is not None, f"{type(event).__name__} was not answered"
        return reply

    def side(self, handover_id: str) -> Side | None:
        """This encoder's side of a handover, if it is the one under way here."""
        side = self._peer.side
        return side if side is not None and side.handover_id == handover_id else None

    def report(self) -> EncoderReport:
        """What this encoder says of itself."""
        seen = self._session().snapshot()
        return EncoderReport(
            identity=self._peer.identity,
            leading_term=leading_term(self._peer),
            head_segment=seen.head_segment,
            current_frame=seen.current_frame or 0,
            anchor=seen.anchor,
            source_state=str(seen.source_state),
            source_message=seen.failure or seen.source_message or seen.push_message,
            speed_percent=seen.speed_percent,
            handover=machine.report(self._peer),
            delivered_term=self._peer.delivered_term,
        )

    def sync(self) -> SyncInfo:
        """What must be equal in both encoders, and where this one stands."""
        seen = self._session().snapshot()
        return SyncInfo(
            timeline=seen.timeline,
            fingerprint=seen.fingerprint,
            anchor=seen.anchor,
            init_digests=tuple(sorted(seen.init_digests.items())),
            current_frame=seen.current_frame or 0,
            head_segment=-1 if seen.head_segment is None else seen.head_segment,
        )

    async def own_segment(self, segment: int, deadline_us: int) -> dict[str, bytes] | None:
        """This encoder's tracks of a segment, waited for until the deadline."""
        return await self._session().wait_segment(segment, deadline_us)

    def stands_by(self) -> bool:
        """Whether it leads with no term."""
        return leading_term(self._peer) == 0

    def late_us(self, segment: int, arrived_us: int) -> int:
        """How long after this encoder's own a segment came, microseconds; 0 when that is gone."""
        making = self._session().making(segment)
        return 0 if making is None else arrived_us - making.made_us

    def now_us(self) -> int:
        """By the clock of this encoder."""
        return self._clock.now_us()

    # --- the machine ---

    def _watch_anchor(self) -> None:
        """Tell the machine of a jump of the source before anything is agreed or given out."""
        anchor = self._session().snapshot().anchor
        before, self._anchor = self._anchor, anchor
        if before is not None and anchor is not None and before.line != anchor.line:
            self.apply(Reanchored())

    def apply(self, event: Event) -> Reply | None:
        """One step; effects start as tasks, in order."""
        before = self._peer.side
        result = machine.step(self._peer, event, self._clock.now_us())
        self._peer = result.peer
        after = result.peer.side
        if after is not None and (before is None or before.phase is not after.phase):
            self._tell_story(after)
            self._on_phase(before, after)
        self._set_timer(result.wake_at_us)
        for effect in result.effects:
            self._start(effect, result.peer.side)
        return result.reply

    def _tell_story(self, after: Side) -> None:
        level = logging.WARNING if after.phase is PeerPhase.ABORTED else logging.INFO
        why = f": {after.reason} {after.message}" if after.reason else ""
        where = "" if after.frame is None else f" frame {after.frame}"
        _log.log(
            level,
            "handover %s %s %s%s%s",
            after.handover_id,
            after.role,
            after.phase,
            where,
            why,
            extra={"handover": after.handover_id},
        )

    def _set_timer(self, wake_at_us: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake_at_us is not None:
            delay_s = max(0, wake_at_us - self._clock.now_us()) / MICROSECONDS
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.apply, Tick())

    def _start(self, effect: Effect, side: Side | None) -> None:
        if isinstance(effect, Retire):
            self.retired.set()
            return
        if isinstance(effect, Resend):
            self._session().resend(effect.first, effect.last)
            return
        assert side is not None, "requests belong to a handover"
        task = asyncio.get_running_loop().create_task(self._perform(effect, side))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _perform(self, request: Request, side: Side) -> None:
        """One call to the incumbent; its answer, or that there is none, is the next event."""
        try:
            reply = await self._call(request, side)
        except IncumbentError as error:
            if isinstance(request, SendAbort):
                return
            told = {"handover": side.handover_id}
            _log.warning("handover %s: %s", side.handover_id, error, extra=told)
            await self._clock.pause(RETRY_AFTER_S)
            self.apply(CallFailed(handover_id=side.handover_id, message=str(error)))
            return
        if reply is not None:
            self.apply(Answered(handover_id=side.handover_id, reply=reply))

    async def _call(self, request: Request, side: Side) -> Reply | None:
        calls = self._incumbents.at(self._address)
        match request:
            case SendAnnounce():
                return await calls.announce(side, self._peer.identity)
            case SendSync():
                return await calls.synchronise(side, self.sync(), self._inits)
            case SendSamples():
                return await calls.verify(side, request.segments, self._session(), self._inits)
            case SendPropose():
                return await calls.propose(side, request.frame)
            case SendArm():
                return await calls.arm(side, request.frame)
            case SendAbort():
                await calls.call_off(side, request.reason)
                return None
            case _:
                raise AssertionError(f"unknown request {request}")

    def _session(self) -> Pipeline:
        assert self._pipeline is not None, "attach() comes before the first call"
        return self._pipeline
