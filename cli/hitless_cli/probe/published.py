"""What was published, by digest, to find out whether it stays what it was. Pure and bounded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from hitless_cli.probe.settings import PUBLISHED_REMEMBERED_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A segment as it was fetched first. rechecks: how often it was fetched again."""

    sequence: int
    url: str
    digest: str
    rechecks: int = 0


def digest_of(body: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(body).hexdigest()


class Ledger:
    """The last segments that were fetched, and which of them to fetch again next."""

    def __init__(self) -> None:
        self._segments: dict[int, Published] = {}
        self._turn = 0

    def add(self, sequence: int, url: str, body: bytes) -> None:
        """A segment was fetched for the first time."""
        self._segments[sequence] = Published(sequence=sequence, url=url, digest=digest_of(body))
        while len(self._segments) > PUBLISHED_REMEMBERED_MAX:
            del self._segments[min(self._segments)]

    def sample(self, first: int, last: int) -> Published | None:
        """One to fetch again, of those numbered first to last: by turns the one published just
        before the last and the oldest, and of equals the least often fetched.
        """
        listed = [s for n, s in self._segments.items() if first <= n < last]
        if not listed:
            return None
        self._turn += 1
        sign = -1 if self._turn % 2 else 1
        return min(listed, key=lambda s: (s.rechecks, sign * s.sequence))

    def sweep(self, first: int, last: int, count_max: int) -> list[Published]:
        """Those to fetch again at the end: the least often fetched, then the newest."""
        listed = [s for n, s in self._segments.items() if first <= n <= last]
        return sorted(listed, key=lambda s: (s.rechecks, -s.sequence))[:count_max]

    def rechecked(self, published: Published) -> None:
        """It was fetched again."""
        if published.sequence in self._segments:
            self._segments[published.sequence] = replace(published, rechecks=published.rechecks + 1)

    def forget(self, published: Published) -> None:
        """A fault was found in it; one is enough."""
        self._segments.pop(published.sequence, None)
