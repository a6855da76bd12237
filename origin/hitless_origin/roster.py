"""The encoders that introduced themselves to a channel. In memory; `channel` journals changes."""

from __future__ import annotations

from dataclasses import dataclass, field

ENCODERS_MAX = 16  # four at work in an update with a spare, and those of updates just before


@dataclass(slots=True, kw_only=True)
class EncoderRecord:
    """One encoder. inits: tracks whose init segment it pushed. last_push_us: wall time.

    edition: which it is of. may_differ: it may be found to be of another one by its init segments,
    until all of them are there.
    """

    edition: int = 0
    may_differ: bool = False
    inits: set[str] = field(default_factory=set)
    priority: int = 0
    last_segment: int | None = None
    last_push_us: int = 0

    def pushed(self, segment: int, priority: int) -> None:
        """Take note of a media segment."""
        if self.last_segment is None or segment >= self.last_segment:
            self.last_segment, self.priority = segment, priority


class Roster(dict[str, EncoderRecord]):
    """Encoder id → record, at most ENCODERS_MAX. last_push_us: of any, also forgotten ones."""

    last_push_us: int = 0

    def touch(self, encoder: str, now_us: int) -> None:
        """An encoder pushed something valid."""
        self.last_push_us = self[encoder].last_push_us = now_us

    def replaceable(self, now_us: int, quiet_us: int) -> str | None:
        """The encoder to forget for a new one: silent for longest, and longer than quiet_us."""
        oldest = min(self, key=lambda name: self[name].last_push_us)
        return oldest if now_us - self[oldest].last_push_us > quiet_us else None

    def forget_init(self, edition: int, track: str) -> None:
        """The edition's init segment was replaced: its encoders have to show theirs again."""
        for record in self.values():
            if record.edition == edition:
                record.inits.discard(track)

    def editions(self) -> frozenset[int]:
        """Those that an encoder is of."""
        return frozenset(record.edition for record in self.values())

    def of_edition(self, edition: int) -> list[str]:
        """The encoders of an edition."""
        return [name for name, record in self.items() if record.edition == edition]
