"""`hitless bundle`: a support archive without secrets."""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path

import click

from hitless_cli.cluster.bundle.archive import Archive
from hitless_cli.cluster.bundle.collect import Scope, collect
from hitless_cli.cluster.completion import complete_channel
from hitless_cli.cluster.errors import EXIT_CODES_HELP, NotDone
from hitless_cli.cluster.options import Where, reported, where_options
from hitless_cli.cluster.wording import MICROSECONDS, count, rfc3339

LOG_LINES = 10_000
LOG_LINES_MAX = 100_000


@click.command("bundle", epilog=EXIT_CODES_HELP)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_channel)
@where_options
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Of all namespaces.")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.tar.gz",
    help="Default: hitless-bundle-<time>.tar.gz here.",
)
@click.option(
    "--log-lines",
    type=click.IntRange(1, LOG_LINES_MAX),
    default=LOG_LINES,
    show_default=True,
    help="Newest lines of each container's log.",
)
@reported
def bundle_command(
    *, names: tuple[str, ...], where: Where, everywhere: bool, target: Path | None, log_lines: int
) -> None:
    """Collect what support needs into one archive: resources, Events, pods, logs, origin reports.

    Secrets are never read; passwords, tokens and the like are taken out of everything else. Its
    MANIFEST.json says what is in it, and what could not be read and why.
    """
    if everywhere and names:
        raise click.UsageError("names belong to one namespace: leave out -A, or the names")
    now_us = time.time_ns() // 1000
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_us // MICROSECONDS))
    path = target or Path(f"hitless-bundle-{stamp}.tar.gz")
    version = importlib.metadata.version("hitless")
    with where.session() as kube:
        namespace = None if everywhere else where.namespace or kube.namespace
        about = {"madeAt": rfc3339(now_us), "hitless": version, "server": kube.server}
        scope = Scope(namespace=namespace, names=names, log_lines=log_lines)
        try:
            with Archive(path, about) as archive:
                collect(kube, archive, scope, version)
        except OSError as error:
            raise NotDone(
                f"{path} can't be written: {error.strerror}; choose another -o"
            ) from error
    click.echo(f"{path}: {count(len(archive.entries), 'file')}")
    for missing in archive.missing:
        click.echo(f"not in it: {missing.what}: {missing.why}", err=True)
