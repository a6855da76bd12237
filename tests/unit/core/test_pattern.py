from __future__ import annotations

import pytest

from hitless_handover import pattern


@pytest.mark.parametrize("frame", [0, 1, 2**32 - 1, 53_850_000_123])
def test_cells_carry_the_frame_number(frame: int) -> None:
    row = pattern.cells(frame)
    assert len(row) == pattern.NUMBER_CELLS
    number = pattern.number(row)
    assert number == frame % 2**32
    assert pattern.nearest(number, frame + 1000) == frame
    assert pattern.nearest(number, frame - 1000) == frame


def test_any_flipped_cell_is_noticed() -> None:
    row = pattern.cells(123_456_789)
    for i in range(len(row)):
        assert pattern.number((*row[:i], 1 - row[i], *row[i + 1 :])) is None


def test_neighbouring_frames_sound_different() -> None:
    assert len({pattern.tone_hz(n) for n in range(pattern.TONES)}) == pattern.TONES
