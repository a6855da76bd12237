"""Gives the memory of pictures back: set once, before the first is made.

glibc raises the size from which it maps memory by itself with each block that is freed, up to 32
MiB. Planes of pictures then come from its heaps, one for each thread, which small things keep
from shrinking. With a fixed threshold (mallopt(3), M_MMAP_THRESHOLD) each plane is a mapping of
its own; FFmpeg pools them, so it costs no time that could be measured, and saves a sixth of the
memory of a ladder from 480p down.
"""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
_PLANE_BYTES_MIN = 1 << 16  # less than a luma plane of 320x240


def give_pictures_back() -> None:
    """Set the threshold; nothing where the C library has no mallopt."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _PLANE_BYTES_MIN)
