"""Pictures of any shape into plain ones: yuv420p, square pixels, upright, progressive.

A picture whose aspect ratio (pixels' own included) is the channel's goes on at its own size, and
the ladder scales it; another is scaled to fit the largest rendition, centred between black bars.
What comes out depends on the pictures alone, the one before and the one after included where
they are interlaced; not on when the process began. Used by one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import Interpolation, VideoReformatter

SAME_ASPECT = Fraction(2, 100)  # ratios that differ by less count as equal: no bars
_BLACK, _GREY = 16, 128
_SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


class Shaper:
    """To the aspect ratio of the largest rendition, width x height pixels."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._converter = VideoReformatter()

    def fit(self, picture: av.VideoFrame, pixel_aspect: Fraction | None) -> av.VideoFrame:
        """The plain picture; the very object when there is nothing to do.

        pixel_aspect: width of a pixel over its height; None: square.
        """
        turns = picture.rotation // 90 % 4
        aspect = pixel_aspect or Fraction(1)
        shown = Fraction(picture.width, picture.height) * aspect
        if turns % 2:
            shown = 1 / shown
        wanted = Fraction(self._width, self._height)
        if abs(shown / wanted - 1) < SAME_ASPECT:
            return self._upright(self._sized(picture, picture.width, picture.height), turns)
        width = min(self._width, round(self._height * shown)) & ~1
        height = min(self._height, round(self._width / shown)) & ~1
        across, down = (height, width) if turns % 2 else (width, height)
        return self._barred(self._upright(self._sized(picture, across, down), turns))

    def _sized(self, picture: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        width, height = max(2, width & ~1), max(2, height & ~1)
        if (picture.format.name, picture.width, picture.height) == ("yuv420p", width, height):
            return picture
        return self._converter.reformat(
            picture, width, height, format="yuv420p", interpolation=_SCALING, threads=1
        )

    @staticmethod
    def _upright(picture: av.VideoFrame, turns: int) -> av.VideoFrame:
        """Turned counter-clockwise by quarters, as the display matrix says."""
        if not turns:
            return picture
        planes = [np.rot90(plane, turns) for plane in _planes(picture)]
        return _joined(planes)

    def _barred(self, picture: av.VideoFrame) -> av.VideoFrame:
        top = (self._height - picture.height) // 2 & ~1
        left = (self._width - picture.width) // 2 & ~1
        planes = []
        for index, plane in enumerate(_planes(picture)):
            half = 1 if index == 0 else 2
            level = _BLACK if index == 0 else _GREY
            canvas = np.full((self._height // half, self._width // half), level, np.uint8)
            y, x = top // half, left // half
            canvas[y : y + plane.shape[0], x : x + plane.shape[1]] = plane
            planes.append(canvas)
        return _joined(planes)


def _planes(picture: av.VideoFrame) -> list[np.ndarray[tuple[int, int], np.dtype[np.uint8]]]:
    width, height = picture.width, picture.height
    whole = np.asarray(picture.to_ndarray(), np.uint8).reshape(-1)
    luma, chroma = width * height, width * height // 4
    return [
        whole[:luma].reshape(height, width),
        whole[luma : luma + chroma].reshape(height // 2, width // 2),
        whole[luma + chroma :].reshape(height // 2, width // 2),
    ]


def _joined(planes: list[np.ndarray[tuple[int, int], np.dtype[np.uint8]]]) -> av.VideoFrame:
    height, width = planes[0].shape
    whole = np.concatenate([np.ascontiguousarray(plane).reshape(-1) for plane in planes])
    return av.VideoFrame.from_ndarray(whole.reshape(height * 3 // 2, width), format="yuv420p")


class Deinterlacer:
    """One progressive picture for each (bwdif); progressive ones pass unchanged.

    From the first interlaced picture on, each picture comes out when the next has gone in.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._kind: tuple[int, int, str] | None = None
        self._before: av.VideoFrame | None = None
        self._shown: int | None = None
        self._time_base = Fraction(1)

    def feed(self, picture: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """The pictures that are ready, with their times."""
        kind = (picture.width, picture.height, picture.format.name)
        if self._graph is not None and kind != self._kind:
            yield from self.flush()
        if self._graph is None:
            before, self._before = self._before, picture
            if not picture.interlaced_frame:
                yield picture
                return
            self._begin(picture, before if before is not None and _kind(before) == kind else None)
        yield from self._filtered(picture)

    def flush(self) -> Iterator[av.VideoFrame]:
        """What is left, when nothing follows."""
        graph, self._graph, self._before = self._graph, None, None
        if graph is not None:
            graph.vpush(None)
            yield from self._pulled(graph)

    def _begin(self, picture: av.VideoFrame, before: av.VideoFrame | None) -> None:
        graph = Graph()
        graph.threads = 1
        source = graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=picture.time_base,
        )
        bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
        self._graph, self._kind = graph, _kind(picture)
        self._time_base = picture.time_base or Fraction(1)
        self._shown = None if before is None else before.pts
        if before is not None:  # has been shown; the filter looks back to it
            list(self._filtered(before))

    def _filtered(self, picture: av.VideoFrame) -> Iterator[av.VideoFrame]:
        assert self._graph is not None
        self._graph.vpush(picture)
        yield from self._pulled(self._graph)

    def _pulled(self, graph: Graph) -> Iterator[av.VideoFrame]:
        """What the filter has ready, in the time base of its input; not what was shown before."""
        while True:
            try:
                done = graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert done.pts is not None
            assert done.time_base is not None
            done.pts = round(done.pts * done.time_base / self._time_base)
            done.time_base = self._time_base
            if done.pts != self._shown:
                yield done


def progressive(pictures: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """A whole run of pictures, deinterlaced."""
    deinterlacer = Deinterlacer()
    for picture in pictures:
        yield from deinterlacer.feed(picture)
    yield from deinterlacer.flush()


def _kind(picture: av.VideoFrame) -> tuple[int, int, str]:
    return picture.width, picture.height, picture.format.name
