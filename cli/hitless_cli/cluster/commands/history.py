"""`hitless history`: the updates of a channel that have ended."""

from __future__ import annotations

import time

import click

from hitless_cli.cluster.channels import read
from hitless_cli.cluster.documents import history_document
from hitless_cli.cluster.errors import EXIT_CODES_HELP
from hitless_cli.cluster.former import former_images, numbered
from hitless_cli.cluster.options import (
    Where,
    channel_argument,
    output_option,
    program,
    reported,
    say,
    say_document,
    where_options,
)
from hitless_cli.cluster.reading import channel_of
from hitless_cli.cluster.views import history_lines


@click.command("history", epilog=EXIT_CODES_HELP)
@channel_argument
@where_options
@output_option()
@reported
def history_command(*, name: str, where: Where, output: str) -> None:
    """Show the last ten updates: result, frame, frames lost, and where the time went.

    START is until the successor encodes, TO FRAME until its first frame on air, AFTER until the
    incumbent may go.
    """
    with where.session() as kube:
        channel = channel_of(read(kube, where.key(kube, name)))
    if output != "table":
        say_document(history_document(channel), output)
        return
    say(history_lines(channel, time.time_ns() // 1000))
    images = former_images(channel)
    if images:
        click.echo(f"{program()} rollback {name} --to: {numbered(images)}")
