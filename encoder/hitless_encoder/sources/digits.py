"""A tiny 5x7 font for frame numbers and clock times in the test pattern, and for the slate."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

GLYPH_COLUMNS, GLYPH_ROWS = 6, 9  # 5x7 with a border of one on the right, above and below
INK, PAPER = 228, 24

# One string a row of the glyph, top to bottom; five binary digits each.
_GLYPHS = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    ":": "00000 00100 00100 00000 00100 00100 00000",
    "-": "00000 00000 00000 11111 00000 00000 00000",
    ".": "00000 00000 00000 00000 00000 00110 00110",
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "G": "01110 10001 10000 10111 10001 10001 01110",
    "I": "01110 00100 00100 00100 00100 00100 01110",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "N": "10001 11001 10101 10011 10001 10001 10001",
    "O": "01110 10001 10001 10001 10001 10001 01110",
    "S": "01111 10000 10000 01110 00001 00001 11110",
    " ": "00000 00000 00000 00000 00000 00000 00000",
}


@functools.lru_cache(maxsize=256)
def glyph(character: str, scale: int) -> npt.NDArray[np.uint8]:
    """Luma of one character, shape (GLYPH_ROWS * scale, GLYPH_COLUMNS * scale)."""
    dots = np.zeros((GLYPH_ROWS, GLYPH_COLUMNS), np.uint8)
    dots[1:8, :5] = [[int(bit) for bit in row] for row in _GLYPHS[character].split()]
    luma = np.where(dots == 1, INK, PAPER).astype(np.uint8)
    return np.kron(luma, np.ones((scale, scale), np.uint8))


def write(luma: npt.NDArray[np.uint8], text: str, *, top: int, scale: int) -> None:
    """Write a line, centred, into a luma plane; left out where it does not fit."""
    height, width = GLYPH_ROWS * scale, GLYPH_COLUMNS * scale * len(text)
    left = (luma.shape[1] - width) // 2
    if left < 0 or top + height > luma.shape[0]:
        return
    line = np.concatenate([glyph(character, scale) for character in text], axis=1)
    luma[top : top + height, left : left + width] = line
