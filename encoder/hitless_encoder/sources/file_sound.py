"""The sound of a looped file by sample position, whatever was read before.

The file is decoded in groups of GROUP_SAMPLES, each by a fresh decoder with run-in packets, so a
sample is a pure function of its position in the file. Two groups are kept in memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import Any

import av
from av.container.input import InputContainer
from av.packet import Packet

from hitless_encoder.errors import SourceError
from hitless_encoder.pcm import Pcm, resample, silence, source_span
from hitless_encoder.sources.file_index import FileIndex, SoundIndex, open_file
from hitless_encoder.sources.sound_run import RUN_IN_PACKETS, SoundPacket, SoundRun

GROUP_SAMPLES = 1 << 17  # at the file's rate: 2.7 s at 48 kHz, 1 MiB
_GROUPS_KEPT = 3


class FileSound:
    """Samples of a file's first sound track; silence where it has none."""

    def __init__(self, index: FileIndex) -> None:
        self._path = index.path
        self._index = index.sound
        self._groups: OrderedDict[int, Pcm] = OrderedDict()
        self._container = open_file(index.path)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def read(self, start: int, stop: int) -> Pcm:
        """48 kHz samples [start, stop), counted from the file's first picture."""
        if self._index is None:
            return silence(stop - start)
        rate = self._index.sound.rate
        first, last = source_span(start, stop, rate)
        return resample(self._raw(self._index, first, last), first, start, stop, rate)

    def _raw(self, index: SoundIndex, first: int, last: int) -> Pcm:
        """Samples at the file's own rate."""
        out = silence(last - first)
        for number in range(max(0, first) // GROUP_SAMPLES, (last - 1) // GROUP_SAMPLES + 1):
            origin = number * GROUP_SAMPLES
            begin, end = max(first, origin), min(last, origin + GROUP_SAMPLES)
            if begin < end:
                group = self._group(index, number)
                out[:, begin - first : end - first] = group[:, begin - origin : end - origin]
        return out

    def _group(self, index: SoundIndex, number: int) -> Pcm:
        if number not in self._groups:
            self._groups[number] = self._decode(index, number * GROUP_SAMPLES)
            while len(self._groups) > _GROUPS_KEPT:
                self._groups.popitem(last=False)
        return self._groups[number]

    def _decode(self, index: SoundIndex, origin: int) -> Pcm:
        """Decode [origin, origin + GROUP_SAMPLES) with a fresh decoder."""
        group = silence(GROUP_SAMPLES)
        run = SoundRun(index.sound)
        for packet in self._packets(index, index.packet_before(origin, RUN_IN_PACKETS)):
            if packet.position >= origin + GROUP_SAMPLES:
                break
            for position, pcm in run.feed(packet):
                begin = max(position, origin)
                end = min(position + pcm.shape[1], origin + GROUP_SAMPLES)
                if begin < end:
                    group[:, begin - origin : end - origin] = pcm[
                        :, begin - position : end - position
                    ]
        return group

    def _packets(self, index: SoundIndex, first: int) -> Iterator[SoundPacket]:
        """Packets from the one numbered `first` on."""
        start = index.times[first]
        try:
            stream = self._container.streams.audio[0]
            self._container.seek(start, stream=stream, backward=True)
            packets = _from(self._container, start)
            head = next(packets, None)
            if head is None or head.pts != start:  # MPEG-TS can't be sought to its very start
                self._container.close()
                self._container = open_file(self._path)
                packets = _from(self._container, start)
                head = next(packets, None)
            for packet in chain(() if head is None else (head,), packets):
                position = index.position_of(packet.pts or 0)
                if position is not None:
                    yield SoundPacket(position=position, data=bytes(packet))
        except av.FFmpegError as error:
            raise SourceError(f"file://{self._path}: sound can't be read: {error}") from error


def _from(container: InputContainer, start: int) -> Iterator[Packet[Any]]:
    """Sound packets that are not before a time, from where the container stands."""
    for packet in container.demux(container.streams.audio[0]):
        if packet.pts is not None and packet.pts >= start:
            yield packet
