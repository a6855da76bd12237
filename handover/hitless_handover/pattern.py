"""The test pattern's marks: the frame number in the picture and the tone of a frame.

Owns the layout that the encoder's `testpattern:` source draws and the probe reads back. The picture
carries the low 32 bits of the frame number and a CRC-16, as NUMBER_CELLS black and white cells in
one row across the top strip (CELL_STRIP of the height). The sound carries the frame number modulo
TONES: during frame n a tone of tone_hz(n) sounds.
"""

from __future__ import annotations

NUMBER_BITS = 32
CHECK_BITS = 16
GUARD_START = (0, 1)  # black, white: level references on the left …
GUARD_END = (1, 0)  # … and mirrored on the right
NUMBER_CELLS = len(GUARD_START) + NUMBER_BITS + CHECK_BITS + len(GUARD_END)
CELL_STRIP_NUM, CELL_STRIP_DEN = 6, 100  # the strip's share of the picture height
CELL_STRIP_LINES_MIN = 16
BLACK_LUMA, WHITE_LUMA = 24, 228  # inside video range, so that no scaler clips them

TONES = 16
TONE_BASE_HZ = 600
TONE_STEP_HZ = 300


def crc16(number: int) -> int:
    """CRC-16/CCITT-FALSE over the number's 4 big-endian bytes."""
    crc = 0xFFFF
    for byte in (number & 0xFFFFFFFF).to_bytes(4, "big"):
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def cells(frame: int) -> tuple[int, ...]:
    """NUMBER_CELLS values, 0 black and 1 white, left to right, for a frame number."""
    number = frame & 0xFFFFFFFF
    word = number << CHECK_BITS | crc16(number)
    bits = NUMBER_BITS + CHECK_BITS
    return (*GUARD_START, *((word >> (bits - 1 - i)) & 1 for i in range(bits)), *GUARD_END)


def number(row: tuple[int, ...]) -> int | None:
    """The frame number (modulo 2**32) in a row of NUMBER_CELLS cells; None if the check fails."""
    if len(row) != NUMBER_CELLS or row[:2] != GUARD_START or row[-2:] != GUARD_END:
        return None
    word = 0
    for bit in row[2:-2]:
        word = word << 1 | bit
    value, check = word >> CHECK_BITS, word & 0xFFFF
    return value if crc16(value) == check else None


def nearest(value: int, reference: int) -> int:
    """The frame number congruent to `value` modulo 2**32 that lies nearest to `reference`."""
    lap = 1 << NUMBER_BITS
    return reference + (value - reference + lap // 2) % lap - lap // 2


def strip_lines(height: int) -> int:
    """Lines of the picture, from the top, that the cells take: even, for 4:2:0 chroma."""
    return max(CELL_STRIP_LINES_MIN, height * CELL_STRIP_NUM // CELL_STRIP_DEN) & ~1


def tone_hz(frame: int) -> int:
    """The tone that sounds during a frame."""
    return TONE_BASE_HZ + TONE_STEP_HZ * (frame % TONES)
