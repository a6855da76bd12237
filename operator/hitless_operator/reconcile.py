"""One look at one channel: read, let the supervisor decide, store, act.

Owns the order of a look and remembers nothing between looks: a restarted operator goes on from the
CR and what it sees. The work queue calls `look` for a key, never twice at a time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hitless_handover.supervisor import supervise
from hitless_handover.supervisor_model import (
    ChannelRecord,
    ChannelView,
    CreateEncoder,
    Decision,
    Notice,
    Problem,
)
from hitless_handover.timeline import MICROSECONDS
from hitless_operator.apply import Applier, Refused
from hitless_operator.channel import Channel, Key, StatusUnreadable, channel_of, is_deleted
from hitless_operator.conditions import INVALID_SPEC, STALLED, Wanted, conditions_of
from hitless_operator.events import Announcer
from hitless_operator.kept import READ_AGAIN_S
from hitless_operator.kube import Kube, KubeError
from hitless_operator.metrics import Metrics
from hitless_operator.observe import Observer
from hitless_operator.queue import TryAgain
from hitless_operator.status import record_of, status_of
from hitless_operator.status_model import EncoderDeploymentStatus, EndpointsStatus
from hitless_wire.desired import desired_of
from hitless_wire.following import following_of
from hitless_wire.ingest import live_path
from hitless_wire.logs import about, also
from hitless_wire.resources import EncoderDeploymentSpec, spec_digest

REST_S = 1.5 * READ_AGAIN_S  # longer than what is seen may be kept
_log = logging.getLogger(__name__)


def wall_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The installed origin. url: as the operator and encoders reach it; public_url: viewers."""

    url: str
    public_url: str

    def asked_for(self, spec: EncoderDeploymentSpec) -> str | None:
        """The base URL to ask about a channel; None when it pushes to somebody else's origin."""
        own = spec.output.ingest_url
        return self.url if own is None or own.rstrip("/") == self.url else None

    def endpoints(self, channel: Channel) -> EndpointsStatus | None:
        """Where viewers find a channel; None when this origin does not have it."""
        if channel.spec is None:
            return channel.status.endpoints
        if self.asked_for(channel.spec) is None:
            return None
        base = self.public_url + live_path(channel.key.namespace, channel.key.name)
        return EndpointsStatus(hls=f"{base}/master.m3u8", dash=f"{base}/manifest.mpd")


class Reconciler:
    """Looks at channels."""

    def __init__(
        self,
        *,
        kube: Kube,
        observer: Observer,
        applier: Applier,
        announcer: Announcer,
        origin: Origin,
        now_us: Callable[[], int] = wall_us,
        metrics: Metrics | None = None,
    ) -> None:
        self._kube = kube
        self._observer = observer
        self._applier = applier
        self._announcer = announcer
        self._origin = origin
        self._now_us = now_us
        self._metrics = metrics or Metrics()

    async def look(self, key: Key) -> float | None:
        """Seconds until the next look at the latest; None: there is nothing to look at.

        Raises TryAgain when the look has to be repeated.
        """
        with about(channel=str(key)):
            return await self._look(key)

    async def _look(self, key: Key) -> float | None:
        try:
            body = await self._kube.channel(key)
            if body is None or is_deleted(body):
                self._metrics.forget(key)
                self._applier.forget(key)
                return None
            channel = channel_of(body)
            self._metrics.read(channel)
            if channel.spec is None:
                await self._say_invalid(channel)
                return None
            delay_s = await self._supervise(channel, channel.spec)
            return rest_s(key) if delay_s is None else delay_s
        except (KubeError, TryAgain) as error:
            self._kube.forget(key)
            raise TryAgain(str(error)) from error
        except StatusUnreadable as error:
            _log.error("%s: its status is not ours, it is left alone: %s", key, error)
            return None

    async def _supervise(self, channel: Channel, spec: EncoderDeploymentSpec) -> float | None:
        record = record_of(channel.status)
        origin_url = self._origin.asked_for(spec)
        desired = desired_of(
            spec,
            generation=channel.generation,
            has_origin=origin_url is not None,
            abort_id=channel.abort_id,
        )
        view = await self._observer.view(channel, desired, record, origin_url, self._now_us())
        now_us = self._now_us()
        decision = supervise(desired, record, view, now_us)
        if decision.record.handover is not None:
            also(handover=decision.record.handover.handover_id)
        status = self._status(channel, decision.record, now_us, _images(record, decision, view))
        if _concerns_evictions(channel, decision):
            await self._applier.guard(channel, spec)
        again = any(isinstance(action, CreateEncoder) for action in decision.actions)
        await self._applier.give_token(channel, spec, again=again)
        stored = await self._applier.store(channel, status, fence=bool(decision.actions))
        self._metrics.looked(stored, desired.digest)
        try:
            await self._act(stored, decision, view)
        except Refused as refusal:
            await self._say_refused(stored, decision.record, refusal.problem)
            raise TryAgain(str(refusal)) from refusal
        finally:
            self._announcer.announce(stored, decision.notices, now_us)
        whom = following_of(spec, decision.record, view)
        if whom is not None:
            await self._applier.follow(stored, whom)
        if decision.wake_at_us is None and stored.version != channel.version:
            return 0  # what was just written is no news by the watch: go on until nothing changes
        return _delay_s(decision.wake_at_us, now_us)

    async def _act(self, channel: Channel, decision: Decision, view: ChannelView) -> None:
        addresses = {name: seen.address for name, seen in view.encoders.items()}
        for action in decision.actions:
            await self._applier.act(channel, action, addresses)

    async def _say_refused(self, channel: Channel, record: ChannelRecord, problem: Problem) -> None:
        """Make it visible that an encoder can't be created; told once for each reason."""
        known = record.problem is not None and record.problem.reason == problem.reason
        now_us = self._now_us()
        status = self._status(channel, replace(record, problem=problem), now_us)
        stored = await self._applier.store(channel, status, fence=False)
        self._metrics.looked(stored, None if channel.spec is None else spec_digest(channel.spec))
        if not known:
            notice = Notice(reason=problem.reason, message=problem.message, warning=True)
            self._announcer.announce(stored, (notice,), now_us)

    async def _say_invalid(self, channel: Channel) -> None:
        """The CRD was bypassed: say so, leave the encoders as they are, wait for a change."""
        record = replace(record_of(channel.status), observed_generation=channel.generation)
        now_us = self._now_us()
        status = self._status(channel, record, now_us)
        stored = await self._applier.store(channel, status, fence=False)
        self._metrics.looked(stored, None)
        if not _is_stalled_as_invalid(channel.status):
            notice = Notice(reason=INVALID_SPEC, message=channel.spec_error, warning=True)
            self._announcer.announce(stored, (notice,), now_us)

    def _status(
        self,
        channel: Channel,
        record: ChannelRecord,
        now_us: int,
        running: Mapping[str, str] | None = None,
    ) -> EncoderDeploymentStatus:
        previous = channel.status
        return status_of(
            record,
            previous=previous,
            timeline=channel.timeline,
            endpoints=self._origin.endpoints(channel),
            conditions=conditions_of(record, _wanted(channel), previous.conditions, now_us),
            running=running,
        )


def _images(record: ChannelRecord, decision: Decision, view: ChannelView) -> dict[str, str]:
    """What each encoder was seen to run. In a handover it waits for what is worth a write."""
    update = decision.record.handover
    if update is not None and update.live and decision.record == record:
        return {}
    return {name: seen.image_id for name, seen in view.encoders.items()}


def _concerns_evictions(channel: Channel, decision: Decision) -> bool:
    """Whether the spec has changed, or an encoder is to be kept from eviction."""
    changed = channel.status.observed_generation != channel.generation
    return changed or any(isinstance(action, CreateEncoder) for action in decision.actions)


def _wanted(channel: Channel) -> Wanted:
    spec = channel.spec
    if spec is None:
        return Wanted(digest=None, invalid=channel.spec_error)
    return Wanted(digest=spec_digest(spec), image=spec.image, paused=spec.paused)


def _is_stalled_as_invalid(status: EncoderDeploymentStatus) -> bool:
    return any(c.type == STALLED and c.reason == INVALID_SPEC for c in status.conditions)


def rest_s(key: Key) -> float:
    """Seconds to the next look at a channel at rest: a watch may have missed what ended."""
    return REST_S * (1 + key.spread)


def _delay_s(wake_at_us: int | None, now_us: int) -> float | None:
    return None if wake_at_us is None else max(0, wake_at_us - now_us) / MICROSECONDS
