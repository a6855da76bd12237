"""Whom a fault means: from the words of a plan to the processes and places of a world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hitless_sim.api_server import API
from hitless_sim.faults import Place, Target
from hitless_sim.network import Ends
from hitless_sim.origin_shell import ORIGIN

if TYPE_CHECKING:
    from hitless_sim.encoder_shell import Encoder
    from hitless_sim.world import World


def alive(world: World) -> list[Encoder]:
    """Every encoder process that runs, those included whose node was lost."""
    return [encoder for encoder in world.encoders if not encoder.dead]


def names(world: World, target: Target) -> list[str]:
    """The pods that are meant; none when there are none."""
    record, pods = world.api.record, world.api.pods
    if target is Target.EVERY:
        return sorted(pods)
    update = record.handover
    old, new = record.active, record.spare
    if update is not None and update.live:
        old, new = update.incumbent, update.successor
    if target is Target.SUCCESSOR and new is None:
        return [name for name in sorted(pods) if old is None or name != old.name][-1:]
    chosen = old if target is Target.INCUMBENT else new
    return [] if chosen is None or chosen.name not in pods else [chosen.name]


def targets(world: World, target: Target) -> list[Encoder]:
    """The running processes that are meant."""
    pods = world.api.pods
    found = [pods[name].process for name in names(world, target)]
    return [encoder for encoder in found if encoder is not None]


def ends(world: World, place: Place) -> Ends:
    """One end of a network path, as it is now."""
    match place:
        case Place.OPERATORS:
            return Ends([operator.name for operator in world.operators])
        case Place.API:
            return Ends([API])
        case Place.ORIGIN:
            return Ends([ORIGIN])
        case Place.ENCODERS:
            return all_encoders(world)
        case _:
            target = Target.INCUMBENT if place is Place.INCUMBENT else Target.SUCCESSOR
            return Ends([world.api.pods[name].uid for name in names(world, target)])


def all_encoders(world: World) -> Ends:
    """All, those that are yet to come included."""
    others = [API, ORIGIN, *(operator.name for operator in world.operators)]
    return Ends((), others_but=others)
