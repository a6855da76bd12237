"""Cuts one long body of a track, CMAF header and then fragments, into the channel's segments.

Pure: bytes in as they come, whole segments out. It holds the header, or one segment, never more.
Where a segment begins is told by decode times (`tfdt`) on the channel's grid, however many
fragments it has. Its `mfhd` numbers become the segment's, as encoders of the grid write them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from hitless_handover.timeline import Timeline
from hitless_origin.boxes import BoxError, Fragment, InitFacts, read_boxes, read_fragments
from hitless_origin.cmaf import HINT_BOXES, grid
from hitless_origin.errors import PushRefused
from hitless_origin.refusals import too_large
from hitless_wire.ingest import TrackDescription

_LONG = 16  # bytes of a box's head, where its size has 64 bits


class BoxStream:
    """Whole boxes, as their bytes come. limit: bytes that one may have; may be changed."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """Type and bytes of each box that is whole now. Raises PushRefused (400, 413)."""
        self._data += data
        while (size := self._size()) is not None and size <= len(self._data):
            box = bytes(self._data[:size])
            del self._data[:size]
            yield box[4:8].decode("latin-1"), box

    def _size(self) -> int | None:
        """Bytes of the box that begins; None: it is not known yet."""
        if len(self._data) < 8:
            return None
        size, least = int(struct.unpack_from(">I", self._data)[0]), 8
        if size == 1:
            if len(self._data) < _LONG:
                return None
            size, least = int(struct.unpack_from(">Q", self._data, 8)[0]), _LONG
        if size < least:
            raise broken(f"a box of {size} bytes")
        if size > self.limit:
            raise too_large(self.limit, size)
        return size


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A whole segment."""

    segment: int
    body: bytes


class SegmentCutter:
    """What follows the header. bytes_max: of a segment. Raises PushRefused (400, 413)."""

    def __init__(
        self, track: TrackDescription, timeline: Timeline, init: InitFacts, bytes_max: int
    ) -> None:
        self._track = track
        self._timeline = timeline
        self._init = init
        self._bytes_max = bytes_max
        self._head: list[bytes] = []  # of the fragment that begins: styp, prft, emsg, moof
        self._body: list[bytes] = []
        self._bytes = 0
        self._samples = 0
        self._segment: int | None = None

    def box(self, kind: str, data: bytes) -> Cut | None:
        """One more box; the segment that it completes."""
        if kind == "mfra":  # an index of the whole body, at its end
            return None
        self._bytes += len(data)
        if self._bytes > self._bytes_max:
            raise too_large(self._bytes_max, self._bytes)
        self._head.append(data)
        return self._fragment() if kind == "mdat" else None

    def _fragment(self) -> Cut | None:
        data, self._head = b"".join(self._head), []
        try:
            [fragment] = read_fragments(data, self._init)
        except (BoxError, ValueError) as error:
            raise broken(error) from error
        segment = segment_of(self._track, self._timeline, fragment.decode_ticks)
        if segment != self._segment:
            self._segment, self._body = segment, []
            self._bytes, self._samples = len(data), 0
        self._body.append(_numbered(data, segment))
        self._samples += len(fragment.durations)
        return self._whole(fragment)

    def _whole(self, fragment: Fragment) -> Cut | None:
        """One that began within its segment, as a push may, is left out."""
        assert self._segment is not None
        start, step, count = grid(self._track, self._timeline, self._segment)
        if fragment.decode_ticks + step * len(fragment.durations) < start + step * count:
            return None
        cut = Cut(segment=self._segment, body=b"".join(self._body))
        late = self._samples < count
        self._body, self._bytes, self._samples, self._segment = [], 0, 0, None
        return None if late else cut


def segment_of(track: TrackDescription, timeline: Timeline, ticks: int) -> int:
    """The segment in which a sample of this decode time lies."""
    if track.type == "video":
        return ticks // timeline.segment_ticks
    frame, samples = ticks // track.frame_samples, track.frame_samples
    segment = ticks * timeline.timescale // (track.timescale * timeline.segment_ticks)
    while timeline.first_audio_frame(segment, samples) > frame:
        segment -= 1
    while timeline.first_audio_frame(segment + 1, samples) <= frame:
        segment += 1
    return segment


def broken(error: object) -> PushRefused:
    """400: not the boxes of a track."""
    return PushRefused(
        400, "the stream is broken", expected="whole CMAF boxes", got=error, hint=HINT_BOXES
    )


def _numbered(data: bytes, segment: int) -> bytes:
    """The fragment with the segment's number in its mfhd."""
    moof = next(box for box in read_boxes(data) if box.type == "moof")
    mfhd = next(box for box in read_boxes(data, moof.start, moof.end) if box.type == "mfhd")
    at = mfhd.start + 4
    return data[:at] + struct.pack(">I", segment & 0xFFFF_FFFF) + data[at + 4 :]
