"""One channel's files. Blocking: `channel` calls it in a thread, one call at a time.

    description.json               what edition 0 of the channel is made of
    init/{track}.mp4               its CMAF headers, the same from all its encoders
    editions/{n}/                  the same two of edition n
    journal.jsonl                  what happened (journal.py)
    pending/{k}/{encoder}/{priority}-{track}.m4s   complete pushes, undecided
    live/{track}/{k}.m4s           published: never written again, removed when out of the window
    tmp/                           bodies being written; emptied at start

A file appears under its name only by an atomic rename of a whole file. `stage` alone may run
beside another call: it writes to names of its own.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from itertools import count, takewhile
from pathlib import Path

from hitless_origin import journal
from hitless_origin.errors import StoreError
from hitless_origin.storage import Pending, Place
from hitless_wire.ingest import SEGMENT_SUFFIX

JOURNAL_LINES_MAX = 4096  # then it is written anew as one snapshot
DESCRIPTION = "description.json"
_PENDING = re.compile(r"(?P<priority>[0-9]{1,19})-(?P<track>[a-z0-9-]+)\.m4s")


class ChannelStore:
    """The folder of one channel."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tracks: set[str] = set()  # that may have published segments
        self._names = count()
        self._journal: int | None = None
        self._lines = 0
        self._live_bytes = 0
        self._journal_bytes = 0
        self._newest_bytes = 0
        self._live: dict[int, int] = {}  # bytes of published segments that exist, ascending

    @property
    def stored_bytes(self) -> int:
        """Bytes of the published segments that exist, and of the journal."""
        return self._live_bytes + self._journal_bytes

    @property
    def newest_bytes(self) -> int:
        """Bytes of the newest published segment, all tracks."""
        return self._newest_bytes

    def first_after(self, wanted: int, last: int) -> int | None:
        """The segment to begin with so that at least `wanted` bytes go; at most up to `last`."""
        first, found = None, 0
        for segment, size in tuple(self._live.items()):  # asked while another thread publishes
            if segment > last or found >= wanted:
                break
            first, found = segment + 1, found + size
        return first

    # --- opening ------------------------------------------------------------------------------

    def open(self) -> list[journal.Line]:
        """Make or clean the folder, and read its journal. Raises OSError, StoreError."""
        shutil.rmtree(self._root / "tmp", ignore_errors=True)
        for name in ("tmp", "init", "pending", "live"):
            (self._root / name).mkdir(parents=True, exist_ok=True)
        self._tracks = {path.name for path in (self._root / "live").iterdir()}
        path = self._root / "journal.jsonl"
        data = path.read_bytes() if path.exists() else b""
        lines = journal.read(data)
        torn = len(data) - (data.rfind(b"\n") + 1)
        if torn:
            os.truncate(path, len(data) - torn)
        self._journal = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._lines, self._journal_bytes = len(lines), len(data) - torn
        return lines

    def close(self) -> None:
        """Close the journal. The store can't be written to any more."""
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None

    def remove(self) -> None:
        """Remove everything of a closed store."""
        shutil.rmtree(self._root, ignore_errors=True)

    def recover_live(self, tracks_of: Callable[[int], frozenset[str]]) -> list[int]:
        """The segments of which every track is on disk and not empty; the rest is removed.

        tracks_of: the tracks that a segment should have.
        """
        found = {track: self._segments_of(track) for track in self._tracks}
        segments: set[int] = set().union(*found.values())
        whole = [k for k in segments if all(k in found.get(t, ()) for t in tracks_of(k))]
        self._unlink_live(segments.difference(whole))
        sizes = {k: sum(sizes.get(k, 0) for sizes in found.values()) for k in sorted(whole)}
        self._live, self._live_bytes = sizes, sum(sizes.values())
        self._newest_bytes = next(reversed(sizes.values()), 0)
        return whole

    def pending(self, last: int) -> list[Pending]:
        """What was pushed and not decided, by segment; what lies up to `last` goes."""
        found = []
        for path in sorted(self._root.glob("pending/*/*/*.m4s")):
            match = _PENDING.fullmatch(path.name)
            segment = path.parent.parent.name
            if match is None or not segment.isdecimal():
                continue
            place = Place(segment=int(segment), encoder=path.parent.name, track=match["track"])
            if place.segment <= last:
                self.discard(place.segment)
                continue
            found.append(Pending(place=place, priority=int(match["priority"]), path=path))
        return sorted(found, key=lambda each: each.place.segment)

    # --- editions -----------------------------------------------------------------------------

    def make_edition(self, number: int, tracks: Iterable[str], body: bytes) -> None:
        """Write an edition's description, and make room for its tracks."""
        (self._edition(number) / "init").mkdir(parents=True, exist_ok=True)
        self.write_description(number, body)
        self.take_tracks(tracks)

    def take_tracks(self, tracks: Iterable[str]) -> None:
        """Make room for segments of these tracks."""
        for track in tracks:
            (self._root / "live" / track).mkdir(exist_ok=True)
            self._tracks.add(track)

    def write_description(self, number: int, body: bytes) -> None:
        """Replace an edition's description."""
        self._replace(self.description_path(number), body)

    def write_init(self, number: int, track: str, body: bytes) -> None:
        """Write the init segment of an edition's track."""
        self._replace(self.init_path(number, track), body)

    def description_path(self, number: int) -> Path:
        """Where an edition's description is."""
        return self._edition(number) / DESCRIPTION

    def init_path(self, number: int, track: str) -> Path:
        """Where the init segment of an edition's track is."""
        return self._edition(number) / "init" / f"{track}.mp4"

    def keep_editions(self, numbers: Collection[int], tracks: Collection[str]) -> None:
        """Remove what belongs to other editions, and to tracks that none of these has."""
        for path in self._root.glob("editions/*"):
            if path.name not in {str(number) for number in numbers}:
                shutil.rmtree(path, ignore_errors=True)
        if 0 not in numbers:
            self.description_path(0).unlink(missing_ok=True)
            shutil.rmtree(self._root / "init", ignore_errors=True)
        for track in self._tracks.difference(tracks):
            with suppress(OSError):  # a segment that is left
                (self._root / "live" / track).rmdir()
                self._tracks.discard(track)

    def _edition(self, number: int) -> Path:
        return self._root / "editions" / str(number) if number else self._root

    # --- media --------------------------------------------------------------------------------

    def stage(self, body: bytes, place: Place, priority: int) -> Path:  # noqa: ARG002 a bucket's
        """Write a body under a name of its own; nobody sees it before `keep`. Thread-safe."""
        return self._write(body)

    def unstage(self, staged: Path) -> None:
        """Remove a staged body that was not kept."""
        staged.unlink(missing_ok=True)

    def _write(self, body: bytes) -> Path:
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

    def publish(
        self,
        segment: int,
        encoder: str,
        tracks: Collection[str],
        lines: Iterable[journal.Line],
    ) -> None:
        """Record, then move one encoder's whole set into the live tree.

        Raises OSError or StoreError, and then nothing of the segment is live.
        """
        self.append(lines)
        try:
            self.move_live(segment, encoder, tracks)
        except (OSError, StoreError):
            self._unlink_live([segment])
            raise
        size = sum(self.live_path(track, segment).stat().st_size for track in tracks)
        self._live[segment] = self._newest_bytes = size
        self._live_bytes += size

    def move_live(self, segment: int, encoder: str, tracks: Collection[str]) -> None:
        """Move an encoder's tracks that are still pending; the rest of the segment is dropped."""
        folder = self._root / "pending" / str(segment) / encoder
        for path in sorted(folder.glob("*.m4s")):
            match = _PENDING.fullmatch(path.name)
            if match is not None and match["track"] in tracks:
                path.rename(self.live_path(match["track"], segment))
        for track in tracks:
            if not self.live_path(track, segment).exists():
                raise StoreError(f"segment {segment}: {track} of {encoder} is not on disk")
        self.discard(segment)

    def live_path(self, track: str, segment: int) -> Path:
        """Where a published segment is."""
        return self._root / "live" / track / f"{segment}{SEGMENT_SUFFIX}"

    def remove_live(self, segments: Iterable[int]) -> None:
        """Remove these published segments."""
        gone = list(segments)
        for segment in gone:
            self._live_bytes -= self._live.pop(segment)
        self._unlink_live(gone)

    def retain_from(self, segment: int) -> None:
        """Remove published segments below this number."""
        self.remove_live(list(takewhile(lambda k: k < segment, self._live)))

    def fetch(self, track: str, segment: int) -> Path | None:
        """A published segment's file; None where it has gone. Thread-safe. Raises OSError."""
        path = self.live_path(track, segment)
        return path if path.exists() else None

    # --- journal ------------------------------------------------------------------------------

    def append(self, lines: Iterable[journal.Line]) -> None:
        """Add lines to the journal."""
        lines = tuple(lines)
        if self._journal is None:
            raise StoreError("the channel is closed")
        if lines:
            data = journal.write(lines)
            _write_all(self._journal, data)
            self._lines, self._journal_bytes = (
                self._lines + len(lines),
                self._journal_bytes + len(data),
            )

    def wants_compaction(self) -> bool:
        """Whether the journal is long enough to be written anew."""
        return self._lines > JOURNAL_LINES_MAX

    def compact(self, snapshot: journal.Snapshot) -> None:
        """Replace the journal by a snapshot."""
        path = self._root / "journal.jsonl"
        data = journal.write([snapshot])
        self._replace(path, data)
        fresh = os.open(path, os.O_WRONLY | os.O_APPEND)
        self.close()
        self._journal, self._lines, self._journal_bytes = fresh, 1, len(data)

    # --- leaves -------------------------------------------------------------------------------

    def _segments_of(self, track: str) -> dict[int, int]:
        """Bytes by segment, of those that are not empty."""
        entries = os.scandir(self._root / "live" / track)
        with entries:
            names = [(e.name.removesuffix(SEGMENT_SUFFIX), e.stat().st_size) for e in entries]
        return {int(name): size for name, size in names if name.isdecimal() and size > 0}

    def _pending_path(self, place: Place, priority: int) -> Path:
        folder = self._root / "pending" / str(place.segment) / place.encoder
        return folder / f"{priority}-{place.track}{SEGMENT_SUFFIX}"

    def _unlink_live(self, segments: Iterable[int]) -> None:
        for segment in segments:
            for track in self._tracks:
                self.live_path(track, segment).unlink(missing_ok=True)

    def _replace(self, path: Path, body: bytes) -> None:
        self._write(body).rename(path)


def _write_all(descriptor: int, data: bytes) -> None:
    """Write whole lines, or none: a line cut short by a full disk is taken back."""
    before = os.fstat(descriptor).st_size
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        os.ftruncate(descriptor, before)
        raise
