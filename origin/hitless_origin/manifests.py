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

from hitless_origin import dash, hls
from hitless_origin.view import ChannelView
from hitless_wire.ingest import TrackDescription

_PACK_LEVEL = 5
# For zlib: 16 writes gzip's header and checksum. Playlists repeat from line to line, so a small
# window packs them as well, and each packer takes 32 KiB instead of 256.
_GZIP_BITS, _PACK_MEMORY = 16 + 12, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A manifest's bytes, plain and compressed. etag: without quotes; empty: do not send one."""

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
    _cache: dict[str, Rendered] = field(default_factory=dict)
    _settled: dict[str, _Settled] = field(default_factory=dict)
    _period: str | None = None

    def after(self, view: ChannelView) -> Manifests:
        """Those of the next view; what did not change is taken over."""
        made = Manifests(view)
        if view.parts is not None and view.settled() == self.view.settled():
            made._settled, made._period = self._settled, self._period
            if hls.MASTER_NAME in self._cache:
                made._cache[hls.MASTER_NAME] = self._cache[hls.MASTER_NAME]
        return made

    def master(self) -> Rendered:
        """The HLS multivariant playlist."""
        return self._once(hls.MASTER_NAME, lambda: _rendered(hls.multivariant(self.view)))

    def media(self, name: str) -> Rendered | None:
        """A track's HLS media playlist; None: no such track."""
        found = [track for track in self.view.listed_tracks() if track.name == name]
        return self._once(name, lambda: self._media(found[0])) if found else None

    def mpd(self, now_us: int) -> Rendered:
        """The DASH MPD; only its UTCTiming is made anew for each answer."""
        if self._period is None:
            self._period = dash.period(self.view)
        body = dash.mpd(self.view, now_us, self._period).encode()
        return Rendered(
            body=body,
            packed=gzip.compress(body, _PACK_LEVEL, mtime=0),
            etag="",
            content_type=dash.CONTENT_TYPE,
        )

    def _media(self, track: TrackDescription) -> Rendered:
        if self.view.parts is None:
            return _rendered(hls.media(self.view, track))
        if track.name not in self._settled:
            self._settled[track.name] = _Settled(hls.settled(self.view, track))
        return self._settled[track.name].ended(hls.edge(self.view, track))

    def _once(self, name: str, render: Callable[[], Rendered]) -> Rendered:
        cached = self._cache.get(name)
        if cached is None:
            cached = self._cache[name] = render()
        return cached


def _rendered(text: str) -> Rendered:
    body = text.encode()
    return Rendered(
        body=body,
        packed=gzip.compress(body, _PACK_LEVEL, mtime=0),
        etag=hashlib.sha256(body).hexdigest()[:20],
        content_type=hls.CONTENT_TYPE,
    )
