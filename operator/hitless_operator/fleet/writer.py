"""The writer of fleet updates: the update's status, and changes of channels by server-side apply.

Owns the fences. A status is written only over the resourceVersion that was read, before anything is
done. A channel is looked at again just before it is written, and written only if it is still to be,
and only over the resourceVersion that was seen. It names no field but those that this operator owns
there already and those of the change; what other managers own is taken only from those that the
update names. It decides nothing. `reconcile.py` calls it.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from hitless_handover.fleet import may_write
from hitless_handover.fleet_model import FleetDesired, FleetRecord, WriteChannel
from hitless_operator.apply import Outdated
from hitless_operator.channel import Key
from hitless_operator.fleet.facts import Order, restored, seen_of
from hitless_operator.fleet.fields import Fields, all_fields, partial_spec, values_at
from hitless_operator.fleet.mark import MARK_ANNOTATION, ChannelMark, mark_of
from hitless_operator.fleet.ownership import FLEET_MANAGER, foreign_owners, owned_by_fleet
from hitless_operator.fleet.shelf import ShelvedKube
from hitless_operator.fleet.status import as_document
from hitless_operator.fleet.status_model import EncoderUpdateStatus
from hitless_operator.fleet.update import FleetUpdate
from hitless_operator.kube import Conflict, FieldConflict, NotFound, Rejected
from hitless_operator.moments import micro_time
from hitless_wire.resources import API_VERSION, KIND

Document = dict[str, Any]
_log = logging.getLogger(__name__)


class FleetWriter:
    """Writes to Kubernetes for fleet updates."""

    def __init__(self, kube: ShelvedKube) -> None:
        self._kube = kube

    async def store(
        self, update: FleetUpdate, status: EncoderUpdateStatus, *, fence: bool
    ) -> FleetUpdate:
        """Write the status if it differs; the update as it is then. Raises Outdated, KubeError.

        fence: write it in any case, so that what follows is done only upon the newest status.
        """
        if not fence and as_document(status) == as_document(update.status):
            return update
        body = {**update.body, "status": as_document(status)}
        try:
            written = await self._kube.put_update_status(body)
        except Conflict as error:
            raise Outdated("the update changed while it was looked at") from error
        except NotFound as error:
            raise Outdated("the update is gone") from error
        return replace(update, body=written, status=status)

    async def write(
        self,
        key: Key,
        *,
        order: Order,
        desired: FleetDesired,
        record: FleetRecord,
        write: WriteChannel,
        now_us: int,
    ) -> str:
        """Write one channel, if it is still to be; why the cluster refused it, empty if it did not.

        key: of the channel. Raises Outdated, KubeError.
        """
        body = await self._kube.kept_channel(key)
        seen = None if body is None else seen_of(body, order)
        if body is None or seen is None or not may_write(desired, record, seen, now_us):
            return ""  # the next look sees why
        document, force = applied(body, order, restore=write.restore, now_us=now_us)
        try:
            await self._kube.apply_channel(key, document, manager=FLEET_MANAGER, force=force)
        except (FieldConflict, Rejected) as error:
            _log.info("%s: not written: %s", key, error)
            return str(error)
        except (Conflict, NotFound) as error:
            raise Outdated(f"channel {key} changed while it was written") from error
        _log.info("%s: %s by %s", key, "restored" if write.restore else "changed", order.name)
        return ""


def applied(body: Document, order: Order, *, restore: bool, now_us: int) -> tuple[Document, bool]:
    """What to apply to a channel, and whether fields have to be taken from others."""
    held = all_fields(body.get("spec") or {})
    found = mark_of(body)
    mine = found if found is not None and found.uid == order.uid else None
    fields = restored(mine, held) if restore and mine is not None else order.fields
    mark = _mark(body, order, mine, restore=restore, now_us=now_us)
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": body["metadata"]["name"],
            "namespace": body["metadata"]["namespace"],
            "resourceVersion": body["metadata"]["resourceVersion"],
            "annotations": {MARK_ANNOTATION: mark.text()},
        },
        "spec": partial_spec(owned_by_fleet(body) | fields),
    }
    return document, bool(foreign_owners(body, fields))


def _mark(
    body: Document, order: Order, mine: ChannelMark | None, *, restore: bool, now_us: int
) -> ChannelMark:
    """What is written first is what a roll-back goes back to, however often the change changes."""
    written: Fields = order.fields
    earlier = values_at(body.get("spec") or {}, order.fields)
    if mine is not None and (restore or not mine.rolled_back):
        written = mine.set if restore else mine.set | order.fields
        earlier = mine.earlier if restore else earlier | mine.earlier
    return ChannelMark(
        uid=order.uid,
        name=order.name,
        change=order.change,
        rolled_back=restore,
        set=written,
        earlier=earlier,
        at=micro_time(now_us),
        term=(body.get("status") or {}).get("term", 0),
    )
