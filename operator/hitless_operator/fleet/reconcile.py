"""One look at one fleet update: read it and its channels, let the planner decide, store, write.

Owns the order of a look and remembers nothing that matters between looks: what it made of a channel
is kept until that changes, for with a thousand channels few do from one look to the next. The
fleet's work queue calls `look` for a key, never twice at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import yaml
from pydantic import ValidationError

from hitless_handover.fleet import plan, refused
from hitless_handover.fleet_model import (
    ChannelSeen,
    FleetDecision,
    FleetDesired,
    UpdatePhase,
    WriteChannel,
)
from hitless_handover.messages import OriginReport
from hitless_handover.supervisor_model import Notice
from hitless_handover.timeline import MICROSECONDS
from hitless_operator.channel import Key, StatusUnreadable, is_deleted, readable
from hitless_operator.conditions import INVALID_SPEC, STALLED
from hitless_operator.events import Announcer
from hitless_operator.fleet.facts import Order, arrival_segment, seen_of
from hitless_operator.fleet.fields import digest_of, fields_of
from hitless_operator.fleet.shelf import ShelvedKube
from hitless_operator.fleet.status import invalid_status, record_of, status_of, with_record
from hitless_operator.fleet.update import FleetUpdate, desired_of, is_settled, update_of
from hitless_operator.fleet.windows import WindowInvalid, opening
from hitless_operator.fleet.writer import FleetWriter
from hitless_operator.kept import INCOMPARABLE, Kept
from hitless_operator.kube import KubeError
from hitless_operator.queue import TryAgain
from hitless_operator.reconcile import Origin, wall_us
from hitless_wire.fleet_resources import Configuration, ConfigurationRef, EncoderUpdateSpec
from hitless_wire.resources import EncoderDeploymentSpec

Document = dict[str, Any]
CONFIG_MAP_RETRY_S = 30.0  # ConfigMaps are not watched
AFTER_WRITES_S = 5.0  # should the watch not tell of them
WRITES_S_MAX = 60.0  # of one look; the rest is for the next
WRITES_AT_ONCE = 32  # channels; before the next ones, what was refused is stored
ORIGIN_CALLS_MAX = 16
ORIGIN_S_MAX = 60.0  # for all origins' answers in one look
Known = dict[tuple[str, int], ChannelSeen | None]  # by uid and resourceVersion of the channel
_log = logging.getLogger(__name__)


class ChangeInvalid(ValueError):
    """The configuration that the change refers to can't be had or read."""


class OriginCalls(Protocol):
    """What is needed of hitless_wire.peers.Peers."""

    async def origin_report(
        self, base_url: str, namespace: str, channel: str
    ) -> OriginReport | None:
        """None: unreachable, or knows nothing of the channel."""


class FleetReconciler:
    """Looks at fleet updates."""

    def __init__(
        self,
        *,
        kube: ShelvedKube,
        writer: FleetWriter,
        peers: OriginCalls,
        announcer: Announcer,
        origin: Origin,
        now_us: Callable[[], int] = wall_us,
    ) -> None:
        self._kube = kube
        self._writer = writer
        self._peers = peers
        self._announcer = announcer
        self._origin = origin
        self._now_us = now_us
        self._origin_calls = asyncio.Semaphore(ORIGIN_CALLS_MAX)
        self._known: dict[Key, tuple[Order, Known]] = {}

    async def look(self, key: Key) -> float | None:
        """Seconds until the next look at the latest; None = when something changes.

        Raises TryAgain when the look has to be repeated.
        """
        try:
            bodies = await self._kube.updates(key.namespace)
            body = next((b for b in bodies if b["metadata"]["name"] == key.name), None)
            if body is None or is_deleted(body) or is_settled(body):
                self._known.pop(key, None)
                return None
            update = update_of(body)
            if update.spec is None:
                await self._say_invalid(update, update.spec_error)
                return None
            return await self._proceed(update, update.spec, _unfinished(bodies, update.uid))
        except KubeError as error:
            raise TryAgain(str(error)) from error
        except StatusUnreadable as error:
            _log.error("%s: its status is not ours, it is left alone: %s", key, error)
            return None

    async def _proceed(
        self, update: FleetUpdate, spec: EncoderUpdateSpec, unfinished: dict[str, str]
    ) -> float | None:
        now_us = self._now_us()
        try:
            found = opening(spec.schedule, now_us)
            fields = fields_of(spec.change, await self._configuration(update, spec))
        except (ChangeInvalid, WindowInvalid) as error:
            await self._say_invalid(update, str(error))
            return CONFIG_MAP_RETRY_S
        order = Order(
            uid=update.uid,
            name=update.key.name,
            fields=fields,
            change=digest_of(fields),
            selector=spec.selector,
            take_over_from=frozenset(spec.take_over_from),
            unfinished=unfinished,
        )
        desired = desired_of(update, spec, order.change, found)
        decision = plan(
            desired, record_of(update.status), await self._channels(update, order), now_us
        )
        await self._carry_out(update, order, desired, decision, now_us)
        return _delay_s(decision, now_us)

    async def _carry_out(
        self,
        update: FleetUpdate,
        order: Order,
        desired: FleetDesired,
        decision: FleetDecision,
        now_us: int,
    ) -> None:
        """Store the decision, tell of it, then write channels."""
        status = status_of(decision, update.status, now_us)
        stored = await self._writer.store(update, status, fence=bool(decision.writes))
        self._announcer.announce(stored, decision.notices, now_us)
        record = decision.record
        end_s = _loop_s() + WRITES_S_MAX

        async def written(write: WriteChannel) -> str:
            key = Key(update.key.namespace, write.name)
            return await self._writer.write(
                key, order=order, desired=desired, record=record, write=write, now_us=now_us
            )

        for first in range(0, len(decision.writes), WRITES_AT_ONCE):
            if _loop_s() > end_s:
                break
            batch = decision.writes[first : first + WRITES_AT_ONCE]
            answers = await asyncio.gather(*map(written, batch), return_exceptions=True)
            learnt = record
            for write, answer in zip(batch, answers, strict=True):
                if isinstance(answer, str) and answer:
                    learnt = refused(learnt, write.name, answer)
            if learnt != record:
                record = learnt
                stored = await self._writer.store(stored, with_record(status, record), fence=False)
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer

    # --- reading ---

    async def _configuration(
        self, update: FleetUpdate, spec: EncoderUpdateSpec
    ) -> Configuration | None:
        """Inline, or from the ConfigMap. Raises ChangeInvalid, KubeError."""
        ref = spec.change.configuration_ref
        if ref is None:
            return spec.change.configuration
        where = f"ConfigMap {ref.name}"
        found = await self._kube.config_map(update.key.namespace, ref.name)
        if found is None:
            raise ChangeInvalid(f"{where}: there is none in {update.key.namespace}; create it")
        return configuration_in(found, ref)

    async def _channels(self, update: FleetUpdate, order: Order) -> list[ChannelSeen]:
        """All that are selected, or were changed; names that nobody has as such."""
        found: dict[str, ChannelSeen] = {}
        asked: list[Kept] = []
        bakes = update.status.phase is UpdatePhase.BAKING
        known_order, known = self._known.get(update.key, (None, {}))
        if known_order != order:
            known = {}
        fresh: Known = {}
        for kept in await self._kube.kept_channels(update.key.namespace):
            version = (kept.uid, kept.version)
            if version in known and kept.version != INCOMPARABLE:
                seen = known[version]
            else:
                seen = seen_of(kept.document(), order)
            fresh[version] = seen
            if seen is None:
                continue
            found[seen.name] = seen
            if bakes and seen.mark is not None and seen.on_target:
                asked.append(kept)
        self._known[update.key] = (order, fresh)
        end_s = _loop_s() + ORIGIN_S_MAX
        counts = await asyncio.gather(*(self._fallbacks(k.document(), end_s) for k in asked))
        for kept, count in zip(asked, counts, strict=True):
            found[kept.name] = replace(found[kept.name], fallbacks=count)
        missing = (name for name in order.selector.names if name not in found)
        return [*found.values(), *(ChannelSeen(name=name, exists=False) for name in missing)]

    async def _fallbacks(self, body: Document, end_s: float) -> int | None:
        """Times that the origin fell back since the handover; None when it does not say.

        end_s: no call is begun after this time of the loop. 0 where the channel pushes to somebody
        else's origin: there is nobody to ask.
        """
        url = self._origin.asked_for(EncoderDeploymentSpec.model_validate(body["spec"]))
        if url is None:
            return 0
        metadata, since = body["metadata"], arrival_segment(body)
        async with self._origin_calls:
            if _loop_s() > end_s:
                return None
            report = await self._peers.origin_report(url, metadata["namespace"], metadata["name"])
        if report is None or since is None:
            return None
        return sum(switch.fallback and switch.segment >= since for switch in report.switches)

    async def _say_invalid(self, update: FleetUpdate, why: str) -> None:
        """Say so, leave the channels as they are, wait for a change."""
        now_us = self._now_us()
        status = invalid_status(update.status, why, update.generation, now_us)
        stored = await self._writer.store(update, status, fence=False)
        before = update.status.conditions
        if not any(c.type == STALLED and c.reason == INVALID_SPEC for c in before):
            notice = Notice(reason=INVALID_SPEC, message=why, warning=True)
            self._announcer.announce(stored, (notice,), now_us)


def configuration_in(config_map: Document, ref: ConfigurationRef) -> Configuration:
    """What a ConfigMap holds. Raises ChangeInvalid."""
    where = f"ConfigMap {ref.name}, key {ref.key}"
    text = (config_map.get("data") or {}).get(ref.key)
    if text is None:
        raise ChangeInvalid(f"{where}: there is no such key; add it")
    try:
        return Configuration.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ChangeInvalid(f"{where}: not YAML: {error}") from error
    except ValidationError as error:
        raise ChangeInvalid(f"{where}: {readable(error)}") from error


def _loop_s() -> float:
    return asyncio.get_running_loop().time()


def _unfinished(bodies: list[Document], own_uid: str) -> dict[str, str]:
    """The other updates that are not over, uid to name."""
    rows = (body["metadata"] for body in bodies if not is_settled(body))
    return {row["uid"]: row["name"] for row in rows if row["uid"] != own_uid}


def _delay_s(decision: FleetDecision, now_us: int) -> float | None:
    wake_at_us = decision.wake_at_us
    delay_s = None if wake_at_us is None else max(0, wake_at_us - now_us) / MICROSECONDS
    if not decision.writes:
        return delay_s
    return AFTER_WRITES_S if delay_s is None else min(delay_s, AFTER_WRITES_S)
