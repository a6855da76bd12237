"""The faults of encoders: of their process, their input and the node below them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hitless_handover.supervisor_model import EncoderState
from hitless_sim import faults as f
from hitless_sim.aim import alive, all_encoders, names, targets
from hitless_sim.facts import PodDeleted, PodHasToLeave, Quality, SourceBack, SourceLost
from hitless_sim.faults import Fault, NetKind, Target
from hitless_sim.network import BadPath, Ends
from hitless_sim.origin_shell import ORIGIN

if TYPE_CHECKING:
    from hitless_sim.encoder_shell import Encoder
    from hitless_sim.world import World


def heal_encoders(world: World) -> None:
    """Their faults are over; the images and the anchors that they have stay."""
    world.input_lost = False
    for encoder in alive(world):
        encoder.crash_in = 0
        encoder.set_skew(0)
        encoder.slow_percent = 100
        encoder.pipeline.truncated = ""
        _hear(world, encoder)
        _go_on(world, encoder)
        _input_back(world, encoder)


# --- the platform -----------------------------------------------------------------------------


def _slow_start(world: World, fault: f.SlowStart) -> None:
    world.platform.extra_boot_us += fault.extra_us


def _pull_fails(world: World, fault: f.PullFails) -> None:
    world.platform.pulls_fail = True
    world.after(fault.duration_us, _pull_again)


def _pull_again(world: World) -> None:
    world.platform.pulls_fail = False
    world.platform.pull_again()


def _evict(world: World, fault: f.Evict) -> None:
    for name in names(world, fault.target):
        world.api.delete(world.api.pods[name], "platform")


def _node_emptied(world: World, fault: f.NodeEmptied) -> None:
    for name in names(world, fault.target):
        pod = world.api.pods[name]
        world.say(PodHasToLeave(at_us=world.clock.now_us, name=name, uid=pod.uid))
        pod.view = replace(pod.view, leaving=True)
        world.api.show(pod)


def _crash(world: World, fault: f.Crash) -> None:
    for encoder in targets(world, fault.target):
        if not fault.effect:
            world.platform.crash(encoder, fault.restart_us)
            continue
        encoder.crash_in = fault.effect
        encoder.on_crash = _crash_of(world, encoder, fault.restart_us)


def _crash_of(world: World, encoder: Encoder, restart_us: int | None) -> Callable[[], None]:
    return lambda: world.platform.crash(encoder, restart_us)


def _node_lost(world: World, fault: f.NodeLost) -> None:
    for encoder in targets(world, fault.target):
        pod = encoder.pod
        gone = [Ends([operator.name for operator in world.operators])]
        if not fault.sees_origin:
            gone.append(Ends([ORIGIN]))
        if not fault.sees_peers:
            gone.append(all_encoders(world))
        world.network.bad.extend(
            BadPath(NetKind.PARTITION, Ends([pod.uid]), ends, True, 100, 0, 0, world.heal_at_us)
            for ends in gone
        )
        if pod.view.state is not EncoderState.TERMINATING:
            now_us = world.clock.now_us
            world.say(PodDeleted(at_us=now_us, name=pod.name, uid=pod.uid, by="platform"))
        world.platform.lose_node(encoder)


# --- encoders ---------------------------------------------------------------------------------


def _encoder_paused(world: World, fault: f.EncoderPaused) -> None:
    for encoder in targets(world, fault.target):
        world.clock.pause(encoder)
        world.platform.unwell(encoder)
        world.after(fault.duration_us, _go_on, encoder)


def _go_on(world: World, encoder: Encoder) -> None:
    if encoder.paused:
        world.clock.resume(encoder)
        world.platform.well(encoder)


def _encoder_skewed(world: World, fault: f.EncoderSkewed) -> None:
    for encoder in targets(world, fault.target):
        encoder.set_skew(fault.skew_us)
        world.after(fault.duration_us, _set_right, encoder)


def _set_right(_: World, encoder: Encoder) -> None:
    encoder.set_skew(0)


def _encoder_slow(world: World, fault: f.EncoderSlow) -> None:
    for encoder in targets(world, fault.target):
        encoder.slow_percent = fault.speed_percent
        world.after(fault.duration_us, _full_speed, encoder)


def _full_speed(_: World, encoder: Encoder) -> None:
    encoder.slow_percent = 100


def _encoder_deaf(world: World, fault: f.EncoderDeaf) -> None:
    for encoder in targets(world, fault.target):
        encoder.mute = True
        world.platform.unwell(encoder)
        world.after(fault.duration_us, _hear, encoder)


def _hear(world: World, encoder: Encoder) -> None:
    if encoder.mute:
        encoder.mute = False
        world.platform.well(encoder)


def _truncated(world: World, fault: f.Truncated) -> None:
    for encoder in targets(world, fault.target):
        encoder.pipeline.truncated = fault.track
        world.after(fault.duration_us, _whole, encoder)


def _whole(_: World, encoder: Encoder) -> None:
    encoder.pipeline.truncated = ""


def _input_lost(world: World, fault: f.InputLost) -> None:
    for encoder in targets(world, fault.target):
        lose_input(world, encoder)
        world.after(fault.duration_us, _input_back, encoder)
    if fault.target is Target.EVERY:
        world.input_lost = True
        world.after(fault.duration_us, _inputs_back)


def lose_input(world: World, encoder: Encoder) -> None:
    """This encoder gets no input from now on."""
    if encoder.pipeline.input_lost_us is None:
        encoder.pipeline.input_lost_us = world.clock.now_us
        world.say(SourceLost(at_us=world.clock.now_us, name=encoder.pod.name))


def _inputs_back(world: World) -> None:
    world.input_lost = False
    for encoder in alive(world):
        _input_back(world, encoder)


def _input_back(world: World, encoder: Encoder) -> None:
    if encoder.pipeline.input_lost_us is not None and not encoder.dead:
        world.say(SourceBack(at_us=world.clock.now_us, name=encoder.pod.name))
        encoder.pipeline.input_back()


def _input_jumped(world: World, fault: f.InputJumped) -> None:
    """With one encoder only, it is the source itself that jumps."""
    world.jumps += 1
    everyone = alive(world)
    everybody = fault.target is Target.EVERY or len(everyone) == 1
    if everybody:
        world.shift = world.channel_anchor = world.jumps
    for encoder in everyone if everybody else targets(world, fault.target):
        encoder.jump(world.jumps, Quality.GOOD if everybody else Quality.MISMATCH)


ENCODER_STRIKES: dict[type[Fault], Callable[[World, Any], None]] = {
    f.SlowStart: _slow_start,
    f.PullFails: _pull_fails,
    f.Evict: _evict,
    f.NodeEmptied: _node_emptied,
    f.Crash: _crash,
    f.NodeLost: _node_lost,
    f.EncoderPaused: _encoder_paused,
    f.EncoderSkewed: _encoder_skewed,
    f.EncoderSlow: _encoder_slow,
    f.EncoderDeaf: _encoder_deaf,
    f.Truncated: _truncated,
    f.InputLost: _input_lost,
    f.InputJumped: _input_jumped,
}
