"""Writing to a terminal in place, and plainly elsewhere: what every live view of the CLI shares.

Owns the escape sequences. A `LiveLine` is the last line of a log; a `LiveBlock` is a whole screen.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TextIO

_ERASE_LINE = "\r\x1b[2K"
_UP = "\x1b[{}A"
_ERASE_BELOW = "\x1b[J"


class LiveLine:
    """Lines that stay, and on a terminal one live line below them that is rewritten in place."""

    def __init__(self, stream: TextIO, *, live: bool) -> None:
        self._stream = stream
        self.live = live
        self.line = ""

    def show(self, line: str) -> None:
        """Put it in place of the live line; empty for none. Elsewhere than on a terminal: no-op."""
        self.line = line
        if self.live:
            self._stream.write(_ERASE_LINE + _cut(line))
            self._stream.flush()

    def print(self, *lines: str) -> None:
        """Lines that stay, above the live one."""
        text = "".join(f"{line}\n" for line in lines)
        if self.live:
            text = _ERASE_LINE + text + _cut(self.line)
        self._stream.write(text)
        self._stream.flush()


class LiveBlock:
    """Some lines that are rewritten in place. Only for a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._height = 0

    def show(self, lines: Sequence[str]) -> None:
        """Put them in place of those shown before; what does not fit on the screen is cut."""
        room = max(1, shutil.get_terminal_size().lines - 1)
        kept = [_cut(line) for line in lines[:room]]
        up = _UP.format(self._height) if self._height else ""
        self._stream.write(up + "\r" + _ERASE_BELOW + "".join(f"{line}\n" for line in kept))
        self._stream.flush()
        self._height = len(kept)


def _cut(line: str) -> str:
    """No wider than the terminal: a wrapped line can't be erased."""
    return line[: shutil.get_terminal_size().columns - 1]
