"""Reads the film's marks in what a channel published: did every frame show and sound as sent?

A picture's number and its frame number on the timeline differ by the same amount in every frame
(modulo the film), and the tone under it is the picture's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hack.sources.film import FRAMES, LINE

from hitless_cli.probe.marks import ToneReader, read_number
from hitless_encoder.verify import luma, pictures, samples
from hitless_handover.pattern import TONE_STEP_HZ, tone_hz
from hitless_handover.timeline import AAC_FRAME_SAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Pictures and tones that were read, and which of them were wrong: frame and what it was.

    offset: what a picture's number is ahead of its frame number, modulo the film.
    """

    offset: int
    pictures: int
    tones: int
    wrong: tuple[str, ...]


def read(folder: Path, video: str, audio: str) -> Marks:
    """What `hitless probe --record` kept of two renditions."""
    shown = _shown(folder / video)
    offset = min((number - frame) % FRAMES for frame, number in _first(shown) if number is not None)
    wrong = [
        f"frame {frame} shows {number}, expected {(frame + offset) % FRAMES}"
        for frame, number in sorted(shown.items())
        if number is None or number % FRAMES != (frame + offset) % FRAMES
    ]
    heard = _heard(folder / audio)
    for frame, hz in heard.items():
        want = tone_hz((frame + offset) % FRAMES)
        if hz is None or abs(hz - want) > TONE_STEP_HZ / 4:
            wrong.append(f"frame {frame} sounds with {hz} Hz, expected {want}")
    return Marks(offset=offset, pictures=len(shown), tones=len(heard), wrong=tuple(wrong))


def segments_in(folder: Path) -> list[int]:
    """The media segments of a rendition that were kept, in order."""
    return sorted(int(path.stem) for path in folder.glob("*.m4s"))


def _init(folder: Path) -> bytes:
    return next(iter(sorted(folder.glob("init-*.mp4")))).read_bytes()


def _first(shown: dict[int, int | None]) -> list[tuple[int, int | None]]:
    """The first frame with a number, which all others are measured by."""
    return [pair for pair in sorted(shown.items()) if pair[1] is not None][:1]


def _shown(folder: Path) -> dict[int, int | None]:
    """Frame number to the number in its picture."""
    init, shown = _init(folder), dict[int, int | None]()
    for segment in segments_in(folder):
        data = init + (folder / f"{segment}.m4s").read_bytes()
        for frame, picture in enumerate(pictures(data), LINE.first_frame(segment)):
            shown[frame] = read_number(luma(picture))
    return shown


def _heard(folder: Path) -> dict[int, float | None]:
    """Frame number to the loudest tone in it; sound is decoded in one go, as a player does."""
    numbers = segments_in(folder)
    media = (folder / f"{number}.m4s" for number in numbers)
    pcm = samples(_init(folder) + b"".join(path.read_bytes() for path in media))
    start = LINE.first_audio_frame(numbers[0]) * AAC_FRAME_SAMPLES
    reader, step = ToneReader(LINE), LINE.audio_rate
    tones = (
        tone
        for at in range(0, pcm.shape[1], step)  # it holds no more than some seconds
        for tone in reader.push(start + at, pcm[0, at : at + step])
    )
    return {tone.frame: tone.hz for tone in tones}
