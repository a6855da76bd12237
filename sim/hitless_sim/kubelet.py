"""Scheduler and kubelet of the simulated world: from a pod to its process, and what kills it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hitless_handover.supervisor_model import EncoderState
from hitless_sim.encoder_shell import Encoder
from hitless_sim.facts import EncoderEnded

if TYPE_CHECKING:
    from hitless_sim.api_server import Pod
    from hitless_sim.world import World

READY_US = 700_000  # until the readiness probe has seen the process
UNREADY_US = 6_000_000  # until it has missed three times
LIVENESS_US = 30_000_000  # until the liveness probe has missed three times
GRACE_US = 30_000_000  # until a pod's process is killed that was told to end
PULL_RETRY_US = 1_000_000
LIVENESS_RESTART_US = 1_000_000


class Platform:
    """Brings up pods and takes them down."""

    __slots__ = ("_waiting", "_world", "extra_boot_us", "pulls_fail", "zombies")

    def __init__(self, world: World) -> None:
        self._world = world
        self.extra_boot_us = 0  # for the next pod
        self.pulls_fail = False
        self.zombies: list[Encoder] = []
        self._waiting: list[Pod] = []  # for their image

    # --- up ---

    def created(self, pod: Pod) -> None:
        """The API server has a new pod."""
        extra_us, self.extra_boot_us = self.extra_boot_us, 0
        clock = self._world.clock
        boot_us = self._world.scenario.boot_us + extra_us
        clock.at(clock.now_us + boot_us // 2, None, self._pull, pod)
        clock.at(clock.now_us + boot_us, None, self._boot, pod)

    def _pull(self, pod: Pod) -> None:
        if self._pullable(pod) or pod.view.state is not EncoderState.PENDING:
            return
        message = f"{pod.encoder.image}: no such image"
        self._world.api.show(pod, EncoderState.PENDING, "ErrImagePull", message)

    def _pullable(self, pod: Pod) -> bool:
        return self._world.scenario.image(pod.encoder.image).pulls and not self.pulls_fail

    def _boot(self, pod: Pod) -> None:
        if not self._pullable(pod):
            self._waiting.append(pod)
        else:
            self._start(pod)

    def pull_again(self) -> None:
        """The registry is back: pods whose image exists go on."""
        clock = self._world.clock
        waiting, self._waiting = self._waiting, []
        for pod in waiting:
            clock.at(clock.now_us + PULL_RETRY_US, None, self._boot, pod)

    def _start(self, pod: Pod) -> None:
        state = pod.view.state
        if not pod.listed or state in {EncoderState.TERMINATING, EncoderState.FAILED}:
            return
        if pod.process is not None:
            return
        world = self._world
        encoder = pod.process = Encoder(world, pod)
        pod.view = replace(pod.view, process=encoder.instance)
        world.network.hosts[pod.uid] = encoder
        world.network.refusing.discard(pod.uid)
        self._show_running(pod, ready=False)
        world.clock.at(world.clock.now_us + READY_US, None, self._probe, encoder)
        encoder.start()

    def _show_running(self, pod: Pod, *, ready: bool) -> None:
        crashed = pod.restarts and not ready
        reason, message = _crash_text(pod) if crashed else ("", "")
        self._world.api.show(pod, EncoderState.RUNNING, reason, message, ready=ready)

    # --- probes ---

    def _probe(self, encoder: Encoder) -> None:
        if encoder.mute or encoder.paused:
            self.unwell(encoder)
        else:
            self._set_ready(encoder, ready=True)

    def unwell(self, encoder: Encoder) -> None:
        """It stopped to answer: the probes will find out."""
        clock = self._world.clock
        encoder.unwell_since_us = clock.now_us
        clock.at(clock.now_us + UNREADY_US, None, self._missed, encoder, clock.now_us)
        clock.at(clock.now_us + LIVENESS_US, None, self._give_up, encoder, clock.now_us)

    def well(self, encoder: Encoder) -> None:
        """It answers again."""
        encoder.unwell_since_us = None
        clock = self._world.clock
        clock.at(clock.now_us + READY_US, None, self._probe, encoder)

    def _missed(self, encoder: Encoder, since_us: int) -> None:
        if encoder.unwell_since_us == since_us:
            self._set_ready(encoder, ready=False)

    def _give_up(self, encoder: Encoder, since_us: int) -> None:
        if encoder.unwell_since_us == since_us and encoder.pod.process is encoder:
            self.crash(encoder, LIVENESS_RESTART_US)

    def _set_ready(self, encoder: Encoder, *, ready: bool) -> None:
        pod = encoder.pod
        if encoder.dead or pod.process is not encoder or pod.view.ready is ready:
            return
        if pod.view.state is EncoderState.RUNNING:
            self._show_running(pod, ready=ready)

    # --- down ---

    def crash(self, encoder: Encoder, restart_us: int | None) -> None:
        """The process ends; it is started again in place, or the pod has failed."""
        if encoder.dead:
            return
        pod, world = encoder.pod, self._world
        self._end(encoder)
        if encoder in self.zombies:
            return
        if pod.view.state is EncoderState.TERMINATING:
            world.api.remove(pod)
        elif restart_us is None:
            reason, message = _crash_text(pod)
            world.api.show(pod, EncoderState.FAILED, "Error", message)
        else:
            pod.restarts += 1
            reason, message = _crash_text(pod)
            world.api.show(pod, EncoderState.PENDING, reason, message)
            world.clock.at(world.clock.now_us + restart_us, None, self._start, pod)

    def deleted(self, pod: Pod) -> None:
        """The API server wants the pod gone: its process is told to end."""
        if pod.process is None:
            self._world.clock.at(self._world.clock.now_us + READY_US, None, self._removed, pod)
        else:
            clock = self._world.clock
            clock.at(clock.now_us, pod.process, pod.process.terminate)
            clock.at(clock.now_us + GRACE_US, None, self._kill, pod.process)

    def _kill(self, encoder: Encoder) -> None:
        if not encoder.dead:
            self.ended(encoder)

    def _removed(self, pod: Pod) -> None:
        self._world.api.remove(pod)

    def ended(self, encoder: Encoder) -> None:
        """A process that was told to end has done so."""
        self._end(encoder)
        self._world.api.remove(encoder.pod)

    def lose_node(self, encoder: Encoder) -> None:
        """The pod is gone for the API server; its process goes on."""
        self.zombies.append(encoder)
        self._world.api.remove(encoder.pod)

    def bury_zombies(self) -> None:
        """The lost node is back: what still runs on it is killed."""
        for encoder in self.zombies:
            self._end(encoder)

    def _end(self, encoder: Encoder) -> None:
        if encoder.dead:
            return
        encoder.dead = True
        pod, world = encoder.pod, self._world
        pod.process = None
        if world.network.hosts.pop(pod.uid, None) is not None and pod.listed:
            world.network.refusing.add(pod.uid)
        encoder.drop_calls()
        world.say(
            EncoderEnded(
                at_us=world.clock.now_us,
                name=pod.name,
                uid=pod.uid,
                instance=encoder.instance,
            )
        )
        world.encoder_ended()


def _crash_text(pod: Pod) -> tuple[str, str]:
    message = f"the encoder ended with exit code 137 (Error), restarted {pod.restarts} times"
    return "CrashLoopBackOff", message
