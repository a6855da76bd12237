"""The names in ingest and live paths. Nothing else turns a piece of a URL into a file name.

Names are matched against the undecoded path and hold only `a-z 0-9 -`: no dot, slash, percent sign
or other trick can reach the disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hitless_wire.ingest import INIT_NAME, SEGMENT_SUFFIX

LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123 label: Kubernetes names
TRACK = r"[a-z0-9](?:[a-z0-9-]{0,28}[a-z0-9])?"  # hitless_wire.resources.Name
NUMBER = r"0|[1-9][0-9]{0,15}"
FILE_NAME = r"[a-z]+\.[a-z]+"  # of the page
ENCODER = re.compile(r"[a-z0-9-]{1,63}")
PRIORITY = re.compile(r"0|[1-9][0-9]{0,17}")
SEGMENT_LIMIT = 1 << 53  # JSON and JavaScript players count no further
DESCRIPTION_NAME = "description.json"

_INGEST = re.compile(
    rf"/ingest/(?P<namespace>{LABEL})/(?P<channel>{LABEL})/"
    rf"(?:{re.escape(DESCRIPTION_NAME)}|(?P<track>{TRACK})/"
    rf"(?:{re.escape(INIT_NAME)}|"
    rf"(?P<segment>{NUMBER})(?:\.(?P<part>{NUMBER}))?{re.escape(SEGMENT_SUFFIX)}))"
)

# DASH-IF Live Media Ingest v1.2: a track in one long push. And what its senders put beside media.
_STREAM = re.compile(
    rf"/ingest/(?P<namespace>{LABEL})/(?P<channel>{LABEL})/Streams\((?P<track>{TRACK})\.cmf[vam]\)"
)
_BESIDE = re.compile(
    rf"/ingest/{LABEL}/{LABEL}/(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/){{0,2}}"
    r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\.(?:mpd|m3u8)"
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ChannelKey:
    """Namespace and name of a channel."""

    namespace: str
    channel: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestPath:
    """Where a push goes. track None: the description. segment None: the track's init segment.

    part None: a whole segment. stream: the init segment and all after it, in one push.
    """

    key: ChannelKey
    track: str | None = None
    segment: int | None = None
    part: int | None = None
    stream: bool = False


def parse_ingest(raw_path: str) -> IngestPath | None:
    """The undecoded path of a push; None when it is no path that may be pushed to."""
    match = _STREAM.fullmatch(raw_path)
    if match is not None:
        key = ChannelKey(namespace=match["namespace"], channel=match["channel"])
        return IngestPath(key=key, track=match["track"], stream=True)
    match = _INGEST.fullmatch(raw_path)
    if match is None:
        return None
    segment = None if match["segment"] is None else int(match["segment"])
    if segment is not None and segment >= SEGMENT_LIMIT:
        return None
    return IngestPath(
        key=ChannelKey(namespace=match["namespace"], channel=match["channel"]),
        track=match["track"],
        segment=segment,
        part=None if match["part"] is None else int(match["part"]),
    )


def is_beside(raw_path: str) -> bool:
    """Whether an MPD or playlist is pushed beside a channel's media."""
    return _BESIDE.fullmatch(raw_path) is not None


def is_label(text: str) -> bool:
    """Whether the text may name a namespace or channel."""
    return re.fullmatch(LABEL, text) is not None


def is_encoder(text: str) -> bool:
    """Whether the text may name an encoder."""
    return ENCODER.fullmatch(text) is not None


def is_priority(text: str) -> bool:
    """Whether the text is the term of an encoder's leadership, or 0."""
    return PRIORITY.fullmatch(text) is not None
