"""`hitless update`: another encoder image, by server-side apply of spec.image."""

from __future__ import annotations

import click

from hitless_cli.cluster.channels import read
from hitless_cli.cluster.errors import EXIT_CODES_HELP
from hitless_cli.cluster.kube import Kube
from hitless_cli.cluster.options import (
    Where,
    channel_argument,
    force_option,
    output_option,
    program,
    reported,
    timeout_option,
    wait_option,
    where_options,
)
from hitless_cli.cluster.outcome import Order, Outcome, asked_again, update_outcome
from hitless_cli.cluster.reading import Channel, channel_of
from hitless_cli.cluster.waiting import await_outcome, say_at_once, say_outcome
from hitless_cli.cluster.wording import version_of
from hitless_cli.cluster.writing import set_image


@click.command("update", epilog=EXIT_CODES_HELP)
@channel_argument
@where_options
@click.option("--image", required=True, metavar="IMAGE", help="Encoder image to hand over to.")
@wait_option
@timeout_option
@click.option("--dry-run", is_flag=True, help="Let the API server judge it; change nothing.")
@force_option
@output_option()
@reported
def update_command(
    *,
    name: str,
    where: Where,
    image: str,
    wait: bool,
    timeout_s: float,
    dry_run: bool,
    force_conflicts: bool,
    output: str,
) -> None:
    """Hand a channel over to another encoder image.

    With --wait the exit code is 0 only when the handover of this very change has Completed with no
    frame lost.
    """
    with where.session() as kube:
        channel = channel_of(read(kube, where.key(kube, name)))
        if dry_run:
            set_image(kube, channel, image, force=force_conflicts, dry_run=True)
            say_at_once(channel.key, _accepted(channel, image), output)
            return
        change_image(
            kube,
            channel,
            image,
            force=force_conflicts,
            timeout_s=timeout_s if wait else None,
            output=output,
        )


def change_image(
    kube: Kube,
    channel: Channel,
    image: str,
    *,
    force: bool,
    timeout_s: float | None,
    output: str,
) -> None:
    """Apply the image; then wait for the handover, unless timeout_s is None."""
    already = _nothing_to_do(channel, image)
    if already is not None:
        say_at_once(channel.key, already, output)
        return
    made = channel_of(set_image(kube, channel, image, force=force))
    if (failed := asked_again(channel, made)) is not None:
        say_outcome(made.key, failed, output)
    if timeout_s is None:
        say_at_once(made.key, _asked_for(channel, made), output)
        return
    order = _order(channel, made)
    outcome = await_outcome(
        kube, made.key, lambda seen: update_outcome(seen, order), timeout_s=timeout_s
    )
    say_outcome(made.key, outcome, output)


def _order(before: Channel, made: Channel) -> Order:
    """An image that the spec asked for already is the order of whoever asked first."""
    running = before.under_way
    if running is not None and running.successor.image == made.image == before.image:
        return Order(image=made.image, generation=running.generation)
    was_on_air = before.active is not None and before.active.image == made.image
    return Order(
        image=made.image,
        generation=made.generation,
        was_on_air=was_on_air and running is None,
    )


def _nothing_to_do(channel: Channel, image: str) -> Outcome | None:
    on_air = channel.active is not None and channel.active.image == image
    if channel.image != image or not on_air or channel.under_way is not None:
        return None
    return Outcome(done=True, reason="NothingToDo", message=f"{image} is on air and wanted")


def _accepted(channel: Channel, image: str) -> Outcome:
    text = f"would hand over from {version_of(channel.image)} to {version_of(image)}"
    if channel.paused:
        text += ", once resumed: updates are paused"
    return Outcome(done=True, reason="DryRun", message=f"{text}; nothing has changed")


def _asked_for(before: Channel, made: Channel) -> Outcome:
    name = f"{made.key.name} -n {made.key.namespace}"
    text = f"{version_of(before.image)} -> {version_of(made.image)} asked for"
    if made.paused:
        text += f"; updates are paused: {program()} resume {name}"
    else:
        text += f"; watch it with {program()} status {name} --watch"
    return Outcome(done=True, reason="Requested", message=text)
