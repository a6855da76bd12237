"""One channel's files. Blocking: `channel` calls it in a thread, one call at a time.

    description.json               what the channel is made of
    init/{track}.mp4               CMAF headers, the same from every encoder
    journal.jsonl                  what happened (journal.py)
    pending/{k}/{encoder}/{priority}-{track}.m4s   complete pushes, undecided
    live/{track}/{k}.m4s           published: never written again, removed when out of the window
    tmp/                           bodies being written; emptied at start

A file appears under its name only by an atomic rename of a whole file. `stage` alone may run
beside another call: it writes to names of its own.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hitless_origin import journal
from hitless_origin.errors import StoreError
from hitless_wire.ingest import SEGMENT_SUFFIX

JOURNAL_LINES_MAX = 4096  # then it is written anew as one snapshot
DESCRIPTION = "description.json"
_PENDING = re.compile(r"(?P<priority>[0-9]{1,19})-(?P<track>[a-z0-9-]+)\.m4s")


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


class ChannelStore:
    """The folder of one channel. tracks: the names that a publication moves."""

    def __init__(self, root: Path, tracks: Sequence[str]) -> None:
        self._root = root
        self._tracks = tuple(tracks)
        self._names = itertools.count()
        self._journal: int | None = None
        self._lines = 0
        self._live: deque[int] = deque()  # published segments whose files exist, ascending

    @property
    def root(self) -> Path:
        """The channel's folder."""
        return self._root

    # --- opening ------------------------------------------------------------------------------

    def open(self) -> list[journal.Line]:
        """Make or clean the folder, and read its journal. Raises OSError, StoreError."""
        shutil.rmtree(self._root / "tmp", ignore_errors=True)
        for name in ("tmp", "init", "pending", *(f"live/{track}" for track in self._tracks)):
            (self._root / name).mkdir(parents=True, exist_ok=True)
        path = self._root / "journal.jsonl"
        data = path.read_bytes() if path.exists() else b""
        lines = journal.read(data)
        torn = len(data) - (data.rfind(b"\n") + 1)
        if torn:
            os.truncate(path, len(data) - torn)
        self._journal = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._lines = len(lines)
        return lines

    def close(self) -> None:
        """Close the journal. The store can't be written to any more."""
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None

    def recover_live(self) -> list[int]:
        """The segments of which every track is on disk and not empty; the rest is removed."""
        sets = [self._segments_of(track) for track in self._tracks]
        whole = set.intersection(*sets)
        for segment in set.union(*sets) - whole:
            self._unlink_live(segment)
        self._live = deque(sorted(whole))
        return list(self._live)

    def pending(self) -> list[Pending]:
        """What was pushed and not decided, by segment."""
        found = []
        for path in sorted(self._root.glob("pending/*/*/*.m4s")):
            match = _PENDING.fullmatch(path.name)
            segment = path.parent.parent.name
            if match is None or not segment.isdecimal():
                continue
            place = Place(segment=int(segment), encoder=path.parent.name, track=match["track"])
            found.append(Pending(place=place, priority=int(match["priority"]), path=path))
        return sorted(found, key=lambda each: each.place.segment)

    # --- description and init -----------------------------------------------------------------

    def write_description(self, body: bytes) -> None:
        """Replace the description."""
        self._replace(self._root / DESCRIPTION, body)

    def write_init(self, track: str, body: bytes) -> None:
        """Write a track's init segment."""
        self._replace(self.init_path(track), body)

    def init_path(self, track: str) -> Path:
        """Where a track's init segment is."""
        return self._root / "init" / f"{track}.mp4"

    # --- media --------------------------------------------------------------------------------

    def stage(self, body: bytes) -> Path:
        """Write a body under a name of its own; nobody sees it before `keep`. Thread-safe."""
        path = self._root / "tmp" / str(next(self._names))
        try:
            path.write_bytes(body)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path

    def keep(self, staged: Path, place: Place, priority: int) -> None:
        """Make a staged body the encoder's track of an undecided segment."""
        path = self._pending_path(place, priority)
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.rename(path)

    def promote(self, place: Place, old: int, new: int) -> None:
        """The encoder resent an undecided track with a higher priority."""
        self._pending_path(place, old).rename(self._pending_path(place, new))

    def discard(self, segment: int, encoder: str | None = None) -> None:
        """Drop undecided bytes of a segment: one encoder's, or everybody's."""
        folder = self._root / "pending" / str(segment)
        shutil.rmtree(folder / encoder if encoder else folder, ignore_errors=True)
        if encoder and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()

    def publish(self, segment: int, encoder: str, lines: Iterable[journal.Line]) -> None:
        """Record, then move one encoder's whole set into the live tree.

        Raises OSError or StoreError, and then nothing of the segment is live.
        """
        self.append(lines)
        try:
            self.move_live(segment, encoder)
        except (OSError, StoreError):
            self._unlink_live(segment)
            raise
        self._live.append(segment)

    def move_live(self, segment: int, encoder: str) -> None:
        """Move an encoder's tracks that are still pending; the rest of the segment is dropped."""
        folder = self._root / "pending" / str(segment) / encoder
        for path in sorted(folder.glob("*.m4s")):
            match = _PENDING.fullmatch(path.name)
            if match is not None and match["track"] in self._tracks:
                path.rename(self.live_path(match["track"], segment))
        for track in self._tracks:
            if not self.live_path(track, segment).exists():
                raise StoreError(f"segment {segment}: {track} of {encoder} is not on disk")
        self.discard(segment)

    def live_path(self, track: str, segment: int) -> Path:
        """Where a published segment is."""
        return self._root / "live" / track / f"{segment}{SEGMENT_SUFFIX}"

    def remove_live(self, segments: Iterable[int]) -> None:
        """Remove published segments that no journal knows."""
        for segment in segments:
            self._unlink_live(segment)
            self._live.remove(segment)

    def retain_from(self, segment: int) -> None:
        """Remove published segments below this number."""
        while self._live and self._live[0] < segment:
            self._unlink_live(self._live.popleft())

    # --- journal ------------------------------------------------------------------------------

    def append(self, lines: Iterable[journal.Line]) -> None:
        """Add lines to the journal."""
        lines = tuple(lines)
        if self._journal is None:
            raise StoreError("the channel is closed")
        if lines:
            _write_all(self._journal, journal.write(lines))
            self._lines += len(lines)

    def wants_compaction(self) -> bool:
        """Whether the journal is long enough to be written anew."""
        return self._lines > JOURNAL_LINES_MAX

    def compact(self, snapshot: journal.Snapshot) -> None:
        """Replace the journal by a snapshot."""
        path = self._root / "journal.jsonl"
        self._replace(path, journal.write([snapshot]))
        fresh = os.open(path, os.O_WRONLY | os.O_APPEND)
        self.close()
        self._journal, self._lines = fresh, 1

    # --- leaves -------------------------------------------------------------------------------

    def _segments_of(self, track: str) -> set[int]:
        entries = os.scandir(self._root / "live" / track)
        with entries:
            names = [(e.name.removesuffix(SEGMENT_SUFFIX), e.stat().st_size) for e in entries]
        return {int(name) for name, size in names if name.isdecimal() and size > 0}

    def _pending_path(self, place: Place, priority: int) -> Path:
        folder = self._root / "pending" / str(place.segment) / place.encoder
        return folder / f"{priority}-{place.track}{SEGMENT_SUFFIX}"

    def _unlink_live(self, segment: int) -> None:
        for track in self._tracks:
            self.live_path(track, segment).unlink(missing_ok=True)

    def _replace(self, path: Path, body: bytes) -> None:
        self.stage(body).rename(path)


def _write_all(descriptor: int, data: bytes) -> None:
    """Write whole lines, or none: a line cut short by a full disk is taken back."""
    before = os.fstat(descriptor).st_size
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        os.ftruncate(descriptor, before)
        raise
