"""What players fetch: playlists, MPD, init and media segments. Reads channels, changes nothing."""

from __future__ import annotations

import re
from pathlib import Path

from aiohttp import hdrs, web

from hitless_handover.timeline import ceil_div
from hitless_origin import dash, hls
from hitless_origin.channel import Channel
from hitless_origin.errors import PushRefused
from hitless_origin.manifests import Manifests, Rendered
from hitless_origin.names import LABEL, NUMBER, TRACK, ChannelKey
from hitless_origin.origin import Origin
from hitless_origin.view import segment_at
from hitless_wire.ingest import INIT_NAME, SEGMENT_SUFFIX

# A playlist changes with the next segment; half of the shortest one is stale enough.
MANIFEST_CACHE = "public, max-age=1"
MEDIA_CACHE = "public, max-age=31536000, immutable"
ABSENT_CACHE = "no-store"
SOON_SEGMENTS = 8  # this far ahead a segment is "not yet", beyond it is unknown

_CHANNEL = f"/live/{{namespace:{LABEL}}}/{{channel:{LABEL}}}"
_SEGMENT_NAME = re.compile(NUMBER)


class Viewer:
    """The handlers below /live/."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def routes(self) -> list[web.RouteDef]:
        """GET (and with it HEAD) of everything that players fetch."""
        track = f"{_CHANNEL}/{{track:{TRACK}}}"
        return [
            web.get(f"{_CHANNEL}/{hls.MASTER_NAME}", self.master),
            web.get(f"{_CHANNEL}/{dash.NAME}", self.mpd),
            web.get(f"{track}/{hls.MEDIA_NAME}", self.media),
            web.get(f"{track}/{INIT_NAME}", self.init),
            web.get(f"{track}/{{segment:{NUMBER}}}{SEGMENT_SUFFIX}", self.segment),
            web.get(
                f"{track}/{dash.TIME_PREFIX}{{ticks:{NUMBER}}}{SEGMENT_SUFFIX}", self.timed_segment
            ),
            web.get("/live/{path:.*}", absent),
            web.options("/live/{path:.*}", preflight),
        ]

    async def master(self, request: web.Request) -> web.StreamResponse:
        """The HLS multivariant playlist."""
        manifests = self._manifests(request)
        return _manifest(request, manifests.master())

    async def media(self, request: web.Request) -> web.StreamResponse:
        """A track's HLS media playlist."""
        rendered = self._manifests(request).media(request.match_info["track"])
        if rendered is None:
            raise _absent("no such track")
        return _manifest(request, rendered)

    async def mpd(self, request: web.Request) -> web.StreamResponse:
        """The DASH MPD, with this moment in it."""
        manifests = self._manifests(request)
        return _manifest(request, manifests.mpd(self._origin.clock.wall_us()))

    async def init(self, request: web.Request) -> web.StreamResponse:
        """A track's init segment. Its URL carries a revision, so it never changes."""
        channel = self._channel(request)
        name = request.match_info["track"]
        path = channel.init_path(name)
        if path is None:
            raise _absent("no such init segment")
        return _file(path, _media_type(channel, name))

    async def segment(self, request: web.Request) -> web.StreamResponse:
        """A published segment, by its number: as HLS names it."""
        return self._segment(request, int(request.match_info["segment"]))

    async def timed_segment(self, request: web.Request) -> web.StreamResponse:
        """A published segment, by its start in ticks of its track: as DASH names it."""
        channel, ticks = self._channel(request), int(request.match_info["ticks"])
        try:
            track = channel.track(request.match_info["track"])
        except PushRefused as error:
            raise _absent("no such track") from error
        segment = segment_at(track, channel.timeline, ticks)
        if segment is None:
            raise _absent("no segment starts there")
        return self._segment(request, segment)

    def _segment(self, request: web.Request, segment: int) -> web.StreamResponse:
        channel, name = self._channel(request), request.match_info["track"]
        media_type = _media_type(channel, name)
        path = channel.live_path(name, segment)
        if path is None:
            raise _not_published(channel, segment)
        if not path.exists():
            raise _absent("the segment has left the window")
        return _file(path, media_type)

    def _channel(self, request: web.Request) -> Channel:
        info = request.match_info
        key = ChannelKey(namespace=info["namespace"], channel=info["channel"])
        channel = self._origin.channels.get(key)
        if channel is None:
            raise _absent("no such channel")
        return channel

    def _manifests(self, request: web.Request) -> Manifests:
        channel = self._channel(request)
        if channel.manifests is None:
            raise _absent("nothing is published yet", retry_after_s=_segment_s(channel))
        return channel.manifests


async def absent(_: web.Request) -> web.Response:
    """The answer to every path that names nothing."""
    raise _absent("nothing has this name")


async def preflight(_: web.Request) -> web.Response:
    """The answer to a browser's CORS preflight; the other CORS headers are on every answer."""
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, HEAD, OPTIONS",
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Range, If-None-Match, If-Modified-Since",
            hdrs.ACCESS_CONTROL_MAX_AGE: "86400",
        },
    )


async def allow_origins(request: web.Request, response: web.StreamResponse) -> None:
    """Players on any site may read what is public. A signal: runs before headers are sent."""
    if request.path.startswith(("/live/", "/api/")):
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = (
            "Content-Length, Content-Range, Date, ETag, Retry-After"
        )


def _manifest(request: web.Request, rendered: Rendered) -> web.Response:
    headers = {hdrs.CACHE_CONTROL: MANIFEST_CACHE, hdrs.VARY: hdrs.ACCEPT_ENCODING}
    packed = _accepts_gzip(request)
    if rendered.etag:
        tag = f'"{rendered.etag}{"-gzip" if packed else ""}"'
        headers[hdrs.ETAG] = tag
        known = {f'"{etag.value}"' for etag in request.if_none_match or ()}
        if known & {tag, '"*"'}:
            return web.Response(status=304, headers=headers)
    if packed:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    headers[hdrs.CONTENT_TYPE] = rendered.content_type
    return web.Response(body=rendered.packed if packed else rendered.body, headers=headers)


def _accepts_gzip(request: web.Request) -> bool:
    for item in request.headers.get(hdrs.ACCEPT_ENCODING, "").split(","):
        coding, _, quality = item.replace(" ", "").partition(";q=")
        if coding.lower() == "gzip":
            return quality not in ("0", "0.0", "0.00", "0.000")
    return False


def _file(path: Path, media_type: str) -> web.FileResponse:
    return web.FileResponse(
        path, headers={hdrs.CACHE_CONTROL: MEDIA_CACHE, hdrs.CONTENT_TYPE: media_type}
    )


def _media_type(channel: Channel, name: str) -> str:
    try:
        return f"{channel.track(name).type}/mp4"
    except PushRefused as error:
        raise _absent("no such track") from error


def _segment_s(channel: Channel) -> int:
    return ceil_div(channel.timeline.segment_ticks, channel.timeline.timescale)


def _not_published(channel: Channel, segment: int) -> web.HTTPNotFound:
    """A segment that was never published: not yet, or a gap."""
    ahead = 0 if channel.window is None else segment - channel.window.last
    if 0 < ahead <= SOON_SEGMENTS:
        wait_s = ahead * _segment_s(channel)
        return _absent("the segment is not published yet", retry_after_s=wait_s)
    return _absent("no such segment")


def _absent(text: str, retry_after_s: int | None = None) -> web.HTTPNotFound:
    headers = {hdrs.CACHE_CONTROL: ABSENT_CACHE}
    if retry_after_s is not None:
        headers[hdrs.RETRY_AFTER] = str(retry_after_s)
    return web.HTTPNotFound(text=text + "\n", headers=headers)
