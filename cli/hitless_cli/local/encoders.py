"""Encoder processes as the supervisor's platform: what pods are in Kubernetes.

Owns the channel's encoder processes: it creates, restarts, deletes and shows them, and decides
nothing about leadership. Like a pod, an encoder has a name and a uid from its creation on, may be
Pending (waiting out a back-off), and stays visible as Failed until it is deleted. The run loop
calls it; every process ends with `close`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from hitless_cli.local import ports
from hitless_cli.local.errors import StartError
from hitless_cli.local.processes import Child, Program, exit_text
from hitless_handover.supervisor_model import (
    CONFIG_INVALID,
    CreateEncoder,
    DeleteEncoder,
    EncoderState,
    EncoderView,
)
from hitless_wire import exits

GRACE_S = 8.0  # from SIGTERM to SIGKILL
STARTS_MAX = 2  # an encoder that fails before it was ever heard may have lost its port to another
# Silent for so long, and to so many questions: killed, as a liveness probe does. Both, since time
# passes without a question while this process is suspended.
LIVENESS_S = 30.0
LIVENESS_QUESTIONS = 8
READY_S = 10.0  # heard from within this: ready
SHORT_LIFE_S = 30.0
BACKOFF_S_MAX = 30.0
FAILED_SHOWN_MAX = 16

Launch = Callable[[CreateEncoder, int], Program]


@dataclass(slots=True, kw_only=True, eq=False)
class Seat:
    """One encoder: from CreateEncoder to the end of DeleteEncoder. Times are monotonic seconds."""

    order: CreateEncoder
    due_s: float
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    child: Child | None = None
    port: int = 0
    starts: int = 0
    started_s: float = 0.0
    heard_s: float | None = None
    unheard: int = 0
    failure: str = ""
    hopeless: bool = False  # no start of it can work
    stopping: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The encoder's name."""
        return self.order.encoder.name

    @property
    def running(self) -> bool:
        """Whether there is a process to talk to."""
        return self.stopping is None and self.child is not None and self.child.exit_code is None


def seen(seat: Seat, host: str, now_s: float) -> EncoderView:
    """A seat as the supervisor sees an encoder, without its report."""
    heard = seat.heard_s is not None and now_s - seat.heard_s < READY_S
    state, reason, message = _state(seat, silent=seat.heard_s is not None and not heard)
    return EncoderView(
        name=seat.name,
        uid=seat.uid,
        process=str(seat.starts),
        state=state,
        reason=reason,
        message=message,
        address=ports.authority(host, seat.port) if seat.port else "",
        ready=seat.running and heard,
    )


def _state(seat: Seat, *, silent: bool) -> tuple[EncoderState, str, str]:
    if seat.stopping is not None:
        return EncoderState.TERMINATING, "", ""
    if seat.hopeless:  # like a pod: it stays until something else is asked for
        return EncoderState.PENDING, CONFIG_INVALID, seat.failure
    if seat.failure:
        return EncoderState.FAILED, "ProcessFailed", seat.failure
    if seat.child is None:
        return EncoderState.PENDING, "BackOff", "waits, as its predecessors ended soon"
    if silent:
        return EncoderState.RUNNING, "NotAnswering", "runs, but has stopped answering"
    return EncoderState.RUNNING, "", ""


def _hangs(seat: Seat, now_s: float) -> bool:
    silent_s = now_s - (seat.heard_s or seat.started_s)
    return silent_s > LIVENESS_S and seat.unheard >= LIVENESS_QUESTIONS


def backoff_s(short_lives: int) -> float:
    """How long the next encoder waits when the last so many ended soon after their start."""
    return 0.0 if short_lives < 2 else min(BACKOFF_S_MAX, 2.0 ** (short_lives - 2))


class Encoders:
    """The encoder processes of one channel."""

    def __init__(self, launch: Launch, *, host: str, wake: Callable[[], None]) -> None:
        self._launch = launch
        self._host = host
        self._wake = wake
        self._seats: dict[str, Seat] = {}
        self._short_lives = 0

    def views(self) -> dict[str, EncoderView]:
        """All encoders that exist, by name."""
        now_s = time.monotonic()
        return {name: seen(seat, self._host, now_s) for name, seat in self._seats.items()}

    def asked(self, name: str, uid: str, *, answered: bool) -> None:
        """The encoder was asked just now."""
        seat = self._seats.get(name)
        if seat is None or seat.uid != uid:
            return
        seat.unheard = 0 if answered else seat.unheard + 1
        if answered:
            seat.heard_s = time.monotonic()

    def create(self, order: CreateEncoder) -> None:
        """It exists from now on; `tend` starts it when it is due. Repeating it does nothing."""
        if order.encoder.name in self._seats:
            return
        due_s = time.monotonic() + backoff_s(self._short_lives)
        self._seats[order.encoder.name] = Seat(order=order, due_s=due_s)

    def delete(self, order: DeleteEncoder) -> None:
        """Stop it and forget it, unless the name is another's by now."""
        seat = self._seats.get(order.name)
        if seat is None or seat.uid != order.uid or seat.stopping is not None:
            return
        seat.stopping = asyncio.create_task(self._stop(seat))

    async def tend(self) -> None:
        """Start what is due, notice what has ended, end what has gone silent."""
        now_s = time.monotonic()
        for seat in list(self._seats.values()):
            if seat.stopping is None and not seat.failure:
                await self._tend(seat, now_s)
        self._forget_old_failures()

    async def close(self, *, last: str | None) -> None:
        """Stop all: first those that are not on air, then `last`."""
        for name in sorted(self._seats, key=lambda name: name == last):
            seat = self._seats[name]
            if name == last:
                await self._stopped()
            if seat.stopping is None:
                seat.stopping = asyncio.create_task(self._stop(seat))
        await self._stopped()

    def kill(self) -> None:
        """End all at once; `close` still has to follow."""
        for seat in self._seats.values():
            if seat.child is not None:
                seat.child.kill()

    # --- one seat ---

    async def _tend(self, seat: Seat, now_s: float) -> None:
        if seat.child is None:
            if now_s >= seat.due_s:
                await self._start(seat)
        elif seat.child.exit_code is not None:
            await self._ended(seat, seat.child)
        elif _hangs(seat, now_s):
            seat.child.kill()

    async def _start(self, seat: Seat) -> None:
        taken = frozenset(s.port for s in self._seats.values())
        seat.starts += 1
        seat.started_s = time.monotonic()
        seat.unheard = 0
        try:
            seat.port = ports.free_port(self._host, avoid=taken)
            seat.child = await Child.start(self._launch(seat.order, seat.port), self._wake)
        except (OSError, StartError) as error:
            seat.failure = str(error)
            self._short_lives += 1

    async def _ended(self, seat: Seat, child: Child) -> None:
        assert child.exit_code is not None
        await child.stop(0.0)
        seat.hopeless = child.exit_code == exits.CONFIGURATION
        if seat.heard_s is None and seat.starts < STARTS_MAX and not seat.hopeless:
            seat.child = None
            await self._start(seat)
            return
        seat.failure = ": ".join(filter(None, (exit_text(child.exit_code), child.last_line)))
        short = time.monotonic() - seat.started_s < SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if short else 1

    async def _stop(self, seat: Seat) -> None:
        if seat.child is not None:
            await seat.child.stop(GRACE_S)
        self._seats.pop(seat.name, None)
        self._wake()

    async def _stopped(self) -> None:
        tasks = [s.stopping for s in self._seats.values() if s.stopping is not None]
        await asyncio.gather(*tasks)

    def _forget_old_failures(self) -> None:
        """An encoder that can't start, again and again: nothing deletes while nothing is on air."""
        failed = [s.name for s in self._seats.values() if s.failure and s.stopping is None]
        for name in failed[:-FAILED_SHOWN_MAX]:
            del self._seats[name]
