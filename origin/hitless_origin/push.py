"""What a channel takes from an encoder, checked and on its way in, and how it ends. Values only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from hitless_handover.part_selection import PartArrived
from hitless_origin.storage import Place


class Answer(Enum):
    """How a push ended. The value is the HTTP status."""

    STORED = 201
    KEPT = 202  # a part; others of its segment are missing
    HELD = 200  # a resend of what the channel holds
    IGNORED = 204  # nothing that an origin needs


@dataclass(frozen=True, slots=True, kw_only=True)
class PartBody:
    """A part's bytes. digest: SHA-256 hex."""

    data: bytes
    digest: str

    @classmethod
    def of(cls, data: bytes) -> PartBody:
        """With its digest."""
        return cls(data=data, digest=hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentPush:
    """A checked media segment on its way in. digest: SHA-256 hex.

    staged: its file; None where the channel holds the segment and only its priority rises.
    parts: the segment, cut; empty where its parts are on the shelf, or its edition has none.
    """

    place: Place
    priority: int
    digest: str
    staged: Path | None
    parts: tuple[PartBody, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPush:
    """A checked part on its way in. bytes_max: what the whole segment may have."""

    place: Place
    part: int
    priority: int
    body: PartBody
    bytes_max: int

    def arrived(self) -> PartArrived:
        """As the core takes it."""
        return PartArrived(
            segment=self.place.segment,
            part=self.part,
            track=self.place.track,
            encoder=self.place.encoder,
            priority=self.priority,
            digest=self.body.digest,
        )
