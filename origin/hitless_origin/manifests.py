"""A channel's manifests, rendered once for each publication and kept until the next.

A part changes only the end of a playlist: what comes before it is rendered and packed once for each
segment, and taken over from one Manifests to the next.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from hitless_origin import dash, hls, hls_parts, low_latency
from hitless_origin.dash import Form
from hitless_origin.span import cut
from hitless_origin.view import ChannelView, Span
from hitless_wire.ingest import TrackDescription

PIECES_MAX = 8  # of a channel, that are kept: those asked for last
_PACK_LEVEL = 5
# For zlib: 16 writes gzip's header and checksum. Playlists repeat from line to line, so a small
# window packs them as well, and each packer takes 32 KiB instead of 256.
_GZIP_BITS, _PACK_MEMORY = 16 + 12, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A manifest's bytes, plain and compressed. etag: without quotes."""

    body: bytes
    packed: bytes
    etag: str
    content_type: str


class _Settled:
    """The part of a playlist that stays until the next segment, packed so far and to be ended."""

    def __init__(self, text: str) -> None:
        self._body = text.encode()
        self._hash = hashlib.sha256(self._body)
        self._packer = zlib.compressobj(_PACK_LEVEL, zlib.DEFLATED, _GZIP_BITS, _PACK_MEMORY)
        self._packed = self._packer.compress(self._body)

    def ended(self, text: str) -> Rendered:
        """The whole playlist."""
        edge = text.encode()
        hashed, packer = self._hash.copy(), self._packer.copy()
        hashed.update(edge)
        return Rendered(
            body=self._body + edge,
            packed=self._packed + packer.compress(edge) + packer.flush(),
            etag=hashed.hexdigest()[:20],
            content_type=hls.CONTENT_TYPE,
        )


@dataclass(slots=True)
class Manifests:
    """The manifests of one view. Made anew by `channel` when the view changes."""

    view: ChannelView
    # whole answers by track, whether a delta, whether packed, for `viewer`: while these are newest
    wires: dict[tuple[str, bool, bool], bytes] = field(default_factory=dict)
    _cache: dict[str, Rendered] = field(default_factory=dict)
    _settled: dict[str, _Settled] = field(default_factory=dict)
    _periods: dict[Form, str] = field(default_factory=dict)
    _pieces: dict[Span, Manifests] = field(default_factory=dict)

    def after(self, view: ChannelView) -> Manifests:
        """Those of the next view; what did not change is taken over."""
        made = Manifests(view, _pieces=self._pieces)
        if view.parts is not None and view.settled() == self.view.settled():
            made._settled, made._periods = self._settled, self._periods
            kept = self._cache.keys() & {hls.MASTER_NAME, *Form}
            made._cache.update((name, self._cache[name]) for name in kept)
        return made

    def piece(self, span: Span) -> Manifests:
        """Those of a piece of the channel. Raises ViewRefused."""
        view, found = cut(self.view, span), self._pieces.pop(span, None)
        if found is None:
            found = Manifests(view)
        elif found.view != view:
            found = found.after(view)
        self._pieces[span] = found  # the last one asked for goes last
        if len(self._pieces) > PIECES_MAX:
            del self._pieces[next(iter(self._pieces))]
        return found

    def master(self) -> Rendered:
        """The HLS multivariant playlist."""
        return self._once(hls.MASTER_NAME, lambda: _rendered(hls.multivariant(self.view)))

    def media(self, name: str, *, delta: bool = False) -> Rendered | None:
        """A track's HLS media playlist; None: no such track.

        delta: as an update, where there is anything to leave out.
        """
        found = [track for track in self.view.listed_tracks() if track.name == name]
        skipped = hls_parts.skippable(self.view) if delta else 0
        key = f"{name}?{low_latency.SKIP}" if skipped else name
        return self._once(key, lambda: self._media(found[0], key, skipped)) if found else None

    def mpd(self, form: Form) -> Rendered:
        """The DASH MPD."""
        return self._once(form.value, lambda: self._mpd(form))

    def _mpd(self, form: Form) -> Rendered:
        if form not in self._periods:
            self._periods[form] = dash.period(self.view, form)
        return _rendered(dash.mpd(self.view, form, self._periods[form]), dash.CONTENT_TYPE)

    def _media(self, track: TrackDescription, key: str, skipped: int) -> Rendered:
        if self.view.parts is None:
            return _rendered(hls.media(self.view, track))
        if key not in self._settled:
            self._settled[key] = _Settled(hls.settled(self.view, track, skipped))
        return self._settled[key].ended(hls.edge(self.view, track))

    def _once(self, name: str, render: Callable[[], Rendered]) -> Rendered:
        cached = self._cache.get(name)
        if cached is None:
            cached = self._cache[name] = render()
        return cached


def _rendered(text: str, content_type: str = hls.CONTENT_TYPE) -> Rendered:
    body = text.encode()
    return Rendered(
        body=body,
        packed=gzip.compress(body, _PACK_LEVEL, mtime=0),
        etag=hashlib.sha256(body).hexdigest()[:20],
        content_type=content_type,
    )
