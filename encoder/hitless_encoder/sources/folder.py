"""The `file:///folder/` source: all its media files in the order of their names, looped as one.

Frame n of the timeline shows frame n mod L of the programme, where L is the sum of the files'
lengths in whole timeline frames; so whichever process starts whenever shows the same, as long as it
sees the same files. The folder is read when the source is opened.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import av

from hitless_encoder.errors import SourceError
from hitless_encoder.pcm import Pcm
from hitless_encoder.sources.file_index import FileIndex, index_file
from hitless_encoder.sources.looped_file import LoopedFile
from hitless_handover.timeline import Timeline

FILES_MAX = 1000
MEDIA_NAME = re.compile(
    r"\.(3gp|avi|flv|m2ts|m2v|m4v|mkv|mov|mp4|mpeg|mpg|mts|mxf|ts|vob|webm)$", re.IGNORECASE
)

_log = logging.getLogger(__name__)


class LoopedFolder:
    """A Rendering of a folder; one of its files is open at a time. Raises SourceError."""

    def __init__(self, path: str, *, timeline: Timeline, size: tuple[int, int]) -> None:
        self._line = timeline
        self._size = size
        self._clips = [index_file(str(one), timeline) for one in _media_files(path)]
        self._starts = [0, *accumulate(clip.frames for clip in self._clips)]
        self._open: tuple[int, LoopedFile] | None = None
        _log.info("%s: %d files, %d frames", path, len(self._clips), self._starts[-1])

    def picture(self, frame: int) -> av.VideoFrame:
        """The picture of a timeline frame."""
        clip, first = self._at(frame)
        return clip.picture(frame - first)

    def pcm(self, frame: int) -> Pcm:
        """The sound of a timeline frame; positions count from the start of its file."""
        clip, first = self._at(frame)
        return clip.pcm_since(first, frame)

    def close(self) -> None:
        """Close the open file."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _at(self, frame: int) -> tuple[LoopedFile, int]:
        """The file that a frame is in, and the frame at which that began."""
        place = frame % self._starts[-1]
        number = bisect_right(self._starts, place) - 1
        if self._open is None or self._open[0] != number:
            self.close()
            index: FileIndex = self._clips[number]
            clip = LoopedFile(index.path, timeline=self._line, size=self._size, index=index)
            self._open = (number, clip)
        return self._open[1], frame - place + self._starts[number]


def _media_files(path: str) -> list[Path]:
    try:
        found = sorted(
            one for one in Path(path).iterdir() if MEDIA_NAME.search(one.name) and one.is_file()
        )
    except OSError as error:
        raise SourceError(f"file://{path}: can't be read: {error}") from error
    if not found:
        raise SourceError(f"file://{path}: no file named like {MEDIA_NAME.pattern}")
    if len(found) > FILES_MAX:
        raise SourceError(f"file://{path}: {len(found)} files, at most {FILES_MAX} are looped")
    return found
