"""The images that a channel can be rolled back to, the latest first. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hitless_cli.cluster.errors import NotDone
from hitless_cli.cluster.reading import Channel


def former_images(channel: Channel) -> tuple[str, ...]:
    """Images that were on air, by status: what is on air, then back through completed updates.

    Each once, without the one that the spec asks for. After an update that was called off the first
    is what is on air.
    """
    known = [] if channel.active is None else [channel.active.image]
    for done in reversed(channel.history):
        if done.completed:
            known += [done.successor.image, done.incumbent.image]
    return tuple(image for image in dict.fromkeys(known) if image and image != channel.image)


def chosen_image(channel: Channel, to: str | None) -> str:
    """What `--to N|IMAGE` means; None: the first. Raises NotDone."""
    images = former_images(channel)
    if not images:
        raise NotDone(
            f"{channel.key}: no former image in its record: the updates so far changed settings, "
            "or there was none"
        )
    if to is None:
        return images[0]
    if to in images:
        return to
    if to.isdecimal() and 1 <= int(to) <= len(images):
        return images[int(to) - 1]
    raise NotDone(f"{channel.key}: --to {to} is none of its former images: {numbered(images)}")


def numbered(images: Sequence[str]) -> str:
    """`1 = encoder:v2, 2 = encoder:v1`."""
    return ", ".join(f"{number} = {image}" for number, image in enumerate(images, 1))
