"""Encoders that are wrong on purpose: the real one with one of its pieces spoiled.

    HITLESS_FAULT=frozen python3 bad_encoder.py [arguments of hitless_encoder]

For tests of the acceptance gate (docs/gate.md). It is one file that needs nothing but the encoder,
so that a test image is the product's image and this on top; no image of the product knows it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from hitless_encoder import __main__ as program
from hitless_encoder import chunks, ladder, session, video
from hitless_encoder.mux import media_chunk
from hitless_encoder.pcm import PcmRing
from hitless_encoder.sources.base import Block
from hitless_encoder.video import SegmentEncoder, VideoSettings, VideoTrack
from hitless_handover.messages import PROTOCOL_SKEW_MAX, PROTOCOL_VERSION, Identity
from hitless_handover.timeline import AAC_FRAME_SAMPLES, Timeline

FAULT_VARIABLE = "HITLESS_FAULT"
SECONDS_VARIABLE = "HITLESS_FAULT_SECONDS"  # of `crash`
CRASH_SECONDS = 40.0
EXIT_KILLED = 137
SPEED = 0.9
SOUND_LATE_MS = 100

Planes = npt.NDArray[np.uint8]  # of yuv420p, one above the other: shape (height * 3 / 2, width)
Spoil = Callable[[Block], Block | None]
_LEVEL_OF_AVCC = 4 + 3  # bytes after the name of the box
_RING_SAMPLES = 96_000


def _with_planes(block: Block, change: Callable[[Planes], Planes]) -> Block:
    planes = change(np.array(block.picture.to_ndarray(), np.uint8))
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes), format="yuv420p")
    return replace(block, picture=picture)


def _green(planes: Planes) -> Planes:
    """All zero: what a decoder shows where nothing was written."""
    return np.zeros_like(planes)


def _full_range(planes: Planes) -> Planes:
    """Video range (16 to 235, 16 to 240) stretched to 0 to 255."""
    height = len(planes) * 2 // 3
    levels = planes.astype(np.float32)
    levels[:height] = (levels[:height] - 16) * 255 / 219
    levels[height:] = (levels[height:] - 128) * 255 / 224 + 128
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)


def _swapped(planes: Planes) -> Planes:
    height = len(planes) * 2 // 3
    half = height + (len(planes) - height) // 2
    return np.concatenate((planes[:height], planes[half:], planes[height:half]))


def _corrupted(planes: Planes) -> Planes:
    """The lower half of the luma in coarse noise."""
    height, width = len(planes) * 2 // 3, planes.shape[1]
    noise = np.random.default_rng(1).integers(16, 235, (height // 2 // 8 + 1, width // 8 + 1))
    coarse = np.kron(noise, np.ones((8, 8)))[: height - height // 2, :width]
    planes[height // 2 : height] = coarse
    return planes


def _pictures(change: Callable[[Planes], Planes]) -> Callable[[Timeline], Spoil]:
    return lambda _line: lambda block: _with_planes(block, change)


def _frozen(_line: Timeline) -> Spoil:
    first: list[Planes] = []

    def spoil(block: Block) -> Block:
        first.append(np.array(block.picture.to_ndarray(), np.uint8)) if not first else None
        return _with_planes(block, lambda _: first[0])

    return spoil


def _early(_line: Timeline) -> Spoil:
    """Each frame with the picture of the next."""
    last: list[Block] = []

    def spoil(block: Block) -> Block | None:
        before = last.pop() if last else None
        last.append(block)
        if before is None or before.frame + 1 != block.frame:
            return None
        return replace(before, picture=block.picture)

    return spoil


def _late(_line: Timeline) -> Spoil:
    """Each frame with the picture of the one before."""
    last: list[Block] = []

    def spoil(block: Block) -> Block:
        before = last.pop() if last else block
        last.append(block)
        return _with_planes(block, lambda _: np.array(before.picture.to_ndarray(), np.uint8))

    return spoil


def _silent(_line: Timeline) -> Spoil:
    return lambda block: replace(block, pcm=np.zeros_like(block.pcm))


def _sound_late(line: Timeline) -> Spoil:
    ring, late = PcmRing(_RING_SAMPLES), SOUND_LATE_MS * line.audio_rate // 1000

    def spoil(block: Block) -> Block:
        first, stop = line.first_sample(block.frame), line.first_sample(block.frame + 1)
        ring.write(first + late, block.pcm)
        return replace(block, pcm=ring.read(first, stop))

    return spoil


# Faults of what is encoded.
SPOILS: dict[str, Callable[[Timeline], Spoil]] = {
    "green": _pictures(_green),
    "frozen": _frozen,
    "early": _early,
    "late": _late,
    "range": _pictures(_full_range),
    "swapped": _pictures(_swapped),
    "corrupted": _pictures(_corrupted),
    "silent": _silent,
    "sound-late": _sound_late,
}


def spoiled_ladder(fault: str) -> type[ladder.Ladder]:
    """A ladder that encodes what the fault makes of its input."""

    class SpoiledLadder(ladder.Ladder):
        def __init__(self, *, timeline: Timeline, **rest: Any) -> None:
            super().__init__(timeline=timeline, **rest)
            self._spoil = SPOILS[fault](timeline)

        def feed(self, block: Block) -> None:
            spoiled = self._spoil(block)
            if spoiled is not None:
                super().feed(spoiled)

    return SpoiledLadder


class SlowEncoder(SegmentEncoder):
    """Takes longer for a picture than it is shown."""

    def __init__(self, settings: VideoSettings) -> None:
        super().__init__(settings)
        line = settings.timeline
        self._frame_s = line.rate_den / line.rate_num / SPEED

    def add(self, picture: av.VideoFrame) -> None:
        started_s = time.monotonic()
        super().add(picture)
        time.sleep(max(0.0, self._frame_s - (time.monotonic() - started_s)))


def _put(module: ModuleType, name: str, piece: object) -> None:
    """Give a module another piece under a name that it uses."""
    setattr(module, name, piece)


def _slow() -> None:
    _put(ladder, "SegmentEncoder", SlowEncoder)


def _boundary() -> None:
    """Each segment begins and ends a frame late."""
    write = media_chunk

    def spoiled(*arguments: Any, decode_ticks: int, duration_ticks: int, **rest: Any) -> bytes:
        step = 0 if duration_ticks == AAC_FRAME_SAMPLES else duration_ticks
        return write(
            *arguments, decode_ticks=decode_ticks + step, duration_ticks=duration_ticks, **rest
        )

    _put(chunks, "media_chunk", spoiled)
    _put(session, "Ladder", spoiled_ladder("early"))


def _init() -> None:
    """Another level in the parameter sets' box than in the parameter sets."""
    describe = video.describe

    def spoiled(settings: VideoSettings, **rest: Any) -> VideoTrack:
        track = describe(settings, **rest)
        at = track.init.index(b"avcC") + _LEVEL_OF_AVCC
        level = bytes([track.init[at] + 1])
        return replace(track, init=track.init[:at] + level + track.init[at + 1 :])

    _put(video, "describe", spoiled)


def _old_protocol() -> None:
    old = PROTOCOL_VERSION - PROTOCOL_SKEW_MAX - 1
    _put(program, "Identity", partial(Identity, protocol=old))


def _crash() -> None:
    seconds = float(os.environ.get(SECONDS_VARIABLE) or CRASH_SECONDS)
    # not by a signal: the first process of a container is spared its own
    timer = threading.Timer(seconds, os._exit, (EXIT_KILLED,))
    timer.daemon = True
    timer.start()


# Faults of the process and of what is around the pictures.
PROCESSES: dict[str, Callable[[], None]] = {
    "slow": _slow,
    "boundary": _boundary,
    "init": _init,
    "old-protocol": _old_protocol,
    "crash": _crash,
}
FAULTS = (*SPOILS, *PROCESSES)


def main() -> int:
    """The encoder with the fault that HITLESS_FAULT names; none without it."""
    fault = os.environ.get(FAULT_VARIABLE, "")
    if fault in SPOILS:
        _put(session, "Ladder", spoiled_ladder(fault))
    elif fault in PROCESSES:
        PROCESSES[fault]()
    elif fault:
        print(f"{FAULT_VARIABLE}={fault}: choose one of {', '.join(FAULTS)}", file=sys.stderr)
        return program.EXIT_CONFIGURATION
    return program.main()


if __name__ == "__main__":
    sys.exit(main())
