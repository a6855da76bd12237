"""The `file:///path` source: a file looped against the wall clock.

Frame n of the timeline shows the file's frame n mod L, where L is the number of whole timeline
frames in the file; so whichever process starts whenever shows the same. The sound of frame n is cut
at the same loop, filled with silence or trimmed at its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import av

from hitless_encoder.errors import SourceError
from hitless_encoder.pcm import Pcm
from hitless_encoder.pictures import copied
from hitless_encoder.sources.file_index import FileIndex, index_file, open_file
from hitless_encoder.sources.file_sound import FileSound
from hitless_encoder.sources.shape import Shaper, progressive
from hitless_handover.timeline import Timeline

_KEYS_BACK = (1, 4, 1 << 30)  # seek this many key pictures further back than needed, in turn


class LoopedFile:
    """A Rendering of a file. Raises SourceError when it can't be read.

    size: of the largest rendition, pixels. index: of the file, where it is known.
    """

    def __init__(
        self,
        path: str,
        *,
        timeline: Timeline,
        size: tuple[int, int],
        index: FileIndex | None = None,
    ) -> None:
        self._line = timeline
        self.index = index or index_file(path, timeline)
        self._resources = ExitStack()
        try:
            self._pictures = FilePictures(self.index, Shaper(*size))
            self._resources.callback(self._pictures.close)
            self._sound = FileSound(self.index)
            self._resources.callback(self._sound.close)
        except BaseException:
            self._resources.close()
            raise

    def picture(self, frame: int) -> av.VideoFrame:
        """The picture of a timeline frame."""
        ticks = self.index.picture_at(self._line, frame % self.index.frames)
        return self._pictures.at(ticks)

    def pcm(self, frame: int) -> Pcm:
        """The sound of a timeline frame; positions count from the start of its lap."""
        return self.pcm_since(frame // self.index.frames * self.index.frames, frame)

    def pcm_since(self, first: int, frame: int) -> Pcm:
        """The sound of a timeline frame, where the file's first picture is at frame `first`."""
        lap = self._line.first_sample(first)
        start, stop = self._line.first_sample(frame), self._line.first_sample(frame + 1)
        return self._sound.read(start - lap, stop - lap)

    def close(self) -> None:
        """Close the file."""
        self._resources.close()


class FilePictures:
    """Pictures of a file by presentation time, decoded forwards; goes back by seeking."""

    def __init__(self, index: FileIndex, shaper: Shaper) -> None:
        self._index = index
        self._container = open_file(index.path)
        self._shaper = shaper
        self._decoded: Iterator[av.VideoFrame] = iter(())
        self._shown: _Decoded | None = None  # the newest picture not after the one asked for
        self._next: _Decoded | None = None  # the one decoded after it

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def at(self, ticks: int) -> av.VideoFrame:
        """A new frame with the picture shown at `ticks`: the newest that is not later."""
        try:
            if not self._reachable(ticks):
                self._seek(ticks)
            self._advance(ticks)
        except av.FFmpegError as error:
            raise SourceError(
                f"file://{self._index.path}: picture at tick {ticks} can't be decoded: {error}"
            ) from error
        found = self._shown or self._next
        if found is None:
            raise SourceError(f"file://{self._index.path}: no picture at tick {ticks}")
        return self._given(found)

    def _given(self, found: _Decoded) -> av.VideoFrame:
        """The picture as yuv420p: the frame itself the first time, copies after that."""
        aspect = self._container.streams.video[0].codec_context.sample_aspect_ratio
        picture = self._shaper.fit(found.picture, aspect)
        if picture is not found.picture:
            return picture
        if found.given:
            return copied(picture)
        found.given = True
        return picture

    def _reachable(self, ticks: int) -> bool:
        """Whether going on from here is no longer than seeking."""
        shown = self._shown
        return shown is not None and self._index.key_before(ticks, 1) <= shown.ticks <= ticks

    def _seek(self, ticks: int) -> None:
        """Go to a key picture well before: what follows an open GOP's key picture may need more."""
        for keys_back in _KEYS_BACK:
            key = self._index.key_before(ticks, keys_back)
            video = self._container.streams.video[0]
            self._container.seek(key, stream=video, backward=True)
            if self._begin(ticks):
                return
        # MPEG-TS can't be sought to its very start
        self._container.close()
        self._container = open_file(self._index.path)
        self._begin(ticks)

    def _begin(self, ticks: int) -> bool:
        """Decode from here; whether the first picture is not later than `ticks`."""
        video = self._container.streams.video[0]
        if not video.codec_context.is_open:
            video.codec_context.thread_count = 1
        self._decoded = progressive(self._container.decode(video))
        self._shown, self._next = None, self._pull()
        return self._next is not None and self._next.ticks <= ticks

    def _advance(self, ticks: int) -> None:
        while True:
            self._next = self._next or self._pull()
            if self._next is None or self._next.ticks > ticks:
                return
            self._shown, self._next = self._next, None

    def _pull(self) -> _Decoded | None:
        """The next decoded picture; a damaged one gives its place to the one before it."""
        for picture in self._decoded:
            if picture.pts is not None:
                return _Decoded(ticks=picture.pts, picture=picture)
        return None


@dataclass(slots=True, kw_only=True)
class _Decoded:
    """A picture and its time; `given` once the frame object belongs to somebody else."""

    ticks: int
    picture: av.VideoFrame
    given: bool = False
