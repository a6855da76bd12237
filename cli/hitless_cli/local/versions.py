"""Encoder versions on one machine: what an image name selects where there are no images.

Owns the table from an image's tag to the environment of the encoder process. In a cluster the image
carries these settings itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Tag -> x264 preset. Two versions that differ visibly in their bytes and not in their shape.
PRESETS: Mapping[str, str] = MappingProxyType({"v1": "superfast", "v2": "veryfast"})
NO_TAG = "latest"


def tag_of(image: str) -> str:
    """The tag of an image name; a digest when it has only that; `latest` when it has neither."""
    name, _, digest = image.partition("@")
    last = name.rpartition("/")[2]  # a colon before the last slash is a registry's port
    tag = last.partition(":")[2]
    return tag or digest.rpartition(":")[2][:12] or NO_TAG


def with_version(image: str, update: str) -> str:
    """The image that `--update` means: a whole name, or a version for the present one's tag."""
    if "/" in update or ":" in update or "@" in update:
        return update
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}:{update}"


def version_env(image: str) -> dict[str, str]:
    """The environment that makes an encoder process this version."""
    tag = tag_of(image)
    env = {"HITLESS_VERSION": tag}
    if tag in PRESETS:
        env["HITLESS_PRESET"] = PRESETS[tag]
    return env
