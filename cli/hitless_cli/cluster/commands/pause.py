"""`hitless pause` and `hitless resume`: whether updates of a channel may start."""

from __future__ import annotations

import click

from hitless_cli.cluster.channels import read
from hitless_cli.cluster.errors import EXIT_CODES_HELP
from hitless_cli.cluster.options import (
    Where,
    channel_argument,
    force_option,
    reported,
    where_options,
)
from hitless_cli.cluster.reading import channel_of
from hitless_cli.cluster.writing import set_paused


@click.command("pause", epilog=EXIT_CODES_HELP)
@channel_argument
@where_options
@force_option
@reported
def pause_command(*, name: str, where: Where, force_conflicts: bool) -> None:
    """Let no handover start; the channel plays on. One that is under way goes on."""
    _set(name, where, paused=True, force=force_conflicts)


@click.command("resume", epilog=EXIT_CODES_HELP)
@channel_argument
@where_options
@force_option
@reported
def resume_command(*, name: str, where: Where, force_conflicts: bool) -> None:
    """Let handovers start again; one that waits starts now."""
    _set(name, where, paused=False, force=force_conflicts)


def _set(name: str, where: Where, *, paused: bool, force: bool) -> None:
    with where.session() as kube:
        channel = channel_of(read(kube, where.key(kube, name)))
        word = "paused" if paused else "not paused"
        if channel.paused == paused:
            click.echo(f"{channel.key}: updates were {word} already")
            return
        set_paused(kube, channel, paused=paused, force=force)
        update = channel.under_way
        going = f"; handover {update.id} goes on" if paused and update is not None else ""
        click.echo(f"{channel.key}: updates are {word} now{going}")
