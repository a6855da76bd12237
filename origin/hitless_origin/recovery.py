"""From a channel's folder to a channel: what a restarted origin finds and how it mends it.

Blocking. The journal says what was decided, the folder what became of it. A publication that was
cut short is finished from the pending files, or becomes a gap if they are gone: nobody had seen it,
for playlists live in memory. Nothing is ever renumbered.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hitless_origin import journal
from hitless_origin.cmaf import judge_init
from hitless_origin.description import read_description
from hitless_origin.errors import PushRefused, StoreError
from hitless_origin.store import DESCRIPTION, ChannelStore, Pending
from hitless_origin.window import Window, window_segments
from hitless_wire.ingest import ChannelDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A channel's folder, open and consistent. inits: bytes by track."""

    description: ChannelDescription
    store: ChannelStore
    snapshot: journal.Snapshot
    inits: dict[str, bytes]
    pending: tuple[Pending, ...] = ()


def create(root: Path, description: ChannelDescription, body: bytes) -> Opened:
    """A new channel in an empty folder; whatever was there goes. Raises OSError."""
    shutil.rmtree(root, ignore_errors=True)
    store = ChannelStore(root, [track.name for track in description.tracks])
    store.open()
    store.write_description(body)
    return Opened(description=description, store=store, snapshot=journal.Snapshot(), inits={})


def reopen(root: Path) -> Opened:
    """The channel in a folder. Raises OSError or StoreError when it can't be made sense of."""
    try:
        description = read_description((root / DESCRIPTION).read_bytes())
    except PushRefused as error:
        raise StoreError(f"{root}: {error}") from error
    store = ChannelStore(root, [track.name for track in description.tracks])
    try:
        lines = store.open()
        inits = _inits(store, description)
        snapshot = _mend(store, description, lines)
        pending = _mend_pending(store, snapshot)
    except PushRefused as error:
        store.close()
        raise StoreError(f"{root}: {error}") from error
    except BaseException:
        store.close()
        raise
    return Opened(
        description=description,
        store=store,
        snapshot=snapshot,
        inits=inits,
        pending=tuple(pending),
    )


def _inits(store: ChannelStore, description: ChannelDescription) -> dict[str, bytes]:
    found = {}
    for track in description.tracks:
        path = store.init_path(track.name)
        if path.exists():
            found[track.name] = path.read_bytes()
            judge_init(found[track.name], track)
    return found


def _mend(
    store: ChannelStore, description: ChannelDescription, lines: Sequence[journal.Line]
) -> journal.Snapshot:
    snapshot = journal.replay(lines)
    if snapshot.window is None:
        store.recover_live()
        return snapshot
    _finish(store, lines)
    live = set(store.recover_live())
    window = snapshot.window.value()
    store.remove_live([k for k in live if k > window.last])
    window = window.trim(window_segments(description.timeline(), description.window_seconds))
    lost = [k for run in window.runs() for k in range(run.first, run.last + 1) if k not in live]
    store.append(journal.GapLine(first=k, last=k) for k in lost)
    return snapshot.model_copy(
        update={
            "window": journal.WindowLine.of(_without(window, lost)),
            "gaps": snapshot.gaps + len(lost),
        }
    )


def _finish(store: ChannelStore, lines: Sequence[journal.Line]) -> None:
    """The last publication may have been cut short between its line and its files."""
    last = next((ln for ln in reversed(lines) if isinstance(ln, journal.PublishLine)), None)
    if last is None:
        return
    try:
        store.move_live(last.segment, last.encoder)
    except (OSError, StoreError):
        return  # whatever is missing now becomes a gap


def _without(window: Window, lost: Sequence[int]) -> Window:
    for segment in lost:
        window = window.gap(segment, segment)
    return window.trim(window.last - window.first + 1)


def _mend_pending(store: ChannelStore, snapshot: journal.Snapshot) -> list[Pending]:
    """Undecided pushes; those of decided segments were left behind and go."""
    last = -1 if snapshot.window is None else snapshot.window.last
    pending = store.pending()
    for segment in {each.place.segment for each in pending if each.place.segment <= last}:
        store.discard(segment)
    return [each for each in pending if each.place.segment > last]
