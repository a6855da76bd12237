"""Puts the chunks of all tracks together: to parts, and to segments. Called by session.py."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hitless_encoder.chunks import Chunk
from hitless_encoder.ladder import Encoded

SEGMENTS_MAX = 20  # that something is missing from; small ladders need two


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part in all its tracks. whole: the segment, with its last part. busy_us: it took so long,
    in the slowest track.
    """

    segment: int
    part: int
    tracks: Mapping[str, bytes]
    whole: Mapping[str, bytes] | None
    busy_us: int


@dataclass(slots=True)
class _Segment:
    """The chunks of a segment so far, by track. given: parts that were complete."""

    chunks: dict[str, list[Chunk]]
    busy_us: dict[str, int] = field(default_factory=dict)
    given: int = 0


class Assembly:
    """The segments that are being made."""

    def __init__(self, tracks: Sequence[str]) -> None:
        self._tracks = tuple(tracks)
        self._open: OrderedDict[int, _Segment] = OrderedDict()

    def add(self, encoded: Encoded) -> tuple[list[Piece], list[int]]:
        """Take a chunk: what is complete with it, in order, and segments that never will be.

        A track makes its segments in order. So where all have begun a later one, an earlier one
        stays as it is; and a chunk that follows nothing belongs to what was given up before.
        """
        number, chunk = encoded.segment, encoded.chunk
        segment = self._open.get(number)
        if segment is None and chunk.part == 0:
            segment = self._open[number] = _Segment({name: [] for name in self._tracks})
        if segment is None or len(segment.chunks[encoded.track]) != chunk.part:
            return [], []
        segment.chunks[encoded.track].append(chunk)
        busy_us = segment.busy_us.get(encoded.track, 0) + encoded.busy_us
        segment.busy_us[encoded.track] = busy_us
        pieces = list(self._complete(number, segment))
        begun = number if segment.given else -1
        lost = [other for other in self._open if other < begun]
        lost += [other for other in list(self._open)[:-SEGMENTS_MAX] if other not in lost]
        for other in lost:
            del self._open[other]
        return pieces, lost

    def _complete(self, number: int, segment: _Segment) -> Iterator[Piece]:
        while all(len(rows) > segment.given for rows in segment.chunks.values()):
            part, segment.given = segment.given, segment.given + 1
            rows = {name: segment.chunks[name][part] for name in self._tracks}
            last = all(chunk.last for chunk in rows.values())
            yield Piece(
                segment=number,
                part=part,
                tracks={name: chunk.data for name, chunk in rows.items()},
                whole=self._close(number) if last else None,
                busy_us=max(segment.busy_us.values()),
            )

    def _close(self, number: int) -> dict[str, bytes]:
        chunks = self._open.pop(number).chunks
        return {name: b"".join(chunk.data for chunk in chunks[name]) for name in self._tracks}
