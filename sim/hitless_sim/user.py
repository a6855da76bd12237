"""What the user does to the CR."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hitless_handover.supervisor_model import Desired
from hitless_sim import faults as f
from hitless_sim.faults import UserEvent
from hitless_sim.scenario import TIMELINE, digest_of

if TYPE_CHECKING:
    from hitless_sim.world import World


def act(world: World, event: UserEvent) -> None:
    """Do it now. What changes nothing, or comes after the channel's end, is nothing."""
    api = world.api
    if api.deleted:
        return
    if isinstance(event, f.DeleteChannel):
        api.delete_channel()
        return
    wanted = _wanted(world, api.desired, event)
    if wanted == api.desired:
        return
    annotation = isinstance(event, f.CallOff)
    generation = api.desired.generation + (0 if annotation else 1)
    api.want(replace(wanted, generation=generation))


def _wanted(world: World, desired: Desired, event: UserEvent) -> Desired:
    match event:
        case f.SetImage(image=image):
            return replace(desired, image=image, digest=digest_of(image))
        case f.SetPaused(paused=paused):
            return replace(desired, paused=paused)
        case f.SetHotSpare(hot_spare=hot_spare):
            return replace(desired, hot_spare=hot_spare)
        case f.SetBounds():
            return _bounded(world, desired, event)
        case f.CallOff():
            update = world.api.record.handover
            return desired if update is None else replace(desired, abort_id=update.handover_id)
        case _:
            raise AssertionError(f"unknown event {event}")


def _bounded(world: World, desired: Desired, event: f.SetBounds) -> Desired:
    def frame(from_now_us: int | None) -> int:
        if from_now_us is None:
            return 0
        return TIMELINE.frame_at(world.clock.now_us + from_now_us)

    criteria = replace(
        desired.policy.criteria,
        not_before_frame=frame(event.not_before_us),
        not_after_frame=frame(event.not_after_us),
    )
    return replace(desired, policy=replace(desired.policy, criteria=criteria))
