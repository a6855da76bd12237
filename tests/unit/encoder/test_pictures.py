"""Scaling from rung to rung: planes of another size, and nothing else of them changed."""

from __future__ import annotations

from itertools import product

import av
import numpy as np
import pytest

from hitless_encoder.pictures import Scaler

SIZE = (640, 360)
TO = (426, 240)


def noise(seed: int = 1, size: tuple[int, int] = SIZE) -> av.VideoFrame:
    """A plain picture that any change shows in."""
    width, height = size
    planes = np.random.default_rng(seed).integers(0, 256, (height * 3 // 2, width), np.uint8)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def planes(picture: av.VideoFrame) -> bytes:
    """All samples."""
    return bytes(picture.to_ndarray().tobytes())


def test_what_a_source_says_of_its_colours_changes_none() -> None:
    scaler, plain = Scaler(*TO), planes(Scaler(*TO).scaled(noise()))
    # unspecified, BT.709, BT.601, BT.2020; unspecified, video, full range
    for matrix, levels in product((2, 1, 6, 9), (0, 1, 2)):
        picture = noise()
        picture.colorspace, picture.color_range = matrix, levels
        picture.color_primaries, picture.color_trc = (matrix, matrix)
        picture.pts = 7 - levels
        assert planes(scaler.scaled(picture)) == plain, (matrix, levels)


def test_a_picture_is_its_owners_as_long_as_it_is_held() -> None:
    scaler = Scaler(*TO)
    expected = [planes(Scaler(*TO).scaled(noise(seed))) for seed in range(20)]
    held = [scaler.scaled(noise(seed)) for seed in range(20)]
    assert [planes(picture) for picture in held] == expected


def test_its_input_is_left_as_it_is() -> None:
    picture = noise()
    picture.pts = 5
    before = planes(picture)
    Scaler(*TO).scaled(picture)
    assert (planes(picture), picture.pts) == (before, 5)


@pytest.mark.parametrize("size", [(320, 180), (1280, 720)])
def test_the_source_may_change_its_size(size: tuple[int, int]) -> None:
    scaler = Scaler(*TO)
    first = planes(scaler.scaled(noise()))
    other = scaler.scaled(noise(2, size))
    assert (other.width, other.height, other.format.name) == (*TO, "yuv420p")
    assert planes(scaler.scaled(noise())) == first


def test_memory_is_used_again() -> None:
    scaler = Scaler(*TO)
    picture = noise()
    places = {scaler.scaled(picture).planes[0].buffer_ptr for _ in range(50)}
    assert len(places) <= 3
