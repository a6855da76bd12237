"""What a bucket has on air, written down in spans: a start need not list what is within them.

Pure. `bucket` writes an object for the segments that were published since the one before, each
time that it writes its journal anew. A span that can't be read, or does not join the next, is left
out, and what it holds is listed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, ValidationError

FOLDER = "index"
_DISTANCE = 1_000_000  # further off there is nothing of a channel: numbers of as many digits

log = logging.getLogger(__name__)


class Span(BaseModel):
    """Published segments from `first` to `last`, both included: names and bytes of their objects.

    A segment that is not in it was a gap, or had left when the span was written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int
    last: int
    objects: dict[int, dict[str, tuple[str, int]]]  # by segment and track

    @property
    def name(self) -> str:
        """Its object's."""
        return f"{FOLDER}/{self.first}-{self.last}.json"


def read(bodies: Iterable[bytes]) -> list[Span]:
    """The newest spans of which each joins the next, in order."""
    found = []
    for body in bodies:
        try:
            found.append(Span.model_validate_json(body))
        except ValidationError:
            log.warning("a span of a bucket's index can't be read; it is listed")
    found.sort(key=lambda span: span.last)
    joined: list[Span] = []
    for span in reversed(found):
        if joined and span.last != joined[0].first - 1:
            break
        joined.insert(0, span)
    return joined


def is_ordered(first: int, last: int) -> bool:
    """Whether names of segments around these are in the order of their numbers."""
    return len(str(max(0, first - _DISTANCE))) == len(str(last + _DISTANCE))
