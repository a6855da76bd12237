"""Is a pushed segment what the timeline says? Headers only: pictures are the encoders' matter.

Pure. `ingest` calls it for every init and media segment and every part; a difference is a mismatch,
answered 409 and never published. DESIGN's grid: `mfhd` = k, `tfdt` since the 1970 epoch, whole
frames. Also cuts a whole segment into its parts.
"""

from __future__ import annotations

from collections.abc import Sequence

from hitless_handover.parts import PartGrid
from hitless_handover.timeline import Timeline
from hitless_origin.boxes import (
    BoxError,
    Fragment,
    InitFacts,
    read_boxes,
    read_fragments,
    read_init,
)
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
    _equal(
        f"init of {track.name}: moov/trak/mdia/hdlr handler_type",
        HANDLERS[track.type],
        init.handler,
    )
    _equal(f"init of {track.name}: moov/trak/mdia/mdhd timescale", track.timescale, init.timescale)
    return init


def judge_segment(
    data: bytes, track: TrackDescription, timeline: Timeline, segment: int, init: InitFacts
) -> tuple[Fragment, ...]:
    """Hold a media segment against the grid; its chunks. Raises PushRefused (400, 409)."""
    fragments = _read("segment", data, init)
    what = f"segment {segment} of {track.name}"
    _judge(what, fragments, segment, grid(track, timeline, segment), init.track_id)
    if track.type == "video":
        _begins_with_sync(what, fragments)
    return fragments


def judge_part(
    data: bytes,
    track: TrackDescription,
    parts: PartGrid,
    segment: int,
    part: int,
    *,
    init: InitFacts,
) -> None:
    """Hold a part against the grid. Raises PushRefused (400, 409)."""
    what = part_of(track, segment, part)
    if not 0 <= part < parts.per_segment:
        raise _mismatch(f"{what}: number", f"0 to {parts.per_segment - 1}", part)
    fragments = _read("part", data, init)
    if part == 0:
        _begins_with_styp("part", data)
    if part < parts.per_segment - 1 and fragments[-1].end != len(data):
        # whatever follows belongs to the next part, where a whole segment is cut
        raise _malformed("part", BoxError("boxes after its last mdat"))
    _judge_part(fragments, track, parts, segment, part, track_id=init.track_id)


def cut_segment(
    data: bytes,
    fragments: Sequence[Fragment],
    track: TrackDescription,
    parts: PartGrid,
    segment: int,
) -> tuple[bytes, ...]:
    """Cut a judged segment into its parts: one after the other they are its bytes.

    Raises PushRefused (400, 409) where a part does not end with a chunk, or `judge_part` would.
    """
    _begins_with_styp("segment", data)
    bodies: list[bytes] = []
    begin = first = 0
    for part in range(parts.per_segment):
        count, have, following = part_grid(track, parts, segment, part)[2], 0, first
        while have < count and following < len(fragments):
            have += len(fragments[following].durations)
            following += 1
        if have != count:
            what = f"{part_of(track, segment, part)}: end of its last chunk"
            raise _mismatch(what, f"after {count} samples", f"after {have}")
        own = fragments[first:following]
        _judge_part(own, track, parts, segment, part, track_id=own[0].track_id)
        end = len(data) if part == parts.per_segment - 1 else own[-1].end
        bodies.append(data[begin:end])
        begin, first = end, following
    return tuple(bodies)


def part_of(track: TrackDescription, segment: int, part: int) -> str:
    """A part's name in messages."""
    return f"part {part} of segment {segment} of {track.name}"


def grid(track: TrackDescription, timeline: Timeline, segment: int) -> tuple[int, int, int]:
    """First decode time and sample duration, in the track's ticks, and number of samples."""
    if track.type == "video":
        first = timeline.pts_ticks(timeline.first_frame(segment))
        return first, timeline.frame_ticks, timeline.segment_frames
    samples = track.frame_samples
    first = timeline.first_audio_frame(segment, samples)
    count = timeline.first_audio_frame(segment + 1, samples) - first
    return first * samples, samples, count


def part_grid(
    track: TrackDescription, parts: PartGrid, segment: int, part: int
) -> tuple[int, int, int]:
    """The same of a part."""
    timeline = parts.timeline
    if track.type == "video":
        first = timeline.pts_ticks(parts.first_frame(segment, part))
        return first, timeline.frame_ticks, parts.part_frames
    samples = track.frame_samples
    first = parts.first_audio_frame(segment, part, samples)
    count = parts.first_audio_frame(segment, part + 1, samples) - first
    return first * samples, samples, count


def _read(what: str, data: bytes, init: InitFacts) -> tuple[Fragment, ...]:
    try:
        return read_fragments(data, init)
    except BoxError as error:
        raise _malformed(what, error) from error


def _judge(
    what: str,
    fragments: Sequence[Fragment],
    segment: int,
    expected: tuple[int, int, int],
    track_id: int,
) -> None:
    """expected: first decode time, sample duration, number of samples, as `grid` has them."""
    start, step, count = expected
    decode_ticks = start
    for at, fragment in enumerate(fragments):
        moof = _moof(fragments, at)
        _equal(f"{what}: {moof}/mfhd sequence_number", segment & 0xFFFF_FFFF, fragment.sequence)
        _equal(f"{what}: {moof}/traf/tfhd track_ID", track_id, fragment.track_id)
        _equal(f"{what}: {moof}/traf/tfdt", decode_ticks, fragment.decode_ticks)
        wrong = next((row for row in enumerate(fragment.durations) if row[1] != step), None)
        if wrong is not None:
            raise _mismatch(f"{what}: {moof}/traf/trun sample {wrong[0]} duration", step, wrong[1])
        sizes = f"{what}: {moof.replace('moof', 'mdat')} bytes, as its samples have"
        _equal(sizes, sum(fragment.sizes), fragment.media_bytes)
        decode_ticks += step * len(fragment.durations)
    samples = sum(len(f.durations) for f in fragments)
    _equal(f"{what}: moof/traf/trun sample_count, of all", count, samples)
    _judge_pictures(what, fragments, start, step)


def _moof(fragments: Sequence[Fragment], at: int) -> str:
    """The path of a chunk's moof: with its number, from 0, where there are several."""
    return "moof" if len(fragments) == 1 else f"moof[{at}]"


def _judge_part(
    fragments: Sequence[Fragment],
    track: TrackDescription,
    parts: PartGrid,
    segment: int,
    part: int,
    *,
    track_id: int,
) -> None:
    what = part_of(track, segment, part)
    _judge(what, fragments, segment, part_grid(track, parts, segment, part), track_id)
    if track.type == "video" and part % parts.per_gop == 0:
        _begins_with_sync(what, fragments)


def _begins_with_sync(what: str, fragments: Sequence[Fragment]) -> None:
    if not fragments[0].sync_first:
        trun = f"{what}: {_moof(fragments, 0)}/traf/trun sample 0"
        raise _mismatch(f"{trun} flags", "a sync sample", "a non-sync sample")


def _begins_with_styp(what: str, data: bytes) -> None:
    first = next(read_boxes(data))
    if first.type != "styp":
        raise _malformed(what, BoxError(f"it begins with {first.type!r}, expected 'styp'"))


def _judge_pictures(what: str, fragments: Sequence[Fragment], start: int, step: int) -> None:
    """Reordered samples must still show every frame of the segment once, and no other."""
    free = set(range(start, start + step * sum(len(f.offsets) for f in fragments), step))
    decode_ticks, last = start, max(free)
    for at, fragment in enumerate(fragments):
        for sample, offset in enumerate(fragment.offsets):
            shown = decode_ticks + offset
            if shown not in free:
                trun = f"{what}: {_moof(fragments, at)}/traf/trun sample {sample}"
                grid_ticks = f"each once of {start} to {last}, every {step} ticks"
                raise _mismatch(f"{trun} presentation time", grid_ticks, shown)
            free.remove(shown)
            decode_ticks += step


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
