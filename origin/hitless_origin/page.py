"""The page: files of this package, and the player that the image brings along.

`/` lists the channels, `/channels/{namespace}/{name}` shows one. Plain HTML, CSS and JavaScript;
nothing is asked of any other server, and the browser is told to see to it.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
from pathlib import Path

from aiohttp import hdrs, web

from hitless_origin.manifests import Rendered
from hitless_origin.names import FILE_NAME, LABEL

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
PLAYER_NAME = "hls.mjs"
_HEADERS = {
    hdrs.CACHE_CONTROL: "no-cache",  # asked for again after an update, which costs a 304
    hdrs.VARY: hdrs.ACCEPT_ENCODING,
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_FOLDER = Path(__file__).parent / "web"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

log = logging.getLogger(__name__)


class Page:
    """player: hls.js as a module, its file; None: pages have no picture, and say so."""

    def __init__(self, player: Path | None) -> None:
        self._files = {path.name: _read(path) for path in _FOLDER.iterdir()}
        if player is not None:
            try:
                self._files[PLAYER_NAME] = _read(player)
            except OSError as error:
                log.warning("the page has no player: %s", error)

    def routes(self) -> list[web.RouteDef]:
        """GET of each."""
        return [
            web.get("/", self.index),
            web.get(f"/channels/{{namespace:{LABEL}}}/{{channel:{LABEL}}}", self.channel),
            web.get(f"/page/{{name:{FILE_NAME}}}", self.file),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """The list of channels."""
        return self._answer(request, "index.html")

    async def channel(self, request: web.Request) -> web.Response:
        """One channel, whether there is one of that name yet or not."""
        return self._answer(request, "channel.html")

    async def file(self, request: web.Request) -> web.Response:
        """What pages refer to."""
        return self._answer(request, request.match_info["name"])

    def _answer(self, request: web.Request, name: str) -> web.Response:
        found = self._files.get(name)
        if found is None:
            raise web.HTTPNotFound(text="no such file\n", headers={hdrs.CACHE_CONTROL: "no-store"})
        headers = {**_HEADERS, hdrs.ETAG: f'"{found.etag}"'}
        if any(etag.value == found.etag for etag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        packed = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
        if packed:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        headers[hdrs.CONTENT_TYPE] = found.content_type
        return web.Response(body=found.packed if packed else found.body, headers=headers)


def _read(path: Path) -> Rendered:
    body = path.read_bytes()
    return Rendered(
        body=body,
        packed=gzip.compress(body, mtime=0),
        etag=hashlib.sha256(body).hexdigest()[:20],
        content_type=_TYPES.get(path.suffix, "application/octet-stream"),
    )
