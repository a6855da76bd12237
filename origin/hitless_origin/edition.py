"""An edition of a channel: a description, its init segments, and what follows from them.

What all encoders of one edition push is interchangeable. `Editions` holds those that a channel
knows: the one on air, those of older segments, and those that an encoder has introduced. It
decides which one an encoder's description or init segment belongs to; `introductions` keeps files
and journal in step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hitless_handover.parts import PartGrid
from hitless_handover.selection_model import Arrived
from hitless_handover.timeline import Timeline
from hitless_origin import refusals
from hitless_origin.aired import Aired
from hitless_origin.boxes import Fragment, InitFacts
from hitless_origin.cmaf import cut_segment, judge_init, judge_segment
from hitless_origin.description import difference, unchangeable
from hitless_origin.names import ChannelKey
from hitless_origin.push import PartBody
from hitless_origin.storage import Place
from hitless_wire.ingest import ChannelDescription, TrackDescription

EDITIONS_MAX = 4  # held at a time


@dataclass(slots=True, kw_only=True)
class Edition:
    """number: grows with each edition of the channel. inits: bytes by track, as far as pushed."""

    number: int
    description: ChannelDescription
    inits: dict[str, bytes] = field(default_factory=dict)
    facts: dict[str, InitFacts] = field(default_factory=dict)

    @classmethod
    def of(
        cls, number: int, description: ChannelDescription, inits: Mapping[str, bytes]
    ) -> Edition:
        """With the init segments read. Raises PushRefused where one does not fit."""
        edition = cls(number=number, description=description)
        for track in description.tracks:
            if track.name in inits:
                body = inits[track.name]
                edition.set_init(track.name, body, judge_init(body, track))
        return edition

    @property
    def timeline(self) -> Timeline:
        """The grid of its pictures and sound."""
        return self.description.timeline()

    @property
    def grid(self) -> PartGrid | None:
        """The grid of its parts, where it has any."""
        return self.description.parts()

    @property
    def names(self) -> frozenset[str]:
        """The tracks that make a segment of it complete."""
        return frozenset(track.name for track in self.description.tracks)

    @property
    def revision(self) -> str | None:
        """Changes with the init segments' bytes; None until all are there."""
        names = sorted(self.names)
        if not self.inits.keys() >= set(names):
            return None
        return hashlib.sha256(b"".join(self.inits[name] for name in names)).hexdigest()[:8]

    def track(self, name: str) -> TrackDescription | None:
        """A track's description."""
        return next((t for t in self.description.tracks if t.name == name), None)

    def set_init(self, track: str, body: bytes, facts: InitFacts) -> None:
        """Keep a track's init segment, which was judged."""
        self.inits[track], self.facts[track] = body, facts

    def agrees(self, inits: Mapping[str, bytes]) -> bool:
        """Whether an encoder with these init segments may be of this edition."""
        return all(self.inits.get(track, body) == body for track, body in inits.items())

    def arrived(self, place: Place, priority: int) -> Arrived:
        """A whole track of one of its encoders, as the core takes it."""
        return Arrived(
            segment=place.segment,
            track=place.track,
            encoder=place.encoder,
            priority=priority,
            edition=self.number,
            tracks=self.names,
        )

    def cut(
        self, body: bytes, fragments: Sequence[Fragment], track: TrackDescription, segment: int
    ) -> tuple[PartBody, ...]:
        """A judged segment's parts; none where there are none. Raises PushRefused (400, 409)."""
        grid = self.grid
        if grid is None:
            return ()
        return tuple(PartBody.of(p) for p in cut_segment(body, fragments, track, grid, segment))

    def recut(self, body: bytes, name: str, segment: int) -> tuple[PartBody, ...]:
        """The parts of a segment that was on disk. Raises PushRefused if it can't be cut."""
        track, facts = self.track(name), self.facts.get(name)
        if track is None or facts is None or self.grid is None:
            return ()
        fragments = judge_segment(body, track, self.timeline, segment, facts)
        return self.cut(body, fragments, track, segment)


class Editions:
    """The editions of one channel, one of them on air, or the first to be. aired: which was when.

    What is held: the one on air, those that have a segment in `aired`, and what others introduced.
    """

    def __init__(self, key: ChannelKey, held: Iterable[Edition], on_air: int, aired: Aired) -> None:
        self.held = {edition.number: edition for edition in held}
        self.on_air = self.held[on_air]
        self.aired = aired
        self._key = key

    def put_on_air(self, segment: int, number: int) -> bool:
        """A segment of this edition is published; whether it is another one than before."""
        before, self.on_air = self.on_air, self.held[number]
        self.aired = self.aired.published(segment, number)
        return self.on_air is not before

    def at(self, segment: int) -> Edition:
        """The edition that a published segment is of; of one that is to come: what is on air."""
        number = self.aired.edition(segment)
        return self.on_air if number is None else self.held[number]

    def track(self, name: str) -> TrackDescription:
        """A track that viewers may ask for, of the newest edition that has it.

        Raises PushRefused (404).
        """
        for edition in self.newest_first():
            track = edition.track(name)
            if track is not None:
                return track
        raise refusals.unknown_track(self._key, name, sorted(self.on_air.names))

    def newest_first(self) -> list[Edition]:
        """The one on air, then the others, from the newest to the oldest."""
        others = [self.held[n] for n in sorted(self.held, reverse=True) if n != self.on_air.number]
        return [self.on_air, *others]

    def conflict(
        self, description: ChannelDescription, *, allowed: bool
    ) -> tuple[str, str, str] | None:
        """The first field that keeps a newcomer out: its name, the kept and the other value.

        allowed: another edition than the one on air may be introduced.
        """
        if not allowed:
            return difference(self.on_air.description, description)
        for edition in self.newest_first():
            differs = unchangeable(edition.description, description)
            if differs is not None:
                return differs
        return None

    def find(
        self,
        description: ChannelDescription,
        inits: Mapping[str, bytes],
        besides: Collection[int] = (),
    ) -> Edition | None:
        """An edition that an encoder with these may be of; the one on air before others."""
        for edition in self.newest_first():
            same = edition.description.fingerprint() == description.fingerprint()
            if same and edition.agrees(inits) and edition.number not in besides:
                return edition
        return None

    def next_number(self) -> int:
        """For another edition."""
        return max(self.held) + 1

    def unused(self, used: Collection[int]) -> list[Edition]:
        """Those that are not on air and not among the used ones."""
        kept = {self.on_air.number, *used}
        return [edition for number, edition in sorted(self.held.items()) if number not in kept]
