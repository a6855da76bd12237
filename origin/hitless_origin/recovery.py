"""From a channel's store to a channel: what a restarted origin finds and how it mends it.

Blocking. The journal says what was decided, the folder what became of it. A publication that was
cut short is finished from the pending files, or becomes a gap if they are gone: nobody had seen it,
for playlists live in memory. Nothing is ever renumbered.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from hitless_origin import journal
from hitless_origin.description import read_description
from hitless_origin.edition import Edition
from hitless_origin.errors import PushRefused, StoreError
from hitless_origin.storage import ChannelStorage, Pending
from hitless_origin.window import Window, window_segments
from hitless_wire.ingest import ChannelDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A channel's folder, open and consistent. editions: by number."""

    store: ChannelStorage
    snapshot: journal.Snapshot
    editions: dict[int, Edition]
    pending: tuple[Pending, ...] = ()

    @property
    def on_air(self) -> Edition:
        """The edition on air."""
        return self.editions[self.snapshot.on_air]


def create(store: ChannelStorage, description: ChannelDescription, body: bytes) -> Opened:
    """A new channel in an empty store; whatever was there goes. Raises OSError."""
    store.remove()
    store.open()
    first = Edition(number=0, description=description)
    store.make_edition(first.number, first.names, body)
    return Opened(store=store, snapshot=journal.Snapshot(), editions={first.number: first})


def reopen(store: ChannelStorage) -> Opened:
    """The channel in a store. Raises OSError or StoreError when it can't be made sense of."""
    try:
        lines = store.open()
        snapshot = journal.replay(lines)
        editions = {number: _edition(store, number) for number in snapshot.editions}
        names = frozenset(name for edition in editions.values() for name in edition.names)
        store.keep_editions(editions, names)
        store.take_tracks(names)
        snapshot = _mend(store, editions, snapshot, lines)
        pending = store.pending(-1 if snapshot.window is None else snapshot.window.last)
    except (PushRefused, KeyError) as error:
        store.close()
        raise StoreError(str(error)) from error
    except BaseException:
        store.close()
        raise
    return Opened(store=store, snapshot=snapshot, editions=editions, pending=tuple(pending))


def _edition(store: ChannelStorage, number: int) -> Edition:
    """Raises OSError, PushRefused."""
    description = read_description(store.description_path(number).read_bytes())
    paths = {t.name: store.init_path(number, t.name) for t in description.tracks}
    inits = {name: path.read_bytes() for name, path in paths.items() if path.exists()}
    return Edition.of(number, description, inits)


def _mend(
    store: ChannelStorage,
    editions: dict[int, Edition],
    snapshot: journal.Snapshot,
    lines: Sequence[journal.Line],
) -> journal.Snapshot:
    aired = snapshot.aired.value()
    on_air = editions[snapshot.on_air]

    def tracks_of(segment: int) -> frozenset[str]:
        number = aired.edition(segment)
        return on_air.names if number is None else editions[number].names

    if snapshot.window is None:
        store.recover_live(tracks_of)
        return snapshot
    _finish(store, editions, lines)
    live = set(store.recover_live(tracks_of))
    window = snapshot.window.value()
    store.remove_live([k for k in live if k > window.last])
    window = window.trim(window_segments(on_air.timeline, on_air.description.window_seconds))
    lost = [k for run in window.runs() for k in range(run.first, run.last + 1) if k not in live]
    with suppress(OSError):  # no room: the next start finds the same
        store.append(journal.GapLine(first=k, last=k) for k in lost)
    return snapshot.model_copy(
        update={
            "window": journal.WindowLine.of(_without(window, lost)),
            "gaps": snapshot.gaps + len(lost),
        }
    )


def _finish(
    store: ChannelStorage, editions: dict[int, Edition], lines: Sequence[journal.Line]
) -> None:
    last = next((ln for ln in reversed(lines) if isinstance(ln, journal.PublishLine)), None)
    if last is None:
        return
    try:
        store.move_live(last.segment, last.encoder, editions[last.edition].names)
    except (OSError, StoreError):
        return  # whatever is missing now becomes a gap


def _without(window: Window, lost: Sequence[int]) -> Window:
    for segment in lost:
        window = window.gap(segment, segment)
    return window.trim(window.last - window.first + 1)
