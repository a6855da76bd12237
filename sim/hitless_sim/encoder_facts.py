"""What an encoder process tells the checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitless_handover.leadership import Lead
from hitless_handover.peer_model import Begin, Event, Reply, Side, Take
from hitless_sim.facts import CallRefused, Ordered, PeerMoved, QualityChanged, Stamped

if TYPE_CHECKING:
    from hitless_sim.encoder_shell import Encoder


def stamped(encoder: Encoder, segment: int, lead: Lead) -> None:
    """A segment got its priority."""
    encoder.world.say(
        Stamped(
            at_us=encoder.world.clock.now_us,
            name=encoder.pod.name,
            instance=encoder.instance,
            segment=segment,
            priority=lead.priority,
            silent=lead.silent,
        )
    )


def story(encoder: Encoder, before: Side | None, after: Side) -> None:
    """Its side of a handover is another; told, and a moment, if the phase is."""
    old = None
    if before is not None and before.handover_id == after.handover_id:
        old = before.phase
    if old is after.phase:
        return
    world = encoder.world
    world.say(
        PeerMoved(
            at_us=world.clock.now_us,
            name=encoder.pod.name,
            instance=encoder.instance,
            role=after.role,
            handover_id=after.handover_id,
            term=after.term,
            before=old,
            after=after.phase,
            frame=after.frame,
            reason=after.reason,
        )
    )
    world.moment(f"{after.role}:{after.phase}")


def reply(encoder: Encoder, event: Event, answer: Reply) -> None:
    """What it answered to an order or a call."""
    world = encoder.world
    if isinstance(event, Take | Begin):
        world.say(
            Ordered(
                at_us=world.clock.now_us,
                name=encoder.pod.name,
                instance=encoder.instance,
                term=event.term,
                accepted=answer.accepted,
            )
        )
    if answer.reason is not None and not answer.accepted:
        world.say(
            CallRefused(at_us=world.clock.now_us, name=encoder.pod.name, reason=answer.reason)
        )


def quality(encoder: Encoder) -> None:
    """Its output is worth something else."""
    encoder.world.say(
        QualityChanged(
            at_us=encoder.world.clock.now_us,
            name=encoder.pod.name,
            instance=encoder.instance,
            quality=encoder.quality,
        )
    )
