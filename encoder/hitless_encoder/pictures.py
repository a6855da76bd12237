"""Frame objects: an av.VideoFrame belongs to one thread that encodes it; others take a copy.

A plain picture is yuv420p with even width and height: what sources hand on.
"""

from __future__ import annotations

import av
import numpy as np


def copied(picture: av.VideoFrame) -> av.VideoFrame:
    """A new frame object with the same planes, of a plain picture."""
    planes = np.asarray(picture.to_ndarray(), np.uint8)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")
