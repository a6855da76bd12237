"""AV1 byte syntax: OBUs, av1C, codec string (AV1 specification 5.3 and 5.5, AV1-ISOBMFF 2.3).

Pure functions. Knows nothing of any encoder.
"""

from __future__ import annotations

from collections.abc import Iterator

from hitless_encoder.errors import CodecError

OBU_SEQUENCE_HEADER = 1
OBU_TEMPORAL_DELIMITER = 2
_HAS_EXTENSION, _HAS_SIZE = 0x04, 0x02
_LEVEL_WITH_TIER = 7  # levels above it say Main or High tier


def units(stream: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Type, whole unit and payload of each OBU. Raises CodecError on one without its size."""
    at = 0
    while at < len(stream):
        head = stream[at]
        body = at + (2 if head & _HAS_EXTENSION else 1)
        if not head & _HAS_SIZE:
            raise CodecError("an OBU without its size")
        size = shift = 0
        while True:
            if body >= len(stream):
                raise CodecError("an OBU ends within its header")
            byte = stream[body]
            size |= (byte & 0x7F) << shift
            body, shift = body + 1, shift + 7
            if not byte & 0x80:
                break
        if body + size > len(stream):
            raise CodecError(f"an OBU of {size} bytes does not fit")
        yield head >> 3 & 0xF, stream[at : body + size], stream[body : body + size]
        at = body + size


def sample(stream: bytes) -> bytes:
    """A temporal unit as a sample: without temporal delimiters."""
    return b"".join(unit for kind, unit, _ in units(stream) if kind != OBU_TEMPORAL_DELIMITER)


def decoder_configuration(extradata: bytes) -> bytes:
    """The av1C content for a sequence header OBU (4:2:0, 8 bits)."""
    found = [(u, p) for kind, u, p in units(extradata) if kind == OBU_SEQUENCE_HEADER]
    if len(found) != 1:
        raise CodecError(f"expected one sequence header, got {len(found)}")
    unit, payload = found[0]
    profile, level, tier = _profile(payload)
    if profile != 0:
        raise CodecError(f"expected AV1 Main profile, got {profile}")
    # one marker bit and version 1; then tier, 8 bits, colour, 4:2:0, sample position unknown
    return bytes((0x81, profile << 5 | level, tier << 7 | 0x0C, 0)) + unit


def _profile(payload: bytes) -> tuple[int, int, int]:
    """seq_profile, seq_level_idx and seq_tier of the first operating point."""
    bits = "".join(f"{byte:08b}" for byte in payload[:8])
    if bits[4:7] != "000":  # reduced header, timing, display delay: more would come before
        raise CodecError("a sequence header with timing or display delay")
    at = 7 + 5 + 12
    level = int(bits[at : at + 5], 2)
    tier = int(bits[at + 5]) if level > _LEVEL_WITH_TIER else 0
    return int(bits[:3], 2), level, tier


def codec_string(av1c: bytes) -> str:
    """The name, e.g. av01.0.04M.08, from an av1C content (AV1-ISOBMFF 5)."""
    tier = "H" if av1c[2] & 0x80 else "M"
    return f"av01.{av1c[1] >> 5}.{av1c[1] & 0x1F:02}{tier}.08"
