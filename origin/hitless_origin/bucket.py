"""Channels in an S3 bucket, with a folder on this machine as cache.

What a channel has below `{prefix}/channels/{namespace}/{channel}/`:

    description.json, init/{track}.mp4, editions/{n}/…    as in a channel's folder (store.py)
    journal/{number}.jsonl          the lines of one append; or a snapshot, and older ones are gone
    index/{first}-{last}.json       what is on air of these segments (index.py), so that a start
                                    need not list it
    media/{k}/{encoder}/{priority}-{track}-{own}.m4s   pushes, each under a name of its own. The
                                    journal says whose are on air: the others' are deleted then

An object is written before the act that it stands for, and before the encoder has its answer. The
journal's numbers make sure that one origin at a time writes: an object is only ever created, so of
two origins one finds its next number taken, and its writes fail from then on.

The folder has the same files as a ChannelStore's, but for the journal. It is emptied when the
channel is opened; published segments come back into it when a viewer asks for them.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

from hitless_origin import index, journal
from hitless_origin.errors import StartError, StoreError
from hitless_origin.folder import FolderStorage
from hitless_origin.names import ChannelKey, is_label
from hitless_origin.objects import BucketError, Object, Objects, TakenError
from hitless_origin.storage import Pending, Place
from hitless_origin.store import ChannelStore
from hitless_origin.window import Window

CACHE = "bucket"  # apart from channels that an origin without a bucket has in the same folder
JOURNAL_OBJECTS_MAX = 64  # then a snapshot replaces them; a start reads them all
LEFTOVERS_MAX = 1000  # objects deleted with one request
_NUMBER_WIDTH = 12
_MEDIA = re.compile(
    r"media/(?P<segment>[0-9]{1,16})/(?P<encoder>[a-z0-9-]{1,63})/"
    r"(?P<priority>[0-9]{1,19})-(?P<track>[a-z0-9-]+)-[0-9a-f]{16}\.m4s"
)
_JOURNAL = re.compile(r"journal/(?P<number>[0-9]+)\.jsonl")

log = logging.getLogger(__name__)

Tracks = dict[str, Object]  # by track: one encoder's, of one segment


class BucketStorage:
    """A Storage in a bucket. cache: a folder in which `bucket/` is emptied at each start."""

    def __init__(self, objects: Objects, cache: Path) -> None:
        self._objects = objects.below("channels/")
        self._cache = FolderStorage(cache / CACHE)

    @property
    def folder(self) -> Path:
        """Of the cache."""
        return self._cache.folder

    def open(self) -> None:
        """Lock the cache and empty it. Raises StartError."""
        self._cache.open()
        shutil.rmtree(self._cache.channels, ignore_errors=True)

    def close(self) -> None:
        """Give the cache free."""
        self._cache.close()

    def found(self) -> list[ChannelKey]:
        """The channels in the bucket. Raises StartError."""
        try:
            return [
                ChannelKey(namespace=namespace, channel=channel)
                for namespace in self._objects.folders()
                if is_label(namespace)
                for channel in self._objects.below(f"{namespace}/").folders()
                if is_label(channel)
            ]
        except OSError as error:
            raise StartError(
                f"the bucket can't be read: {error}; check --data and the AWS_ variables"
            ) from error

    def channel(self, key: ChannelKey) -> BucketChannel:
        """A channel's store."""
        objects = self._objects.below(f"{key.namespace}/{key.channel}/")
        return BucketChannel(objects, self._cache.root(key))


class BucketChannel(ChannelStore):
    """One channel's objects, and its folder."""

    def __init__(self, objects: Objects, root: Path) -> None:
        super().__init__(root)
        self._objects = objects
        self._published: dict[int, Tracks] = {}
        self._pushed: dict[int, dict[str, Tracks]] = {}  # by segment and encoder: undecided
        self._staged: dict[Path, Object] = {}
        self._leftovers: set[str] = set()  # names that are still to be deleted
        self._spans: list[index.Span] = []  # in the bucket, joined
        self._next = 0  # number of the next object of the journal
        self._appended = 0  # objects that the journal has
        self._doubtful: bytes | None = None  # of the next number: written, or not
        self._owner = secrets.token_hex(8)
        self._fetching = Lock()
        self._counting = Lock()  # of what is left over

    # --- opening ------------------------------------------------------------------------------

    def open(self) -> list[journal.Line]:
        """Read what the bucket has. Raises OSError, StoreError."""
        shutil.rmtree(self._root, ignore_errors=True)
        super().open()
        bodies = self._objects.get_all(self._small())
        lines: list[journal.Line] = []
        spans = [name for name in bodies if name.startswith(f"{index.FOLDER}/")]
        self._spans = index.read(bodies.pop(name) for name in spans)
        self._leave_spans(set(spans).difference(span.name for span in self._spans))
        for name, body in bodies.items():
            found = _JOURNAL.fullmatch(name)
            if found is None:
                self._put_file(name, body)
                continue
            lines += journal.read(body)
            self._next, self._appended = int(found["number"]) + 1, self._appended + 1
        self._sort(lines)
        self._tidy()
        return lines

    def _small(self) -> list[str]:
        """All but media."""
        objects, folders = self._objects.level()
        names = [each.name for each in objects]
        for folder in folders:
            if folder != "media":
                below = self._objects.below(f"{folder}/").listed()
                names += [f"{folder}/{each.name}" for each in below]
        return names

    def _put_file(self, name: str, body: bytes) -> None:
        path = self._root / name
        if self._root.resolve() not in path.resolve().parents:
            raise StoreError(f"{name} is no name of ours")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def _media(self, window: journal.WindowLine | None) -> list[Object]:
        """Pushes in the bucket, by name, but those of the window that the index knows."""
        media = self._objects.below("media/")
        found = None
        if window is not None and self._spans:
            first = max(window.first, self._spans[0].first)
            last = self._spans[-1].last
            if first <= last <= window.last and index.is_ordered(first, last):
                found = media.listed_outside(str(first), str(last + 1))
                if found is not None:
                    self._take_known(window.value(), first)
        found = media.listed() if found is None else found
        return [Object(name=f"media/{each.name}", size=each.size) for each in found]

    def _take_known(self, window: Window, first: int) -> None:
        for span in self._spans:
            for segment, tracks in span.objects.items():
                if segment >= first and not window.is_gap(segment):
                    self._published[segment] = {
                        track: Object(name=name, size=size)
                        for track, (name, size) in tracks.items()
                    }

    def _sort(self, lines: Sequence[journal.Line]) -> None:
        """What is on air, by the journal; what is undecided; the rest is left over."""
        window = journal.replay(lines).window
        chosen = {ln.segment: ln.encoder for ln in lines if isinstance(ln, journal.PublishLine)}
        for place, each in _places(self._media(window)):
            of_encoder = self._pushed.setdefault(place.segment, {}).setdefault(place.encoder, {})
            if place.track in of_encoder:  # a raise of its priority, or a resend, was cut short
                self._leave([of_encoder[place.track]])
            of_encoder[place.track] = each
        if window is None:
            return
        for segment in sorted(k for k in self._pushed if k <= window.last):
            encoders = self._pushed.pop(segment)
            # before the oldest line there are no others: a snapshot waits until they are deleted
            encoder = chosen.get(segment, next(iter(encoders)))
            gap = window.value().is_gap(segment)
            if encoder in encoders and not gap:
                self._published[segment] = encoders.pop(encoder)
            self._leave(each for tracks in encoders.values() for each in tracks.values())

    def pending(self, last: int) -> list[Pending]:
        """Those that are undecided, fetched into the folder."""
        for segment in [k for k in self._pushed if k <= last]:
            self.discard(segment)
        places = {each.name: place for place, each in self._undecided()}
        for name, body in self._objects.get_all(places).items():
            super().keep(self._write(body), places[name], _priority(name))
        return super().pending(last)

    def _undecided(self) -> Iterator[tuple[Place, Object]]:
        for segment, encoders in self._pushed.items():
            for encoder, tracks in encoders.items():
                for track, each in tracks.items():
                    yield Place(segment=segment, encoder=encoder, track=track), each

    def _segments_of(self, track: str) -> dict[int, int]:
        return {k: tracks[track].size for k, tracks in self._published.items() if track in tracks}

    def remove(self) -> None:
        """Remove the objects and the folder."""
        super().remove()
        self._objects.delete([each.name for each in self._objects.listed()])
        self._published, self._pushed, self._spans = {}, {}, []
        self._next = self._appended = 0

    # --- editions -----------------------------------------------------------------------------

    def _replace(self, path: Path, body: bytes) -> None:
        name = path.relative_to(self._root).as_posix()
        with self._counting:
            self._leftovers.discard(name)  # numbers of editions may come again
        self._objects.put(name, body)
        super()._replace(path, body)

    def keep_editions(self, numbers: Collection[int], tracks: Collection[str]) -> None:
        """Also in the bucket."""
        kinds = ("*.json", "init/*", "editions/**/*")
        files = [path for kind in kinds for path in self._root.glob(kind) if path.is_file()]
        super().keep_editions(numbers, tracks)
        gone = (path.relative_to(self._root).as_posix() for path in files if not path.exists())
        self._leave(Object(name=name, size=0) for name in gone)
        self._tidy()

    # --- media --------------------------------------------------------------------------------

    def stage(self, body: bytes, place: Place, priority: int) -> Path:
        """Write the object, and a file beside it."""
        each = Object(name=_media_name(place, priority), size=len(body))
        path = super().stage(body, place, priority)
        try:
            self._objects.put(each.name, body)
        except OSError:
            path.unlink(missing_ok=True)
            self._leave([each])  # it may be there all the same
            raise
        self._staged[path] = each
        return path

    def unstage(self, staged: Path) -> None:
        """Remove the object too."""
        super().unstage(staged)
        each = self._staged.pop(staged, None)
        if each is not None:
            self._leave([each])

    def keep(self, staged: Path, place: Place, priority: int) -> None:
        """It is in the bucket already."""
        super().keep(staged, place, priority)
        encoders = self._pushed.setdefault(place.segment, {})
        encoders.setdefault(place.encoder, {})[place.track] = self._staged.pop(staged)

    def promote(self, place: Place, old: int, new: int) -> None:
        """Rename the object, then the file."""
        tracks = self._pushed[place.segment][place.encoder]
        each = tracks[place.track]
        name = each.name.replace(f"/{old}-", f"/{new}-")
        self._objects.rename(each.name, name)
        tracks[place.track] = Object(name=name, size=each.size)
        super().promote(place, old, new)

    def discard(self, segment: int, encoder: str | None = None) -> None:
        """Delete the objects; later, where the bucket does not do it now."""
        super().discard(segment, encoder)
        encoders = self._pushed.get(segment, {})
        names = list(encoders) if encoder is None else [encoder] if encoder in encoders else []
        self._leave(each for name in names for each in encoders.pop(name).values())
        if not encoders:
            self._pushed.pop(segment, None)
        self._tidy()

    def move_live(self, segment: int, encoder: str, tracks: Collection[str]) -> None:
        """The objects stay where they are; the journal has told."""
        own = self._pushed.get(segment, {}).pop(encoder, None)
        if own is not None:
            self._published[segment] = own
        super().move_live(segment, encoder, tracks)

    def fetch(self, track: str, segment: int) -> Path | None:
        """From the bucket, where the folder has it not."""
        path = super().fetch(track, segment)
        each = self._published.get(segment, {}).get(track)
        if path is not None or each is None:
            return path
        path = self.live_path(track, segment)
        with suppress(FileNotFoundError):
            staged = self._write(self._objects.get(each.name))
            with self._fetching:  # a segment that left meanwhile gets no file again
                if segment in self._published:
                    staged.rename(path)
                    return path
            staged.unlink()
        return None

    def _unlink_live(self, segments: Iterable[int]) -> None:
        gone = list(segments)
        with self._fetching:
            for segment in gone:
                self._leave(self._published.pop(segment, {}).values())
            super()._unlink_live(gone)
        self._tidy()

    def _leave(self, objects: Iterable[Object]) -> None:
        with self._counting:
            self._leftovers.update(each.name for each in objects)

    def _tidy(self) -> None:
        """Delete what is left over; what can't be deleted now is tried again with the next."""
        with self._counting:
            names = sorted(self._leftovers)[:LEFTOVERS_MAX]
        try:
            self._objects.delete(names)
        except OSError as error:
            log.warning("%d objects can't be deleted yet: %s", len(names), error)
            return
        with self._counting:
            self._leftovers.difference_update(names)

    # --- journal ------------------------------------------------------------------------------

    def append(self, lines: Iterable[journal.Line]) -> None:
        """Write them as one object."""
        lines = tuple(lines)
        if self._journal is None:
            raise StoreError("the channel is closed")
        if lines:
            self._write_journal(journal.write(lines))

    def wants_compaction(self) -> bool:
        """Whether a snapshot is due; not while it would leave open whose segments are on air."""
        return self._appended > JOURNAL_OBJECTS_MAX and not self._leftovers

    def compact(self, snapshot: journal.Snapshot) -> None:
        """Write what is on air and a snapshot, then delete what they replace."""
        self._write_span()
        replaced = [_journal_name(self._next - 1 - n) for n in range(self._appended)]
        self._write_journal(journal.write([snapshot]))
        self._appended = 1
        self._leave(Object(name=name, size=0) for name in replaced)
        self._tidy()

    def _write_span(self) -> None:
        """Of what was published since the last one; spans of which nothing is left go."""
        since = self._spans[-1].last + 1 if self._spans else 0
        new = {k: tracks for k, tracks in self._published.items() if k >= since}
        if new:
            objects = {
                segment: {track: (each.name, each.size) for track, each in tracks.items()}
                for segment, tracks in new.items()
            }
            span = index.Span(first=since or min(new), last=max(new), objects=objects)
            with self._counting:
                self._leftovers.discard(span.name)
            self._objects.put(span.name, span.model_dump_json().encode())
            self._spans.append(span)
        first = min(self._published, default=0)
        self._leave_spans(span.name for span in self._spans if span.last < first)
        self._spans = [span for span in self._spans if span.last >= first]

    def _leave_spans(self, names: Iterable[str]) -> None:
        self._leave(Object(name=name, size=0) for name in names)

    def _write_journal(self, body: bytes) -> None:
        """Create the next object. Raises BucketError; then it may be there or not."""
        doubtful, self._doubtful = self._doubtful, None
        try:
            self._create_journal(body, doubtful)
        except TakenError as error:
            raise BucketError("another origin writes to this channel's bucket") from error
        except OSError:
            self._doubtful = body
            raise
        self._appended += 1

    def _create_journal(self, body: bytes, doubtful: bytes | None) -> None:
        name = _journal_name(self._next)
        try:
            self._objects.create(name, body, self._owner)
        except TakenError:
            owner, there = self._objects.owned(name)
            if owner != self._owner or there not in (body, doubtful):
                raise
            self._next += 1
            if there != body:  # what seemed to have failed had been written
                self._appended += 1
                self._create_journal(body, None)
            return
        self._next += 1


def _journal_name(number: int) -> str:
    return f"journal/{number:0{_NUMBER_WIDTH}}.jsonl"


def _media_name(place: Place, priority: int) -> str:
    own = secrets.token_hex(8)  # a resend never writes over what was acknowledged
    return f"media/{place.segment}/{place.encoder}/{priority}-{place.track}-{own}.m4s"


def _priority(name: str) -> int:
    found = _MEDIA.fullmatch(name)
    assert found is not None
    return int(found["priority"])


def _places(media: Iterable[Object]) -> Iterator[tuple[Place, Object]]:
    """Those that are named as ours are; the least priority of a track first."""
    found = []
    for each in media:
        match = _MEDIA.fullmatch(each.name)
        if match is not None:
            segment, encoder, track = int(match["segment"]), match["encoder"], match["track"]
            found.append((Place(segment=segment, encoder=encoder, track=track), each))
    return iter(sorted(found, key=lambda pair: (pair[0].segment, _priority(pair[1].name))))
