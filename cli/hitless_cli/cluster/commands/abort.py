"""`hitless abort`: call off the handover under way, without losing a frame."""

from __future__ import annotations

import click

from hitless_cli.cluster.channels import read
from hitless_cli.cluster.errors import EXIT_CODES_HELP, NotDone
from hitless_cli.cluster.kube import Kube
from hitless_cli.cluster.options import (
    Where,
    channel_argument,
    output_option,
    program,
    reported,
    timeout_option,
    wait_option,
    where_options,
)
from hitless_cli.cluster.outcome import Outcome, abort_outcome
from hitless_cli.cluster.reading import Channel, Handover, channel_of
from hitless_cli.cluster.waiting import await_outcome, say_at_once, say_outcome
from hitless_cli.cluster.wording import version_of
from hitless_cli.cluster.writing import ABORT_ANNOTATION, annotate


@click.command("abort", epilog=EXIT_CODES_HELP)
@channel_argument
@where_options
@wait_option
@timeout_option
@output_option()
@reported
def abort_command(*, name: str, where: Where, wait: bool, timeout_s: float, output: str) -> None:
    """Call off the handover under way: the incumbent keeps the output, or takes it back.

    Before the agreed frame nothing has happened on air; after it, during the hold, the way back is
    as hitless as the update. A completed update is undone with `rollback`.
    """
    with where.session() as kube:
        channel = channel_of(read(kube, where.key(kube, name)))
        update = channel.under_way
        if update is None:
            raise NotDone(f"{channel.key}: no handover is under way{_last_text(channel)}")
        call_off(kube, channel, update, timeout_s=timeout_s if wait else None, output=output)


def call_off(
    kube: Kube, channel: Channel, update: Handover, *, timeout_s: float | None, output: str
) -> None:
    """Name the handover in the annotation; then wait for its end, unless timeout_s is None."""
    if update.phase != "Aborting":
        annotate(kube, channel.key, ABORT_ANNOTATION, update.id)
    if timeout_s is None:
        already = update.phase == "Aborting"
        word = "is being called off already" if already else "is to be called off"
        outcome = Outcome(
            done=True,
            reason="Requested",
            message=f"handover {update.id} ({update.phase}) {word}",
            handover=update,
        )
        say_at_once(channel.key, outcome, output)
        _say_afterwards(channel, update, output)
        return
    outcome = await_outcome(
        kube, channel.key, lambda seen: abort_outcome(seen, update.id), timeout_s=timeout_s
    )
    say_outcome(channel.key, outcome, output)
    _say_afterwards(channel, update, output)


def _last_text(channel: Channel) -> str:
    last = channel.handover
    if last is None:
        return ""
    if not last.completed:
        return f" (the last one is {last.phase})"
    return (
        f" (the last one has Completed: undo it with {program()} rollback "
        f"{channel.key.name} -n {channel.key.namespace})"
    )


def _say_afterwards(channel: Channel, update: Handover, output: str) -> None:
    """What the user has to know: an abort leaves the spec as it is."""
    if output != "table" or channel.image != update.successor.image:
        return
    name = f"{channel.key.name} -n {channel.key.namespace}"
    click.echo(
        f"the spec still asks for {version_of(channel.image)}, which is not tried again: "
        f"{program()} rollback {name} makes it ask for what is on air then"
    )
