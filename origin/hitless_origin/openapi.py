"""The origin's HTTP as an OpenAPI 3.1 document, served at /api/v1/openapi.json.

Hand-kept, a row for each path; a test holds the rows to the server's routes, and schemathesis runs
them against an origin. Bodies of the wire come from their models (proto/hitless_wire/ingest.py).
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from hitless_origin.names import ENCODER, FILE_NAME, LABEL, NUMBER, PRIORITY, TRACK
from hitless_origin.span import END, START
from hitless_wire.ingest import (
    COMPARISON_QUERY,
    DISCONTINUITY_ALLOWED,
    HEADER_DIGEST,
    HEADER_DISCONTINUITY,
    HEADER_ENCODER,
    HEADER_PRIORITY,
    STORAGE_QUERY,
    ChannelDescription,
    ChannelReport,
)

PATH = "/api/v1/openapi.json"
_CHANNEL = "/live/{namespace}/{channel}"
_INGEST = "/ingest/{namespace}/{channel}"
_REF = "#/components/schemas/{model}"
_HLS, _DASH, _MEDIA = "application/vnd.apple.mpegurl", "application/dash+xml", "video/mp4"
_EVENTS = "text/event-stream"
_PUSHED = "application/octet-stream"  # whatever its header says, the boxes are judged

_ANSWERS = {
    200: "It is here; of a push: already held",
    201: "Stored",
    202: "Kept; other parts of the segment are missing",
    206: "A range of it",
    304: "As the client has it already",
    400: "Malformed",
    401: "A push without the channel's token, which this origin asks for",
    403: "Path, encoder or token not allowed, or no room",
    404: "Nothing has this name: not yet (with Retry-After), not any more, or never",
    405: "Not with this method",
    408: "The body came too slowly",
    409: "Differs from what the channel holds; the body says in which field",
    410: "Of a push: older than what is compared; of a piece: it has left the window",
    412: "Description or init segment is missing: push them, then again",
    413: "Too large",
    415: "Of a long push: a type of content that is not taken",
    416: "No such range",
    422: "Not what its digest says: push it again",
    503: "Not now, with Retry-After",
}
_READ = (200, 304, 400, 404, 405)
_FILE = (200, 206, 304, 400, 404, 405, 416)
_PIECE = (200, 304, 400, 404, 405, 410)
_SPAN = (START, END)
_REPORTED = (COMPARISON_QUERY, STORAGE_QUERY)
_PUSH = (200, 201, 400, 401, 403, 404, 408, 409, 412, 413, 422, 503)
_PLACES = {
    "namespace": LABEL,
    "channel": LABEL,
    "track": TRACK,
    "segment": NUMBER,
    "part": NUMBER,
    "ticks": NUMBER,
    "name": FILE_NAME,
}

_TOKEN = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The channel's token."},
    "basic": {"type": "http", "scheme": "basic", "description": "It as password, any user."},
}


def _get(summary: str, media_type: str, answers: tuple[int, ...], *query: str) -> dict[str, Any]:
    return {"get": _operation(summary, media_type, answers, [_asked(name) for name in query])}


def _put(summary: str, media_type: str, *more: int, schema: object = None) -> dict[str, Any]:
    headers = [_header(HEADER_ENCODER, ENCODER.pattern)]
    if media_type == _PUSHED:
        headers.append(_header(HEADER_PRIORITY, PRIORITY.pattern))
    if schema is not None:
        headers.append(_header(HEADER_DISCONTINUITY, DISCONTINUITY_ALLOWED))
    headers.append(_header(HEADER_DIGEST, "[0-9a-f]{64}"))
    made = _operation(summary, "application/json", (*_PUSH, *more), headers)
    content = {media_type: {"schema": schema or {"type": "string", "format": "binary"}}}
    made["security"] = [{}, {"bearer": []}, {"basic": []}]
    made["requestBody"] = {"required": True, "content": content}
    return {"put": made, "post": made}


def _operation(
    summary: str, media_type: str, answers: tuple[int, ...], parameters: list[dict[str, Any]]
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "summary": summary,
        "responses": {str(status): {"description": _ANSWERS[status]} for status in answers},
    }
    made["responses"]["200"]["content"] = {media_type: {}}
    if parameters:
        made["parameters"] = parameters
    return made


def _asked(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "string"}}


def _header(name: str, pattern: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": f"^(?:{pattern})$"}
    return {"name": name, "in": "header", "schema": schema}


PATHS: dict[str, dict[str, Any]] = {
    f"{_INGEST}/description.json": _put(
        "Introduce an encoder of a channel",
        "application/json",
        schema={"$ref": _REF.format(model="ChannelDescription")},
    ),
    f"{_INGEST}/{{track}}/init.mp4": _put("Push a CMAF header", _PUSHED),
    f"{_INGEST}/{{track}}/{{segment}}.m4s": _put("Push a CMAF segment", _PUSHED, 410),
    f"{_INGEST}/{{track}}/{{segment}}.{{part}}.m4s": _put("Push a part", _PUSHED, 202, 410),
    f"{_INGEST}/Streams({{track}}.cmfv)": _put(
        "Push a CMAF header, then segments as they are made (.cmfa, .cmfm: the same)",
        _PUSHED,
        415,
    ),
    f"{_CHANNEL}/master.m3u8": _get("HLS multivariant playlist", _HLS, _PIECE, *_SPAN),
    f"{_CHANNEL}/manifest.mpd": _get("DASH manifest, by time", _DASH, _PIECE, *_SPAN),
    f"{_CHANNEL}/numbered.mpd": _get("DASH manifest, by number; low latency", _DASH, _READ),
    f"{_CHANNEL}/utc": _get("What time it is", "text/plain", (200, 404, 405)),
    f"{_CHANNEL}/{{track}}/media.m3u8": _get(
        "HLS media playlist; blocking reload",
        _HLS,
        (*_PIECE, 503),
        "_HLS_msn",
        "_HLS_part",
        "_HLS_skip",
        *_SPAN,
    ),
    f"{_CHANNEL}/{{track}}/init.mp4": _get("CMAF header", _MEDIA, _FILE, "v"),
    f"{_CHANNEL}/{{track}}/{{segment}}.m4s": _get(
        "Segment, by its number", _MEDIA, (*_FILE, 503), "v"
    ),
    f"{_CHANNEL}/{{track}}/{{segment}}.{{part}}.m4s": _get("Part", _MEDIA, (*_FILE, 503)),
    f"{_CHANNEL}/{{track}}/t{{ticks}}.m4s": _get(
        "Segment, by its start", _MEDIA, (*_FILE, 503), "v"
    ),
    "/": _get("The page: all channels", "text/html", (200, 304, 405)),
    "/channels/{namespace}/{channel}": _get(
        "The page of one channel", "text/html", (200, 304, 405)
    ),
    "/page/{name}": _get("What pages refer to", "text/javascript", (200, 304, 404, 405)),
    "/healthz": _get("Whether pushes are taken", "application/json", (200, 405, 503)),
    "/metrics": _get("Prometheus' text format", "text/plain", (200, 405)),
    "/api/v1/channels": _get("Reports of all channels", "application/json", (200, 405), *_REPORTED),
    "/api/v1/channels/{namespace}/{channel}": _get(
        "Report of a channel", "application/json", (200, 404, 405), *_REPORTED
    ),
    "/api/v1/events": _get("The page's list, as it changes", _EVENTS, (200, 405, 503)),
    "/api/v1/channels/{namespace}/{channel}/events": _get(
        "The page of a channel, as it changes", _EVENTS, (200, 405, 503)
    ),
    PATH: _get("This document", "application/json", (200, 405)),
}


@cache
def document() -> bytes:
    """The document, as JSON."""
    schemas: dict[str, Any] = {}
    for model in (ChannelDescription, ChannelReport):
        adapter: TypeAdapter[Any] = TypeAdapter(model)
        made = adapter.json_schema(by_alias=True, ref_template=_REF)
        schemas |= made.pop("$defs", {}) | {model.__name__: made}
    body = {
        "openapi": "3.1.0",
        "info": {
            "title": "Hitless origin",
            "version": "v1",
            "description": "Encoders push, viewers read. Each GET answers HEAD as well.",
        },
        "paths": {path: _with_places(path, rows) for path, rows in PATHS.items()},
        "components": {"schemas": schemas, "securitySchemes": _TOKEN},
    }
    return json.dumps(body, indent=1).encode()


def _with_places(path: str, operations: dict[str, Any]) -> dict[str, Any]:
    """The path's own parameters, which all its operations have."""
    places = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": f"^(?:{pattern})$"},
        }
        for name, pattern in _PLACES.items()
        if f"{{{name}}}" in path
    ]
    return {**operations, **({"parameters": places} if places else {})}
