"""What players fetch: playlists, MPD, init and media segments. Reads channels, changes nothing."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

from aiohttp import hdrs, web

from hitless_handover.timeline import ceil_div
from hitless_origin import cmcd, dash, hls, low_latency, segment_stream
from hitless_origin.channel import Channel
from hitless_origin.dash import Form
from hitless_origin.early import Crowds, Sent, wire
from hitless_origin.errors import PushRefused, ViewRefused
from hitless_origin.manifests import Manifests, Rendered
from hitless_origin.names import LABEL, NUMBER, TRACK, ChannelKey
from hitless_origin.origin import Origin
from hitless_origin.span import END, START, asked
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
_ALLOWED_HEADERS = ("Range", "If-None-Match", "If-Modified-Since", *cmcd.HEADERS)
# Age and Date too: by them a player sees how old a cache's answer is.
_EXPOSED = (
    "Accept-Ranges, Age, Content-Encoding, Content-Length, Content-Range, Date, ETag, Retry-After"
)
_CORS = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: _EXPOSED,
    "Timing-Allow-Origin": "*",  # of what players measure their throughput by
}
_NOT_SERVED = {
    Waited.LATE: "nothing was published in time",
    Waited.CROWDED: "too many requests wait already",
    Waited.CLOSED: "the origin is closing",
}


_REFUSALS: dict[int, type[web.HTTPError]] = {
    400: web.HTTPBadRequest,
    404: web.HTTPNotFound,
    410: web.HTTPGone,
}


class Viewer:
    """The handlers below /live/."""

    def __init__(self, origin: Origin, waits: Waits) -> None:
        self._origin = origin
        self._waits = waits
        self._crowds = Crowds()

    def routes(self) -> list[web.RouteDef]:
        """GET (and with it HEAD) of everything that players fetch."""
        track = f"{_CHANNEL}/{{track:{TRACK}}}"
        return [
            web.get(f"{_CHANNEL}/{hls.MASTER_NAME}", self.master),
            *(web.get(f"{_CHANNEL}/{form}", self.mpd) for form in Form),
            web.get(f"{_CHANNEL}/{dash.TIME_NAME}", self.time),
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
        """The HLS multivariant playlist; of a piece of the channel, where one is asked for."""
        return _manifest(request, self._asked(request).master())

    async def media(self, request: web.Request) -> web.StreamResponse:
        """A track's HLS media playlist; with `_HLS_msn`, once it has what is asked for."""
        channel, name = self._channel(request), request.match_info["track"]
        view = self._asked(request).view
        _media_type(channel, name)
        try:
            wanted = low_latency.wanted(request.query, view)
        except low_latency.DirectiveError as error:
            raise web.HTTPBadRequest(text=f"{error}\n", headers=_NO_STORE) from error
        if wanted is not None and await self._waited(request, channel, name, wanted):
            return Sent()
        delta = low_latency.takes_delta(request.query)
        rendered = self._asked(request).media(name, delta=delta)
        if rendered is None:
            raise _absent("no such track")
        if wanted is None:
            return _manifest(request, rendered)
        return _manifest(request, rendered, low_latency.cache_control(view))

    async def mpd(self, request: web.Request) -> web.StreamResponse:
        """A DASH MPD; of a piece of the channel, where one is asked for."""
        form, manifests = Form(request.path.rpartition("/")[2]), self._asked(request)
        if form is Form.NUMBERED and manifests.view.span is not None:
            raise _refused(ViewRefused(400, f"{form} has no pieces", expected=Form.TIMELINE.value))
        return _manifest(request, manifests.mpd(form))

    async def time(self, request: web.Request) -> web.StreamResponse:
        """What time it is, for players that count on it (UTCTiming)."""
        self._channel(request)
        return web.Response(text=hls.date_ms(self._origin.clock.wall_us()), headers=_NO_STORE)

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
        return await self._segment(request, int(request.match_info["segment"]))

    async def part(self, request: web.Request) -> web.StreamResponse:
        """A published part; the next one, which playlists name already, as soon as it is there."""
        channel, name = self._channel(request), request.match_info["track"]
        segment, part = int(request.match_info["segment"]), int(request.match_info["part"])
        if channel.parts is None:
            return await absent(request)
        media_type = _media_type(channel, name)
        manifests = self._manifests(request)
        if manifests.view.hint() == (segment, part):
            ready = _reached(channel, segment, part)
            await self._wait(channel, ready, late=web.HTTPNotFound)
        body = channel.parts.window.body(name, segment, part)
        if body is None:
            raise _absent("no such part, or not yet, or not any more")
        return _bytes(request, body, media_type)

    async def _waited(
        self, request: web.Request, channel: Channel, name: str, wanted: tuple[int, int | None]
    ) -> bool:
        """Return when the playlist has what is wanted: whether it has been sent by then."""
        ready = _reached(channel, *wanted)
        delta, packed = low_latency.takes_delta(request.query), _accepts_gzip(request)
        piece = bool(request.query.keys() & {START, END})

        def answer() -> bytes | None:
            return _wire(channel, name, delta, packed) if ready() and not piece else None

        kind = name, wanted, delta, packed, piece
        with self._crowds.join(request, channel.bell, kind, answer) as place:
            try:
                await self._wait(channel, ready)
            except web.HTTPError:
                if not place.sent:  # a second answer would be taken for the next request's
                    raise
        return place.sent

    async def _wait(
        self,
        channel: Channel,
        ready: Callable[[], bool],
        late: type[web.HTTPError] = web.HTTPServiceUnavailable,
    ) -> None:
        """Return when the channel is ready. Raises the answer if it does not become so."""
        wait_us_max = low_latency.wait_us_max(channel.description)
        waited = await self._waits.until(ready, channel.bell, wait_us_max)
        if waited is not Waited.READY:
            raise _unserved(waited, late)

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
                return await self._segment(request, segment)
        raise _absent("no segment starts there")

    async def _segment(self, request: web.Request, segment: int) -> web.StreamResponse:
        channel, name = self._channel(request), request.match_info["track"]
        media_type = _media_type(channel, name)
        _check_revision(request, channel, segment)
        if segment_stream.is_next(channel, segment):
            stream = segment_stream.SegmentStream(channel, name, segment, self._waits)
            try:
                begun = await stream.begin(request)
            except segment_stream.StreamBroken as error:
                if error.waited is Waited.LATE:
                    raise _not_published(channel, segment) from error
                raise _unserved(error.waited) from error
            if begun:
                return await stream.send(request, _media_headers(media_type))
            _check_revision(request, channel, segment)
        if channel.live_path(name, segment) is None:
            raise _not_published(channel, segment)
        try:
            path = await channel.live_file(name, segment)
        except OSError as error:
            headers = {**_NO_STORE, hdrs.RETRY_AFTER: "1"}
            raise web.HTTPServiceUnavailable(text=f"{error}\n", headers=headers) from error
        if path is None:
            raise _absent("the segment has left the window")
        return _file(path, media_type)

    def _asked(self, request: web.Request) -> Manifests:
        """The channel's manifests, or those of the piece that the query asks for."""
        manifests = self._manifests(request)
        try:
            span = asked(request.query, manifests.view.timeline)
            return manifests if span is None else manifests.piece(span)
        except ViewRefused as error:
            raise _refused(error) from error

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


def _reached(channel: Channel, segment: int, part: int | None) -> Callable[[], bool]:
    """Whether the segment, or that part of it, is decided."""

    def ready() -> bool:
        manifests = channel.manifests
        return manifests is not None and manifests.view.reached(segment, part)

    return ready


async def absent(_: web.Request) -> web.Response:
    """The answer to every path that names nothing."""
    raise _absent("nothing has this name")


async def preflight(_: web.Request) -> web.Response:
    """The answer to a browser's CORS preflight; the other CORS headers are on every answer."""
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, HEAD, OPTIONS",
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join(_ALLOWED_HEADERS),
            hdrs.ACCESS_CONTROL_MAX_AGE: "86400",
        },
    )


async def allow_origins(request: web.Request, response: web.StreamResponse) -> None:
    """Players on any site may read what is public. A signal: runs before headers are sent."""
    if request.path.startswith(("/live/", "/api/")):
        response.headers.update(_CORS)


def _wire(channel: Channel, name: str, delta: bool, packed: bool) -> bytes | None:
    """The whole answer to a reload that has waited. None: there is no such track."""
    manifests = channel.manifests
    if manifests is None:
        return None
    key = name, delta, packed
    if key not in manifests.wires:
        rendered = manifests.media(name, delta=delta)
        if rendered is None:
            return None
        response = _whole(rendered, packed, low_latency.cache_control(manifests.view))
        response.headers.update(_CORS)
        manifests.wires[key] = wire(response)
    return manifests.wires[key]


def _manifest(
    request: web.Request, rendered: Rendered, cache_control: str = MANIFEST_CACHE
) -> web.Response:
    whole = _whole(rendered, _accepts_gzip(request), cache_control)
    tag = whole.headers[hdrs.ETAG].strip('"')
    if all(known.value not in (tag, "*") for known in request.if_none_match or ()):
        return whole
    kept = (hdrs.CACHE_CONTROL, hdrs.VARY, hdrs.ETAG)
    return web.Response(status=304, headers={name: whole.headers[name] for name in kept})


def _whole(rendered: Rendered, packed: bool, cache_control: str) -> web.Response:
    """The answer of 200, which is the same for all who take it packed."""
    headers = {
        hdrs.CACHE_CONTROL: cache_control,
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
        hdrs.ETAG: f'"{rendered.etag}{"-gzip" if packed else ""}"',
        hdrs.CONTENT_TYPE: rendered.content_type,
    }
    if packed:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=rendered.packed if packed else rendered.body, headers=headers)


def _bytes(request: web.Request, body: bytes, media_type: str) -> web.Response:
    """Immutable media in memory, as `_file` serves what is on disk: tagged, in ranges."""
    tag = f"{zlib.crc32(body):08x}-{len(body):x}"
    headers = _media_headers(media_type)
    headers |= {hdrs.ETAG: f'"{tag}"', hdrs.ACCEPT_RANGES: "bytes"}
    if any(known.value in (tag, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    try:
        first, end, _ = request.http_range.indices(len(body))
    except ValueError:  # no range that can be read is no range
        return web.Response(body=body, headers=headers)
    if (first, end) == (0, len(body)):
        return web.Response(body=body, headers=headers)
    if first >= end:
        wrong = {**_NO_STORE, hdrs.CONTENT_RANGE: f"bytes */{len(body)}"}
        raise web.HTTPRequestRangeNotSatisfiable(headers=wrong)
    headers[hdrs.CONTENT_RANGE] = f"bytes {first}-{end - 1}/{len(body)}"
    return web.Response(status=206, body=body[first:end], headers=headers)


def _accepts_gzip(request: web.Request) -> bool:
    for item in request.headers.get(hdrs.ACCEPT_ENCODING, "").split(","):
        coding, _, quality = item.replace(" ", "").partition(";q=")
        if coding.lower() == "gzip":
            return quality not in ("0", "0.0", "0.00", "0.000")
    return False


def _media_headers(media_type: str, cache: str = MEDIA_CACHE) -> dict[str, str]:
    return {hdrs.CACHE_CONTROL: cache, hdrs.CONTENT_TYPE: media_type}


def _file(path: Path, media_type: str, cache: str = MEDIA_CACHE) -> web.FileResponse:
    return web.FileResponse(path, headers=_media_headers(media_type, cache))


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


def _check_revision(request: web.Request, channel: Channel, segment: int) -> None:
    """Raise the answer where the URL says which init segment it goes with, and it does not."""
    revision = request.query.get("v")
    if revision not in (None, channel.editions.at(segment).revision):
        raise _absent("the segment is of another edition")


def _unserved(
    waited: Waited, late: type[web.HTTPError] = web.HTTPServiceUnavailable
) -> web.HTTPError:
    """The answer to a request that waited in vain."""
    answer = late if waited is Waited.LATE else web.HTTPServiceUnavailable
    headers = {**_NO_STORE, hdrs.RETRY_AFTER: "1"}
    return answer(text=f"{_NOT_SERVED[waited]}\n", headers=headers)


def _refused(refusal: ViewRefused) -> web.HTTPError:
    """The answer to a query that can't be followed."""
    headers = dict(_NO_STORE)
    if refusal.retry_after_s is not None:
        headers[hdrs.RETRY_AFTER] = str(refusal.retry_after_s)
    text = json.dumps(refusal.body())
    return _REFUSALS[refusal.status](text=text, content_type="application/json", headers=headers)


def _absent(text: str, retry_after_s: int | None = None) -> web.HTTPNotFound:
    headers = {hdrs.CACHE_CONTROL: ABSENT_CACHE}
    if retry_after_s is not None:
        headers[hdrs.RETRY_AFTER] = str(retry_after_s)
    return web.HTTPNotFound(text=text + "\n", headers=headers)
