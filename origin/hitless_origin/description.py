"""The channel description: is it whole, and where do two differ?

Pure. What is interchangeable has one `ChannelDescription.fingerprint`: only bandwidths and the
window may differ. What is not may be another edition of the channel, but for what `unchangeable`
names: segment numbers and playlists must go on.
"""

from __future__ import annotations

import re

from pydantic import ValidationError

from hitless_handover.timeline import Timeline, TimelineError
from hitless_origin.errors import PushRefused
from hitless_origin.view import target_duration_s
from hitless_wire.ingest import ChannelDescription, TrackDescription

TRACKS_MAX = 16
WINDOW_SECONDS_MAX = 86_400
# What manifests quote: no quote mark, comma only between codecs, no line end.
_CODECS = re.compile(r"[A-Za-z0-9.-]{1,64}")
_LANGUAGE = re.compile(r"[A-Za-z0-9-]{1,35}")
_SEGMENT_FIELDS = ("rate_num", "rate_den", "segment_frames")  # what a segment number means
_GRID_FIELDS = (
    *_SEGMENT_FIELDS,
    "gop_frames",
    "part_frames",
    "audio_rate",
)
_HINT = "correct description.json; proto/hitless_wire/ingest.py says what each field means"


def read_description(body: bytes) -> ChannelDescription:
    """Parse and check a description. Raises PushRefused (400)."""
    try:
        description = ChannelDescription.model_validate_json(body)
        timeline = description.timeline()
        description.parts()
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "body"
        raise PushRefused(400, f"description: {field}: {first['msg']}", hint=_HINT) from error
    except TimelineError as error:
        raise PushRefused(400, f"description: {error}", hint=_HINT) from error
    _check_tracks(description)
    for track in description.tracks:
        _check_track(track, timeline)
    if description.window_seconds > WINDOW_SECONDS_MAX:
        raise _bad("windowSeconds", f"at most {WINDOW_SECONDS_MAX}", description.window_seconds)
    return description


def difference(kept: ChannelDescription, other: ChannelDescription) -> tuple[str, str, str] | None:
    """The first field that is not interchangeable: its name, the kept and the other value."""
    if kept.fingerprint() == other.fingerprint():
        return None
    for field in _GRID_FIELDS:
        if getattr(kept, field) != getattr(other, field):
            return field, str(getattr(kept, field)), str(getattr(other, field))
    names = ([t.name for t in kept.tracks], [t.name for t in other.tracks])
    if names[0] != names[1]:
        return "tracks", ", ".join(names[0]), ", ".join(names[1])
    for ours, theirs in zip(kept.tracks, other.tracks, strict=True):
        for field in TrackDescription.model_fields:
            if field != "bandwidth" and getattr(ours, field) != getattr(theirs, field):
                return (
                    f"tracks.{ours.name}.{field}",
                    str(getattr(ours, field)),
                    str(getattr(theirs, field)),
                )
    return "fingerprint", kept.fingerprint(), other.fingerprint()


def unchangeable(
    kept: ChannelDescription, other: ChannelDescription
) -> tuple[str, str, str] | None:
    """The first field in which not even another edition may differ, as `difference` gives it."""
    for field in _SEGMENT_FIELDS:
        if getattr(kept, field) != getattr(other, field):
            return field, str(getattr(kept, field)), str(getattr(other, field))
    types = {track.name: track.type for track in kept.tracks}
    for track in other.tracks:
        if types.get(track.name, track.type) != track.type:
            return f"tracks.{track.name}.type", types[track.name], track.type
    targets = target_duration_s(kept), target_duration_s(other)
    if targets[0] != targets[1]:  # it is a promise for the life of a playlist (RFC 8216 6.2.1)
        return "target duration of tracks and audio_rate", f"{targets[0]} s", f"{targets[1]} s"
    return None


def _check_tracks(description: ChannelDescription) -> None:
    names = [track.name for track in description.tracks]
    kinds = [track.type for track in description.tracks]
    if not 1 <= len(names) <= TRACKS_MAX:
        raise _bad("tracks", f"1 to {TRACKS_MAX}", len(names))
    if len(set(names)) != len(names):
        raise _bad("tracks", "names that differ", ", ".join(names))
    if "video" not in kinds:
        raise _bad("tracks", "at least one video track", ", ".join(kinds))


def _check_track(track: TrackDescription, timeline: Timeline) -> None:
    where = f"tracks.{track.name}"
    video = track.type == "video"
    timescale = timeline.timescale if video else timeline.audio_rate
    if track.timescale != timescale:
        raise _bad(f"{where}.timescale", f"{timescale}, as the grid has it", track.timescale)
    if not _CODECS.fullmatch(track.codecs):
        raise _bad(f"{where}.codecs", "one RFC 6381 codec", track.codecs)
    if track.language is not None and not _LANGUAGE.fullmatch(track.language):
        raise _bad(f"{where}.language", "an RFC 5646 language tag", track.language)
    if video and not (track.width and track.height):
        raise _bad(f"{where}.width and height", "pixels", f"{track.width}x{track.height}")
    if not video and track.sample_rate not in (None, timeline.audio_rate):
        raise _bad(f"{where}.sampleRate", timeline.audio_rate, track.sample_rate)


def _bad(field: str, expected: object, got: object) -> PushRefused:
    return PushRefused(
        400, f"description: {field} can't be right", expected=expected, got=got, hint=_HINT
    )
