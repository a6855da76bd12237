"""A channel's manifests, rendered once for each publication and kept until the next."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from hitless_origin import dash, hls
from hitless_origin.view import ChannelView


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A manifest's bytes, plain and compressed. etag: without quotes; empty: do not send one."""

    body: bytes
    packed: bytes
    etag: str
    content_type: str


@dataclass(slots=True)
class Manifests:
    """The manifests of one view. Made anew by `channel` when the view changes."""

    view: ChannelView
    _cache: dict[str, Rendered] = field(default_factory=dict)
    _period: str | None = None

    def master(self) -> Rendered:
        """The HLS multivariant playlist."""
        return self._once(hls.MASTER_NAME, lambda: hls.multivariant(self.view))

    def media(self, name: str) -> Rendered | None:
        """A track's HLS media playlist; None: no such track."""
        found = [track for track in self.view.description.tracks if track.name == name]
        return self._once(name, lambda: hls.media(self.view, found[0])) if found else None

    def mpd(self, now_us: int) -> Rendered:
        """The DASH MPD; only its UTCTiming is made anew for each answer."""
        if self._period is None:
            self._period = dash.period(self.view)
        body = dash.mpd(self.view, now_us, self._period).encode()
        return Rendered(
            body=body,
            packed=gzip.compress(body, 5, mtime=0),
            etag="",
            content_type=dash.CONTENT_TYPE,
        )

    def _once(self, name: str, render: Callable[[], str]) -> Rendered:
        cached = self._cache.get(name)
        if cached is None:
            body = render().encode()
            cached = self._cache[name] = Rendered(
                body=body,
                packed=gzip.compress(body, 5, mtime=0),
                etag=hashlib.sha256(body).hexdigest()[:20],
                content_type=hls.CONTENT_TYPE,
            )
        return cached
