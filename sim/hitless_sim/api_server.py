"""The API server of the simulated world: one CR with its record, and the channel's pods.

Owns what is stored and the rules of storing: a status is written only over the version that was
read, a pod is created once and deleted only with its uid. Every change is told to who watches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from hitless_handover.supervisor_model import (
    ChannelRecord,
    Desired,
    EncoderRecord,
    EncoderState,
    EncoderView,
)
from hitless_handover.timeline import Anchor
from hitless_sim.clockwork import Process
from hitless_sim.facts import PodCreated, PodDeleted, Stored, UserWants

if TYPE_CHECKING:
    from hitless_sim.encoder_shell import Encoder
    from hitless_sim.network import Call
    from hitless_sim.world import World

CHANNEL = "ch"
CHANNEL_UID = "0c0ffee0-0000"
API_DISTANCE_US = 1_000
API = "api"


class Refused(Enum):
    """Why the API server does not do it."""

    CONFLICT = "Conflict"
    NOT_FOUND = "NotFound"
    ALREADY_EXISTS = "AlreadyExists"
    REJECTED = "Rejected"


@dataclass(frozen=True, slots=True)
class Document:
    """The CR as it is read. version: its resourceVersion."""

    desired: Desired
    record: ChannelRecord
    version: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class PodOrder:
    """A pod to create, from the spec as `desired` has it."""

    encoder: EncoderRecord
    anchor: Anchor | None
    desired: Desired
    by: str


class Pod:
    """One pod. address: where its process is reached, its uid; `view` is what a list shows."""

    __slots__ = (
        "anchor",
        "desired",
        "encoder",
        "listed",
        "number",
        "process",
        "restarts",
        "uid",
        "view",
    )

    def __init__(self, order: PodOrder, number: int) -> None:
        self.encoder = order.encoder
        self.anchor = order.anchor
        self.desired = order.desired
        self.number = number
        self.uid = f"uid-{number}"
        self.process: Encoder | None = None
        self.restarts = 0
        self.listed = True
        self.view = EncoderView(name=self.name, state=EncoderState.PENDING, uid=self.uid)

    @property
    def name(self) -> str:
        """The encoder's."""
        return self.encoder.name


class ApiServer(Process):
    """What is stored. Its methods named `on_…` are calls over the network."""

    __slots__ = (
        "_history",
        "_pod_count",
        "_world",
        "answers_to_lose",
        "creation_refused",
        "deleted",
        "desired",
        "pods",
        "record",
        "stale_us",
        "version",
        "watch_lost",
    )

    def __init__(self, world: World, desired: Desired) -> None:
        super().__init__(API, API_DISTANCE_US)
        self._world = world
        self.desired = desired
        self.record = ChannelRecord()
        self.version = 1
        self.deleted = False
        self.pods: dict[str, Pod] = {}
        self.answers_to_lose = 0
        self.creation_refused = False
        self.stale_us = 0
        self.watch_lost = False
        self._pod_count = 0
        self._history: list[tuple[int, dict[str, EncoderView]]] = [(0, {})]

    # --- calls ---

    def on_get(self, _: None, call: Call) -> None:
        """Read the CR."""
        document = Document(self.desired, self.record, self.version, self.deleted)
        self._world.network.answer(call, document)

    def on_list(self, _: None, call: Call) -> None:
        """List the pods."""
        seen_us = self._world.clock.now_us - self.stale_us
        views = next(views for at_us, views in reversed(self._history) if at_us <= seen_us)
        self._world.network.answer(call, views)

    def on_put(self, argument: tuple[int, ChannelRecord, str], call: Call) -> None:
        """Write the status over a version; the version then, or why not."""
        version, record, by = argument
        if self.deleted and not self.pods:
            self._done(call, Refused.NOT_FOUND)
        elif version != self.version:
            self._world.network.answer(call, Refused.CONFLICT)
        else:
            self._done(call, self._store(record, by))

    def on_create(self, order: PodOrder, call: Call) -> None:
        """Create a pod."""
        if order.encoder.name in self.pods:
            self._world.network.answer(call, Refused.ALREADY_EXISTS)
        elif self.creation_refused or self.deleted:
            self._world.network.answer(call, Refused.REJECTED)
        else:
            self._create(order)
            self._done(call, True)

    def on_delete(self, argument: tuple[str, str, str], call: Call) -> None:
        """Delete a pod of this name and uid."""
        name, uid, by = argument
        pod = self.pods.get(name)
        if pod is None:
            self._world.network.answer(call, Refused.NOT_FOUND)
        elif pod.uid != uid:
            self._world.network.answer(call, Refused.CONFLICT)
        else:
            self.delete(pod, by)
            self._done(call, True)

    def _done(self, call: Call, value: Any) -> None:
        """A write is answered, unless its answer gets lost."""
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            self._world.network.hang(call)
        else:
            self._world.network.answer(call, value)

    # --- what changes ---

    def _store(self, record: ChannelRecord, by: str) -> int:
        """The version then. Equal content is no change: it stays."""
        before = self.record
        if record == before:
            return self.version
        self.record = record
        self.version = version = self.version + 1
        world = self._world
        world.say(Stored(at_us=world.clock.now_us, record=record, version=version, by=by))
        self._changed(version)
        if record.phase is not before.phase:
            world.moment(f"Channel:{record.phase}")
        update, last = record.handover, before.handover
        if update is not None and (
            last is None or (update.handover_id, update.phase) != (last.handover_id, last.phase)
        ):
            world.moment(f"Handover:{update.phase}")
        return version

    def _create(self, order: PodOrder) -> None:
        self._pod_count += 1
        pod = self.pods[order.encoder.name] = Pod(order, self._pod_count)
        world = self._world
        world.say(
            PodCreated(
                at_us=world.clock.now_us,
                name=pod.name,
                uid=pod.uid,
                digest=pod.encoder.digest,
                by=order.by,
            )
        )
        self.show(pod)
        world.platform.created(pod)

    def delete(self, pod: Pod, by: str) -> None:
        """Its process is asked to end; then the pod goes."""
        if pod.view.state is EncoderState.TERMINATING:
            return
        world = self._world
        world.say(PodDeleted(at_us=world.clock.now_us, name=pod.name, uid=pod.uid, by=by))
        self.show(pod, EncoderState.TERMINATING, "Terminating", "the pod is being deleted")
        world.platform.deleted(pod)

    def remove(self, pod: Pod) -> None:
        """It is not there any more."""
        if pod.listed:
            pod.listed = False
            del self.pods[pod.name]
            self._world.network.refusing.discard(pod.uid)
            self._pods_changed()

    def show(
        self,
        pod: Pod,
        state: EncoderState | None = None,
        reason: str = "",
        message: str = "",
        *,
        ready: bool = False,
        address: bool = True,
    ) -> None:
        """What the pod's status says from now on. state None: as it was made."""
        if not pod.listed:
            return
        if state is not None:
            pod.view = replace(
                pod.view,
                state=state,
                reason=reason,
                message=message,
                ready=ready,
                address=pod.uid if address else "",
            )
        self._pods_changed()

    def want(self, desired: Desired) -> None:
        """The user changes the spec or an annotation."""
        self.desired = desired
        self.touch()
        self.tell_wish()

    def tell_wish(self) -> None:
        """For the checkers: what is wanted."""
        world = self._world
        desired = None if self.deleted else self.desired
        scenario = world.scenario
        world.say(
            UserWants(
                at_us=world.clock.now_us,
                desired=desired,
                mode=scenario.mode,
                parts=scenario.parts,
                gop_parts=scenario.gop_parts,
            )
        )

    def touch(self) -> None:
        """The CR has changed, whatever it was."""
        self.version += 1
        self._changed(self.version)

    def delete_channel(self) -> None:
        """The user deletes the CR; the garbage collector takes the pods along."""
        self.deleted = True
        self.touch()
        self.tell_wish()
        for name in sorted(self.pods):
            self.delete(self.pods[name], "user")

    def _pods_changed(self) -> None:
        views = {name: self.pods[name].view for name in sorted(self.pods)}
        self._history.append((self._world.clock.now_us, views))
        self._changed()

    def _changed(self, version: int | None = None) -> None:
        if not self.watch_lost:
            self._world.tell_operators(version)
