"""A looped file: the same pictures and samples whoever starts whenever."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.component.encoder.films import HEIGHT, WIDTH, Film, write
from tests.component.encoder.studio import (
    START_US,
    frame_numbers,
    make_config,
    read_number,
    record,
)

from hitless_encoder.errors import SourceError
from hitless_encoder.sources.looped_file import LoopedFile
from hitless_encoder.verify import luma
from hitless_handover.timeline import Timeline

NTSC = Timeline(rate_num=30000, rate_den=1001, segment_frames=60, gop_frames=60)
THIRTY = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60)
FRAMES = 110  # 3.67 s: loops lie inside segments, and inside GOPs


@pytest.fixture(scope="module", params=["mp4", "matroska", "mpegts"])
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / f"film.{request.param}"
    write(Film(frames=FRAMES), path, request.param)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "plain.mp4"
    write(Film(frames=FRAMES, audio_rate=44_100), path, "mp4")
    return path


def shown(looped: LoopedFile, frame: int) -> int | None:
    return read_number(luma(looped.picture(frame)), HEIGHT)


def test_frame_n_shows_the_files_frame_n_modulo_its_length(film: Path) -> None:
    looped = LoopedFile(str(film), timeline=NTSC, size=(WIDTH, HEIGHT))
    assert looped.index.frames == FRAMES
    start = 53_000_000_000
    for frame in range(start, start + 2 * FRAMES + 7):
        assert shown(looped, frame) == frame % FRAMES
    looped.close()


def test_any_start_gives_the_same_pictures_and_samples(film: Path) -> None:
    start = FRAMES * 481_000_000
    early = LoopedFile(str(film), timeline=NTSC, size=(WIDTH, HEIGHT))
    wanted = {
        frame: (luma(early.picture(frame)).copy(), early.pcm(frame))
        for frame in range(start, start + FRAMES + 20)
    }
    for offset in (1, 23, 24, 25, 70, FRAMES - 1, FRAMES):
        late = LoopedFile(str(film), timeline=NTSC, size=(WIDTH, HEIGHT))
        for frame in range(start + offset, start + offset + 3):
            picture, pcm = late.picture(frame), late.pcm(frame)
            assert np.array_equal(luma(picture), wanted[frame][0]), f"{frame - start}"
            assert np.array_equal(pcm, wanted[frame][1]), f"{frame - start}"
        late.close()
    early.close()


def test_the_sound_is_there_in_its_right_length(film: Path) -> None:
    looped = LoopedFile(str(film), timeline=NTSC, size=(WIDTH, HEIGHT))
    start = FRAMES * 481_000_000
    for frame in range(start, start + FRAMES):
        pcm = looped.pcm(frame)
        assert pcm.shape == (2, NTSC.first_sample(frame + 1) - NTSC.first_sample(frame))
        # the last AAC frames of a file may be cut off by its encoder
        assert frame >= start + FRAMES - 3 or np.sqrt(np.mean(pcm**2)) > 0.1
    looped.close()


def test_sound_of_another_rate_is_resampled_without_a_seam(plain: Path) -> None:
    looped = LoopedFile(str(plain), timeline=NTSC, size=(WIDTH, HEIGHT))
    pcm = np.concatenate([looped.pcm(frame) for frame in range(FRAMES - 4)], axis=1)[0]
    time = np.arange(len(pcm)) / 48_000
    tone = np.abs(np.dot(pcm, np.exp(-2j * np.pi * 440 * time))) * 2 / len(pcm)
    assert tone == pytest.approx(0.2, rel=0.1)
    looped.close()


def test_another_picture_rate_shows_the_nearest_picture(film: Path) -> None:
    looped = LoopedFile(str(film), timeline=THIRTY, size=(WIDTH, HEIGHT))
    length = looped.index.frames
    assert length == FRAMES * 1001 // 1000
    for frame in range(0, length, 7):
        exact = Fraction(frame, 30) * Fraction(30000, 1001)
        number = shown(looped, frame)
        assert number is not None
        assert abs(number - exact) <= Fraction(1, 2)
    looped.close()


def test_a_file_without_sound_is_silent(tmp_path: Path) -> None:
    path = tmp_path / "mute.mp4"
    write(Film(frames=40, audio_rate=None), path, "mp4")
    looped = LoopedFile(str(path), timeline=NTSC, size=(WIDTH, HEIGHT))
    assert not looped.pcm(12).any()
    looped.close()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"file://.*nowhere\.mp4: no such file"):
        LoopedFile(str(tmp_path / "nowhere.mp4"), timeline=NTSC, size=(WIDTH, HEIGHT))


def test_what_is_no_media_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("not a film")
    with pytest.raises(SourceError, match=r"file://.*text\.mp4: can't be opened"):
        LoopedFile(str(path), timeline=NTSC, size=(WIDTH, HEIGHT))


async def test_two_encoders_of_a_looped_file_make_the_same_bytes(film: Path) -> None:
    config = make_config(
        url=film.as_uri(), rate="30000/1001", sizes=((256, 144, 300), (192, 108, 200))
    )
    early = await record(config, segments=5)
    late = await record(config, segments=3, start_us=START_US + 4_900_000)
    common = early.segments.keys() & late.segments.keys()
    assert len(common) == 3
    for segment in common:
        assert early.segments[segment] == late.segments[segment]
        numbers = frame_numbers(early.inits["v144"], early.segments[segment]["v144"], HEIGHT)
        first = early.timeline.first_frame(segment)
        assert numbers == [(first + i) % FRAMES for i in range(60)]
