"""A viewer of low-latency HLS: waits for each part and notes what it got."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import aiohttp

_PART = re.compile(r'#EXT-X-PART:.*URI="(?P<segment>\d+)\.(?P<part>\d+)\.m4s"')
Place = tuple[int, int]


@dataclass
class PartViewer:
    """Follows one track from the live edge on. per_segment: parts.

    seen: segment and part, in order. gaps: of these, what was skipped. missing: parts between two
    that were seen, though the playlist went back that far; a viewer that a busy machine let sleep
    for longer than parts are listed has simply not looked.
    """

    url: str
    per_segment: int
    seen: list[Place] = field(default_factory=list)
    gaps: list[Place] = field(default_factory=list)
    missing: list[Place] = field(default_factory=list)

    async def follow(self, http: aiohttp.ClientSession) -> None:
        """Reload for the next part, without end."""
        while True:
            query = ""
            if self.seen:
                segment, part = self.seen[-1]
                query = f"?_HLS_msn={segment}&_HLS_part={part + 1}"
            async with http.get(f"{self.url}/media.m3u8{query}") as response:
                if response.status == 503:
                    continue  # nothing came for as long as a request is held
                assert response.status == 200, await response.text()
                self._take(await response.text())

    def _take(self, playlist: str) -> None:
        listed = [match for line in playlist.splitlines() if (match := _PART.match(line))]
        places = [(int(match["segment"]), int(match["part"])) for match in listed]
        self.gaps += [
            place
            for place, match in zip(places, listed, strict=True)
            if "GAP=YES" in match.string and place not in self.seen
        ]
        for place in places:
            if self.seen and place <= self.seen[-1]:
                continue
            if self.seen and places[0] <= self.seen[-1] and place != self._after(self.seen[-1]):
                self.missing.append(self._after(self.seen[-1]))
            self.seen.append(place)

    def _after(self, place: Place) -> Place:
        segment, part = place
        return (segment, part + 1) if part + 1 < self.per_segment else (segment + 1, 0)
