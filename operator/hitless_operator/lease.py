"""Which of several operators works: the holder of a Lease (coordination.k8s.io).

Owns taking, renewing and giving up the lease. It fences nothing: two operators that both believe to
hold it do no harm, for every action follows a status write that only one of them can win. They
would only be in each other's way. `__main__.py` runs it where there is more than one replica.

As everywhere with leases, times of others are not believed: the lease of another counts as run out
when it has not changed for its duration by this process's own clock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from hitless_operator.kube import AlreadyExists, Conflict, Kube, KubeError
from hitless_operator.moments import micro_time

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """Seconds. duration: after the holder's last sign another one takes over. renew: between two
    signs. retry: between two looks of one that stands by.
    """

    duration_s: int = 15
    renew_s: float = 5
    retry_s: float = 2


class LeaseLost(Exception):
    """This process could not renew the lease in time: it has to end."""


class Lease:
    """One process's side of the lease. identity: unique among the replicas; a pod's name.

    now_s: monotonic seconds. wall_us: microseconds since 1970, for people only.
    """

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str,
        name: str,
        identity: str,
        now_s: Callable[[], float],
        wall_us: Callable[[], int],
        times: LeaseTimes = LeaseTimes(),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._kube = kube
        self._namespace, self._name = namespace, name
        self._identity = identity
        self._times = times
        self._now_s, self._wall_us, self._sleep = now_s, wall_us, sleep
        self._seen: tuple[Any, ...] = ()
        self._seen_s = now_s()

    async def acquire(self) -> None:
        """Wait until this process holds the lease."""
        told = ""
        while True:
            try:
                holder = await self._try()
            except KubeError as error:
                holder = ""
                _log.warning("lease %s: %s", self._name, error)
            if holder == self._identity:
                _log.info("this operator holds the lease %s", self._name)
                return
            if holder and holder != told:
                told = holder
                _log.info("standing by: %s holds the lease %s", holder, self._name)
            await self._sleep(self._times.retry_s)

    async def keep(self) -> None:
        """Renew the lease for ever. Raises LeaseLost while it still has time to run."""
        renewed_s = self._now_s()
        while True:
            await self._sleep(self._times.renew_s)
            try:
                holder = await self._try()
            except KubeError as error:
                _log.warning("lease %s: %s", self._name, error)
            else:
                if holder == self._identity:
                    renewed_s = self._now_s()
                    continue
                if holder:
                    raise LeaseLost(f"{holder} holds the lease {self._name}")
            if self._now_s() > renewed_s + self._times.duration_s - self._times.renew_s:
                raise LeaseLost(f"the lease {self._name} could not be renewed")

    async def release(self) -> None:
        """Give it up, so that another one need not wait for its end. Best effort."""
        try:
            body = await self._kube.lease(self._namespace, self._name)
            if body is not None and body["spec"].get("holderIdentity") == self._identity:
                body["spec"] = {**body["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                await self._kube.put_lease(body)
        except KubeError as error:
            _log.info("lease %s: not released: %s", self._name, error)

    async def _try(self) -> str:
        """Take or renew it if that may be; who holds it now, empty when that is not known."""
        body = await self._kube.lease(self._namespace, self._name)
        if body is None:
            return await self._create()
        spec = body["spec"]
        holder = str(spec.get("holderIdentity") or "")
        if holder not in ("", self._identity) and not self._has_run_out(spec):
            return holder
        taken = holder != self._identity
        body["spec"] = {
            **self._spec(),
            "acquireTime": self._now() if taken else spec.get("acquireTime") or self._now(),
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + taken,
        }
        try:
            await self._kube.put_lease(body)
        except Conflict:
            return ""
        return self._identity

    async def _create(self) -> str:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": self._namespace, "name": self._name},
            "spec": {**self._spec(), "acquireTime": self._now(), "leaseTransitions": 0},
        }
        try:
            await self._kube.create_lease(lease)
        except AlreadyExists:
            return ""
        return self._identity

    def _has_run_out(self, spec: dict[str, Any]) -> bool:
        seen = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if seen != self._seen:
            self._seen, self._seen_s = seen, self._now_s()
            return False
        duration_s = int(spec.get("leaseDurationSeconds") or self._times.duration_s)
        return self._now_s() >= self._seen_s + duration_s

    def _spec(self) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._times.duration_s,
            "renewTime": self._now(),
        }

    def _now(self) -> str:
        return micro_time(self._wall_us())
