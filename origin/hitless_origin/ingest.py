"""The HTTP side of pushes (proto/hitless_wire/ingest.py): who, what, how long, and is it whole.

Reads and checks a body before the channel hears of it: path, headers, size, digest, boxes. Nothing
of a body that breaks off, is too long or is wrong ever reaches the disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientError, hdrs, web

from hitless_handover.parts import PartGrid
from hitless_handover.timeline import Timeline
from hitless_origin.boxes import InitFacts
from hitless_origin.channel import Channel
from hitless_origin.cmaf import judge_init, judge_part, judge_segment
from hitless_origin.description import read_description
from hitless_origin.edition import Edition
from hitless_origin.errors import PushRefused
from hitless_origin.names import (
    IngestPath,
    is_beside,
    is_encoder,
    is_priority,
    parse_ingest,
)
from hitless_origin.origin import Origin
from hitless_origin.push import Answer, PartBody, PartPush, SegmentPush
from hitless_origin.refusals import (
    not_allowed,
    not_introduced,
    parts_of_another_edition,
    too_large,
    unknown_track,
)
from hitless_origin.settings import PlainInput
from hitless_origin.space import is_full
from hitless_origin.storage import Place
from hitless_origin.stream_split import Cut, SegmentCutter
from hitless_origin.streams import Streams
from hitless_origin.tokens import TokenCheck
from hitless_wire.ingest import (
    DISCONTINUITY_ALLOWED,
    HEADER_DIGEST,
    HEADER_DISCONTINUITY,
    HEADER_ENCODER,
    HEADER_PRIORITY,
    TrackDescription,
)

DESCRIPTION_BYTES_MAX = 64 * 1024
INIT_BYTES_MAX = 64 * 1024
IGNORED_BYTES_MAX = 4 * 1024 * 1024
SEGMENT_BYTES_LEAST = 1024 * 1024  # allowed whatever the description says
SEGMENT_BYTES_MAX = 128 * 1024 * 1024
_BANDWIDTH_SLACK = 4  # times what the track's peak bandwidth makes of a segment
_DIGEST = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger(__name__)


class Ingest:
    """The handler of every push below /ingest/. answers: how many ended with which status."""

    def __init__(self, origin: Origin) -> None:
        """Raises StartError."""
        self.tokens = TokenCheck(origin.settings)
        self.answers: Counter[int] = Counter()
        self._origin = origin
        self._settings = origin.settings
        self._running: set[asyncio.Task[web.Response]] = set()
        self._uploads = asyncio.Semaphore(origin.settings.uploads_max)
        self._streams = Streams(
            init_bytes_max=INIT_BYTES_MAX, wait_s_max=origin.settings.upload_s_max
        )

    async def put(self, request: web.Request) -> web.Response:
        """One push."""
        work = asyncio.create_task(self._counted(request))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        # the server cancels the handler of a client that has gone, but no push ends half-way
        return await asyncio.shield(work)

    def unwelcome(self, request: web.Request) -> web.Response | None:
        """The answer to who asks whether to send a body, and has no right to."""
        path = parse_ingest(request.rel_url.raw_path)
        refusal = None if path is None else self._refusal(request, path, announced=True)
        if refusal is None:
            return None
        self.answers[refusal.status] += 1
        return _refused(request, refusal)

    def end_streams(self) -> None:
        """No long push goes on."""
        self._streams.close()

    async def close(self) -> None:
        """Wait for the pushes of clients that have gone: nothing more of their bodies comes."""
        if self._running:
            await asyncio.wait(self._running)

    async def _counted(self, request: web.Request) -> web.Response:
        response = await self._answer(request)
        self.answers[response.status] += 1
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            answer = await self._take(request)
        except PushRefused as refusal:
            return _refused(request, refusal)
        except OSError:
            log.exception("push to %s failed", request.path, extra=_told(request))
            error = PushRefused(503, "the disk failed", hint="push it again", retry_after_s=1)
            return _refused(request, error)
        if answer is Answer.IGNORED:
            return web.Response(status=answer.value)
        return web.json_response({"status": answer.name.lower()}, status=answer.value)

    async def _take(self, request: web.Request) -> Answer:
        path = parse_ingest(request.rel_url.raw_path)
        plain = self._plain(request)
        if plain is not None and _is_ignored(request):
            await self._body(request, IGNORED_BYTES_MAX)
            return Answer.IGNORED
        if path is None or request.method == hdrs.METH_DELETE or (path.stream and plain is None):
            raise not_allowed(request.rel_url.raw_path)
        unwelcome = self._refusal(request, path)
        if unwelcome is not None:
            raise unwelcome
        encoder = request.headers.get(HEADER_ENCODER, "")
        if plain is not None:
            encoder = plain.encoder
        if not is_encoder(encoder):
            raise PushRefused(
                403,
                f"{HEADER_ENCODER} does not name an encoder",
                expected="[a-z0-9-]{1,63}",
                got=encoder[:80],
            )
        if path.track is None:
            return await self._description(request, path, encoder)
        channel = self._origin.channels.get(path.key)
        if channel is None:
            raise not_introduced(encoder, "description")
        try:
            if path.stream:
                return await self._stream(request, channel, path.track, encoder)
            if path.segment is None:
                return await self._init(request, channel, path.track, encoder)
            place = Place(segment=path.segment, encoder=encoder, track=path.track)
            if path.part is not None:
                return await self._part(request, channel, place, path.part)
            return await self._segment(request, channel, place)
        except PushRefused as refusal:
            channel.note_refusal(encoder, refusal)
            raise

    def _refusal(
        self, request: web.Request, path: IngestPath, *, announced: bool = False
    ) -> PushRefused | None:
        """Why this client may not push there; the same whether or not there is such a channel."""
        authorization = request.headers.get(hdrs.AUTHORIZATION)
        return self.tokens.refusal(authorization, path.key, announced=announced)

    def _plain(self, request: web.Request) -> PlainInput | None:
        """Whose a push without any header of ours is."""
        ours = (HEADER_ENCODER, HEADER_PRIORITY)
        return None if any(name in request.headers for name in ours) else self._settings.plain

    async def _description(self, request: web.Request, path: IngestPath, encoder: str) -> Answer:
        try:
            body = await self._body(request, DESCRIPTION_BYTES_MAX)
            description = read_description(body)
            return await self._origin.describe(
                path.key, encoder, description, body, allowed=_may_differ(request)
            )
        except PushRefused as refusal:
            channel = self._origin.channels.get(path.key)
            if channel is not None:
                channel.note_refusal(encoder, refusal)
            raise

    async def _init(
        self, request: web.Request, channel: Channel, name: str, encoder: str
    ) -> Answer:
        track = _track(channel, channel.introductions.edition_of(encoder), name)
        body = await self._body(request, INIT_BYTES_MAX)
        facts = judge_init(body, track)
        return await channel.take_init(encoder, name, body, facts)

    async def _stream(
        self, request: web.Request, channel: Channel, name: str, encoder: str
    ) -> Answer:
        """A track in one long push. Its header first, then each segment when it is whole."""

        def edition() -> Edition:
            return channel.introductions.edition_of(encoder)

        async def init(body: bytes) -> None:
            facts = judge_init(body, _track(channel, edition(), name))
            await channel.take_init(encoder, name, body, facts)

        def cutter(facts: InitFacts) -> tuple[SegmentCutter, int]:
            track, timeline = _track(channel, edition(), name), edition().timeline
            limit = segment_bytes_max(track, timeline)
            return SegmentCutter(track, timeline, facts, limit), limit

        async def segment(cut: Cut) -> Answer:
            place = Place(segment=cut.segment, encoder=encoder, track=name)
            admitted = _admit(request, channel, place, self._settings.plain)
            try:
                return await self._take_body(admitted, cut.body)
            except PushRefused as refusal:
                if channel.deliveries.get(place) is None:
                    raise
                # encoded anew after a break: the first stays
                channel.note_refusal(encoder, refusal)
                return Answer.HELD

        _track(channel, edition(), name)
        return await self._streams.take(request, init=init, cutter=cutter, segment=segment)

    async def _segment(self, request: web.Request, channel: Channel, place: Place) -> Answer:
        admitted = _admit(request, channel, place, self._plain(request))
        return await self._take_body(admitted, await self._body(request, admitted.bytes_max))

    async def _take_body(self, admitted: _Admitted, body: bytes) -> Answer:
        try:
            staged, parts = await asyncio.to_thread(_check_and_stage, admitted, body)
        except OSError as error:
            if not is_full(error):
                raise
            await self._origin.make_room(len(body))
            staged, parts = await asyncio.to_thread(_check_and_stage, admitted, body)
        push = SegmentPush(
            place=admitted.place,
            priority=admitted.priority,
            digest=hashlib.sha256(body).hexdigest(),
            staged=staged,
            parts=parts,
        )
        return await admitted.channel.take_segment(push)

    async def _part(
        self, request: web.Request, channel: Channel, place: Place, part: int
    ) -> Answer:
        grid = channel.introductions.edition_of(place.encoder).grid
        if grid is None:
            raise not_allowed(request.rel_url.raw_path)
        if not channel.may_push_parts(place.encoder):
            raise parts_of_another_edition(place.encoder)
        admitted = _admit(request, channel, place, self._plain(request))
        body = await self._body(request, admitted.bytes_max)
        checked = await asyncio.to_thread(_check_part, admitted, grid, part, body)
        push = PartPush(
            place=place,
            part=part,
            priority=admitted.priority,
            body=checked,
            bytes_max=admitted.bytes_max,
        )
        return await channel.take_part(push)

    async def _body(self, request: web.Request, limit: int) -> bytes:
        """The whole body, with its digest checked. Raises PushRefused (400, 408, 413, 422)."""
        if (request.content_length or 0) > limit:
            raise too_large(limit, request.content_length)
        async with self._uploads:
            try:
                async with asyncio.timeout(self._origin.settings.upload_s_max):
                    body = await _read(request, limit)
            except TimeoutError as error:
                raise PushRefused(
                    408,
                    "the body came too slowly",
                    expected=f"within {self._origin.settings.upload_s_max} s",
                    hint="push it again",
                ) from error
            except (ClientError, ConnectionError, web.RequestPayloadError) as error:
                raise PushRefused(400, "the body broke off", hint="push it again") from error
        expected = _digest(request, required=False)
        got = hashlib.sha256(body).hexdigest()
        if expected is not None and expected != got:
            raise PushRefused(
                422,
                "the body is not what its digest says",
                expected=expected,
                got=got,
                hint="push it again",
                damaged=True,
            )
        return body


def segment_bytes_max(track: TrackDescription, timeline: Timeline) -> int:
    """How many bytes a segment of the track may have, by its bandwidth."""
    peak = track.bandwidth * timeline.segment_ticks // (8 * timeline.timescale)
    return min(SEGMENT_BYTES_MAX, SEGMENT_BYTES_LEAST + _BANDWIDTH_SLACK * peak)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Admitted:
    """What is known of a media push before its body is read."""

    channel: Channel
    edition: Edition
    track: TrackDescription
    place: Place
    facts: InitFacts
    priority: int
    bytes_max: int


def _admit(
    request: web.Request, channel: Channel, place: Place, plain: PlainInput | None
) -> _Admitted:
    """Judge a media push by path and headers. Raises PushRefused (400, 404, 410, 412, 503)."""
    edition = channel.introductions.edition_of(place.encoder)
    track = _track(channel, edition, place.track)
    priority = _priority(request) if plain is None else plain.priority
    _digest(request, required=plain is None)
    channel.check_push(place.encoder, place.track, place.segment)
    facts = edition.facts.get(place.track)
    if facts is None:
        raise not_introduced(place.encoder, f"init segment of {place.track}")
    return _Admitted(
        channel=channel,
        edition=edition,
        track=track,
        place=place,
        facts=facts,
        priority=priority,
        bytes_max=segment_bytes_max(track, edition.timeline),
    )


def _check_and_stage(admitted: _Admitted, body: bytes) -> tuple[Path | None, tuple[PartBody, ...]]:
    edition, track, segment = admitted.edition, admitted.track, admitted.place.segment
    fragments = judge_segment(body, track, edition.timeline, segment, admitted.facts)
    parts = edition.cut(body, fragments, track, segment)
    return admitted.channel.stage(body, admitted.place, admitted.priority), parts


def _check_part(admitted: _Admitted, grid: PartGrid, part: int, body: bytes) -> PartBody:
    track, segment = admitted.track, admitted.place.segment
    judge_part(body, track, grid, segment, part, init=admitted.facts)
    return PartBody.of(body)


def _track(channel: Channel, edition: Edition, name: str) -> TrackDescription:
    """A track of the encoder's edition. Raises PushRefused (404)."""
    track = edition.track(name)
    if track is None:
        known = [track.name for track in edition.description.tracks]
        raise unknown_track(channel.key, name, known)
    return track


def _is_ignored(request: web.Request) -> bool:
    """What muxers do beside pushing: manifests of theirs, and removing what left these."""
    return request.method == hdrs.METH_DELETE or is_beside(request.rel_url.raw_path)


def _may_differ(request: web.Request) -> bool:
    return request.headers.get(HEADER_DISCONTINUITY) == DISCONTINUITY_ALLOWED


async def _read(request: web.Request, limit: int) -> bytes:
    parts, size = [], 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > limit:
            raise too_large(limit, size)
        parts.append(part)
    return b"".join(parts)


def _priority(request: web.Request) -> int:
    text = request.headers.get(HEADER_PRIORITY, "")
    if not is_priority(text):
        raise PushRefused(
            400,
            f"{HEADER_PRIORITY} is no priority",
            expected="the term of the encoder's leadership, or 0",
            got=text[:80],
        )
    return int(text)


def _digest(request: web.Request, *, required: bool) -> str | None:
    text = request.headers.get(HEADER_DIGEST)
    if (text is None and required) or (text is not None and not _DIGEST.fullmatch(text)):
        raise PushRefused(
            400,
            f"{HEADER_DIGEST} is no digest",
            expected="SHA-256 of the body, 64 lower-case hex digits",
            got=None if text is None else text[:80],
        )
    return text


def _refused(request: web.Request, refusal: PushRefused) -> web.Response:
    encoder = request.headers.get(HEADER_ENCODER, "-")[:63]
    log.warning(
        "push of %r to %s refused, %d: %s",
        encoder,
        request.path,
        refusal.status,
        refusal.text(),
        extra=_told(request),
    )
    response = web.json_response(refusal.body(), status=refusal.status)
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    for challenge in refusal.challenges:
        response.headers.add(hdrs.WWW_AUTHENTICATE, challenge)
    return response


def _told(request: web.Request) -> dict[str, str]:
    """What a log line about a push is about: /ingest/{namespace}/{channel}/..."""
    return {"channel": "/".join(request.path.split("/")[2:4])}
