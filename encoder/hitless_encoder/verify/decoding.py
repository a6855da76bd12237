"""Segments to pictures and samples. A decoder that only warns is made to fail."""

from __future__ import annotations

import io
from collections.abc import Iterator

import av
import numpy as np
import numpy.typing as npt

from hitless_encoder.pcm import Pcm, silence

# IndexError: no stream of the kind; ValueError: planes that are not what the header said
DECODING_ERRORS = (av.FFmpegError, IndexError, ValueError)
Plane = npt.NDArray[np.uint8]


def pictures(data: bytes) -> Iterator[av.VideoFrame]:
    """Decode init + media bytes. Raises av.FFmpegError; a damaged picture is an error too."""
    options = {"err_detect": "explode"}
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        stream = container.streams.video[0]
        stream.codec_context.options = options
        stream.codec_context.thread_count = 1
        yield from container.decode(stream)


def plane(picture: av.VideoFrame, index: int) -> Plane:
    """A plane of a planar picture, shape (height, width), without padding."""
    found = picture.planes[index]
    lines = np.frombuffer(memoryview(found), np.uint8).reshape(-1, found.line_size)
    return np.asarray(lines[: found.height, : found.width])


def luma(picture: av.VideoFrame) -> Plane:
    """The luma plane, shape (height, width), without padding."""
    return plane(picture, 0)


def samples(data: bytes) -> Pcm:
    """Decode init + media bytes of a sound track. Raises av.FFmpegError."""
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        frames = [np.asarray(f.to_ndarray(), np.float32) for f in container.decode(audio=0)]
    return np.concatenate(frames, axis=1) if frames else silence(0)
