"""The sole writer: stores the record, and only then carries out the supervisor's actions.

Owns the order (a decision is persisted before it is acted upon) and the fences: a status is written
only over the resourceVersion that was read, a pod is deleted only with its uid, a pod is created
only from the spec that its record was made from. It decides nothing. `reconcile.py` calls it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from hitless_handover.supervisor_model import (
    Action,
    CreateEncoder,
    DeleteEncoder,
    Problem,
)
from hitless_operator.channel import Channel, Document, Key
from hitless_operator.eviction.mark import ANNOTATION
from hitless_operator.kube import (
    AlreadyExists,
    Conflict,
    Kube,
    NotFound,
    Rejected,
    Unavailable,
)
from hitless_operator.manifests import PodDefaults, encoder_pod, eviction_guard, has_token
from hitless_operator.metrics import Metrics
from hitless_operator.moments import second_time
from hitless_operator.observe import FAILED_CREATE, PeerCalls
from hitless_operator.pods import MESSAGE_MAX, owner_uid
from hitless_operator.queue import TryAgain
from hitless_operator.status import as_document
from hitless_operator.status_model import EncoderDeploymentStatus
from hitless_operator.tokens import Tokens
from hitless_wire.following import Following
from hitless_wire.ingest_tokens import KeyFile
from hitless_wire.peers import Order
from hitless_wire.resources import EncoderDeploymentSpec, EvictionStrategy, spec_digest

_log = logging.getLogger(__name__)


class Outdated(TryAgain):
    """The CR changed after it was read: this decision is dropped, another look is due."""


class Refused(Exception):
    """The cluster does not let an encoder be created; problem says why, for the CR."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Applier:
    """Writes to Kubernetes and gives orders to encoders.

    guards: whether it may keep evictions. keys: what the tokens of encoders are made from.
    """

    def __init__(
        self,
        kube: Kube,
        peers: PeerCalls,
        defaults: PodDefaults,
        metrics: Metrics | None = None,
        *,
        guards: bool = True,
        keys: KeyFile | None = None,
    ) -> None:
        self._kube = kube
        self._tokens = Tokens(kube, keys)
        self._guards = guards
        self._metrics = metrics or Metrics()
        self._peers = peers
        self._defaults = defaults

    async def store(
        self, channel: Channel, status: EncoderDeploymentStatus, *, fence: bool
    ) -> Channel:
        """Write the status if it differs; the channel as it is then. Raises Outdated, KubeError.

        fence: write it in any case. The API server stores nothing then, but refuses when somebody
        else has written since: actions follow a record that is known to be the newest.
        """
        if not fence and as_document(status) == as_document(channel.status):
            return channel
        body = {**channel.body, "status": as_document(status)}
        try:
            written = await self._kube.put_status(body)
        except Conflict as error:
            raise Outdated("the channel changed while it was looked at") from error
        except NotFound as error:
            raise Outdated("the channel is gone") from error
        except Unavailable:
            self._metrics.unanswered(channel, status)
            raise
        self._metrics.stored(channel, status)
        return replace(channel, body=written, status=status)

    async def act(self, channel: Channel, action: Action, addresses: Mapping[str, str]) -> None:
        """Carry out one action; repeating it does no harm. Raises Refused, Outdated, KubeError."""
        match action:
            case CreateEncoder():
                await self._create(channel, action)
            case DeleteEncoder():
                await self._delete(channel, action)
            case _:
                await self._tell(channel, action, addresses)

    async def follow(self, channel: Channel, whom: Following) -> None:
        """Tell a spare whom to stand by for; one that does not hear it is told at the next look."""
        reply = await self._peers.follow(whom)
        if reply is None or not reply.accepted:
            _log.debug("%s: the spare does not follow %s: %s", channel.key, whom.leader, reply)

    async def guard(self, channel: Channel, spec: EncoderDeploymentSpec) -> None:
        """Keep the channel's encoders from eviction, or no longer. Raises KubeError.

        Only by an operator that sees when nodes are emptied or is asked about evictions: nobody
        else would end the wait. A cluster that does not allow it is no reason not to go on air.
        """
        if not self._guards:
            return
        wanted = spec.eviction_strategy is EvictionStrategy.HANDOVER
        try:
            if wanted is (await self._kube.budget(channel.key) is not None):
                return
            if wanted:
                await self._kube.create_budget(eviction_guard(channel))
            else:
                await self._kube.delete_budget(channel.key)
        except (AlreadyExists, NotFound):
            return
        except Rejected as error:
            _log.warning("%s: no PodDisruptionBudget: %s", channel.key, error)

    async def give_token(
        self, channel: Channel, spec: EncoderDeploymentSpec, *, again: bool
    ) -> None:
        """See to it that the channel's encoders find their token. Raises KubeError, TryAgain.

        again: even where it was given, as an encoder is to be made.
        """
        if has_token(spec, self._defaults):
            await self._tokens.give(channel, again=again)

    def forget(self, key: Key) -> None:
        """The channel is gone."""
        self._tokens.forget(key)

    async def mark_eviction(self, pod: Document, now_us: int) -> None:
        """Note on the pod that its eviction was asked for. Raises KubeError.

        No record comes before it: it is an observation, not a decision.
        """
        metadata = pod["metadata"]
        await self._kube.annotate_pod(
            metadata["namespace"],
            metadata["name"],
            metadata["uid"],
            {ANNOTATION: second_time(now_us)},
        )

    async def _create(self, channel: Channel, action: CreateEncoder) -> None:
        encoder = action.encoder
        spec = channel.spec
        if spec is None or spec_digest(spec) != encoder.digest:
            raise Outdated(f"{encoder.name} was decided from another spec than the present one")
        pod = encoder_pod(channel, spec, encoder, action.anchor, self._defaults)
        try:
            await self._kube.create_pod(channel.key, pod)
        except AlreadyExists as error:
            await self._check_owner(channel, encoder.name, error)
        except Rejected as error:
            raise Refused(_failed_create(encoder.name, str(error))) from error
        else:
            _log.info("%s: created pod %s", channel.key, encoder.name)

    async def _check_owner(self, channel: Channel, name: str, error: AlreadyExists) -> None:
        """A pod of that name is there: fine when it is ours."""
        pod = await self._kube.pod(channel.key.namespace, name)
        if pod is None or owner_uid(pod) == channel.uid:
            return
        why = "a pod of that name belongs to something else; delete it"
        raise Refused(_failed_create(name, why)) from error

    async def _delete(self, channel: Channel, action: DeleteEncoder) -> None:
        if not action.uid:
            return  # never seen: there is nothing that may be deleted
        try:
            await self._kube.delete_pod(channel.key, action.name, action.uid)
        except (NotFound, Conflict):
            return  # gone already, or another pod of that name
        _log.info("%s: deleted pod %s", channel.key, action.name)

    async def _tell(self, channel: Channel, order: Order, addresses: Mapping[str, str]) -> None:
        """Give an order. What became of it shows in the encoder's next report."""
        reply = await self._peers.tell(order, addresses)
        kind = type(order).__name__
        if reply is None:
            _log.info("%s: %s did not reach %s", channel.key, kind, order.name)
        elif not reply.accepted:
            why = f"{reply.reason}: {reply.message}"
            _log.info("%s: %s refused by %s: %s", channel.key, kind, order.name, why)


def _failed_create(name: str, why: str) -> Problem:
    """`observe.refused_encoder` reads the name back from the message."""
    return Problem(reason=FAILED_CREATE, message=f"{name}: {why}"[:MESSAGE_MAX])
