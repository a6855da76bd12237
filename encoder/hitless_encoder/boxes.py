"""ISO BMFF boxes as bytes: writing them, and walking those that somebody else wrote.

Pure functions over bytes (ISO/IEC 14496-12, section 4.2). mux.py writes with it, verify/ reads.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from hitless_encoder.errors import BoxError

_HEADER_BYTES = 8
_LARGE_HEADER_BYTES = 16


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box: size, four-character type, content."""
    body = b"".join(parts)
    return struct.pack(">I4s", _HEADER_BYTES + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box with version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def walk(data: bytes, context: str = "file") -> Iterator[tuple[bytes, bytes]]:
    """Type and content of each box in `data`, in order. Raises BoxError on a broken size."""
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEADER_BYTES:
            raise BoxError(f"{context}: {len(data) - offset} stray bytes after the last box")
        size, kind = struct.unpack_from(">I4s", data, offset)
        head = _HEADER_BYTES
        if size == 1 and len(data) - offset >= _LARGE_HEADER_BYTES:
            size = struct.unpack_from(">Q", data, offset + _HEADER_BYTES)[0]
            head = _LARGE_HEADER_BYTES
        if size < head or offset + size > len(data):
            raise BoxError(f"{context}: box {kind!r} of {size} bytes does not fit at {offset}")
        yield kind, data[offset + head : offset + size]
        offset += size


def child(data: bytes, *path: bytes) -> bytes:
    """The content of the first box at a path of types. Raises BoxError when it is missing."""
    for depth, kind in enumerate(path):
        context = "/".join(p.decode("latin-1") for p in path[:depth]) or "file"
        found = next((body for name, body in walk(data, context) if name == kind), None)
        if found is None:
            raise BoxError(f"{context}: no box {kind.decode('latin-1')}")
        data = found
    return data


def tree(data: bytes, containers: frozenset[bytes]) -> list[str]:
    """The paths of all boxes, depth first, descending into `containers`."""
    paths: list[str] = []
    for kind, body in walk(data):
        name = kind.decode("latin-1")
        paths.append(name)
        if kind in containers:
            paths += [f"{name}/{path}" for path in tree(body, containers)]
    return paths
