"""How much room there is for segments: the file system's, and a limit that the settings give.

Reads the file system, changes nothing. `origin` asks it after publications and where a write found
no room, and has windows shortened.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class Tenant(Protocol):
    """A channel: what it has stored, and what its next segments need."""

    @property
    def stored_bytes(self) -> int:
        """Bytes of its segments and its journal."""

    @property
    def reserve_bytes(self) -> int:
        """Bytes that should be free for it at any time."""


class Space:
    """bytes_max: what all channels together may take; None: what the file system has."""

    def __init__(self, folder: Path, bytes_max: int | None) -> None:
        self._folder = folder
        self._bytes_max = bytes_max

    def free_bytes(self, tenants: Iterable[Tenant]) -> int:
        """Bytes that can still be written; negative where the limit is passed."""
        found = os.statvfs(self._folder)
        free = found.f_bavail * found.f_frsize
        if self._bytes_max is None:
            return free
        return min(free, self._bytes_max - sum(tenant.stored_bytes for tenant in tenants))

    def lacking_bytes(self, tenants: Iterable[Tenant], wanted: int = 0) -> int:
        """Bytes that have to go, so that there is a reserve, and what is wanted beside it."""
        those = tuple(tenants)
        reserve = sum(tenant.reserve_bytes for tenant in those)
        return max(0, reserve + wanted - self.free_bytes(those))


def is_full(error: OSError) -> bool:
    """Whether a write failed for want of room."""
    return error.errno in _NO_ROOM
