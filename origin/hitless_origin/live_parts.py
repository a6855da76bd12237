"""One channel's parts: the shelf of what was pushed, and the window of what viewers see.

Owns both and keeps them in step with the core's state, which `channel` passes in. Made by `channel`
for the edition on air, where it has parts; everything that changes it runs in the channel's
mailbox.
"""

from __future__ import annotations

import logging

from hitless_handover import part_selection
from hitless_handover.part_selection import PartArrived, PartEffect, Parts, PublishPart
from hitless_handover.selection_model import HISTORY_MAX
from hitless_origin.edition import Edition
from hitless_origin.names import ChannelKey
from hitless_origin.part_shelf import PartShelf, Shelved
from hitless_origin.part_window import PartWindow
from hitless_origin.push import PartBody, PartPush
from hitless_origin.storage import Place
from hitless_origin.view import target_duration_s
from hitless_origin.window import Window

log = logging.getLogger(__name__)


class LiveParts:
    """tracks: names that a published part has."""

    def __init__(
        self, key: ChannelKey, tracks: frozenset[str], shelf: PartShelf, window: PartWindow
    ) -> None:
        self.shelf = shelf
        self.window = window
        self._key = key
        self._tracks = tuple(sorted(tracks))

    @classmethod
    def of(
        cls, key: ChannelKey, edition: Edition, before: LiveParts | None = None, first: int = 0
    ) -> LiveParts | None:
        """For the edition on air; None where it has no parts.

        before: of the edition that was on air before. first: the first segment that has parts.
        """
        grid = edition.grid
        if grid is None:
            return None
        if before is None:
            window = PartWindow(grid, target_duration_s(edition.description))
        else:
            window = before.window.succeeded(grid, first)
        return cls(key, edition.names, PartShelf(grid.per_segment), window)

    def keep(self, push: PartPush, core: Parts, window: Window | None) -> Shelved:
        """Put a part on the shelf. Raises PushRefused (409, 413)."""
        return self.shelf.put(push, _wanted(core, window))

    def keep_whole(
        self,
        place: Place,
        parts: tuple[PartBody, ...],
        priority: int,
        core: Parts,
        window: Window | None,
    ) -> None:
        """Put every part of a whole segment on the shelf. Raises PushRefused (409)."""
        self.shelf.put_whole(place, parts, priority, _wanted(core, window))

    def unfed(self, place: Place, core: Parts) -> list[PartArrived]:
        """The parts of a track that the core wants and has not had, or with a lower priority."""
        known = {
            d.part: priority
            for d in core.deliveries
            if (d.segment, d.encoder) == (place.segment, place.encoder)
            for track, priority, _ in d.tracks
            if track == place.track
        }
        return [
            event
            for event in self.shelf.arrivals(place)
            if part_selection.is_wanted(core, event.segment, event.part)
            and known.get(event.part, -1) < event.priority
        ]

    def carry_out(self, effect: PartEffect) -> None:
        """Show viewers what the core decided."""
        if not isinstance(effect, PublishPart):
            log.warning(
                "%s: parts %d to %d of segment %d are skipped",
                *(self._key, effect.first, effect.last, effect.segment),
            )
            self.window.skip(effect.segment, effect.first, effect.last)
            return
        segment, part = effect.segment, effect.part
        bodies = {}
        for track in self._tracks:
            place = Place(segment=segment, encoder=effect.encoder, track=track)
            body = self.shelf.body(place, part)
            if body is None:
                # only after an encoder or an init segment was forgotten in the middle of a segment
                log.error("%s: part %d of segment %d has no bytes", self._key, part, segment)
                self.window.skip(segment, part, part)
                return
            bodies[track] = body
        self.window.publish(segment, part, bodies)

    def drop(self, segment: int, encoder: str, core: Parts, window: Window | None) -> None:
        """The core dropped an encoder's segment; its parts stay while they may be published."""
        if segment not in _wanted(core, window):
            self.shelf.forget(encoder, segment)

    def reset(self) -> None:
        """Another init segment, which nothing pushed before fits."""
        self.shelf.forget()
        self.window.void()

    def settle(self, core: Parts, window: Window) -> None:
        """Forget what nobody needs after the decisions up to the window's last."""
        self.shelf.release(_wanted(core, window), window.last + 1 - HISTORY_MAX)
        self.window.settle(window.last)


def _wanted(core: Parts, window: Window | None) -> frozenset[int]:
    """Segments whose parts may still be published.

    Those after the shell's last one too, not only the core's: effects that are still to be carried
    out need their bytes.
    """
    wanted = part_selection.kept(core)
    if core.segment is None or window is None:
        return wanted
    return wanted | {*range(window.last + 1, core.segment + 1)}
