"""Makes faults happen, lifts them when their time is over, and heals everything in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hitless_sim import faults as f
from hitless_sim.aim import ends
from hitless_sim.api_server import API
from hitless_sim.encoder_strikes import ENCODER_STRIKES, heal_encoders
from hitless_sim.facts import OriginRestarted
from hitless_sim.faults import Fault
from hitless_sim.network import BadPath
from hitless_sim.operator_shell import Operator
from hitless_sim.origin_shell import ORIGIN

if TYPE_CHECKING:
    from hitless_sim.world import World


def strike(world: World, fault: Fault) -> None:
    """Let it happen now."""
    _STRIKES[type(fault)](world, fault)


def heal(world: World) -> None:
    """No fault is left: what stood still goes on, what was down is back, lost nodes are cleared."""
    network, api, platform = world.network, world.api, world.platform
    network.bad.clear()
    network.refusing.discard(API)
    network.hosts[API] = api
    api.answers_to_lose = api.stale_us = 0
    api.creation_refused = False
    _watch_again(world)
    platform.pulls_fail, platform.extra_boot_us = False, 0
    platform.pull_again()
    platform.bury_zombies()
    _start_origin(world)
    world.clock.resume(world.origin)
    for number in range(len(world.operators)):
        _start_operator(world, number)
        world.operators[number].skew_us = world.operators[number].crash_in = 0
        world.clock.resume(world.operators[number])
    heal_encoders(world)


# --- network and API server -------------------------------------------------------------------


def _network(world: World, fault: f.NetFault) -> None:
    end_us = min(world.clock.now_us + fault.duration_us, world.heal_at_us)
    path = BadPath(
        fault.kind,
        ends(world, fault.source),
        ends(world, fault.target),
        fault.both_ways,
        fault.percent,
        fault.extra_us,
        fault.seed,
        end_us,
    )
    world.network.bad.append(path)
    world.after(end_us - world.clock.now_us, _mend_path, path)


def _mend_path(world: World, path: BadPath) -> None:
    if path in world.network.bad:
        world.network.bad.remove(path)


def _api_down(world: World, fault: f.ApiDown) -> None:
    world.network.hosts.pop(API, None)
    world.network.refusing.add(API)
    world.after(fault.duration_us, _api_up)


def _api_up(world: World) -> None:
    world.network.hosts[API] = world.api
    world.network.refusing.discard(API)


def _answers_lost(world: World, fault: f.AnswersLost) -> None:
    world.api.answers_to_lose += fault.count


def _foreign_writes(world: World, fault: f.ForeignWrites) -> None:
    for number in range(fault.count):
        world.after(number * fault.every_us, _foreign_write)


def _foreign_write(world: World) -> None:
    if not world.healed:
        world.api.touch()


def _stale_pods(world: World, fault: f.StalePods) -> None:
    world.api.stale_us = fault.lag_us
    world.after(fault.duration_us, _fresh_pods)


def _fresh_pods(world: World) -> None:
    world.api.stale_us = 0


def _create_refused(world: World, fault: f.CreateRefused) -> None:
    world.api.creation_refused = True
    world.after(fault.duration_us, _create_again)


def _create_again(world: World) -> None:
    world.api.creation_refused = False


def _watch_lost(world: World, fault: f.WatchLost) -> None:
    world.api.watch_lost = True
    world.after(fault.duration_us, _watch_again)


def _watch_again(world: World) -> None:
    if world.api.watch_lost:
        world.api.watch_lost = False
        world.tell_operators()


# --- origin and operators ---------------------------------------------------------------------


def _origin_restarts(world: World, fault: f.OriginRestarts) -> None:
    if not world.origin.dead:
        world.origin.dead = True
        world.network.hosts.pop(ORIGIN)
        world.network.refusing.add(ORIGIN)
        world.after(fault.down_us, _start_origin)


def _start_origin(world: World) -> None:
    if world.origin.dead:
        world.origin = world.origin.restarted()
        world.network.hosts[ORIGIN] = world.origin
        world.network.refusing.discard(ORIGIN)
        world.say(OriginRestarted(at_us=world.clock.now_us))
        world.origin.resume()


def _origin_paused(world: World, fault: f.OriginPaused) -> None:
    world.clock.pause(world.origin)
    world.after(fault.duration_us, _origin_goes_on)


def _origin_goes_on(world: World) -> None:
    world.clock.resume(world.origin)


def _operator_crash(world: World, fault: f.OperatorCrash) -> None:
    number = fault.which % len(world.operators)
    operator = world.operators[number]

    def end() -> None:
        if not operator.dead:
            operator.dead = True
            world.after(fault.down_us, _start_operator, number)

    if fault.effect:
        operator.crash_in, operator.on_crash = fault.effect, end
    else:
        end()


def _start_operator(world: World, number: int) -> None:
    if world.operators[number].dead:
        operator = world.operators[number] = Operator(world, number)
        world.clock.at(world.clock.now_us, operator, operator.add)


def _operator_paused(world: World, fault: f.OperatorPaused) -> None:
    operator = world.operators[fault.which % len(world.operators)]

    def stand_still() -> None:
        world.clock.pause(operator)
        world.after(fault.duration_us, _operator_goes_on, operator)

    if fault.effect:
        operator.crash_in, operator.on_crash = fault.effect, stand_still
    else:
        stand_still()


def _operator_goes_on(world: World, operator: Operator) -> None:
    world.clock.resume(operator)


def _operator_skewed(world: World, fault: f.OperatorSkewed) -> None:
    operator = world.operators[fault.which % len(world.operators)]
    operator.skew_us = fault.skew_us
    world.after(fault.duration_us, _operator_right, operator)


def _operator_right(_: World, operator: Operator) -> None:
    operator.skew_us = 0


_STRIKES: dict[type[Fault], Callable[[World, Any], None]] = ENCODER_STRIKES | {
    f.NetFault: _network,
    f.ApiDown: _api_down,
    f.AnswersLost: _answers_lost,
    f.ForeignWrites: _foreign_writes,
    f.StalePods: _stale_pods,
    f.CreateRefused: _create_refused,
    f.WatchLost: _watch_lost,
    f.OriginRestarts: _origin_restarts,
    f.OriginPaused: _origin_paused,
    f.OperatorCrash: _operator_crash,
    f.OperatorPaused: _operator_paused,
    f.OperatorSkewed: _operator_skewed,
}
