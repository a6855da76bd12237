"""`hitless rollback`: back to a former image, by the shortest hitless way."""

from __future__ import annotations

import sys

import click

from hitless_cli.cluster.channels import read
from hitless_cli.cluster.commands.abort import call_off
from hitless_cli.cluster.commands.update import change_image
from hitless_cli.cluster.errors import EXIT_CODES_HELP, NotDone
from hitless_cli.cluster.former import chosen_image, former_images, numbered
from hitless_cli.cluster.options import (
    Where,
    channel_argument,
    force_option,
    output_option,
    reported,
    timeout_option,
    wait_option,
    where_options,
)
from hitless_cli.cluster.reading import Channel, Handover, channel_of
from hitless_cli.cluster.wording import version_of


@click.command("rollback", epilog=EXIT_CODES_HELP)
@channel_argument
@where_options
@click.option("--to", metavar="N|IMAGE", help="A former image, 1 being the latest (`history`).")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@wait_option
@timeout_option
@force_option
@output_option()
@reported
def rollback_command(
    *,
    name: str,
    where: Where,
    to: str | None,
    yes: bool,
    wait: bool,
    timeout_s: float,
    force_conflicts: bool,
    output: str,
) -> None:
    """Go back to a former image.

    While a handover is under way it is called off: the incumbent still runs, so the way back is
    immediate and hitless. After that it is an update to a former image, with a new encoder.
    """
    within_s = timeout_s if wait else None
    with where.session() as kube:
        channel = channel_of(read(kube, where.key(kube, name)))
        update = channel.under_way
        if update is not None:
            _refuse_other(channel, update, to)
            _confirm(f"call off the update to {version_of(update.successor.image)}", yes=yes)
            call_off(kube, channel, update, timeout_s=within_s, output=output)
            return
        image = chosen_image(channel, to)
        if not yes:
            click.echo(f"former images: {numbered(former_images(channel))}", err=True)
        _confirm(f"hand {channel.key} over from {channel.image} to {image}", yes=yes)
        change_image(kube, channel, image, force=force_conflicts, timeout_s=within_s, output=output)


def _refuse_other(channel: Channel, update: Handover, to: str | None) -> None:
    if to is None or to == update.incumbent.image:
        return
    raise NotDone(
        f"{channel.key}: a handover is under way, which can only be called off, back to "
        f"{update.incumbent.image}: leave out --to, or wait for its end"
    )


def _confirm(what: str, *, yes: bool) -> None:
    """Raises NotDone unless the user agrees."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotDone(f"to {what}, confirm with --yes: nobody is here to be asked")
    if not click.confirm(f"{what[0].upper()}{what[1:]}?", err=True):
        raise NotDone("nothing has changed")
