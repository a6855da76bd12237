"""What a looped file holds, from one pass over its packets: pictures, key pictures, sound, length.

Times are presentation times in ticks of each stream, as integers. Memory: 8 bytes a packet.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.container.input import InputContainer

from hitless_encoder.errors import SourceError
from hitless_encoder.sources.sound_run import CONTINUITY_MS, SoundFormat
from hitless_handover.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundIndex:
    """Sound packets in file order. positions: first sample of each, at sound.rate.

    Position 0 is where the first picture starts. times: the packets' presentation ticks.
    """

    sound: SoundFormat
    time_base: Fraction
    times: array[int]
    positions: array[int]

    def position_of(self, ticks: int) -> int | None:
        """The snapped position of the packet with this time, None for a packet not indexed."""
        place = bisect_left(self.times, ticks)
        if place < len(self.times) and self.times[place] == ticks:
            return self.positions[place]
        return None

    def packet_before(self, position: int, packets: int) -> int:
        """The index of the packet that plays at `position`, less a number of packets."""
        return max(0, bisect_right(self.positions, position) - 1 - packets)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIndex:
    """A looped file. pictures, keys: presentation ticks, ascending. frames: timeline frames (L)."""

    path: str
    time_base: Fraction
    pictures: array[int]
    keys: array[int]
    frames: int
    sound: SoundIndex | None

    def picture_at(self, timeline: Timeline, frame: int) -> int:
        """The ticks of the picture nearest to the start of the file's frame 0 … frames - 1."""
        exact = self.pictures[0] + Fraction(frame * timeline.rate_den, timeline.rate_num) / (
            self.time_base
        )
        after = bisect_left(self.pictures, exact)
        if after == 0:
            return self.pictures[0]
        if after == len(self.pictures):
            return self.pictures[-1]
        early, late = self.pictures[after - 1], self.pictures[after]
        return early if exact - early <= late - exact else late

    def key_before(self, ticks: int, keys_back: int) -> int:
        """The key picture that is `keys_back` before the one that `ticks` depends on."""
        return self.keys[max(0, bisect_right(self.keys, ticks) - 1 - keys_back)]


def open_file(path: str) -> InputContainer:
    """Open a media file. Raises SourceError that names it."""
    try:
        return av.open(path)
    except (av.FFmpegError, OSError) as error:
        raise SourceError(f"file://{path}: can't be opened: {error}") from error


def index_file(path: str, timeline: Timeline) -> FileIndex:
    """Read all packets once. Raises SourceError for a file that can't be looped."""
    if not Path(path).is_file():
        raise SourceError(f"file://{path}: no such file")
    with open_file(path) as container:
        if not container.streams.video:
            raise SourceError(f"file://{path}: no video stream")
        return _Pass(path, container).index(timeline)


class _Pass:
    """The pass over the packets."""

    def __init__(self, path: str, container: InputContainer) -> None:
        self._path = path
        self._container = container
        self._video = container.streams.video[0]
        self._audio = container.streams.audio[0] if container.streams.audio else None

    def index(self, timeline: Timeline) -> FileIndex:
        """The index of the file."""
        pictures, keys, sounds = array("q"), array("q"), array("q")
        latest, last_ticks = -(1 << 63), 0
        streams = [self._video] if self._audio is None else [self._video, self._audio]
        for packet in self._container.demux(*streams):
            if packet.pts is None or packet.is_discard:
                continue
            if packet.stream_index == self._video.index:
                pictures.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
                if packet.pts > latest:
                    latest, last_ticks = packet.pts, packet.duration or 0
            else:
                sounds.append(packet.pts)
        if not pictures or not keys:
            raise SourceError(f"file://{self._path}: no picture with a time stamp; remux it to MP4")
        ordered = array("q", sorted(pictures))
        return FileIndex(
            path=self._path,
            time_base=self._video.time_base or Fraction(1, 1),
            pictures=ordered,
            keys=array("q", sorted(keys)),
            frames=self._frames(ordered, last_ticks, timeline),
            sound=self._sound(array("q", sorted(sounds)), ordered[0]),
        )

    def _frames(self, pictures: array[int], last_ticks: int, timeline: Timeline) -> int:
        """Whole timeline frames from the first picture to the end of the last."""
        if len(pictures) > 1:
            last_ticks = last_ticks or pictures[-1] - pictures[-2]
        base = self._video.time_base or Fraction(1, 1)
        seconds = (pictures[-1] - pictures[0] + last_ticks) * base
        # half a tick of grace for containers that round times to milliseconds
        frames = int((seconds + base / 2) * timeline.rate_num / timeline.rate_den)
        if frames < 1:
            raise SourceError(f"file://{self._path}: shorter than one frame of the timeline")
        return frames

    def _sound(self, times: array[int], video_start: int) -> SoundIndex | None:
        if self._audio is None or not times:
            return None
        sound = SoundFormat.of(self._audio)
        base = self._audio.time_base or Fraction(1, 1)
        start = video_start * (self._video.time_base or Fraction(1, 1))
        exact = [round((ticks * base - start) * sound.rate) for ticks in times]
        size = _packet_samples(exact, self._audio.codec_context.frame_size)
        return SoundIndex(
            sound=sound, time_base=base, times=times, positions=_snapped(exact, size, sound.rate)
        )


def _packet_samples(positions: list[int], declared: int) -> int | None:
    """Samples in each packet when they are all alike within rounding, else None."""
    steps = sorted(after - before for before, after in pairwise(positions))
    if not steps:
        return None
    middle = steps[len(steps) // 2]
    return declared if declared and abs(middle - declared) * 10 < declared else None


def _snapped(positions: list[int], size: int | None, rate: int) -> array[int]:
    """Positions with jitter taken out: each follows the one before when it nearly does."""
    snapped = array("q")
    for position in positions:
        follows = snapped[-1] + size if size and snapped else position
        near = abs(position - follows) * 1000 < CONTINUITY_MS * rate
        snapped.append(follows if near else position)
    return snapped
