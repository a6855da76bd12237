"""Frame objects: an av.VideoFrame belongs to one thread that encodes it; others take a copy.

A plain picture is yuv420p with even width and height: what sources hand on.
"""

from __future__ import annotations

import av
import numpy as np
from av.filter import Graph

_SCALING = "bilinear+accurate_rnd+bitexact"


def copied(picture: av.VideoFrame) -> av.VideoFrame:
    """A new frame object with the same planes, of a plain picture."""
    planes = np.asarray(picture.to_ndarray(), np.uint8)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


class Scaler:
    """Scales plain pictures to one size, into planes that are used again: for one thread.

    FFmpeg's filter keeps a pool of pictures. A new one for each frame would be memory that the
    kernel hands out and takes back page by page: a third of what scaling costs.
    """

    def __init__(self, width: int, height: int) -> None:
        self._scale = f"{width}:{height}:flags={_SCALING}"
        self._graph: Graph | None = None
        self._buffer = ""

    def scaled(self, picture: av.VideoFrame) -> av.VideoFrame:
        """A frame object of the scaler's size that nobody else holds."""
        graph, buffer = self._graph, _buffer_of(picture)
        if graph is None or self._buffer != buffer:
            graph = self._graph = self._made(buffer)
            self._buffer = buffer
        graph.vpush(picture)
        return graph.vpull()

    def _made(self, buffer: str) -> Graph:
        graph = Graph()
        graph.threads = 1  # more would divide the picture
        graph.link_nodes(
            graph.add("buffer", buffer),
            graph.add("scale", self._scale),
            graph.add("buffersink"),
        ).configure()
        return graph


def _buffer_of(picture: av.VideoFrame) -> str:
    """What the filter is told to expect: where a picture says other colours, it converts them."""
    return (
        f"width={picture.width}:height={picture.height}:pix_fmt={picture.format.name}"
        f":time_base=1/1:colorspace={picture.colorspace}:range={picture.color_range}"
    )
