"""What players fetch: playlists, MPD, init and media segments. Reads channels, changes nothing."""

from __future__ import annotations

from pathlib import Path

from aiohttp import hdrs, web

from hitless_handover.timeline import ceil_div
from hitless_origin import dash, hls, low_latency
from hitless_origin.channel import Channel
from hitless_origin.errors import PushRefused
from hitless_origin.manifests import Manifests, Rendered
from hitless_origin.names import LABEL, NUMBER, TRACK, ChannelKey
from hitless_origin.origin import Origin
from hitless_origin.view import segment_at
from hitless_origin.waits import Waited, Waits
from hitless_wire.ingest import INIT_NAME, SEGMENT_SUFFIX

# A playlist changes with the next segment; half of the shortest one is stale enough.
MANIFEST_CACHE = "public, max-age=1"
MEDIA_CACHE = "public, max-age=31536000, immutable"
ABSENT_CACHE = "no-store"
SOON_SEGMENTS = 8  # this far ahead a segment is "not yet", beyond it is unknown

_CHANNEL = f"/live/{{namespace:{LABEL}}}/{{channel:{LABEL}}}"
_NO_STORE = {hdrs.CACHE_CONTROL: ABSENT_CACHE}
_NOT_SERVED = {
    Waited.LATE: "nothing was published in time",
    Waited.CROWDED: "too many requests wait already",
    Waited.CLOSED: "the origin is closing",
}


class Viewer:
    """The handlers below /live/."""

    def __init__(self, origin: Origin, waits: Waits) -> None:
        self._origin = origin
        self._waits = waits

    def routes(self) -> list[web.RouteDef]:
        """GET (and with it HEAD) of everything that players fetch."""
        track = f"{_CHANNEL}/{{track:{TRACK}}}"
        return [
            web.get(f"{_CHANNEL}/{hls.MASTER_NAME}", self.master),
            web.get(f"{_CHANNEL}/{dash.NAME}", self.mpd),
            web.get(f"{track}/{hls.MEDIA_NAME}", self.media),
            web.get(f"{track}/{INIT_NAME}", self.init),
            web.get(f"{track}/{{segment:{NUMBER}}}{SEGMENT_SUFFIX}", self.segment),
            web.get(f"{track}/{{segment:{NUMBER}}}.{{part:{NUMBER}}}{SEGMENT_SUFFIX}", self.part),
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
        """A track's HLS media playlist; with `_HLS_msn`, once it has what is asked for."""
        channel, name = self._channel(request), request.match_info["track"]
        view = self._manifests(request).view
        _media_type(channel, name)
        try:
            wanted = low_latency.wanted(request.query, view)
        except low_latency.DirectiveError as error:
            raise web.HTTPBadRequest(text=f"{error}\n", headers=_NO_STORE) from error
        if wanted is not None:
            await self._wait(channel, *wanted)
        rendered = self._manifests(request).media(name)
        if rendered is None:
            raise _absent("no such track")
        if wanted is None:
            return _manifest(request, rendered)
        return _manifest(request, rendered, low_latency.cache_control(view))

    async def mpd(self, request: web.Request) -> web.StreamResponse:
        """The DASH MPD, with this moment in it."""
        manifests = self._manifests(request)
        return _manifest(request, manifests.mpd(self._origin.clock.wall_us()))

    async def init(self, request: web.Request) -> web.StreamResponse:
        """A track's init segment. Its URL carries a revision, so it never changes.

        Without one it is that of the edition on air.
        """
        channel = self._channel(request)
        name = request.match_info["track"]
        revision = request.query.get("v")
        path = channel.init_path(name, revision)
        if path is None:
            raise _absent("no such init segment")
        cache = MEDIA_CACHE if revision else MANIFEST_CACHE
        return _file(path, _media_type(channel, name), cache)

    async def segment(self, request: web.Request) -> web.StreamResponse:
        """A published segment, by its number: as HLS names it."""
        return self._segment(request, int(request.match_info["segment"]))

    async def part(self, request: web.Request) -> web.StreamResponse:
        """A published part; the next one, which playlists name already, as soon as it is there."""
        channel, name = self._channel(request), request.match_info["track"]
        segment, part = int(request.match_info["segment"]), int(request.match_info["part"])
        if channel.parts is None:
            return await absent(request)
        media_type = _media_type(channel, name)
        manifests = self._manifests(request)
        if manifests.view.hint() == (segment, part):
            await self._wait(channel, segment, part, late=web.HTTPNotFound)
        body = channel.parts.window.body(name, segment, part)
        if body is None:
            raise _absent("no such part, or not yet, or not any more")
        headers = {hdrs.CACHE_CONTROL: MEDIA_CACHE, hdrs.CONTENT_TYPE: media_type}
        return web.Response(body=body, headers=headers)

    async def _wait(
        self,
        channel: Channel,
        segment: int,
        part: int | None,
        late: type[web.HTTPError] = web.HTTPServiceUnavailable,
    ) -> None:
        """Return when the segment, or that part of it, is decided. Raises the answer if not."""

        def ready() -> bool:
            manifests = channel.manifests
            return manifests is not None and manifests.view.reached(segment, part)

        wait_us_max = low_latency.wait_us_max(channel.description)
        waited = await self._waits.until(ready, channel.bell, wait_us_max)
        if waited is not Waited.READY:
            headers = {**_NO_STORE, hdrs.RETRY_AFTER: "1"}
            answer = late if waited is Waited.LATE else web.HTTPServiceUnavailable
            raise answer(text=f"{_NOT_SERVED[waited]}\n", headers=headers)

    async def timed_segment(self, request: web.Request) -> web.StreamResponse:
        """A published segment, by its start in ticks of its track: as DASH names it."""
        channel, ticks = self._channel(request), int(request.match_info["ticks"])
        name = request.match_info["track"]
        _media_type(channel, name)
        for edition in channel.editions.newest_first():
            track = edition.track(name)
            if track is None:
                continue
            segment = segment_at(track, edition.timeline, ticks)
            if segment is not None and channel.editions.at(segment) is edition:
                return self._segment(request, segment)
        raise _absent("no segment starts there")

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


def _manifest(
    request: web.Request, rendered: Rendered, cache_control: str = MANIFEST_CACHE
) -> web.Response:
    headers = {hdrs.CACHE_CONTROL: cache_control, hdrs.VARY: hdrs.ACCEPT_ENCODING}
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


def _file(path: Path, media_type: str, cache: str = MEDIA_CACHE) -> web.FileResponse:
    headers = {hdrs.CACHE_CONTROL: cache, hdrs.CONTENT_TYPE: media_type}
    return web.FileResponse(path, headers=headers)


def _media_type(channel: Channel, name: str) -> str:
    try:
        return f"{channel.editions.track(name).type}/mp4"
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
