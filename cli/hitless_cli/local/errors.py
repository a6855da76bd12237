"""What `hitless local` raises, split by who must act."""

from __future__ import annotations


class LocalError(Exception):
    """Base of everything that `hitless local` raises. `lines`: for people, one to a line."""

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


class ChannelFileError(LocalError):
    """The user's channel file can't be used; one line for each field, with its path (exit 2)."""


class DataDirError(LocalError):
    """The data directory is in use, or holds another channel's record (exit 2)."""


class StartError(LocalError):
    """This machine does not let origin or encoder start: port taken, program missing (exit 1)."""
