"""What came of an update, an abort or an approval, judged from one look at the channel. Pure.

`None` means: not decided yet, wait for the next change.
"""

from __future__ import annotations

from dataclasses import dataclass

from hitless_cli.cluster.reading import Channel, Handover
from hitless_cli.cluster.wording import count, version_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An update that was asked for. generation: of the spec that asks for it.

    was_on_air: the image was on air before, and only the spec had asked for another.
    """

    image: str
    generation: int
    was_on_air: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """done: exactly what was asked for. reason: one CamelCase word. handover: the one judged."""

    done: bool
    reason: str
    message: str
    handover: Handover | None = None


def asked_again(before: Channel, made: Channel) -> Outcome | None:
    """A failure at once: the operator does not try again what this very spec has failed with."""
    last = before.handover
    if made.generation != before.generation or last is None or last.live or last.completed:
        return None
    if last.successor.image != made.image or not before.refused_digest:
        return None
    return _failed(last.phase, f"not tried again: {last.reason}: {last.message}", last)


def update_outcome(channel: Channel, order: Order) -> Outcome | None:
    """Done only when the order's own handover has Completed with no frame lost."""
    last = channel.handover
    if last is not None and _is_of(last, order):
        return None if last.live else _ended(last)
    if channel.image != order.image:
        return _failed("Superseded", f"the spec asks for {channel.image} now")
    if channel.observed_generation < order.generation:
        return None
    return _without_handover(channel, order)


def _is_of(last: Handover, order: Order) -> bool:
    return last.generation >= order.generation and last.successor.image == order.image


def _ended(last: Handover) -> Outcome:
    if not last.completed:
        return _failed(last.phase, f"{last.reason}: {last.message}", last)
    if last.lost is None:
        return _failed("NotCounted", "completed, but nobody has counted the frames lost", last)
    if last.lost:
        return _failed("FramesLost", f"completed, with {count(last.lost, 'frame')} lost", last)
    text = f"{last.successor.pod} took over at frame {last.frame}, 0 frames lost"
    return Outcome(done=True, reason="Completed", message=text, handover=last)


def _without_handover(channel: Channel, order: Order) -> Outcome | None:
    """The operator has seen the order, and there is no handover of it."""
    stalled, blocked = channel.condition("Stalled"), channel.condition("UpdateBlocked")
    if channel.under_way is not None:
        return None  # an older one is being called off first
    if stalled is not None and stalled.status == "True":
        return _failed(stalled.reason, f"not tried: {stalled.message}")
    if channel.paused and blocked is not None:
        return _failed("Paused", "updates of this channel are paused: resume it first")
    if channel.phase != "Live" or channel.active is None or channel.active.image != order.image:
        return None
    return _on_air(channel, order)


def _on_air(channel: Channel, order: Order) -> Outcome:
    """The image is on air without a handover of the order."""
    version, last = version_of(order.image), channel.handover
    if order.was_on_air:
        return Outcome(done=True, reason="OnAirAlready", message=f"{version} is on air as before")
    if last is not None and not last.completed and last.incumbent.image == order.image:
        text = f"the update before was called off: {version} took the output back"
        return _failed(last.phase, text, last)
    text = f"{version} is on air, but by a new start and not by a handover"
    return _failed("NotHandedOver", text)


def abort_outcome(channel: Channel, handover_id: str) -> Outcome | None:
    """Done when that handover has ended without completing."""
    known = [*channel.history, *([channel.handover] if channel.handover else [])]
    found = next((h for h in reversed(known) if h.id == handover_id), None)
    if found is None:
        return _failed("Forgotten", f"handover {handover_id} is no longer in the record")
    if found.live:
        return None
    if found.completed:
        return _failed("Completed", "it completed before it could be called off", found)
    text = f"{found.incumbent.pod} ({version_of(found.incumbent.image)}) has the output"
    return Outcome(done=True, reason=found.phase, message=text, handover=found)


def _failed(reason: str, message: str, handover: Handover | None = None) -> Outcome:
    return Outcome(done=False, reason=reason, message=message, handover=handover)
