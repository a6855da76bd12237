"""Which EncoderUpdates are under way, so that a change of a channel wakes those that it concerns.

Owns this small memory: one entry for an update that is not over, none otherwise. It is a matter of
cost only: what it forgets at a restart comes again with the first list of the watch. `watch.py`
feeds it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import ValidationError

from hitless_operator.channel import Key
from hitless_operator.fleet.mark import mark_of
from hitless_operator.fleet.select import selects
from hitless_operator.fleet.update import approval_of, is_settled
from hitless_wire.fleet_resources import Selector

Document = dict[str, Any]
SPACING_S = 0.5  # changes of channels within it make one look


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    uid: str
    generation: int
    approval: str
    selector: Selector | None


class Shelf(Protocol):
    """What is needed of ShelvedKube."""

    def channel_changed(self, body: Document, *, gone: bool) -> None:
        """A channel was seen, or its end."""

    def forget_channels(self, namespace: str) -> None:
        """Nobody asks any more, or channels may be gone."""


@dataclass
class ActiveUpdates:
    """add, add_in: the queue's. shelf: what keeps channels where an update is under way."""

    add: Callable[[Key], None]
    add_in: Callable[[Key, float], None]
    shelf: Shelf
    _entries: dict[str, dict[str, _Entry]] = field(default_factory=dict)

    def update_changed(self, body: Document, *, deleted: bool) -> None:
        """An EncoderUpdate came, changed or went. Its own status makes no look."""
        metadata = body["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        known = self._entries.get(key.namespace, {}).get(key.name)
        if deleted or is_settled(body):
            if known is not None:
                self._forget(key)
            return
        entry = _entry(body)
        self._entries.setdefault(key.namespace, {})[key.name] = entry
        if entry != known:
            self.add(key)

    def channel_listed(self, body: Document) -> None:
        """A watch has begun anew, and there is this channel: others may be gone."""
        self.shelf.forget_channels(body["metadata"]["namespace"])
        self.channel_changed(body, gone=False)

    def channel_changed(self, body: Document, *, gone: bool) -> None:
        """A channel came, changed or went: look at the updates that it concerns, soon."""
        self.shelf.channel_changed(body, gone=gone)
        metadata = body["metadata"]
        entries = self._entries.get(metadata["namespace"])
        if not entries:
            return
        mark = mark_of(body)
        kind = str((body.get("spec") or {}).get("type", ""))
        labels = metadata.get("labels") or {}
        for name, entry in entries.items():
            marked = mark is not None and mark.uid == entry.uid
            if marked or (
                entry.selector is not None
                and selects(entry.selector, metadata["name"], kind, labels)
            ):
                self.add_in(Key(metadata["namespace"], name), SPACING_S)

    def _forget(self, key: Key) -> None:
        """It is over: those that its channels kept waiting may go on."""
        entries = self._entries[key.namespace]
        del entries[key.name]
        for name in entries:
            self.add(Key(key.namespace, name))
        if not entries:
            del self._entries[key.namespace]
            self.shelf.forget_channels(key.namespace)


def _entry(body: Document) -> _Entry:
    selector = None
    with contextlib.suppress(ValidationError):  # the look says so
        selector = Selector.model_validate((body.get("spec") or {}).get("selector") or {})
    metadata = body["metadata"]
    return _Entry(
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        approval=approval_of(body),
        selector=selector,
    )
