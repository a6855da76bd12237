"""A viewer of low-latency HLS: waits for each part and notes what it got."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import aiohttp

_PART = re.compile(r'#EXT-X-PART:.*URI="(?P<segment>\d+)\.(?P<part>\d+)\.m4s"')


@dataclass
class PartViewer:
    """Follows one track from the live edge on. seen: (segment, part), and whether it was a gap."""

    url: str
    seen: list[tuple[int, int, bool]] = field(default_factory=list)
    bodies: dict[tuple[int, int], bytes] = field(default_factory=dict)

    async def follow(self, http: aiohttp.ClientSession) -> None:
        """Reload for the next part, without end."""
        while True:
            query = ""
            if self.seen:
                segment, part, _ = self.seen[-1]
                query = f"?_HLS_msn={segment}&_HLS_part={part + 1}"
            async with http.get(f"{self.url}/media.m3u8{query}") as response:
                assert response.status == 200, await response.text()
                await self._take(http, await response.text())

    async def _take(self, http: aiohttp.ClientSession, playlist: str) -> None:
        for line in playlist.splitlines():
            match = _PART.match(line)
            if match is None:
                continue
            segment, part, gap = int(match["segment"]), int(match["part"]), "GAP=YES" in line
            if self.seen and (segment, part) <= self.seen[-1][:2]:
                continue
            if not gap:
                async with http.get(f"{self.url}/{segment}.{part}.m4s") as response:
                    assert response.status == 200
                    self.bodies[segment, part] = await response.read()
            self.seen.append((segment, part, gap))
