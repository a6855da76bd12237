"""What each encoder delivered of the newest segments: to know a resend, and to compare encoders.

Owns a digest and a priority for each track of a segment and encoder, as far back as segments are
still taken; no bytes. What two encoders of one edition deliver has the same init segment and has
passed the same grid (`cmaf`), so it has the same structure: then it is either the same bytes, or
interchangeable. What is neither was refused before it got here. `channel` calls it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hitless_origin.storage import Place
from hitless_wire.ingest import Comparison

MESSAGE_MAX = 300  # characters
AROUND_SEGMENTS = 8  # on each side of a switch, as far as the core counts its overlap


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What an encoder delivered of a segment's track. digest: SHA-256 hex of its bytes."""

    digest: str
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Tracks of segments that two encoders delivered."""

    identical: int = 0
    interchangeable: int = 0

    def __add__(self, other: Verdicts) -> Verdicts:
        return Verdicts(
            identical=self.identical + other.identical,
            interchangeable=self.interchangeable + other.interchangeable,
        )


_VERDICT = {
    "identical": Verdicts(identical=1),
    "interchangeable": Verdicts(interchangeable=1),
}


class Deliveries:
    """One channel's. comparison: counted since the process started.

    around: the same, of the segments around each switch; in memory only.
    """

    def __init__(self) -> None:
        self.comparison = Comparison()
        self.around: dict[int, Verdicts] = {}
        self._held: dict[Place, Held] = {}
        self._verdicts: dict[int, Verdicts] = {}  # by segment
        self._trimmed = -1

    def __len__(self) -> int:
        return len(self._held)

    def get(self, place: Place) -> Held | None:
        """What the encoder delivered there before."""
        return self._held.get(place)

    def keep(self, place: Place, digest: str, priority: int) -> None:
        """Take note of a delivery, or of its higher priority."""
        self._held[place] = Held(digest=digest, priority=priority)

    def compare(self, place: Place, encoders: Iterable[str]) -> None:
        """Count how a delivery, its encoder's first of that track, is to those of others.

        encoders: those of its edition. It is identical if it is to any of them.
        """
        own = self._held.get(place)
        others = [
            held.digest
            for name in encoders
            if name != place.encoder
            and (held := self._held.get(replace(place, encoder=name))) is not None
        ]
        if own is None or not others:
            return
        field = "identical" if own.digest in others else "interchangeable"
        self._count(**{field: getattr(self.comparison, field) + 1})
        before = self._verdicts.get(place.segment, Verdicts())
        self._verdicts[place.segment] = before + _VERDICT[field]

    def settle(self, switches: Iterable[int]) -> None:
        """Note the verdicts around these segments, those of all switches that are reported."""
        self.around = {
            segment: self._sum(segment)
            if segment - AROUND_SEGMENTS > self._trimmed
            else self.around.get(segment, Verdicts())
            for segment in switches
        }

    def damaged(self) -> None:
        """A body was not what its digest says."""
        self._count(damaged=self.comparison.damaged + 1)

    def mismatched(self, encoder: str, message: str) -> None:
        """A push that was refused because it is not interchangeable."""
        self._count(newest_mismatch=f"{encoder}: {message}"[:MESSAGE_MAX])

    def forget(self, segment: int, encoder: str) -> None:
        """The core dropped it."""
        for place in [p for p in self._held if (p.segment, p.encoder) == (segment, encoder)]:
            del self._held[place]

    def trim(self, last: int) -> None:
        """Forget everything up to and with this segment: more of it is taken no longer."""
        for place in [p for p in self._held if p.segment <= last]:
            del self._held[place]
        self._trimmed = max(self._trimmed, last)
        for segment in [k for k in self._verdicts if k <= last]:
            del self._verdicts[segment]

    def _sum(self, segment: int) -> Verdicts:
        near = range(segment - AROUND_SEGMENTS, segment + AROUND_SEGMENTS)
        return sum((self._verdicts.get(k, Verdicts()) for k in near), Verdicts())

    def _count(self, **changed: int | str) -> None:
        self.comparison = self.comparison.model_copy(update=changed)
