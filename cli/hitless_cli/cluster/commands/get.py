"""`hitless get`: channels as a table."""

from __future__ import annotations

import time

import click

from hitless_cli.cluster.channels import (
    MANAGED_ENCODERS,
    list_path,
    missing_text,
    read_all,
    selected,
)
from hitless_cli.cluster.completion import complete_channel
from hitless_cli.cluster.documents import channel_document
from hitless_cli.cluster.errors import EXIT_CODES_HELP, Expired, Forbidden, NotFound, Unreachable
from hitless_cli.cluster.kube import WATCH_S_MAX, Document, Kube
from hitless_cli.cluster.options import (
    Where,
    output_option,
    reported,
    say,
    say_document,
    where_options,
)
from hitless_cli.cluster.reading import Channel, Key, channel_of
from hitless_cli.cluster.views import head, row
from hitless_cli.cluster.wording import aligned

FAILURES_MAX = 10
RETRY_S = 1.0


@click.command("get", epilog=EXIT_CODES_HELP)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_channel)
@where_options
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Of all namespaces.")
@click.option("-l", "--selector", default="", metavar="LABELS", help="Only with these labels.")
@click.option("-w", "--watch", is_flag=True, help="Go on with a row for each change, until ^C.")
@output_option("wide")
@reported
def get_command(
    *,
    names: tuple[str, ...],
    where: Where,
    everywhere: bool,
    selector: str,
    watch: bool,
    output: str,
) -> None:
    """List channels: what is on air, which frame it took over at, how the last handover stands.

    FRAME is the agreed frame of the handover under way, else of the last one.
    """
    if everywhere and names:
        raise click.UsageError("names belong to one namespace: leave out -A, or the names")
    if watch and output in ("json", "yaml"):
        raise click.UsageError("--watch prints rows: leave out -o, or use `status --watch`")
    with where.session() as kube:
        namespace = None if everywhere else where.namespace or kube.namespace
        bodies, version = read_all(kube, namespace, selector=selector)
        channels = _chosen(kube, namespace, [channel_of(b) for b in bodies], names)
        if output in ("json", "yaml"):
            say_document({"channels": [channel_document(c) for c in channels]}, output)
            return
        table = _Table(namespaces=everywhere, wide=output == "wide")
        table.say(channels, _nodes(kube, namespace) if table.wide else {})
        if not channels:
            scope = "any namespace" if namespace is None else f"namespace {namespace}"
            click.echo(f"no channels in {scope}", err=True)
        if watch:
            _watch(
                kube, table, namespace=namespace, selector=selector, names=names, version=version
            )


def _chosen(
    kube: Kube, namespace: str | None, channels: list[Channel], names: tuple[str, ...]
) -> list[Channel]:
    known = {channel.key.name for channel in channels}
    for name in names:
        if name not in known:
            raise NotFound(missing_text(kube, Key(namespace or "", name)))
    return [channel for channel in channels if not names or channel.key.name in names]


def _nodes(kube: Kube, namespace: str | None) -> dict[tuple[str, str], str]:
    """Pod to node; without the permission the column stays empty."""
    scope = "" if namespace is None else f"/namespaces/{namespace}"
    try:
        pods, _ = kube.items(f"/api/v1{scope}/pods", selected(MANAGED_ENCODERS))
    except Forbidden:
        return {}
    return {
        (p["metadata"]["namespace"], p["metadata"]["name"]): p["spec"].get("nodeName") or ""
        for p in pods
    }


class _Table:
    """Rows under one head; later rows keep its widths."""

    def __init__(self, *, namespaces: bool, wide: bool) -> None:
        self.wide = wide
        self._namespaces = namespaces
        self._widths: list[int] = []
        self._shown: dict[Key, tuple[str, ...]] = {}
        self._nodes: dict[tuple[str, str], str] = {}

    def say(self, channels: list[Channel], nodes: dict[tuple[str, str], str]) -> None:
        """Head and rows. nodes: of pods, as far as known."""
        self._nodes = nodes
        rows = [head(namespaces=self._namespaces, wide=self.wide)]
        rows += [self._row(channel) for channel in channels]
        self._widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
        say(aligned(rows))

    def say_change(self, channel: Channel) -> None:
        """One more row, if anything but its age has changed."""
        before = self._shown.get(channel.key)
        cells = self._row(channel)
        if before is None or self._without_age(before) != self._without_age(cells):
            say(aligned([cells], widths_min=self._widths))

    def _row(self, channel: Channel) -> tuple[str, ...]:
        pod = channel.on_air.pod if channel.on_air else ""
        cells = row(
            channel,
            time.time_ns() // 1000,
            namespaces=self._namespaces,
            wide=self.wide,
            node=self._nodes.get((channel.key.namespace, pod), ""),
        )
        self._shown[channel.key] = cells
        return cells

    def _without_age(self, cells: tuple[str, ...]) -> tuple[str, ...]:
        at = head(namespaces=self._namespaces, wide=False).index("AGE")
        return cells[:at] + cells[at + 1 :]


def _watch(
    kube: Kube,
    table: _Table,
    *,
    namespace: str | None,
    selector: str,
    names: tuple[str, ...],
    version: str,
) -> None:
    """Rows for changes until ^C; a watch that breaks off is renewed."""
    failures = 0
    while True:
        query = {**selected(selector), "resourceVersion": version}
        try:
            for kind, body in kube.watch(list_path(namespace), query, within_s=WATCH_S_MAX):
                version = body["metadata"]["resourceVersion"]
                _say_event(table, kind, body, names)
            failures = 0
        except Expired:
            version = _again(kube, table, namespace, selector, names)
        except Unreachable:
            failures += 1
            if failures > FAILURES_MAX:
                raise
            time.sleep(RETRY_S)


def _again(
    kube: Kube, table: _Table, namespace: str | None, selector: str, names: tuple[str, ...]
) -> str:
    bodies, version = read_all(kube, namespace, selector=selector)
    for body in bodies:
        _say_event(table, "MODIFIED", body, names)
    return version


def _say_event(table: _Table, kind: str, body: Document, names: tuple[str, ...]) -> None:
    channel = channel_of(body)
    if names and channel.key.name not in names:
        return
    if kind == "DELETED":
        click.echo(f"{channel.key} deleted")
    else:
        table.say_change(channel)
