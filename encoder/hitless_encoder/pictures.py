"""Frame objects: an av.VideoFrame belongs to one thread that encodes it; others take a copy.

A plain picture is yuv420p with even width and height: what sources hand on.
"""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter


def copied(picture: av.VideoFrame) -> av.VideoFrame:
    """A new frame object with the same planes, of a plain picture."""
    planes = np.asarray(picture.to_ndarray(), np.uint8)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def plain(picture: av.VideoFrame, converter: VideoReformatter) -> av.VideoFrame:
    """The picture itself when it is plain, else a converted one. One converter a thread."""
    width, height = picture.width & ~1, picture.height & ~1
    if picture.format.name == "yuv420p" and (width, height) == (picture.width, picture.height):
        return picture
    return converter.reformat(picture, width, height, format="yuv420p", threads=1)
