"""The mark of an EncoderUpdate on a channel: what it wrote, and what the channel had before.

Owns the annotation, its text and its reading. It is written by the same server-side apply as the
change, so that a channel never has one without the other, and stays as it is when the update is
over: it is one for each channel, the next update's takes its place.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from hitless_operator.fleet.fields import Fields
from hitless_operator.moments import from_time
from hitless_operator.status_model import Moment, StatusModel

MARK_ANNOTATION = "hitless.video/fleet-update"


class ChannelMark(StatusModel):
    """uid, name: the update. change: digest of what it asked for. set: what it wrote.

    earlier: what there was before its first write. at: when. term: the channel's at that time.
    """

    uid: str
    name: str
    change: str
    rolled_back: bool = False
    set: Fields
    earlier: Fields
    at: Moment
    term: int = 0

    @property
    def at_us(self) -> int:
        """When it was written, microseconds since 1970."""
        return from_time(self.at)

    def text(self) -> str:
        """The annotation's value."""
        return self.model_dump_json(by_alias=True)


def mark_of(body: dict[str, Any]) -> ChannelMark | None:
    """The mark that a channel carries; one that can't be read is none."""
    text = (body["metadata"].get("annotations") or {}).get(MARK_ANNOTATION)
    if not text:
        return None
    try:
        return ChannelMark.model_validate_json(text)
    except ValidationError:
        return None
