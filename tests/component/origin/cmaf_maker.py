"""Makes synthetic CMAF: real boxes on the grid, around bytes that are no pictures."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace

from hitless_handover.timeline import Timeline
from hitless_origin.cmaf import grid, part_grid
from hitless_wire.ingest import ChannelDescription, TrackDescription

SYNC, NON_SYNC = 0x0200_0000, 0x0101_0000


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def init_segment(track: TrackDescription, *, salt: bytes = b"") -> bytes:
    """salt: makes another init segment that says the same."""
    handler = b"vide" if track.type == "video" else b"soun"
    mdhd = full(b"mdhd", 0, 0, struct.pack(">IIIII", 0, 0, track.timescale, 0, 0))
    hdlr = full(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, handler), b"\0")
    trex = full(b"trex", 0, 0, struct.pack(">IIIII", 1, 1, 0, 0, NON_SYNC))
    moov = box(b"moov", box(b"trak", box(b"mdia", mdhd, hdlr)), box(b"mvex", trex))
    return box(b"ftyp", b"cmf2", bytes(4), b"cmf2") + moov + (box(b"free", salt) if salt else b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A media segment to be made; change a field to make a wrong one."""

    sequence: int
    decode_ticks: int
    step_ticks: int
    count: int
    sync_first: bool = True
    chunks: int = 1
    ends: tuple[int, ...] = ()  # samples before the end of each chunk but the last, for `chunks`
    sync_every: int = 0  # samples; 0: only the first is one
    reorder: bool = False  # pairs of samples swapped in presentation
    filler: bytes = b""

    def make(self) -> bytes:
        return b"".join(self.parts())

    def parts(self) -> list[bytes]:
        """The segment's chunks; the first has its styp."""
        per_chunk = -(-self.count // self.chunks)
        starts = [0, *(self.ends or range(per_chunk, self.count, per_chunk))]
        chunks = [
            self._chunk(start, end - start)
            for start, end in zip(starts, [*starts[1:], self.count], strict=True)
        ]
        return [box(b"styp", b"msdh", bytes(4), b"msdh") + chunks[0], *chunks[1:]]

    def digest(self) -> str:
        return hashlib.sha256(self.make()).hexdigest()

    def _chunk(self, start: int, count: int) -> bytes:
        samples = [self._sample(start + i) for i in range(count)]

        def moof(data_offset: int) -> bytes:
            rows = b"".join(
                struct.pack(
                    ">IIIi",
                    self.step_ticks,
                    len(data),
                    SYNC if self._is_sync(start + i) else NON_SYNC,
                    self._offset(start + i),
                )
                for i, data in enumerate(samples)
            )
            tfhd = full(b"tfhd", 0, 0x020000, struct.pack(">I", 1))
            tfdt = full(
                b"tfdt", 1, 0, struct.pack(">Q", self.decode_ticks + start * self.step_ticks)
            )
            trun = full(b"trun", 1, 0xF01, struct.pack(">Ii", count, data_offset), rows)
            mfhd = full(b"mfhd", 0, 0, struct.pack(">I", self.sequence & 0xFFFF_FFFF))
            return box(b"moof", mfhd, box(b"traf", tfhd, tfdt, trun))

        return moof(len(moof(0)) + 8) + box(b"mdat", *samples)

    def _is_sync(self, index: int) -> bool:
        begins_gop = index == 0 or bool(self.sync_every and index % self.sync_every == 0)
        return self.sync_first and begins_gop

    def _sample(self, index: int) -> bytes:
        return b"%d/%d %s" % (self.sequence, index, self.filler)

    def _offset(self, index: int) -> int:
        if not self.reorder or index + 1 - index % 2 >= self.count:
            return 0
        return -self.step_ticks if index % 2 else self.step_ticks


def recipe(
    description: ChannelDescription, track: TrackDescription, segment: int, filler: bytes = b""
) -> Recipe:
    """The right recipe for a segment of the description's grid. filler: tells encoders apart."""
    start, step, count = grid(track, description.timeline(), segment)
    made = Recipe(sequence=segment, decode_ticks=start, step_ticks=step, count=count, filler=filler)
    parts = description.parts()
    if parts is None:
        return made
    ticks = [part_grid(track, parts, segment, p)[0] for p in range(1, parts.per_segment)]
    return replace(
        made,
        ends=tuple((at - start) // step for at in ticks),
        sync_every=description.gop_frames if track.type == "video" else 1,
    )


def describe(
    timeline: Timeline, *, window_seconds: int = 20, part_frames: int | None = None
) -> ChannelDescription:
    """Two pictures and a sound on a timeline."""
    video = TrackDescription(
        name="v0",
        type="video",
        codecs="avc1.64001e",
        bandwidth=800_000,
        timescale=timeline.timescale,
        width=640,
        height=360,
    )
    audio = TrackDescription(
        name="audio",
        type="audio",
        codecs="mp4a.40.2",
        bandwidth=96_000,
        timescale=timeline.audio_rate,
        sample_rate=timeline.audio_rate,
        channels=2,
        language="und",
    )
    small = video.model_copy(
        update={"name": "v1", "width": 320, "height": 180, "bandwidth": 300_000}
    )
    return ChannelDescription(
        rate_num=timeline.rate_num,
        rate_den=timeline.rate_den,
        segment_frames=timeline.segment_frames,
        gop_frames=timeline.gop_frames,
        part_frames=part_frames,
        audio_rate=timeline.audio_rate,
        window_seconds=window_seconds,
        tracks=(video, small, audio),
    )


SHORT_GOPS = Timeline(rate_num=25, rate_den=1, segment_frames=50, gop_frames=25)
PAL = Timeline(rate_num=25, rate_den=1, segment_frames=50, gop_frames=50)
NTSC = Timeline(rate_num=30_000, rate_den=1001, segment_frames=60, gop_frames=30)
FIRST = 882_000_000  # a segment number of these days
