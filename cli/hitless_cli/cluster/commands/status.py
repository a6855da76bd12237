"""`hitless status`: one channel and everything around it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import click

from hitless_cli.cluster.advice import next_steps
from hitless_cli.cluster.channels import Deadline, events_of, follow, pods_of, read
from hitless_cli.cluster.documents import status_document
from hitless_cli.cluster.errors import EXIT_CODES_HELP, ClusterError
from hitless_cli.cluster.kube import Document, Kube
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
from hitless_cli.cluster.reading import Channel, Key, channel_of
from hitless_cli.cluster.timeline import steps
from hitless_cli.cluster.views import progress_line, status_lines
from hitless_cli.cluster.wording import clock
from hitless_cli.terminal import LiveBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What belongs to a channel. unknown: what could not be read, and why."""

    pods: list[Document]
    events: list[Document]
    unknown: list[str]


@click.command("status", epilog=EXIT_CODES_HELP)
@channel_argument
@where_options
@click.option("-w", "--watch", is_flag=True, help="Follow it until ^C.")
@output_option()
@reported
def status_command(*, name: str, where: Where, watch: bool, output: str) -> None:
    """Show everything about one channel: conditions, encoders, handover, frames, Events, advice."""
    if watch and output != "table":
        raise click.UsageError("--watch is for people: leave out -o")
    with where.session() as kube:
        key = where.key(kube, name)
        if watch:
            _watch(kube, key)
            return
        channel = channel_of(read(kube, key))
        around = _around(kube, key)
        if output == "table":
            say(_lines(channel, around))
        else:
            say_document(_document(channel, around), output)


def _around(kube: Kube, key: Key) -> Around:
    """Pods and Events; a refusal is told, not fatal."""
    unknown: list[str] = []
    pods: list[Document] = []
    events: list[Document] = []
    try:
        pods = pods_of(kube, key)
    except ClusterError as error:
        unknown.append(f"pods: {error}")
    try:
        events = events_of(kube, key)
    except ClusterError as error:
        unknown.append(f"Events: {error}")
    return Around(pods=pods, events=events, unknown=unknown)


def _lines(channel: Channel, around: Around) -> list[str]:
    return status_lines(
        channel,
        pods=around.pods,
        events=around.events,
        next_steps=next_steps(channel, program()),
        unknown=around.unknown,
        now_us=time.time_ns() // 1000,
    )


def _document(channel: Channel, around: Around) -> Document:
    return status_document(
        channel,
        pods=around.pods,
        events=around.events,
        phases=steps(channel.handover, around.events) if channel.handover else (),
        next_steps=next_steps(channel, program()),
        unknown=around.unknown,
    )


def _watch(kube: Kube, key: Key) -> None:
    """On a terminal the whole view, rewritten; elsewhere the view, then a line for each change."""
    block = LiveBlock(sys.stdout) if sys.stdout.isatty() else None
    last = ""
    for body in follow(kube, key, Deadline.after(None)):
        channel = channel_of(body)
        if block is not None:
            block.show(_lines(channel, _around(kube, key)))
            continue
        now_us = time.time_ns() // 1000
        line = progress_line(channel, now_us)
        if not last:
            say(_lines(channel, _around(kube, key)))
        elif line != last:
            click.echo(f"{clock(now_us)}  {line}")
        last = line
