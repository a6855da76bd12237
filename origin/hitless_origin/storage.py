"""What a channel's shell needs of storage, whatever stands behind it.

Two implementations: a folder (`store`, opened by `folder`) and an S3 bucket with a folder as its
cache (`bucket`). All methods are blocking and are called in a thread, for one channel one at a
time; only `stage`, `unstage`, `fetch`, `first_after` and the properties may run beside another
call. What a method has returned
from survives the end of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hitless_origin import journal
from hitless_origin.names import ChannelKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which track of which segment, and who made it."""

    segment: int
    encoder: str
    track: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One undecided push on disk."""

    place: Place
    priority: int
    path: Path


class ChannelStorage(Protocol):
    """One channel's. Every method may raise OSError; those that read, StoreError too."""

    @property
    def stored_bytes(self) -> int:
        """Bytes of the published segments that exist, and of the journal."""

    @property
    def newest_bytes(self) -> int:
        """Bytes of the newest published segment, all tracks."""

    def open(self) -> list[journal.Line]:
        """Make it, or clean up what a killed process left; and read the journal."""

    def close(self) -> None:
        """Nothing is written any more."""

    def remove(self) -> None:
        """Remove everything of a closed store."""

    def recover_live(self, tracks_of: Callable[[int], frozenset[str]]) -> list[int]:
        """The segments of which every track is there; the rest is removed."""

    def pending(self, last: int) -> list[Pending]:
        """What was pushed and not decided, by segment; what lies up to `last` goes."""

    def make_edition(self, number: int, tracks: Iterable[str], body: bytes) -> None:
        """Write an edition's description, and make room for its tracks."""

    def take_tracks(self, tracks: Iterable[str]) -> None:
        """Make room for segments of these tracks."""

    def write_description(self, number: int, body: bytes) -> None:
        """Replace an edition's description."""

    def write_init(self, number: int, track: str, body: bytes) -> None:
        """Write the init segment of an edition's track."""

    def description_path(self, number: int) -> Path:
        """Where an edition's description is."""

    def init_path(self, number: int, track: str) -> Path:
        """Where the init segment of an edition's track is."""

    def keep_editions(self, numbers: Collection[int], tracks: Collection[str]) -> None:
        """Remove what belongs to other editions, and to tracks that none of these has."""

    def stage(self, body: bytes, place: Place, priority: int) -> Path:
        """Store a body that nobody sees before `keep`."""

    def unstage(self, staged: Path) -> None:
        """Remove a staged body, if it was not kept."""

    def keep(self, staged: Path, place: Place, priority: int) -> None:
        """Make a staged body the encoder's track of an undecided segment."""

    def promote(self, place: Place, old: int, new: int) -> None:
        """The encoder resent an undecided track with a higher priority."""

    def discard(self, segment: int, encoder: str | None = None) -> None:
        """Drop undecided bytes of a segment: one encoder's, or everybody's."""

    def publish(
        self, segment: int, encoder: str, tracks: Collection[str], lines: Iterable[journal.Line]
    ) -> None:
        """Record, then put one encoder's whole set on air; or raise, and nothing of it is."""

    def move_live(self, segment: int, encoder: str, tracks: Collection[str]) -> None:
        """Finish a publication that was recorded."""

    def live_path(self, track: str, segment: int) -> Path:
        """Where a published segment is, once `fetch` has given it."""

    def fetch(self, track: str, segment: int) -> Path | None:
        """A published segment's file; None where it has gone."""

    def first_after(self, wanted: int, last: int) -> int | None:
        """The segment to begin with so that at least `wanted` bytes go; at most up to `last`.

        None: there is nothing that may go.
        """

    def remove_live(self, segments: Iterable[int]) -> None:
        """Remove these published segments."""

    def retain_from(self, segment: int) -> None:
        """Remove published segments below this number."""

    def append(self, lines: Iterable[journal.Line]) -> None:
        """Add lines to the journal."""

    def wants_compaction(self) -> bool:
        """Whether the journal is long enough to be written anew."""

    def compact(self, snapshot: journal.Snapshot) -> None:
        """Replace the journal by a snapshot."""


class Storage(Protocol):
    """All channels of one origin."""

    @property
    def folder(self) -> Path:
        """Where its files are on this machine."""

    def open(self) -> None:
        """Take it for this process alone. Raises StartError."""

    def close(self) -> None:
        """Give it free."""

    def found(self) -> list[ChannelKey]:
        """The channels in it. Raises StartError."""

    def channel(self, key: ChannelKey) -> ChannelStorage:
        """A channel's store, not opened."""
