"""The encoders that introduced themselves to a channel. In memory; `channel` journals changes."""

from __future__ import annotations

from dataclasses import dataclass, field

ENCODERS_MAX = 8  # two at work, and those of past updates until they are silent for a window


@dataclass(slots=True, kw_only=True)
class EncoderRecord:
    """One encoder. inits: tracks whose init segment it pushed. last_push_us: wall time."""

    inits: set[str] = field(default_factory=set)
    priority: int = 0
    last_segment: int | None = None
    last_push_us: int = 0

    def pushed(self, segment: int, priority: int) -> None:
        """Take note of a media segment."""
        if self.last_segment is None or segment >= self.last_segment:
            self.last_segment, self.priority = segment, priority


class Roster(dict[str, EncoderRecord]):
    """Encoder id → record, at most ENCODERS_MAX."""

    def replaceable(self, now_us: int, quiet_us: int) -> str | None:
        """The encoder to forget for a new one: silent for longest, and longer than quiet_us."""
        oldest = min(self, key=lambda name: self[name].last_push_us)
        return oldest if now_us - self[oldest].last_push_us > quiet_us else None

    def forget_init(self, track: str) -> None:
        """The track's init segment was replaced: everybody has to show theirs again."""
        for record in self.values():
            record.inits.discard(track)

    def inits(self) -> dict[str, tuple[str, ...]]:
        """As the journal keeps it."""
        return {name: tuple(sorted(record.inits)) for name, record in self.items()}
