"""The parts that encoders pushed, in memory: until their segment is whole, and until it is decided.

Owns bytes and digests by encoder, segment and track. It decides nothing: `live_parts` tells it
which segments the core may still publish parts of (`wanted`), and those are never forgotten to make
room. A restarted origin has an empty shelf; encoders push whole what was not answered 201.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from hitless_handover.part_selection import AHEAD_SEGMENTS, PartArrived
from hitless_origin import refusals
from hitless_origin.push import PartBody, PartPush
from hitless_origin.storage import Place

# Segments of one encoder's track whose bytes are kept: those that may be published (one more than
# the core compares, while effects are carried out), and others that are not whole.
UNFINISHED_MAX = AHEAD_SEGMENTS + 3


class Shelved(StrEnum):
    """What became of a part that was put on the shelf."""

    NEW = "New"  # it was not there
    RAISED = "Raised"  # it was, with a lower priority
    HELD = "Held"  # it was, and nothing changed


@dataclass(slots=True, kw_only=True)
class _Track:
    """One encoder's track of a segment, by number of the part."""

    priorities: dict[int, int] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    bodies: dict[int, bytes] = field(default_factory=dict)


class PartShelf:
    """The parts of one channel. per_segment: how many make a track of a segment whole."""

    def __init__(self, per_segment: int) -> None:
        self._per_segment = per_segment
        self._tracks: dict[Place, _Track] = {}

    def put(self, push: PartPush, wanted: Container[int]) -> Shelved:
        """Keep a part. Raises PushRefused (409, 413), and then nothing has changed."""
        self._compare(push.place, push.part, push.body)
        known = self._tracks.get(push.place)
        if known is not None and push.part not in known.digests:
            size = sum(map(len, known.bodies.values())) + len(push.body.data)
            if size > push.bytes_max:
                raise refusals.too_large(push.bytes_max, size)
        return self._put(push.place, push.part, push.body, push.priority, wanted)

    def put_whole(
        self, place: Place, parts: tuple[PartBody, ...], priority: int, wanted: Container[int]
    ) -> None:
        """Keep every part of a whole segment. Raises PushRefused (409), nothing has changed."""
        for part, body in enumerate(parts):
            self._compare(place, part, body)
        for part, body in enumerate(parts):
            self._put(place, part, body, priority, wanted)

    def has(self, place: Place, part: int) -> bool:
        """Whether the part is known, with its bytes or without."""
        track = self._tracks.get(place)
        return track is not None and part in track.digests

    def is_whole(self, place: Place) -> bool:
        """Whether every part is known."""
        track = self._tracks.get(place)
        return track is not None and len(track.digests) == self._per_segment

    def priority(self, place: Place) -> int:
        """The claim that every part of a whole track carries."""
        return min(self._tracks[place].priorities.values())

    def bodies(self, place: Place) -> tuple[bytes, ...] | None:
        """The parts of a whole track; None where one, or its bytes, are missing."""
        track = self._tracks.get(place)
        if track is None or len(track.bodies) < self._per_segment:
            return None
        return tuple(track.bodies[part] for part in range(self._per_segment))

    def body(self, place: Place, part: int) -> bytes | None:
        """A part's bytes, while they are kept."""
        track = self._tracks.get(place)
        return None if track is None else track.bodies.get(part)

    def arrivals(self, place: Place) -> Iterator[PartArrived]:
        """The parts of a track whose bytes are kept, in order."""
        track = self._tracks.get(place)
        for part in sorted(track.bodies) if track else ():
            assert track is not None
            yield PartArrived(
                segment=place.segment,
                part=part,
                track=place.track,
                encoder=place.encoder,
                priority=track.priorities[part],
                digest=track.digests[part],
            )

    def release(self, wanted: Container[int], oldest: int) -> None:
        """Forget the bytes of whole tracks that nobody will publish, and what is below oldest."""
        for place in [place for place in self._tracks if place.segment < oldest]:
            del self._tracks[place]
        for place, track in self._tracks.items():
            if place.segment not in wanted and self.is_whole(place):
                track.bodies.clear()

    def forget(self, encoder: str | None = None, segment: int | None = None) -> None:
        """Forget everything, or what is of this encoder, this segment."""
        for place in list(self._tracks):
            if encoder in (None, place.encoder) and segment in (None, place.segment):
                del self._tracks[place]

    def _compare(self, place: Place, part: int, body: PartBody) -> None:
        track = self._tracks.get(place)
        known = None if track is None else track.digests.get(part)
        if known is not None and known != body.digest:
            what = f"part {part} of segment {place.segment} of {place.track} from {place.encoder}"
            raise refusals.other_bytes(what, known, body.digest)

    def _put(
        self, place: Place, part: int, body: PartBody, priority: int, wanted: Container[int]
    ) -> Shelved:
        track = self._tracks.get(place)
        if track is None:
            self._make_room(place, wanted)
            track = self._tracks[place] = _Track()
        before = track.priorities.get(part)
        track.priorities[part] = priority if before is None else max(before, priority)
        if before is None or place.segment in wanted:
            track.digests[part], track.bodies[part] = body.digest, body.data
        if before is None:
            return Shelved.NEW
        return Shelved.RAISED if priority > before else Shelved.HELD

    def _make_room(self, place: Place, wanted: Container[int]) -> None:
        """Let go of the oldest segment of the encoder's track, if too many have bytes."""
        heavy = [
            other
            for other, track in self._tracks.items()
            if (other.encoder, other.track) == (place.encoder, place.track) and track.bodies
        ]
        if len(heavy) < UNFINISHED_MAX:
            return
        spare = [other for other in heavy if other.segment not in wanted]
        oldest = min(spare or heavy, key=lambda other: other.segment)
        if self.is_whole(oldest):
            self._tracks[oldest].bodies.clear()
        else:
            del self._tracks[oldest]
