"""A successor's calls to its incumbent, and what becomes of them.

Mirrors hitless_encoder's control/incumbent.py and the calling half of conductor.py: each call has
its deadline; no answer is told to the machine after a pause.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hitless_handover import peer_model as m
from hitless_handover.messages import SyncInfo
from hitless_handover.peer_model import Reply, Side
from hitless_handover.timeline import MICROSECONDS

if TYPE_CHECKING:
    from hitless_sim.encoder_shell import Encoder
    from hitless_sim.network import Handler
    from hitless_sim.pipeline import Content

VERIFY_TIMEOUT_US_MIN = 1_000_000
RETRY_AFTER_US = 500_000


@dataclass(frozen=True, slots=True)
class SyncCall:
    """Synchronise on the wire: only the successor's side of it."""

    handover_id: str
    other: SyncInfo


@dataclass(frozen=True, slots=True)
class VerifyCall:
    """Verify on the wire: the segments that came in time."""

    handover_id: str
    samples: tuple[tuple[int, Content], ...]


def perform(me: Encoder, request: m.Request, side: Side) -> None:
    """One call to the incumbent; its answer, or that there is none, is the next event."""
    match request:
        case m.SendAnnounce():
            announce = m.Announce(
                handover_id=side.handover_id,
                term=side.term,
                successor=me.peer.identity,
                criteria=side.criteria,
                deadline_us=side.deadline_us,
            )
            _ask(me, side, type(me).on_call, announce)
        case m.SendSync():
            _ask(me, side, type(me).on_synchronise, SyncCall(side.handover_id, me.sync()))
        case m.SendSamples():
            _send_samples(me, side, request.segments)
        case m.SendPropose():
            propose = m.Propose(handover_id=side.handover_id, frame=request.frame)
            _ask(me, side, type(me).on_call, propose)
        case m.SendArm():
            _ask(
                me, side, type(me).on_call, m.Arm(handover_id=side.handover_id, frame=request.frame)
            )
        case m.SendAbort():
            abort = m.Abort(handover_id=side.handover_id, reason=request.reason, term=side.term)
            _call(me, type(me).on_order, abort, _ignore, _timeout_us(side))
        case _:
            raise AssertionError(f"unknown request {request}")


def _send_samples(me: Encoder, side: Side, count: int) -> None:
    """The next `count` segments; fewer when time runs out."""
    pipeline, now_us = me.pipeline, me.now_us()
    first = 0 if pipeline.encoded is None else pipeline.encoded + 1
    end_us = now_us + max(VERIFY_TIMEOUT_US_MIN, side.deadline_us - now_us)

    def send() -> None:
        wanted = range(first, first + count)
        made = tuple((k, pipeline.recent[k]) for k in wanted if k in pipeline.recent)
        timeout_us = max(1, end_us - me.now_us())
        _ask(me, side, type(me).on_verify, VerifyCall(side.handover_id, made), timeout_us)

    pipeline.wait(first + count - 1, side.deadline_us - me.skew_us, send)


def _ask(
    me: Encoder, side: Side, handle: Handler, argument: Any, timeout_us: int | None = None
) -> None:
    def answered(reply: Reply | None) -> None:
        if me.closed:
            return
        if reply is None:
            clock = me.world.clock
            clock.at(clock.now_us + RETRY_AFTER_US, me, _failed, me, side.handover_id)
        else:
            me.apply(m.Answered(handover_id=side.handover_id, reply=reply))

    _call(me, handle, argument, answered, timeout_us or _timeout_us(side))


def _failed(me: Encoder, handover_id: str) -> None:
    if not me.closed:
        me.apply(m.CallFailed(handover_id=handover_id, message="no answer"))


def _call(
    me: Encoder,
    handle: Handler,
    argument: Any,
    done: Callable[[Reply | None], None],
    timeout_us: int,
) -> None:
    me.world.network.call(me, me.address, handle, argument, done, timeout_us)


def _timeout_us(side: Side) -> int:
    return side.criteria.call_s * MICROSECONDS


def _ignore(_: Reply | None) -> None:
    """The successor's last word is not waited for."""
