"""What can go wrong in an encoder, split by who must act."""

from __future__ import annotations


class EncoderError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(EncoderError):
    """The user must change the configuration; one readable line for each field."""


def not_here(codec: str, error: Exception) -> str:
    """What to say of a codec that FFmpeg refuses to open."""
    words = " ".join(str(error).split())
    return (
        f"this image can't encode {codec} so ({words}): use an image whose FFmpeg can, or choose "
        "another codec"
    )


class SourceError(EncoderError):
    """The source can't be read now; the encoder keeps trying. The message names the source."""


class CodecError(EncoderError):
    """A codec gave something that the timeline does not allow. The session stops."""


class BoxError(EncoderError):
    """Bytes that are not the ISO BMFF structure they should be; the message names the box."""
