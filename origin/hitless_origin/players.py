"""Where players' words (CMCD) are taken from their requests: for `audience`.

Runs when an answer is ready, so that only requests for what is there count. Never changes an
answer: what can't be read is counted, and that is all.
"""

from __future__ import annotations

from aiohttp import web

from hitless_origin import cmcd
from hitless_origin.channel import Channel
from hitless_origin.names import ChannelKey
from hitless_origin.origin import Origin
from hitless_origin.view import segment_at

_PREFIX = "/live/"


class Players:
    """malformed: requests whose CMCD was not to the letter, since the process started."""

    def __init__(self, origin: Origin) -> None:
        self.malformed = 0
        self._origin = origin

    async def hear(self, request: web.Request, response: web.StreamResponse) -> None:
        """A signal: before the headers of each answer."""
        if not request.path.startswith(_PREFIX) or response.status >= 400:
            return
        texts = [] if cmcd.QUERY not in request.query_string else _asked(request)
        texts += [text for name in cmcd.HEADERS for text in request.headers.getall(name, [])]
        if not texts:
            return
        info = request.match_info
        if "namespace" not in info:
            return
        key = ChannelKey(namespace=info["namespace"], channel=info["channel"])
        channel = self._origin.channels.get(key)
        segment = None if channel is None else _segment(channel, request)
        if channel is None or segment is None:
            return
        try:
            data = cmcd.parse(texts)
        except cmcd.CmcdError:
            self.malformed += 1
            return
        if channel.audience.take(data, segment, self._origin.clock.monotonic_us()):
            channel.audience.settle(switch.segment for switch in channel.selection.switches)


def _asked(request: web.Request) -> list[str]:
    return list(request.query.getall(cmcd.QUERY, []))


def _segment(channel: Channel, request: web.Request) -> int | None:
    """What is asked for: a segment in the window, or the live edge. None before there is any."""
    window = channel.window
    if window is None:
        return None
    info, live = request.match_info, window.last + 1
    if "segment" in info:
        return min(int(info["segment"]), live)
    track = channel.editions.on_air.track(info["track"]) if "ticks" in info else None
    found = None if track is None else segment_at(track, channel.timeline, int(info["ticks"]))
    return live if found is None else min(found, live)
