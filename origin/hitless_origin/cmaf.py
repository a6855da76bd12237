"""Is a pushed segment what the timeline says? Headers only: pictures are the encoders' matter.

Pure. `ingest` calls it for every init and media segment; a difference is a mismatch, answered 409
and never published. DESIGN's grid: `mfhd` = k, `tfdt` since the 1970 epoch, whole frames.
"""

from __future__ import annotations

from hitless_handover.timeline import AAC_FRAME_SAMPLES, Timeline
from hitless_origin.boxes import BoxError, Fragment, InitFacts, read_fragments, read_init
from hitless_origin.errors import PushRefused
from hitless_wire.ingest import TrackDescription

HANDLERS = {"video": "vide", "audio": "soun"}
HINT_GRID = "the encoder cuts off the channel's grid: compare its timeline with description.json"
HINT_BOXES = "push a whole CMAF file as ISO/IEC 23000-19 has it"


def judge_init(data: bytes, track: TrackDescription) -> InitFacts:
    """Read a CMAF header and hold it against the description. Raises PushRefused (400, 409)."""
    try:
        init = read_init(data)
    except BoxError as error:
        raise _malformed("init segment", error) from error
    _equal(f"init of {track.name}: handler", HANDLERS[track.type], init.handler)
    _equal(f"init of {track.name}: timescale", track.timescale, init.timescale)
    return init


def judge_segment(
    data: bytes, track: TrackDescription, timeline: Timeline, segment: int, init: InitFacts
) -> None:
    """Hold a media segment against the grid. Raises PushRefused (400, 409)."""
    try:
        fragments = read_fragments(data, init)
    except BoxError as error:
        raise _malformed("segment", error) from error
    start, step, count = grid(track, timeline, segment)
    what = f"segment {segment} of {track.name}"
    samples = sum(len(f.durations) for f in fragments)
    _equal(f"{what}: tfdt", start, fragments[0].decode_ticks)
    _equal(f"{what}: samples", count, samples)
    expected_ticks = start
    for fragment in fragments:
        _equal(f"{what}: mfhd sequence number", segment & 0xFFFF_FFFF, fragment.sequence)
        _equal(f"{what}: tfdt of a chunk", expected_ticks, fragment.decode_ticks)
        _equal(f"{what}: sample durations", {step}, set(fragment.durations))
        _equal(f"{what}: mdat bytes", sum(fragment.sizes), fragment.media_bytes)
        expected_ticks += step * len(fragment.durations)
    _judge_pictures(what, fragments, start, step)
    if track.type == "video" and not fragments[0].sync_first:
        raise _mismatch(f"{what}: first sample", "a sync sample", "a non-sync sample")


def grid(track: TrackDescription, timeline: Timeline, segment: int) -> tuple[int, int, int]:
    """First decode time and sample duration, in the track's ticks, and number of samples."""
    if track.type == "video":
        first = timeline.pts_ticks(timeline.first_frame(segment))
        return first, timeline.frame_ticks, timeline.segment_frames
    first = timeline.first_audio_frame(segment)
    count = timeline.first_audio_frame(segment + 1) - first
    return first * AAC_FRAME_SAMPLES, AAC_FRAME_SAMPLES, count


def _judge_pictures(what: str, fragments: tuple[Fragment, ...], start: int, step: int) -> None:
    """Reordered samples must still show every frame of the segment once, and no other."""
    offsets = [offset for fragment in fragments for offset in fragment.offsets]
    shown = sorted(i * step + offset for i, offset in enumerate(offsets))
    if shown != list(range(0, step * len(offsets), step)):
        raise _mismatch(
            f"{what}: presentation times",
            f"every {step} ticks from {start}",
            f"{start + shown[0]} to {start + shown[-1]}, off the grid",
        )


def _equal(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise _mismatch(what, expected, got)


def _mismatch(what: str, expected: object, got: object) -> PushRefused:
    return PushRefused(
        409,
        f"{what} differs from the timeline",
        expected=expected,
        got=got,
        hint=HINT_GRID,
        mismatch=True,
    )


def _malformed(what: str, error: BoxError) -> PushRefused:
    return PushRefused(
        400, f"the {what} is broken", expected="whole CMAF boxes", got=error, hint=HINT_BOXES
    )
