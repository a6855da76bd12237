"""What a channel answers to a push that it does not take. Pure: texts live here, no decisions."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from hitless_handover.selection_model import DELIVERIES_MAX, PENDING_MAX, Admission
from hitless_origin.boxes import BoxError, walk
from hitless_origin.errors import PushRefused
from hitless_origin.names import ChannelKey
from hitless_wire.ingest_tokens import REALM
from hitless_wire.init_difference import Difference, init_difference

_BEARER = f'Bearer realm="{REALM}"'
_HINT_INTRODUCE = "push description.json, then init.mp4 of every track, then this again"


def unknown_track(key: ChannelKey, name: str, known: list[str]) -> PushRefused:
    """404: the description has no such track."""
    return PushRefused(
        404, f"channel {key} has no track {name}", expected=", ".join(known), got=name
    )


def not_introduced(encoder: str, missing: str) -> PushRefused:
    """412: the encoder has not pushed what must come first."""
    return PushRefused(412, f"{encoder} has not pushed the {missing}", hint=_HINT_INTRODUCE)


def description_differs(key: ChannelKey, field: str, kept: str, other: str) -> PushRefused:
    """409: the description is not interchangeable."""
    return PushRefused(
        409,
        f"description: {field} differs from what channel {key} holds",
        expected=kept,
        got=other,
        hint="make it equal, or stop all pushes for longer than the channel's window",
        mismatch=True,
    )


def edition_impossible(key: ChannelKey, field: str, kept: str, other: str) -> PushRefused:
    """409: not even another edition of the channel may differ in this."""
    return PushRefused(
        409,
        f"description: {field} differs from what channel {key} holds",
        expected=kept,
        got=other,
        hint="no edition of a channel may change this: make a new channel",
        mismatch=True,
    )


def another_edition(encoder: str, kept: str, other: str) -> PushRefused:
    """409: the encoder is of another edition. kept, other: fingerprints."""
    return PushRefused(
        409,
        f"{encoder} has pushed another description before",
        expected=kept,
        got=other,
        hint="one encoder has one edition; use another encoder id",
        mismatch=True,
    )


def too_many_editions(key: ChannelKey, limit: int) -> PushRefused:
    """403: no room for another edition."""
    return PushRefused(
        403,
        f"channel {key} holds {limit} editions",
        expected=f"at most {limit} in the window, or with encoders that push",
        hint="wait until an old one has left the window, and stop its encoders for as long",
    )


def parts_of_another_edition(encoder: str) -> PushRefused:
    """404: only encoders of the edition on air push parts."""
    return PushRefused(
        404,
        f"{encoder} is not of the edition on air, which alone has parts",
        hint="push the segment whole",
    )


def init_differs(key: ChannelKey, track: str, kept: bytes, other: bytes) -> PushRefused:
    """409: the init segment is not the channel's."""
    found = _first_difference(kept, other)
    return PushRefused(
        409,
        f"init segment of {track}: {found.path} differs from what channel {key} holds",
        expected=found.own,
        got=found.other,
        hint="an interchangeable encoder writes the same init segment",
        mismatch=True,
    )


def _first_difference(kept: bytes, other: bytes) -> Difference:
    """Box and field; digests where boxes that the origin does not need can't be read."""
    with suppress(BoxError):
        found = init_difference(kept, other, walk)
        if found is not None:
            return found
    own, got = (hashlib.sha256(data).hexdigest() for data in (kept, other))
    return Difference(path="digest", own=own, other=got)


def other_bytes(what: str, kept_digest: str, digest: str) -> PushRefused:
    """409: a resend that is none."""
    return PushRefused(
        409,
        f"{what} was pushed before with other bytes",
        expected=kept_digest,
        got=digest,
        hint="one encoder has one output for a segment; use another encoder id",
        mismatch=True,
    )


def too_many_encoders(key: ChannelKey, limit: int) -> PushRefused:
    """403: no room for another encoder."""
    return PushRefused(
        403,
        f"channel {key} has {limit} encoders that push",
        expected=f"at most {limit}",
        hint="stop one, and wait for 15 segments",
    )


def crowded(segment: int) -> PushRefused:
    """503: as many encoders push this segment as are compared."""
    return PushRefused(
        503,
        f"segment {segment} has come from {DELIVERIES_MAX} encoders",
        expected=f"at most {DELIVERIES_MAX}",
        hint="stop one",
        retry_after_s=1,
    )


def too_large(limit: int, got: int | None) -> PushRefused:
    """413: more bytes than the track's bandwidth makes of a segment."""
    return PushRefused(
        413,
        "the body is too large",
        expected=f"at most {limit} bytes",
        got=got,
        hint="check the track's bandwidth in description.json",
    )


def not_allowed(raw_path: str) -> PushRefused:
    """403: no path that may be pushed to."""
    return PushRefused(
        403,
        "this path may not be pushed to",
        expected="/ingest/{namespace}/{channel}/… as proto/hitless_wire/ingest.py has it",
        got=raw_path[:200],
        hint="names hold a-z, 0-9 and -; numbers have no leading zero",
    )


def no_token() -> PushRefused:
    """401: this origin has keys, and the push has no token."""
    return PushRefused(
        401,
        "pushes to this origin need the channel's token",
        hint="send it as Authorization: Bearer, or as the password of Basic",
        challenges=(_BEARER, f'Basic realm="{REALM}"'),
    )


def token_of_another(key: ChannelKey) -> PushRefused:
    """403: a token, but not this channel's. The challenge tells it from other refusals."""
    return PushRefused(
        403,
        f"the token is not for channel {key}",
        hint="it is another channel's, or made with a key that this origin has no longer",
        challenges=(f'{_BEARER}, error="insufficient_scope"',),
    )


def unwanted(admission: Admission, segment: int, last: int | None) -> PushRefused | None:
    """410 or 503: the segment is decided, or too far ahead. None: it is wanted."""
    if admission is Admission.GONE:
        return PushRefused(
            410,
            f"segment {segment} is decided and gone",
            expected=f"{(last or 0) + 1} or later",
            got=segment,
            hint="go on with the current segment",
        )
    if admission is Admission.TOO_FAR:
        return PushRefused(
            503,
            f"segment {segment} is too far ahead of the channel",
            expected=f"at most {PENDING_MAX} segments after {last}",
            got=segment,
            hint="push it again when the channel has caught up",
            retry_after_s=1,
        )
    return None
