"""What the planner sees of a channel: from a CR as the API server gave it to `ChannelSeen`.

Owns this reading, done again at every look for every channel of the namespace: it looks only at
what it needs, and checks a spec only for channels that were changed. `reconcile.py` calls it for
the whole fleet, `writer.py` again for a channel just before it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from hitless_handover.fleet_model import ChannelSeen, Mark
from hitless_handover.supervisor_model import (
    HANDOVER_FINAL,
    ChannelPhase,
    HandoverPhase,
    Problem,
)
from hitless_operator.fleet.fields import Fields, all_fields
from hitless_operator.fleet.mark import ChannelMark, mark_of
from hitless_operator.fleet.ownership import foreign_owners
from hitless_operator.fleet.select import selects
from hitless_operator.moments import from_time
from hitless_wire.fleet_resources import Selector
from hitless_wire.resources import EncoderDeploymentSpec, spec_digest

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one update asks for, as far as channels are read with it.

    fields: what it writes; change: their digest. take_over_from: managers that it may take fields
    from. unfinished: other updates that are not over, uid to name.
    """

    uid: str
    name: str
    fields: Fields
    change: str
    selector: Selector
    take_over_from: frozenset[str] = frozenset()
    unfinished: Mapping[str, str] = field(default_factory=dict)


def seen_of(body: Document, order: Order) -> ChannelSeen | None:
    """A channel as the planner sees it; None when it is none of this update's."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    if metadata.get("deletionTimestamp"):
        return None
    found = mark_of(body)
    mark = found if found is not None and found.uid == order.uid else None
    kind, labels = str(spec.get("type", "")), metadata.get("labels") or {}
    selected = selects(order.selector, metadata["name"], kind, labels)
    if not selected and mark is None:
        return None
    held = all_fields(spec)
    lacking = sorted(path for path in order.fields if path not in held)
    return ChannelSeen(
        name=metadata["name"],
        selected=selected,
        mark=None if mark is None else _mark(mark, held),
        matches=order.fields.items() <= held.items(),
        invalid=f"it has no {', '.join(lacking)}" if lacking else "",
        holder="" if found is None else order.unfinished.get(found.uid, ""),
        change_owner=_strangers(body, order.fields, order),
        earlier_owner="" if mark is None else _strangers(body, restored(mark, held), order),
        paused=bool(spec.get("paused", False)),
        **_state(body, mark),
    )


def restored(mark: ChannelMark, held: Fields) -> Fields:
    """What a roll-back writes: earlier values, where the channel still holds what was set."""
    return {
        path: value for path, value in mark.earlier.items() if held.get(path) == mark.set.get(path)
    }


def _mark(mark: ChannelMark, held: Fields) -> Mark:
    return Mark(
        change=mark.change,
        rolled_back=mark.rolled_back,
        intact=mark.rolled_back or mark.set.items() <= held.items(),
        at_us=mark.at_us,
        restorable=bool(restored(mark, held)),
    )


def _strangers(body: Document, wanted: Fields, order: Order) -> str:
    """Who owns what would change and may not be overruled."""
    return ", ".join(sorted(foreign_owners(body, wanted) - order.take_over_from))


def _state(body: Document, mark: ChannelMark | None) -> Document:
    """What the channel's own status says. Digests and costs matter only once it was changed."""
    status = body.get("status") or {}
    handover = status.get("handover") or {}
    live = bool(handover) and handover["phase"] not in HANDOVER_FINAL
    unseen = status.get("observedGeneration", -1) < body["metadata"].get("generation", 0)
    state: Document = {
        "phase": _phase(status),
        "busy": live or unseen,
    }
    if mark is None:
        return state
    digest = _digest(body)
    ours = _arrival(status, digest, mark.term)
    return state | {
        "on_target": bool(digest) and (status.get("active") or {}).get("digest") == digest,
        "refusal": _refusal(status, handover, digest),
        "frames_lost": ours.get("framesLost"),
        "took_us": _took_us(ours),
    }


def _phase(status: Document) -> ChannelPhase:
    try:
        return ChannelPhase(status.get("phase", ChannelPhase.PENDING))
    except ValueError:  # of another version: it is not touched
        return ChannelPhase.PENDING


def _digest(body: Document) -> str:
    """Of what the channel asks for; empty when that can't be read."""
    try:
        return spec_digest(EncoderDeploymentSpec.model_validate(body.get("spec") or {}))
    except ValidationError:
        return ""


def _refusal(status: Document, handover: Document, digest: str) -> Problem | None:
    """Why the channel has given up what it is asked for."""
    if not digest or status.get("refusedDigest") != digest:
        return None
    reason = handover.get("reason") or handover.get("phase") or "Refused"
    return Problem(reason=reason, message=handover.get("message") or "the update was called off")


def _arrival(status: Document, digest: str, term: int) -> Document:
    """The completed handover, after the mark's term, that brought what is asked for on air."""
    last = [status["handover"]] if status.get("handover") else []
    for handover in (*last, *reversed(status.get("history") or ())):
        arrived = handover["phase"] == HandoverPhase.COMPLETED and handover["term"] > term
        if arrived and handover["to"]["digest"] == digest:
            found: Document = handover
            return found
    return {}


def _took_us(handover: Document) -> int | None:
    if not handover.get("finishedAt"):
        return None
    return from_time(handover["finishedAt"]) - from_time(handover["startedAt"])


def arrival_segment(body: Document) -> int | None:
    """The first segment after the last handover to what the channel asks for."""
    mark = mark_of(body)
    if mark is None:
        return None
    event = _arrival(body.get("status") or {}, _digest(body), mark.term).get("event") or {}
    return event.get("segment")
